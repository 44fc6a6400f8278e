//! The rows of one account, newest first: its entries, or its open holds.

use std::collections::VecDeque;

use bank_stores::ledger::{Account, AccountId, Entry, Hold, Ledger, Period};
use bank_stores::{Consistency, Cursor, PageRequest, Result};

use crate::activity::place::{Place, RowId};
use crate::counterparties::entry_id;
use crate::wire::{Activity, ActivityStatus, Direction, Kind};

/// The most open holds of an account that are looked at.
const MAX_HOLDS: u32 = 200;

/// A row, and where it stands.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    /// Without its counterparty.
    pub(super) activity: Activity,
    /// The account of the other side, which may be the bank's own.
    pub(super) other: Option<AccountId>,
}

/// Rows of one account that stand before a place, as far as they were read.
#[derive(Debug)]
pub(super) struct Lane {
    account: AccountId,
    period: Period,
    before: Option<Place>,
    /// The number of the last entry that there was when the accounts were read.
    newest: u64,
    chunk: u32,
    /// The next page of entries, where there may be one.
    next: Next,
    rows: VecDeque<Row>,
}

#[derive(Debug)]
enum Next {
    Page(Option<Cursor>),
    Nothing,
}

impl Lane {
    pub(super) fn of_entries(account: Account, period: Period, before: Option<Place>, chunk: u32) -> Self {
        let (newest, account) = (account.entry_count, account.id);
        Self { account, period, before, newest, chunk, next: Next::Page(None), rows: VecDeque::new() }
    }

    /// All open holds at once: they are few, and their order is not that of their places.
    pub(super) async fn of_holds(
        ledger: &dyn Ledger,
        account: &AccountId,
        period: Period,
        before: Option<&Place>,
    ) -> Result<Self> {
        let page = PageRequest::first(MAX_HOLDS).backward();
        let open = ledger.open_holds(account, page, Consistency::Current).await?;
        let rows = open.holds.items.into_iter().map(Row::of_hold);
        let mut rows: Vec<Row> = rows
            .filter(|row| (period.from..period.until).contains(&row.place.at))
            .filter(|row| before.is_none_or(|before| row.place < *before))
            .collect();
        rows.sort_by(|one, other| other.place.cmp(&one.place));
        let (account, rows) = (account.clone(), rows.into());
        Ok(Self { account, period, before: None, newest: 0, chunk: 0, next: Next::Nothing, rows })
    }

    /// Reads on, until there is a row or nothing more.
    pub(super) async fn fill(&mut self, ledger: &dyn Ledger) -> Result<()> {
        while self.rows.is_empty() {
            let Next::Page(cursor) = &self.next else { return Ok(()) };
            let page = PageRequest::first(self.chunk).backward().after(cursor.clone());
            let read = ledger.statement(&self.account, self.period, page, Consistency::Current).await?;
            // What was booked since belongs before the page, and a lane that was read earlier does not have it.
            let known = read.entries.items.into_iter().filter(|entry| entry.number <= self.newest);
            let rows = known.map(Row::of_entry);
            self.rows
                .extend(rows.filter(|row| self.before.as_ref().is_none_or(|before| row.place < *before)));
            self.next = match read.entries.next {
                Some(cursor) => Next::Page(Some(cursor)),
                None => Next::Nothing,
            };
        }
        Ok(())
    }

    /// Where the next row stands, of those that were read.
    pub(super) fn place(&self) -> Option<&Place> {
        self.rows.front().map(|row| &row.place)
    }

    pub(super) fn take(&mut self) -> Option<Row> {
        self.rows.pop_front()
    }
}

impl Row {
    fn of_entry(entry: Entry) -> Self {
        let kind = Kind::of_posting(&entry.kind);
        let activity = Activity {
            id: entry_id(&entry),
            kind,
            direction: Direction::of_change(entry.amount),
            account: entry.account.as_str().to_owned(),
            counterparty: None,
            // The smallest amount of all has no opposite, and no customer's account can hold it.
            amount: if entry.amount.is_negative() {
                entry.amount.checked_neg().unwrap_or(entry.amount)
            } else {
                entry.amount
            },
            balance_after: Some(entry.balance_after),
            reference: entry.reference,
            status: ActivityStatus::Completed,
            at: entry.booked_at,
            transfer: (kind == Kind::Transfer).then(|| entry.posting.into()),
        };
        let place = Place { at: entry.booked_at, account: entry.account, row: RowId::Entry(entry.number) };
        Self { place, activity, other: entry.counterparty }
    }

    fn of_hold(hold: Hold) -> Self {
        let activity = Activity {
            id: hold.id.as_str().to_owned(),
            kind: Kind::Hold,
            direction: Direction::Out,
            account: hold.account.as_str().to_owned(),
            counterparty: None,
            amount: hold.remaining,
            balance_after: None,
            reference: None,
            status: ActivityStatus::Pending,
            at: hold.placed_at,
            transfer: None,
        };
        let place = Place { at: hold.placed_at, account: hold.account, row: RowId::Hold(hold.id) };
        Self { place, activity, other: None }
    }
}
