//! The suite has to fail on a store that breaks a promise: these break one each.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::{SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::items::{Change, Committed, Condition, Item, Key, Query, Transaction, WriteId};
use bank_stores::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, ConsumerId, Entry, Hold, HoldId, OwnerId,
    Period, Posting, PostingId, Progress, Receipt, Statement, TrialBalance, Verified,
};
use bank_stores::{
    Consistency, Event, Items, Ledger, Money, Page, PageRequest, Position, Result, Timestamp, conformance,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Executes a posting again that was executed before.
    Doubles,
    /// Answers with success what was refused for want of money, by taking it elsewhere.
    IgnoresFloors,
    /// Loses an event now and then.
    LosesEvents,
    /// Takes any cursor for the first page.
    IgnoresCursors,
}

#[derive(Debug)]
struct BrokenLedger {
    inner: SqliteLedger,
    fault: Fault,
    count: AtomicU64,
}

impl BrokenLedger {
    async fn new(fault: Fault) -> Self {
        let inner = SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap();
        Self { inner, fault, count: AtomicU64::new(0) }
    }

    fn spoil(&self, command: Command) -> Command {
        match (self.fault, command) {
            (Fault::Doubles, Command::Post(posting)) => {
                let id = format!("{}.{}", posting.id, self.count.fetch_add(1, Ordering::Relaxed));
                let mut other = Posting::new(PostingId::new(id).unwrap(), posting.kind.clone());
                other.legs = posting.legs;
                Command::Post(other)
            }
            (Fault::IgnoresFloors, Command::Open(open)) => {
                Command::Open(open.floor(bank_stores::ledger::Floor::None))
            }
            (_, command) => command,
        }
    }
}

#[async_trait]
impl Ledger for BrokenLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        self.inner.execute(commands.into_iter().map(|command| self.spoil(command)).collect()).await
    }
    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        self.inner.receipt(id).await
    }
    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        self.inner.account(id, read).await
    }
    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        self.inner.accounts(owner, page, read).await
    }
    async fn entries(
        &self,
        account: &AccountId,
        mut page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        if self.fault == Fault::IgnoresCursors {
            page.after = None;
            let mut read = self.inner.entries(account, page, read).await?;
            read.next = None;
            return Ok(read);
        }
        self.inner.entries(account, page, read).await
    }
    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.inner.trial_balance(read).await
    }
    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        self.inner.hold(id, read).await
    }
    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        self.inner.balance_at(account, at, read).await
    }
    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        self.inner.statement(account, period, page, read).await
    }
    async fn consumed(&self, consumer: &ConsumerId, position: Position) -> Result<()> {
        self.inner.consumed(consumer, position).await
    }
    async fn position(&self, consumer: &ConsumerId) -> Result<Position> {
        self.inner.position(consumer).await
    }
    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.inner.forget_events(before).await
    }
    async fn chain(&self) -> Result<ChainHead> {
        self.inner.chain().await
    }
    async fn verify(&self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Verified> {
        self.inner.verify(progress).await
    }
    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>> {
        let mut events = self.inner.events(after, limit, wait).await?;
        if self.fault == Fault::LosesEvents && events.len() > 2 {
            events.remove(1);
        }
        Ok(events)
    }
}

/// A compare-and-set that is not atomic: it checks first and writes later.
#[derive(Debug)]
struct CheckThenWrite(SqliteItems);

#[async_trait]
impl Items for CheckThenWrite {
    async fn get(&self, key: &Key, read: Consistency) -> Result<Option<Item>> {
        self.0.get(key, read).await
    }
    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        let mut unconditional = Vec::new();
        for mut transaction in transactions {
            for change in &mut transaction.changes {
                let found = self.0.get(change.key(), Consistency::Current).await.unwrap();
                if let Condition::Version(version) = change.condition()
                    && found.is_some_and(|item| item.version != version)
                {
                    return vec![Err(bank_stores::Error::new(bank_stores::ErrorKind::Conflict, "changed"))];
                }
                *change =
                    std::mem::replace(change, Change::delete(Key::new("-", "-"))).when(Condition::Always);
            }
            unconditional.push(transaction);
        }
        self.0.commit(unconditional).await
    }
    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        self.0.committed(id).await
    }
    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        self.0.query(query).await
    }
    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>> {
        self.0.events(after, limit, wait).await
    }
}

/// Whether the promise was found broken.
async fn caught(promise: impl Future<Output = ()> + Send + 'static) -> bool {
    tokio::spawn(promise).await.is_err_and(|error| error.is_panic())
}

async fn ledger_check(promise: usize, fault: Fault) -> bool {
    let store = BrokenLedger::new(fault).await;
    caught(async move {
        match promise {
            0 => conformance::ledger::the_same_posting_again_gives_the_first_receipt(&store).await,
            1 => conformance::ledger::a_floor_is_never_broken(&store).await,
            2 => conformance::ledger::events_are_complete_and_in_order(&store).await,
            _ => conformance::ledger::entries_add_up_and_read_both_ways(&store).await,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_ledger_is_caught_and_none_is_made_up() {
    let faults = [Fault::Doubles, Fault::IgnoresFloors, Fault::LosesEvents, Fault::IgnoresCursors];
    for (promise, fault) in faults.into_iter().enumerate() {
        assert!(ledger_check(promise, fault).await, "{fault:?} went unnoticed");
        assert!(!ledger_check(promise, Fault::None).await, "a sound ledger was blamed for {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compare_and_set_that_is_not_atomic_is_caught() {
    let store = CheckThenWrite(SqliteItems::open(SqliteOptions::temporary().unwrap()).await.unwrap());
    assert!(
        caught(async move { conformance::items::a_compare_and_set_race_loses_no_update(&store).await }).await
    );
}
