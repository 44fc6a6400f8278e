//! Rows of the ledger's tables, as what they stand for, whatever the engine.

use serde_json::{Map, Value};
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::error::damaged;
use crate::ledger::book::{HeldAccount, HeldHold};
use crate::ledger::{
    Account, AccountId, Entry, Hold, HoldId, HoldStatus, OpenAccount, OwnerId, PlaceHold, PostingId,
    PostingRecord, Receipt,
};
use crate::{Currency, Error, Money, Result, Timestamp};

/// A row that an engine gave. What cannot be read as what it should be, only a foreign hand or a failing disk has made.
pub(crate) trait Record {
    /// Text, or nothing.
    fn optional_text(&self, column: &str) -> Result<Option<&str>>;
    /// A whole number, or nothing.
    fn optional_number(&self, column: &str) -> Result<Option<i64>>;
    /// Bytes, or nothing.
    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>>;

    fn text(&self, column: &str) -> Result<&str> {
        self.optional_text(column)?.ok_or_else(nothing)
    }

    fn number(&self, column: &str) -> Result<i64> {
        self.optional_number(column)?.ok_or_else(nothing)
    }

    fn sequence(&self, column: &str) -> Result<u64> {
        self.number(column).map(|number| number as u64)
    }

    fn time(&self, column: &str) -> Result<Timestamp> {
        self.number(column).map(Timestamp::from_micros)
    }

    /// A hash or a fingerprint.
    fn hash(&self, column: &str) -> Result<[u8; 32]> {
        let bytes = self.optional_bytes(column)?.ok_or_else(nothing)?;
        bytes.try_into().map_err(|_| damaged(Error::invalid("content", "not 32 bytes")))
    }
}

fn nothing() -> Error {
    damaged(Error::invalid("row", "nothing where something has to be"))
}

