//! A ledger whose texts are sealed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::data_keys::DataKeys;
use super::ledger_texts::Texts;
use crate::ledger::{
    Account, AccountId, AsOf, ChainHead, Command, CommandId, Entry, Hold, HoldId, OpenHolds, OwnerId, Period,
    PostingId, PostingRecord, Progress, Receipt, Statement, TrialBalance, Verified,
};
use crate::outbox::{Edge, Events, Position, ShardId};
use crate::{Consistency, Error, ErrorKind, Ledger, Money, Outbox, Page, PageRequest, Result, Timestamp};

/// A [`Ledger`] over another: it seals what people read, which are the names of accounts, references, notes and the values of
/// metadata.
///
/// An account's name is sealed with the key of its owner, everything else with the common key: a posting belongs to both of its sides,
/// and to the bank's books. Ids, kinds, amounts and times stay as they are. The hash chain and the events hold the sealed texts, so that
/// [`verify`](Ledger::verify) needs no key.
///
/// A text whose key was shredded reads as [`ERASED`](super::ERASED), wherever it stands, so that balances, statements and events go on. So
/// does one that nobody has sealed, unless [allowed](DataKeys::allow_unsealed): it stays as it is, since a ledger is never changed.
///
/// A command that is sent again has the same content after sealing. Only the opening of an account, or a new name for one, that is sent
/// again after its owner's key was shredded is a `Conflict`.
#[derive(Clone)]
pub struct SealedLedger {
    inner: Arc<dyn Ledger>,
    texts: Texts,
}

impl SealedLedger {
    /// Seals what is written to `inner`. `name` is bound into each text: give each ledger its own, for good.
    pub fn new(inner: Arc<dyn Ledger>, keys: DataKeys, name: impl Into<String>) -> Self {
        Self { inner, texts: Texts::new(keys, name.into()) }
    }

    async fn seal(&self, commands: Vec<Command>) -> Result<Vec<Command>> {
        let mut sealed: Vec<Command> = Vec::with_capacity(commands.len());
        for command in commands {
            // What is wrong is refused below, with what is linked to it.
            if command.validate().is_err() {
                sealed.push(command);
                continue;
            }
            let owner = match command.plain() {
                Command::Open(open) => open.owner.clone(),
                Command::Change(change) if change.name.is_some() => {
                    self.owner(&change.account, &sealed).await?
                }
                _ => None,
            };
            sealed.push(self.texts.seal(command, owner.as_ref()).await?);
        }
        Ok(sealed)
    }

    /// Whose an account is; it may be opened by a command of the same call.
    async fn owner(&self, account: &AccountId, before: &[Command]) -> Result<Option<OwnerId>> {
        let opened = before.iter().find_map(|command| match command.plain() {
            Command::Open(open) if open.id == *account => Some(open.owner.clone()),
            _ => None,
        });
        if let Some(owner) = opened {
            return Ok(owner);
        }
        match self.inner.account(account, Consistency::Current).await {
            Ok(account) => Ok(account.owner),
            // The ledger will say so.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Ledger for SealedLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        let count = commands.len();
        let commands = match self.seal(commands).await {
            Ok(commands) => commands,
            Err(error) => return vec![Err(error); count],
        };
        let mut outcomes = Vec::with_capacity(count);
        for outcome in self.inner.execute(commands).await {
            outcomes.push(match outcome {
                // It took effect: where its texts cannot be read now, its receipt is looked up later.
                Ok(receipt) => self.texts.receipt(receipt).await.map_err(|error| {
                    Error::new(ErrorKind::Indeterminate, "it took effect, but its texts cannot be opened now")
                        .with_source(error)
                }),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        match self.inner.receipt(id).await? {
            Some(receipt) => self.texts.receipt(receipt).await.map(Some),
            None => Ok(None),
        }
    }

    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        self.texts.account(self.inner.account(id, read).await?).await
    }

    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        let page = self.inner.accounts(owner, page, read).await?;
        let mut items = Vec::with_capacity(page.items.len());
        for account in page.items {
            items.push(self.texts.account(account).await?);
        }
        Ok(Page { items, next: page.next })
    }

    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        self.inner.hold(id, read).await
    }

    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        let OpenHolds { account, holds } = self.inner.open_holds(account, page, read).await?;
        Ok(OpenHolds { account: self.texts.account(account).await?, holds })
    }

    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        self.texts.record(self.inner.posting(id, read).await?).await
    }

    async fn entries(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        self.texts.entries(self.inner.entries(account, page, read).await?).await
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
        let statement = self.inner.statement(account, period, page, read).await?;
        Ok(Statement { entries: self.texts.entries(statement.entries).await?, ..statement })
    }

    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.inner.trial_balance(read).await
    }

    async fn chain(&self) -> Result<ChainHead> {
        self.inner.chain().await
    }

    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        self.inner.verify(kept, progress).await
    }
}

#[async_trait]
impl Outbox for SealedLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.inner.shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.inner.edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let mut read = self.inner.events(after, limit, wait).await?;
        for event in &mut read.events {
            self.texts.payload(&mut event.payload).await?;
        }
        Ok(read)
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.inner.consumed(consumer, position).await
    }

    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        self.inner.positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.inner.forget_consumer(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        self.inner.forget_events(before).await
    }
}

impl fmt::Debug for SealedLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedLedger").field("inner", &self.inner).finish_non_exhaustive()
    }
}
