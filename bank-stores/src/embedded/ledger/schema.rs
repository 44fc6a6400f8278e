//! The ledger's tables.

use crate::embedded::database::Schema;
use crate::embedded::outbox::epochs_table;

/// Sequences name accounts, postings and holds inside the file. The balance stands apart from the account, since it is what
/// changes: a short row that is replaced by its key. An account's row stays as it was opened; rules that were changed since
/// stand beside it.
pub(super) const SCHEMA: Schema = Schema {
    name: "ledger",
    application: 0x6261_6c01,
    migrations: &[
        "
CREATE TABLE accounts (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, name TEXT, currency TEXT NOT NULL,
    status INTEGER NOT NULL, floor INTEGER, opened_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE TABLE balances (
    account INTEGER PRIMARY KEY REFERENCES accounts, balance INTEGER NOT NULL, entries INTEGER NOT NULL
) STRICT;
CREATE TABLE postings (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at INTEGER NOT NULL, value_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE entries (
    posting INTEGER NOT NULL REFERENCES postings, leg INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts,
    number INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (posting, leg)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT",
        // Holds, reversals, changed rules, remembered refusals, consumers and the chain. Columns that are added need no row to
        // be written anew.
        "
ALTER TABLE accounts ADD COLUMN ceiling INTEGER;
CREATE TABLE rules (
    account INTEGER PRIMARY KEY REFERENCES accounts, status INTEGER NOT NULL, floor INTEGER, ceiling INTEGER
) STRICT;
ALTER TABLE balances ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE postings ADD COLUMN reverses INTEGER REFERENCES postings;
ALTER TABLE postings ADD COLUMN hold INTEGER REFERENCES holds;
ALTER TABLE postings ADD COLUMN captured INTEGER;
ALTER TABLE postings ADD COLUMN hold_status INTEGER;
CREATE UNIQUE INDEX postings_reversed ON postings (reverses) WHERE reverses IS NOT NULL;
CREATE TABLE holds (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES accounts,
    amount INTEGER NOT NULL, captured INTEGER NOT NULL, status INTEGER NOT NULL, placed_at INTEGER NOT NULL,
    deadline INTEGER, reference TEXT, metadata TEXT, content BLOB NOT NULL, ended_by INTEGER, ended_at INTEGER
) STRICT;
CREATE INDEX holds_due ON holds (deadline) WHERE status = 0 AND deadline IS NOT NULL;
CREATE INDEX holds_open ON holds (account) WHERE status = 0;
CREATE INDEX holds_ended ON holds (ended_by) WHERE ended_by IS NOT NULL;
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES accounts,
    state TEXT NOT NULL, booked_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE TABLE refusals (id TEXT PRIMARY KEY, content BLOB NOT NULL, error TEXT NOT NULL, at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE consumers (id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE chain (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT",
        // Postings that count from another time than they were booked at, by the later of the two.
        "CREATE INDEX postings_dated ON postings (max(booked_at, value_at)) WHERE booked_at <> value_at",
        // The histories that positions of events are told apart by.
        epochs_table!(),
    ],
};
