//! The ledger's tables. They are those of the embedded ledger, so that the two are read alike, and `groups`, which has a row for each
//! group of commands: rows are only added there, so that a snapshot that somebody keeps open for long slows nobody. Times are
//! microseconds, money is minor units, and metadata, terms and states are JSON as text, which is hashed as it stands.
//!
//! There are no foreign keys between what is written with every posting: each would lock the rows that it looks at. The writer
//! knows that they are there, and the verification of the chain looks at all of them.

use crate::aurora::migrate::Step;

/// What leads from one version to the next; version n is after the first n. Never changed, only added to.
pub(super) const STEPS: &[Step] = &[
    Step::Short(
        "
CREATE TABLE groups (number BIGINT PRIMARY KEY, nonce BIGINT NOT NULL, sequence BIGINT NOT NULL, booked_at BIGINT NOT NULL);
INSERT INTO groups VALUES (0, 0, 0, -9223372036854775808);
CREATE TABLE currencies (code TEXT COLLATE \"C\" PRIMARY KEY, decimals SMALLINT NOT NULL);
CREATE TABLE accounts (
    sequence BIGINT PRIMARY KEY, id TEXT COLLATE \"C\" NOT NULL UNIQUE, owner TEXT COLLATE \"C\",
    currency TEXT NOT NULL, terms TEXT NOT NULL, opened_at BIGINT NOT NULL, content BYTEA NOT NULL
);
CREATE INDEX accounts_by_owner ON accounts (owner, sequence) WHERE owner IS NOT NULL;
CREATE TABLE held (account BIGINT PRIMARY KEY, held BIGINT NOT NULL) WITH (fillfactor = 50);
CREATE TABLE postings (
    sequence BIGINT PRIMARY KEY, id TEXT COLLATE \"C\" NOT NULL UNIQUE, kind TEXT NOT NULL, reference TEXT, metadata TEXT,
    booked_at BIGINT NOT NULL, value_at BIGINT, reverses BIGINT, hold BIGINT, captured BIGINT,
    hold_status SMALLINT, content BYTEA NOT NULL, CHECK ((hold IS NULL) = (captured IS NULL))
);
CREATE UNIQUE INDEX postings_of_hold ON postings (hold, captured) WHERE hold IS NOT NULL;
CREATE UNIQUE INDEX postings_reversed ON postings (reverses) WHERE reverses IS NOT NULL;
CREATE TABLE entries (
    posting BIGINT NOT NULL, leg SMALLINT NOT NULL, account BIGINT NOT NULL, number BIGINT NOT NULL,
    amount BIGINT NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (posting, leg), CHECK (amount <> 0 AND number > 0)
);
CREATE UNIQUE INDEX entries_by_account ON entries (account, number);
CREATE TABLE holds (
    sequence BIGINT PRIMARY KEY, id TEXT COLLATE \"C\" NOT NULL UNIQUE, account BIGINT NOT NULL, amount BIGINT NOT NULL,
    captured BIGINT NOT NULL, status SMALLINT NOT NULL, placed_at BIGINT NOT NULL, deadline BIGINT, reference TEXT,
    metadata TEXT, content BYTEA NOT NULL, ended_by BIGINT, ended_at BIGINT,
    CHECK (captured BETWEEN 0 AND amount AND (status = 0) = (ended_by IS NULL) AND (status = 0) = (ended_at IS NULL))
);
CREATE INDEX holds_due ON holds (deadline) WHERE status = 0 AND deadline IS NOT NULL;
CREATE INDEX holds_open ON holds (account) WHERE status = 0;
CREATE INDEX holds_ended ON holds (ended_by) WHERE ended_by IS NOT NULL;
CREATE TABLE changes (
    sequence BIGINT PRIMARY KEY, id TEXT COLLATE \"C\" NOT NULL UNIQUE, account BIGINT, posting BIGINT, kind TEXT NOT NULL,
    state TEXT NOT NULL, booked_at BIGINT NOT NULL, content BYTEA NOT NULL, CHECK ((account IS NULL) <> (posting IS NULL))
);
CREATE INDEX changes_of_account ON changes (account, sequence) WHERE account IS NOT NULL;
CREATE INDEX changes_of_posting ON changes (posting) WHERE posting IS NOT NULL;
CREATE TABLE refusals (
    id TEXT COLLATE \"C\" PRIMARY KEY, content BYTEA NOT NULL, error TEXT NOT NULL, at BIGINT NOT NULL
);
CREATE TABLE forgotten (number BIGINT PRIMARY KEY);
CREATE TABLE consumers (id TEXT COLLATE \"C\" PRIMARY KEY, position BIGINT NOT NULL);
CREATE TABLE epochs (number BIGINT PRIMARY KEY, epoch BIGINT NOT NULL);
CREATE TABLE chain (sequence BIGINT PRIMARY KEY, hash BYTEA NOT NULL);
CREATE TABLE totals (
    currency TEXT COLLATE \"C\" PRIMARY KEY, accounts BIGINT NOT NULL, postings BIGINT NOT NULL,
    debits_high BIGINT NOT NULL, debits_low BIGINT NOT NULL, credits_high BIGINT NOT NULL, credits_low BIGINT NOT NULL
)",
    ),
    // Postings that count from another time than they were booked at, by the later of the two.
    Step::Index {
        name: "postings_dated",
        on: "postings (greatest(booked_at, value_at)) WHERE value_at IS NOT NULL",
    },
];
