//! Rows of the ledger's tables, as what they stand for, whatever the engine.

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::book::{HeldAccount, HeldHold};
use super::{
    Account, AccountId, AccountStatus, Ceiling, Entry, Floor, Hold, HoldId, HoldStatus, OpenAccount, OwnerId,
    PlaceHold, PostingId, Receipt,
};
use crate::error::damaged;
use crate::{Currency, Error, Money, Result, Timestamp};

/// A row that an engine gave. What cannot be read as what it should be, only a foreign hand or a failing disk has made.
pub(crate) trait Record {
    /// Text, or nothing.
    fn optional_text(&self, column: usize) -> Result<Option<&str>>;
    /// A whole number, or nothing.
    fn optional_number(&self, column: usize) -> Result<Option<i64>>;
    /// Bytes, or nothing.
    fn optional_bytes(&self, column: usize) -> Result<Option<&[u8]>>;

    fn text(&self, column: usize) -> Result<&str> {
        self.optional_text(column)?.ok_or_else(nothing)
    }

    fn number(&self, column: usize) -> Result<i64> {
        self.optional_number(column)?.ok_or_else(nothing)
    }

    fn sequence(&self, column: usize) -> Result<u64> {
        self.number(column).map(|number| number as u64)
    }

    fn time(&self, column: usize) -> Result<Timestamp> {
        self.number(column).map(Timestamp::from_micros)
    }

    /// A hash or a fingerprint.
    fn hash(&self, column: usize) -> Result<[u8; 32]> {
        let bytes = self.optional_bytes(column)?.ok_or_else(nothing)?;
        bytes.try_into().map_err(|_| damaged(Error::invalid("content", "not 32 bytes")))
    }
}

fn nothing() -> Error {
    damaged(Error::invalid("row", "nothing where something has to be"))
}

impl<R: Row> Record for R
where
    usize: ColumnIndex<R>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
{
    fn optional_text(&self, column: usize) -> Result<Option<&str>> {
        self.try_get(column).map_err(unreadable)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>> {
        self.try_get(column).map_err(unreadable)
    }

    fn optional_bytes(&self, column: usize) -> Result<Option<&[u8]>> {
        self.try_get(column).map_err(unreadable)
    }
}

fn unreadable(source: sqlx::Error) -> Error {
    damaged(Error::invalid("row", "another type than it has to be").with_source(source))
}

/// An account from a row of `select_accounts`, as it was opened.
pub(crate) fn opened(row: &impl Record) -> Result<Receipt> {
    let held = account(row)?;
    let (floor, ceiling) = bounds(row, 13)?;
    let mut account = held.account;
    account.set_balance(0, 0, 0);
    account.set_rules(AccountStatus::Open, floor, ceiling);
    Ok(Receipt::opened(held.sequence, account))
}

/// An account from a row of `select_accounts`.
pub(crate) fn account(row: &impl Record) -> Result<HeldAccount> {
    let currency: Currency = row.text(3)?.parse().map_err(damaged)?;
    let mut open = OpenAccount::new(AccountId::new(row.text(0)?).map_err(damaged)?, currency);
    open.owner = row.optional_text(1)?.map(OwnerId::new).transpose().map_err(damaged)?;
    open.name = row.optional_text(2)?.map(ToOwned::to_owned);
    (open.floor, open.ceiling) = bounds(row, 5)?;
    let mut account = Account::opened(&open, row.time(10)?);
    account.status = AccountStatus::from_number(row.number(4)?);
    account.set_balance(row.number(7)?, row.number(8)?, row.sequence(9)?);
    let (sequence, content) = (row.sequence(11)?, row.hash(12)?);
    Ok(HeldAccount { account, sequence, content, moved: false, changed: false })
}

/// A floor and the ceiling behind it.
fn bounds(row: &impl Record, column: usize) -> Result<(Floor, Ceiling)> {
    let floor = row.optional_number(column)?.map_or(Floor::None, Floor::At);
    Ok((floor, row.optional_number(column + 1)?.map_or(Ceiling::None, Ceiling::At)))
}

/// An entry from a row of `select_entries`.
pub(crate) fn entry(row: &impl Record) -> Result<Entry> {
    let currency: Currency = row.text(7)?.parse().map_err(damaged)?;
    Ok(Entry {
        account: AccountId::new(row.text(0)?).map_err(damaged)?,
        number: row.sequence(1)?,
        posting: PostingId::new(row.text(2)?).map_err(damaged)?,
        kind: row.text(3)?.to_owned(),
        reference: row.optional_text(4)?.map(ToOwned::to_owned),
        amount: Money::from_minor(row.number(5)?, currency),
        balance_after: Money::from_minor(row.number(6)?, currency),
        booked_at: row.time(8)?,
        value_at: row.time(9)?,
    })
}

/// A hold from a row of `select_holds`.
pub(crate) fn hold(row: &impl Record) -> Result<HeldHold> {
    let currency: Currency = row.text(2)?.parse().map_err(damaged)?;
    let id = HoldId::new(row.text(0)?).map_err(damaged)?;
    let account = AccountId::new(row.text(1)?).map_err(damaged)?;
    let place = PlaceHold::new(id, account, Money::from_minor(row.number(3)?, currency));
    let mut hold = Hold::placed(&place, row.time(6)?);
    hold.deadline = row.optional_number(7)?.map(Timestamp::from_micros);
    let (ended_by, ended_at) = (row.optional_number(10)?, row.optional_number(11)?);
    Ok(HeldHold {
        hold: hold.with(row.number(4)?, HoldStatus::from_number(row.number(5)?)),
        sequence: row.sequence(8)?,
        content: row.hash(9)?,
        ended: ended_by.zip(ended_at).map(|(by, at)| (by as u64, Timestamp::from_micros(at))),
        changed: false,
    })
}
