//! The ledger's tables.

use crate::embedded::database::Schema;

/// Sequences name accounts, postings and holds inside the file. An account's balance is that of its newest entry; what is held on it
/// stands beside, for accounts that had holds. An account's row stays as it was opened; rules that were changed since stand beside
/// it. `totals` are those of the commands in the chain.
pub(super) const SCHEMA: Schema = Schema {
    name: "ledger",
    application: 0x6261_6c02,
    migrations: &["
CREATE TABLE currencies (code TEXT PRIMARY KEY, decimals INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, name TEXT, currency TEXT NOT NULL,
    floor INTEGER, ceiling INTEGER, opened_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE TABLE rules (
    account INTEGER PRIMARY KEY REFERENCES accounts, status INTEGER NOT NULL, floor INTEGER, ceiling INTEGER
) STRICT;
CREATE TABLE held (account INTEGER PRIMARY KEY REFERENCES accounts, held INTEGER NOT NULL) STRICT;
CREATE TABLE postings (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at INTEGER NOT NULL, value_at INTEGER NOT NULL, reverses INTEGER REFERENCES postings,
    hold INTEGER REFERENCES holds, captured INTEGER, hold_status INTEGER, content BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX postings_reversed ON postings (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX postings_dated ON postings (max(booked_at, value_at)) WHERE booked_at <> value_at;
CREATE TABLE entries (
    posting INTEGER NOT NULL REFERENCES postings, leg INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts,
    number INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (posting, leg)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
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
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY, id TEXT NOT NULL, topic TEXT NOT NULL, at INTEGER NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE TABLE consumers (id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE chain (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE totals (
    currency TEXT PRIMARY KEY, accounts INTEGER NOT NULL, postings INTEGER NOT NULL, debits_high INTEGER NOT NULL,
    debits_low INTEGER NOT NULL, credits_high INTEGER NOT NULL, credits_low INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE epochs (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL) STRICT"],
};
