//! Everything that moved or holds a customer's money, on all accounts, newest first.
//!
//! It is read from the ledger alone: an account's entries are in the order of booking already, so that the accounts' lanes are merged
//! by the place of their newest row. A page's cursor is the [`Place`] of its last row, which never changes: what is booked
//! meanwhile belongs before it, and pages neither lose nor double a row. A page is of one moment, although its lanes are read one after
//! the other: the accounts are read first, in one statement, and entries that an account did not have then are left out.
//!
//! | Bound | |
//! | --- | --- |
//! | accounts that are merged | 30; a customer with more names one |
//! | rows that one page looks at | 500; a page may be short or empty while it has `next` |
//! | open holds of an account | the newest 200; all of them are at `/v1/accounts/{id}/holds` |

use std::sync::Arc;

use bank_sdk::{Call, List, Problem};
use bank_stores::ledger::{self, OwnerId};
use bank_stores::{Consistency, PageRequest};

use crate::activity::filter::Filter;
use crate::activity::lane::{Lane, Row};
use crate::activity::place::Place;
use crate::counterparties::Counterparties;
use crate::problems::unprocessable;
use crate::service::Accounts;
use crate::wire::{Activity, ActivityOf, Direction};

mod filter;
mod lane;
mod place;

/// The most accounts that are merged.
const MAX_ACCOUNTS: u32 = 30;
/// So often it is tried to read the accounts and what they hold at one moment.
const TRIES: usize = 3;
/// The most rows that one page looks at.
const MAX_ROWS: usize = 500;
/// The fewest and the most rows that are read of a lane at once.
const CHUNK: (u32, u32) = (10, 200);

impl Accounts {
    pub(crate) async fn activity(self: Arc<Self>, call: Call<ActivityOf>) -> Result<List<Activity>, Problem> {
        let (subject, input) = (call.subject()?, &call.input);
        let (filter, query) = (Filter::new(input)?, filter::identity(subject, input));
        let before = input.after.as_deref().map(|after| Place::read(after, &query)).transpose()?;
        let limit = u32::from(input.limit.unwrap_or_default());
        let of = (subject, input.account.as_deref());
        let mut lanes = self.lanes(of, &filter, before.as_ref(), limit).await?;
        let people = Counterparties::new(&self);
        let (mut items, mut last, mut looked_at) = (Vec::new(), None, 0);
        while items.len() < limit as usize && looked_at < MAX_ROWS {
            let Some(row) = self.newest(&mut lanes).await? else { break };
            looked_at += 1;
            let Row { place, mut activity, other } = row;
            last = Some(place);
            if filter.admits(&activity) && filter.finds(&activity, other.as_ref(), &people).await? {
                activity.counterparty = people.of(other.as_ref()).await?;
                items.push(activity);
            }
        }
        let more = self.peek(&mut lanes).await?.is_some();
        Ok(List { items, next: last.filter(|_| more).map(|place| place.write(&query)) })
    }

    /// The accounts whose rows are merged.
    async fn merged(
        &self,
        (subject, account): (&str, Option<&str>),
    ) -> Result<Vec<ledger::Account>, Problem> {
        if let Some(account) = account {
            return Ok(vec![self.own(account, subject).await?]);
        }
        let (owner, page) = (OwnerId::new(subject)?, PageRequest::first(MAX_ACCOUNTS));
        let accounts = self.ledger.accounts(&owner, page, Consistency::Current).await?;
        if accounts.next.is_some() {
            let wanted = "must name one account, since there are more than 30: ask for each by itself";
            return Err(unprocessable("too_many_accounts", "account", wanted));
        }
        Ok(accounts.items)
    }

    async fn lanes(
        &self,
        of: (&str, Option<&str>),
        filter: &Filter,
        before: Option<&Place>,
        limit: u32,
    ) -> Result<Vec<Lane>, Problem> {
        let mut accounts = self.merged(of).await?;
        let Some(period) = filter.period(before) else { return Ok(Vec::new()) };
        let mut lanes = Vec::with_capacity(2 * accounts.len());
        for _ in 0..TRIES {
            if filter.direction() == Some(Direction::In) {
                break;
            }
            lanes.clear();
            for account in accounts.iter().filter(|account| !account.held.is_zero()) {
                lanes.push(Lane::of_holds(&*self.ledger, &account.id, period, before).await?);
            }
            if lanes.is_empty() {
                break;
            }
            // Where nothing has changed meanwhile, all of it is of one moment.
            let now = self.merged(of).await?;
            let same = now == accounts;
            accounts = now;
            if same {
                break;
            }
        }
        let share = 2 * limit / u32::try_from(accounts.len()).unwrap_or(u32::MAX).max(1);
        let chunk = share.clamp(CHUNK.0, CHUNK.1);
        let with_entries = accounts.into_iter().filter(|account| account.entry_count > 0);
        lanes.extend(with_entries.map(|account| Lane::of_entries(account, period, before.cloned(), chunk)));
        Ok(lanes)
    }

    /// The lane whose next row is the newest of all.
    async fn peek<'l>(&self, lanes: &'l mut [Lane]) -> Result<Option<&'l mut Lane>, Problem> {
        for lane in &mut *lanes {
            lane.fill(&*self.ledger).await?;
        }
        let with_rows = lanes.iter_mut().filter(|lane| lane.place().is_some());
        Ok(with_rows.max_by(|one, other| one.place().cmp(&other.place())))
    }

    async fn newest(&self, lanes: &mut [Lane]) -> Result<Option<Row>, Problem> {
        Ok(self.peek(lanes).await?.and_then(Lane::take))
    }
}
