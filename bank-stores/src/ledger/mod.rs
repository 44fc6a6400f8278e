//! A double-entry ledger: accounts, postings, holds, receipts.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::embedded::{SqliteLedger, SqliteOptions};
//! use bank_stores::ledger::{AccountId, Floor, OpenAccount, Posting, PostingId};
//! use bank_stores::{Consistency, Currency, Ledger, LedgerExt, Money};
//!
//! let ledger = SqliteLedger::open(SqliteOptions::temporary()?).await?;
//! let (cash, alice) = (AccountId::new("cash")?, AccountId::new("alice")?);
//! ledger.open(OpenAccount::new(cash.clone(), Currency::EUR).floor(Floor::None)).await?;
//! ledger.open(OpenAccount::new(alice.clone(), Currency::EUR)).await?;
//!
//! let deposit = Posting::new(PostingId::new("d1")?, "deposit")
//!     .transfer(cash, alice, Money::parse("10.00", Currency::EUR)?);
//! let receipt = ledger.post(deposit.clone()).await?;
//! assert_eq!(receipt.entries[1].balance_after.decimal(), "10.00");
//! // Sent again, it is the same posting.
//! assert!(ledger.post(deposit).await?.replayed);
//! assert!(ledger.trial_balance(Consistency::Current).await?.is_balanced());
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! | Rule | When it is broken |
//! | --- | --- |
//! | The same id and content again gives the first receipt, `replayed` | other content: `Conflict` |
//! | 2 to 64 legs, none zero, each currency sums to zero | `Invalid` |
//! | Each account exists | `NotFound`, field `legs[i].account` |
//! | An account's currency is its leg's | `Invalid`, field `legs[i].amount` |
//! | The account is open | `Rejected`, field `legs[i].account` |
//! | No leg takes a balance, less what is held, below the account's floor | `InsufficientFunds`, field `legs[i].account` |
//! | No leg takes a balance above the account's ceiling | `Rejected`, field `legs[i].amount` |
//! | Balances fit 64 bits | `Invalid` |
//! | A posting is reversed once, and a reversal never is | `Rejected`, field `reverses` |
//! | Up to 100 things are added to a posting | `Rejected`, field `posting` |
//! | A hold keeps what is there, and is captured up to its amount | `InsufficientFunds`, fields `account` and `amount` |
//! | A hold ends once: captured to its end, voided, or by its deadline | `Rejected`, field `hold` |
//!
//! A refused command leaves nothing behind, so that its id may be tried again, unless it asked for its refusal to be
//! remembered. Every command that took effect has one event, at the position that equals its sequence: `account.opened`,
//! `account.changed`, `note.added`, `hold.placed`, `hold.voided`, or `posting.` and the posting's kind. The end of a hold by its deadline has one too: `hold.expired`.

use async_trait::async_trait;

mod account;
mod annotation;
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) mod book;
pub mod chain;
mod change;
mod command;
mod entry;
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) mod event;
mod hold;
mod id;
mod lookup;
mod posting;
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) mod reading;
mod receipt;
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) mod refusal;
#[cfg(any(feature = "embedded", feature = "aurora"))]
pub(crate) mod remembered;
mod reversal;
#[cfg(any(feature = "embedded", feature = "aurora"))]
pub(crate) mod sql;
mod statement;
#[cfg(any(feature = "embedded", feature = "aurora"))]
pub(crate) mod work;

pub use account::{Account, AccountStatus, Ceiling, Floor, MAX_NAME, OpenAccount};
pub use annotation::{Annotation, MAX_ADDITIONS, Note};
pub use chain::{Breach, ChainHead, Progress, Verified};
pub use change::ChangeAccount;
pub use command::{Command, MAX_LINKED};
pub use entry::Entry;
pub use hold::{Capture, Hold, HoldStatus, MAX_HOLD, PlaceHold};
pub use id::{AccountId, ChangeId, CommandId, ConsumerId, HoldId, MAX_ID, OwnerId, PostingId};
pub use lookup::{OpenHolds, PostingRecord};
pub use posting::{Leg, MAX_LEGS, MAX_METADATA, MAX_TEXT, Posting};
pub use receipt::{CurrencyTotal, Receipt, TrialBalance};
pub use reversal::{REVERSAL, Reversal};
pub use statement::{AsOf, Period, Statement};

