//! A ledger around a ledger, with what networks and servers do to one: for the tests of whoever calls it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Numbers;
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, Entry, Hold, HoldId, OpenHolds, OwnerId, Period,
    PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::{Consistency, Error, ErrorKind, Ledger, Money, Outbox, Page, PageRequest, Result, Timestamp};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// Another transaction was in the way: `Unavailable`, and nothing happened.
    Contention,
    /// The call got lost before it arrived. A write is `Indeterminate`, a read `Unavailable`.
    LostBefore,
    /// The call was executed, and its answer got lost. A write is `Indeterminate`, a read `Unavailable`.
    LostAfter,
    /// The call arrives so much later, if its caller still waits.
    Delay(Duration),
    /// An account that may be read from any copy is the one that was read first, as a reader that lags would give it. It is for
    /// [`Unreliable::fail_next`] before such a read; with any other call nothing goes wrong.
    Stale,
    /// The call, and every later one, waits for [`Unreliable::resume`].
    Pause,
}

/// A ledger whose calls fail as they are told to.
///
/// ```
/// # #[cfg(feature = "embedded")]
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use bank_stores::conformance::unreliable::{Failure, Unreliable};
/// use bank_stores::embedded::{SqliteLedger, SqliteOptions};
/// use bank_stores::ledger::{AccountId, CommandId, OpenAccount};
/// use bank_stores::{Currency, ErrorKind, Ledger, LedgerExt};
///
/// let ledger = Unreliable::new(SqliteLedger::open(SqliteOptions::temporary()?).await?);
/// let alice = AccountId::new("alice")?;
/// ledger.fail_next(Failure::LostAfter);
/// let lost = ledger.open(OpenAccount::new(alice.clone(), Currency::EUR)).await.unwrap_err();
/// assert_eq!(lost.kind(), ErrorKind::Indeterminate);
/// // Nobody was told, and it is there.
/// assert!(ledger.receipt(&CommandId::Account(alice)).await?.is_some());
/// # Ok::<(), bank_stores::Error>(())
/// # }).unwrap();
/// ```
pub struct Unreliable<L> {
    inner: L,
    next: Mutex<VecDeque<Failure>>,
    chance: Mutex<Option<Chance>>,
    first_seen: Mutex<HashMap<AccountId, Account>>,
    paused: watch::Sender<bool>,
}

struct Chance {
    numbers: Numbers,
    one_in: u64,
    of: Vec<Failure>,
}

impl<L: Ledger> Unreliable<L> {
    /// A ledger that nothing goes wrong with yet.
    pub fn new(inner: L) -> Self {
        Self {
            inner,
            next: Mutex::default(),
            chance: Mutex::default(),
            first_seen: Mutex::default(),
            paused: watch::Sender::new(false),
        }
    }

    /// The ledger itself, which nothing goes wrong with.
    pub fn inner(&self) -> &L {
        &self.inner
    }

    /// The next call fails so, the one behind those that were told before.
    pub fn fail_next(&self, failure: Failure) {
        locked(&self.next).push_back(failure);
    }

    /// From now on one in so many calls fails in one of these ways, `Stale` aside; the same seed and the same calls fail alike.
    pub fn fail_at_random(&self, seed: u64, one_in: u64, of: impl IntoIterator<Item = Failure>) {
        let (numbers, of) = (Numbers::new(seed), of.into_iter().collect());
        *locked(&self.chance) = Some(Chance { numbers, one_in: one_in.max(1), of });
    }

    /// Nothing goes wrong any more, and what was paused goes on.
    pub fn heal(&self) {
        locked(&self.next).clear();
        *locked(&self.chance) = None;
        self.resume();
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    fn failure(&self) -> Option<Failure> {
        if let Some(failure) = locked(&self.next).pop_front() {
            return Some(failure);
        }
        let mut chance = locked(&self.chance);
        let chance = chance.as_mut().filter(|chance| !chance.of.is_empty())?;
        if chance.numbers.below(chance.one_in) > 0 {
            return None;
        }
        let which = chance.numbers.below(chance.of.len() as u64) as usize;
        Some(chance.of[which])
    }

    /// What every call goes through: the answer, or how it failed. `lost` is what a caller can know who gets no answer.
    async fn pass<T>(&self, lost: ErrorKind, call: impl Future<Output = T> + Send) -> Result<T> {
        let lost = || Error::new(lost, "the connection was lost");
        match self.failure() {
            Some(Failure::Contention) => {
                return Err(Error::new(ErrorKind::Unavailable, "another transaction was in the way"));
            }
            Some(Failure::LostBefore) => return Err(lost()),
            Some(Failure::LostAfter) => {
                call.await;
                return Err(lost());
            }
            Some(Failure::Delay(time)) => tokio::time::sleep(time).await,
            Some(Failure::Pause) => drop(self.paused.send_replace(true)),
            Some(Failure::Stale) | None => {}
        }
        // The sender lives as long as this.
        let _ = self.paused.subscribe().wait_for(|paused| !*paused).await;
        Ok(call.await)
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.pass(ErrorKind::Indeterminate, call).await?
    }

    async fn read<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.pass(ErrorKind::Unavailable, call).await?
    }

    /// Whether the next call is to be of an old copy, and may be; it is no failure of another call then.
    fn is_stale(&self, read: Consistency) -> bool {
        if read != Consistency::Any {
            return false;
        }
        let mut next = locked(&self.next);
        let stale = next.front() == Some(&Failure::Stale);
        if stale {
            next.pop_front();
        }
        stale
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: fmt::Debug> fmt::Debug for Unreliable<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreliable").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl<L: Ledger> Ledger for Unreliable<L> {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        let count = commands.len();
        match self.pass(ErrorKind::Indeterminate, self.inner.execute(commands)).await {
            Ok(outcomes) => outcomes,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        self.read(self.inner.receipt(id)).await
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        if self.is_stale(read)
            && let Some(old) = locked(&self.first_seen).get(id)
        {
            return Ok(old.clone());
        }
        let account = self.read(self.inner.account(id, read)).await?;
        locked(&self.first_seen).entry(id.clone()).or_insert_with(|| account.clone());
        Ok(account)
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        self.read(self.inner.accounts(owner, page, read)).await
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        self.read(self.inner.hold(id, read)).await
    }

    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        self.read(self.inner.open_holds(account, page, read)).await
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        self.read(self.inner.posting(id, read)).await
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        self.read(self.inner.entries(account, page, read)).await
    }

    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        self.read(self.inner.balance_at(account, at, read)).await
    }

    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        self.read(self.inner.statement(account, period, page, read)).await
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.read(self.inner.trial_balance(read)).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        self.read(self.inner.chain()).await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        self.read(self.inner.verify(kept, progress)).await
    }
}

#[async_trait]
impl<L: Ledger> Outbox for Unreliable<L> {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.read(self.inner.shards()).await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.read(self.inner.edge(shard, edge)).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        self.read(self.inner.events(after, limit, wait)).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.write(self.inner.consumed(consumer, position)).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.read(self.inner.positions(consumer)).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.write(self.inner.forget_consumer(consumer)).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.write(self.inner.forget_events(before)).await
    }
}