impl<R: Row> Record for R
where
    for<'s> &'s str: ColumnIndex<R>,
    for<'r> &'r str: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> &'r [u8]: Decode<'r, R::Database> + Type<R::Database>,
{
    fn optional_text(&self, column: &str) -> Result<Option<&str>> {
        self.try_get(column).map_err(unreadable)
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>> {
        self.try_get(column).map_err(unreadable)
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>> {
        self.try_get(column).map_err(unreadable)
    }
}

fn unreadable(source: sqlx::Error) -> Error {
    damaged(Error::invalid("row", "another type than it has to be").with_source(source))
}

/// An account from a row of `select_accounts`, as it was opened.
pub(crate) fn opened(row: &impl Record) -> Result<Receipt> {
    Ok(Receipt::opened(row.sequence("sequence")?, first(row)?))
}

fn first(row: &impl Record) -> Result<Account> {
    Ok(Account::opened(&opening(row)?, row.time("opened_at")?))
}

/// An account as it stands, from a row of `select_accounts` with what is `due`: one moment, so that a hold that ends meanwhile is
/// either still held and due, or neither.
pub(crate) fn standing(row: &impl Record) -> Result<HeldAccount> {
    let mut held = account(row)?;
    let account = &mut held.account;
    let kept = account.held.minor().saturating_sub(row.number("due")?);
    account.set_balance(account.balance.minor(), kept, account.entry_count);
    Ok(held)
}

/// What an account was opened with, from columns of its row.
pub(crate) fn opening(row: &impl Record) -> Result<OpenAccount> {
    let mut open = OpenAccount::new(AccountId::new(row.text("id")?).map_err(damaged)?, currency(row)?);
    open.owner = owner(row)?;
    with_terms(row, open)
}

/// What is opened, with the terms in a row.
pub(crate) fn with_terms(row: &impl Record, open: OpenAccount) -> Result<OpenAccount> {
    open.with_terms(row.text("terms")?)
        .map_err(|source| damaged(Error::invalid("terms", "not those of an account").with_source(source)))
}

/// The account as a change left it.
pub(crate) fn state(row: &impl Record) -> Result<Account> {
    changed(row)?.ok_or_else(nothing)
}

/// The account as its newest change left it, if it was changed.
pub(crate) fn changed(row: &impl Record) -> Result<Option<Account>> {
    let read = |state| {
        serde_json::from_str(state)
            .map_err(|source| damaged(Error::invalid("state", "not an account").with_source(source)))
    };
    row.optional_text("state")?.map(read).transpose()
}

/// What was added to a posting.
pub(crate) fn addition(row: &impl Record) -> Result<Map<String, Value>> {
    serde_json::from_str(row.text("state")?)
        .map_err(|source| damaged(Error::invalid("state", "not an object").with_source(source)))
}

/// The owner in a row that may have one.
pub(crate) fn owner(row: &impl Record) -> Result<Option<OwnerId>> {
    row.optional_text("owner")?.map(OwnerId::new).transpose().map_err(damaged)
}

/// An account from a row of `select_accounts`.
pub(crate) fn account(row: &impl Record) -> Result<HeldAccount> {
    let first = first(row)?;
    let mut account = match changed(row)? {
        Some(state) if (&state.id, state.currency) != (&first.id, first.currency) => {
            return Err(damaged(Error::invalid("state", "of another account")));
        }
        Some(state) => state,
        None => first,
    };
    account.set_balance(row.number("balance")?, row.number("held")?, row.sequence("entries")?);
    let (sequence, content) = (row.sequence("sequence")?, row.hash("content")?);
    Ok(HeldAccount { account, sequence, content, holding: false })
}

/// The currency of a row that has one.
pub(crate) fn currency(row: &impl Record) -> Result<Currency> {
    row.text("currency")?.parse().map_err(damaged)
}

/// An entry from a row of `select_entries`.
pub(crate) fn entry(row: &impl Record) -> Result<Entry> {
    let currency = currency(row)?;
    Ok(Entry {
        account: AccountId::new(row.text("account")?).map_err(damaged)?,
        number: row.sequence("number")?,
        posting: PostingId::new(row.text("posting")?).map_err(damaged)?,
        kind: row.text("kind")?.to_owned(),
        reference: row.optional_text("reference")?.map(ToOwned::to_owned),
        amount: Money::from_minor(row.number("amount")?, currency),
        balance_after: Money::from_minor(row.number("balance")?, currency),
        counterparty: row.optional_text("counterparty")?.map(AccountId::new).transpose().map_err(damaged)?,
        booked_at: row.time("booked_at")?,
        value_at: row.time("value_at")?,
    })
}

/// A posting from a row of `select_postings`, with its entries.
pub(crate) fn posting_record(row: &impl Record, entries: Vec<Entry>) -> Result<PostingRecord> {
    let id = PostingId::new(row.text("id")?).map_err(damaged)?;
    let mut posting =
        PostingRecord::new(id, row.sequence("sequence")?, row.text("kind")?.to_owned(), entries);
    (posting.booked_at, posting.value_at) = (row.time("booked_at")?, row.time("value_at")?);
    posting.reference = row.optional_text("reference")?.map(ToOwned::to_owned);
    if let Some(metadata) = row.optional_text("metadata")? {
        posting.metadata = serde_json::from_str(metadata)
            .map_err(|source| damaged(Error::invalid("metadata", "not JSON").with_source(source)))?;
    }
    posting.hold = row.optional_text("hold")?.map(HoldId::new).transpose().map_err(damaged)?;
    posting.reverses = row.optional_text("reverses")?.map(PostingId::new).transpose().map_err(damaged)?;
    Ok(posting)
}

/// A hold from a row of `select_holds`.
pub(crate) fn hold(row: &impl Record) -> Result<HeldHold> {
    let amount = Money::from_minor(row.number("amount")?, currency(row)?);
    let id = HoldId::new(row.text("id")?).map_err(damaged)?;
    let account = AccountId::new(row.text("account")?).map_err(damaged)?;
    let mut hold = Hold::placed(&PlaceHold::new(id, account, amount), row.time("placed_at")?);
    hold.deadline = row.optional_number("deadline")?.map(Timestamp::from_micros);
    let (ended_by, ended_at) = (row.optional_number("ended_by")?, row.optional_number("ended_at")?);
    Ok(HeldHold {
        hold: hold.with(row.number("captured")?, HoldStatus::from_number(row.number("status")?)),
        sequence: row.sequence("sequence")?,
        content: row.hash("content")?,
        ended: ended_by.zip(ended_at).map(|(by, at)| (by as u64, Timestamp::from_micros(at))),
        changed: false,
    })
}
