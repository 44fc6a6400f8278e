//! The ledger's tables.

use crate::embedded::database::Schema;

/// Sequences name accounts, postings and holds inside the file. An account's row stays as it was opened, `terms` are its name
/// and rules then: its balance is that of its newest entry, and its name and rules are those of its newest change, whose `state` is
/// the account as that left it. A change of a posting is something that was added to it, of this `kind`, which is its `state`. What
/// is held on an account stands beside it, for accounts that had holds. `totals` are those of the commands in the chain.
pub(super) const SCHEMA: Schema = Schema {
    name: "ledger",
    application: 0x6261_6c03,
    // What a transfer touches lies far apart: with small pages less is written for it.
    page_size: 1_024,
    migrations: &["
CREATE TABLE currencies (code TEXT PRIMARY KEY, decimals INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT, currency TEXT NOT NULL,
    terms TEXT NOT NULL, opened_at INTEGER NOT NULL, content BLOB NOT NULL
) STRICT;
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE TABLE held (account INTEGER PRIMARY KEY REFERENCES accounts, held INTEGER NOT NULL) STRICT;
CREATE TABLE postings (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at INTEGER NOT NULL, value_at INTEGER, reverses INTEGER REFERENCES postings,
    hold INTEGER REFERENCES holds, captured INTEGER, hold_status INTEGER, content BLOB NOT NULL,
    CHECK ((hold IS NULL) = (captured IS NULL))
) STRICT;
CREATE UNIQUE INDEX postings_of_hold ON postings (hold, captured) WHERE hold IS NOT NULL;
CREATE UNIQUE INDEX postings_reversed ON postings (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX postings_dated ON postings (max(booked_at, value_at)) WHERE value_at IS NOT NULL;
CREATE TABLE entries (
    posting INTEGER NOT NULL REFERENCES postings, leg INTEGER NOT NULL, account INTEGER NOT NULL REFERENCES accounts,
    number INTEGER NOT NULL, amount INTEGER NOT NULL, balance INTEGER NOT NULL, PRIMARY KEY (posting, leg),
    CHECK (amount <> 0 AND number > 0)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
CREATE TABLE holds (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER NOT NULL REFERENCES accounts,
    amount INTEGER NOT NULL, captured INTEGER NOT NULL, status INTEGER NOT NULL, placed_at INTEGER NOT NULL,
    deadline INTEGER, reference TEXT, metadata TEXT, content BLOB NOT NULL, ended_by INTEGER, ended_at INTEGER,
    CHECK (captured BETWEEN 0 AND amount AND (status = 0) = (ended_by IS NULL) AND (status = 0) = (ended_at IS NULL))
) STRICT;
CREATE INDEX holds_due ON holds (deadline) WHERE status = 0 AND deadline IS NOT NULL;
CREATE INDEX holds_open ON holds (account) WHERE status = 0;
CREATE INDEX holds_ended ON holds (ended_by) WHERE ended_by IS NOT NULL;
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, account INTEGER REFERENCES accounts,
    posting INTEGER REFERENCES postings, kind TEXT NOT NULL, state TEXT NOT NULL, booked_at INTEGER NOT NULL,
    content BLOB NOT NULL, CHECK ((account IS NULL) <> (posting IS NULL))
) STRICT;
CREATE INDEX changes_of_account ON changes (account, sequence) WHERE account IS NOT NULL;
CREATE INDEX changes_of_posting ON changes (posting) WHERE posting IS NOT NULL;
CREATE TABLE refusals (id TEXT PRIMARY KEY, content BLOB NOT NULL, error TEXT NOT NULL, at INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE forgotten (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE consumers (id TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE chain (sequence INTEGER PRIMARY KEY, hash BLOB NOT NULL) STRICT;
CREATE TABLE totals (
    currency TEXT PRIMARY KEY, accounts INTEGER NOT NULL, postings INTEGER NOT NULL, debits_high INTEGER NOT NULL,
    debits_low INTEGER NOT NULL, credits_high INTEGER NOT NULL, credits_low INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE epochs (number INTEGER PRIMARY KEY, epoch INTEGER NOT NULL) STRICT"],
};