use crate::{Consistency, Error, ErrorKind, Money, Outbox, Page, PageRequest, Result};

/// What all events of a ledger are ordered by.
pub const STREAM: &str = "ledger";

/// A double-entry ledger.
///
/// Its [`Outbox`] has one shard. Each command that took effect has one event there, whose number is its sequence; the newest event
/// is never forgotten.
///
/// Cancelling a call never leaves half an effect: a command that had been handed over is executed whole or not at all,
/// and its id tells later which.
#[async_trait]
pub trait Ledger: Outbox {
    /// Executes commands; each has its own outcome, in the order given.
    ///
    /// Commands take effect in this order, so that a later one sees what an earlier one did. What waits, of all
    /// callers, is committed in groups. It is bounded: where there is no room, the call waits for some before it hands anything
    /// over.
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>>;

    /// Looks up the outcome of a command, after [`ErrorKind::Indeterminate`] or a call that was given up: its receipt if it took
    /// effect.
    ///
    /// None is final: what was handed over to this ledger before, or was `Indeterminate` in any process, does not take effect
    /// later. Finding nothing costs a group of its own, behind those that wait. A refusal that was to be remembered is given as
    /// that error. What another process has not answered yet may still take effect.
    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>>;

    /// The account as it stands; `NotFound` if there is none.
    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account>;

    /// The accounts of an owner, in the order they were opened.
    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>>;

    /// The hold as it stands; `NotFound` if there is none.
    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold>;

    /// The account's open holds, with the account at the same moment; `NotFound` if there is no such account.
    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds>;

    /// The posting with its legs, notes, hold, and what it undoes or is undone by; `NotFound` if there is none.
    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord>;

    /// The entries of an account by number; none where there is no such account.
    async fn entries(&self, account: &AccountId, page: PageRequest, read: Consistency)
    -> Result<Page<Entry>>;

    /// What the account held at a time; `NotFound` if there is no such account, zero before its first entry.
    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money>;

    /// The account's entries of a period between the balances before and after; `NotFound` if there is no such account.
    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement>;

    /// The totals of the whole ledger.
    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance>;

    /// Where the hash chain stands.
    async fn chain(&self) -> Result<ChainHead>;

    /// Checks every row of every command against the hash chain, the chain against a head of it that was `kept` elsewhere, and
    /// against the commands what is kept beside them: balances, what is held. Tells how far it has come. It
    /// reads the whole ledger, beside its writer.
    ///
    /// Without a head that was kept, rows that were changed with the whole chain behind them computed anew look right, and so
    /// does an older copy of the ledger.
    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified>;
}

/// Conveniences for every [`Ledger`].
#[async_trait]
pub trait LedgerExt: Ledger {
    /// Opens an account.
    async fn open(&self, open: OpenAccount) -> Result<Receipt> {
        self.execute_one(open).await
    }

    /// Moves money.
    async fn post(&self, posting: Posting) -> Result<Receipt> {
        self.execute_one(posting).await
    }

    /// Executes one command.
    async fn execute_one(&self, command: impl Into<Command> + Send) -> Result<Receipt> {
        let command = command.into();
        only(self.execute(vec![command]).await)
    }
}

impl<L: Ledger + ?Sized> LedgerExt for L {}

/// The outcome of the one command that was sent.
fn only(mut outcomes: Vec<Result<Receipt>>) -> Result<Receipt> {
    outcomes.pop().unwrap_or_else(|| Err(Error::new(ErrorKind::Indeterminate, "the ledger gave no outcome")))
}
