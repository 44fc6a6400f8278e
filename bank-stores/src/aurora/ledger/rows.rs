//! Rows of the ledger's tables, as what they stand for.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::aurora::error::damaged;
use crate::ledger::book::{HeldAccount, HeldHold};
use crate::ledger::{
    Account, AccountId, AccountStatus, Ceiling, Entry, Floor, Hold, HoldId, HoldStatus, OpenAccount, OwnerId,
    PlaceHold, PostingId, Receipt,
};
use crate::{Currency, Error, Money, Result, Timestamp};

/// A query for accounts: `from` yields `a`, an account; more columns may follow.
macro_rules! select_accounts {
    ($from:literal, $rest:literal) => {
        select_accounts!("", $from, $rest)
    };
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, a.owner, a.name, a.currency, coalesce(r.status, 0::smallint), ",
            "CASE WHEN r.account IS NULL THEN a.floor ELSE r.floor END, ",
            "CASE WHEN r.account IS NULL THEN a.ceiling ELSE r.ceiling END, ",
            "b.balance, b.held, b.entries, a.opened_at, a.sequence, a.content, a.floor, a.ceiling",
            $more,
            " FROM ",
            $from,
            " JOIN balances b ON b.account = a.sequence LEFT JOIN rules r ON r.account = a.sequence ",
            $rest
        )
    };
}

/// A query for entries: `from` yields `e`, an entry.
macro_rules! select_entries {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT a.id, e.number, p.id, p.kind, p.reference, e.amount, e.balance, a.currency, p.booked_at, ",
            "p.value_at, p.sequence FROM ",
            $from,
            " JOIN postings p ON p.sequence = e.posting JOIN accounts a ON a.sequence = e.account ",
            $rest
        )
    };
}

/// A query for holds: `from` yields `h`, a hold; more columns may follow.
macro_rules! select_holds {
    ($from:literal, $rest:literal) => {
        select_holds!("", $from, $rest)
    };
    ($more:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT h.id, a.id, a.currency, h.amount, h.captured, h.status, h.placed_at, h.deadline, h.sequence, ",
            "h.content, h.ended_by, h.ended_at",
            $more,
            " FROM ",
            $from,
            " JOIN accounts a ON a.sequence = h.account ",
            $rest
        )
    };
}

pub(super) use {select_accounts, select_entries, select_holds};

/// An account from a row of `select_accounts`, as it was opened.
pub(super) fn opened(row: &PgRow) -> Result<Receipt> {
    let held = account(row)?;
    let bound = |column| row.get::<Option<i64>, _>(column);
    let (floor, ceiling) =
        (bound(13).map_or(Floor::None, Floor::At), bound(14).map_or(Ceiling::None, Ceiling::At));
    let mut account = held.account;
    account.set_balance(0, 0, 0);
    account.set_rules(AccountStatus::Open, floor, ceiling);
    Ok(Receipt::opened(held.sequence, account))
}

/// An account from a row of `select_accounts`.
pub(super) fn account(row: &PgRow) -> Result<HeldAccount> {
    let currency: Currency = row.get::<&str, _>(3).parse().map_err(damaged)?;
    let mut open = OpenAccount::new(AccountId::new(row.get::<&str, _>(0)).map_err(damaged)?, currency);
    open.owner = row.get::<Option<&str>, _>(1).map(OwnerId::new).transpose().map_err(damaged)?;
    open.name = row.get(2);
    open.floor = row.get::<Option<i64>, _>(5).map_or(Floor::None, Floor::At);
    open.ceiling = row.get::<Option<i64>, _>(6).map_or(Ceiling::None, Ceiling::At);
    let mut account = Account::opened(&open, Timestamp::from_micros(row.get(10)));
    account.status = AccountStatus::from_number(i64::from(row.get::<i16, _>(4)));
    account.set_balance(row.get(7), row.get(8), row.get::<i64, _>(9) as u64);
    Ok(HeldAccount {
        account,
        sequence: row.get::<i64, _>(11) as u64,
        content: content(row.get(12))?,
        moved: false,
        changed: false,
    })
}

/// An entry from a row of `select_entries`.
pub(super) fn entry(row: &PgRow) -> Result<Entry> {
    let currency: Currency = row.get::<&str, _>(7).parse().map_err(damaged)?;
    Ok(Entry {
        account: AccountId::new(row.get::<&str, _>(0)).map_err(damaged)?,
        number: row.get::<i64, _>(1) as u64,
        posting: PostingId::new(row.get::<&str, _>(2)).map_err(damaged)?,
        kind: row.get(3),
        reference: row.get(4),
        amount: Money::from_minor(row.get(5), currency),
        balance_after: Money::from_minor(row.get(6), currency),
        booked_at: Timestamp::from_micros(row.get(8)),
        value_at: Timestamp::from_micros(row.get(9)),
    })
}

/// A hold from a row of `select_holds`.
pub(super) fn hold(row: &PgRow) -> Result<HeldHold> {
    let currency: Currency = row.get::<&str, _>(2).parse().map_err(damaged)?;
    let id = HoldId::new(row.get::<&str, _>(0)).map_err(damaged)?;
    let account = AccountId::new(row.get::<&str, _>(1)).map_err(damaged)?;
    let place = PlaceHold::new(id, account, Money::from_minor(row.get(3), currency));
    let mut hold = Hold::placed(&place, Timestamp::from_micros(row.get(6)));
    hold.deadline = row.get::<Option<i64>, _>(7).map(Timestamp::from_micros);
    let (ended_by, ended_at) = (row.get::<Option<i64>, _>(10), row.get::<Option<i64>, _>(11));
    Ok(HeldHold {
        hold: hold.with(row.get(4), HoldStatus::from_number(i64::from(row.get::<i16, _>(5)))),
        sequence: row.get::<i64, _>(8) as u64,
        content: content(row.get(9))?,
        ended: ended_by.zip(ended_at).map(|(by, at)| (by as u64, Timestamp::from_micros(at))),
        changed: false,
    })
}

pub(super) fn content(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| damaged(Error::invalid("content", "not a fingerprint")))
}
