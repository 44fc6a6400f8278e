//! A double-entry ledger: accounts, postings, receipts.
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
//! | The account is open | `Rejected` |
//! | No leg takes a balance below the account's floor | `InsufficientFunds`, field `legs[i].account` |
//! | Balances fit 64 bits | `Invalid` |
//!
//! A refused command leaves nothing behind, so that its id may be tried again. Every command that took effect writes one
//! event in the same transaction, at the position that equals its sequence: `account.opened`, or `posting.` and the
//! posting's kind.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

mod account;
#[cfg(any(feature = "embedded", test))]
pub(crate) mod book;
mod entry;
#[cfg(any(feature = "embedded", test))]
pub(crate) mod event;
mod id;
mod posting;
mod receipt;

pub use account::{Account, AccountStatus, Floor, MAX_NAME, OpenAccount};
pub use entry::Entry;
pub use id::{AccountId, CommandId, MAX_ID, OwnerId, PostingId};
pub use posting::{Leg, MAX_LEGS, MAX_METADATA, MAX_TEXT, Posting};
pub use receipt::{CurrencyTotal, Receipt, TrialBalance};

use crate::{Consistency, Error, ErrorKind, Event, Page, PageRequest, Position, Result};

/// What the ledger can be told to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Open an account.
    Open(OpenAccount),
    /// Move money.
    Post(Posting),
}

impl Command {
    /// The id under which the outcome can be looked up.
    pub fn id(&self) -> CommandId {
        match self {
            Self::Open(open) => CommandId::Account(open.id.clone()),
            Self::Post(posting) => CommandId::Posting(posting.id.clone()),
        }
    }

    /// Checks what can be checked without the ledger.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Open(open) => open.validate(),
            Self::Post(posting) => posting.validate(),
        }
    }
}

impl From<OpenAccount> for Command {
    fn from(open: OpenAccount) -> Self {
        Self::Open(open)
    }
}

impl From<Posting> for Command {
    fn from(posting: Posting) -> Self {
        Self::Post(posting)
    }
}

/// A double-entry ledger.
///
/// Cancelling a call never leaves half an effect: a command that had been handed over is executed whole or not at all,
/// and its id tells later which.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Executes commands; each has its own outcome, in the order given.
    ///
    /// Commands take effect in this order, so that a later one sees what an earlier one did. What waits, of all
    /// callers, is committed in groups.
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>>;

    /// Looks up the outcome of a command, after [`ErrorKind::Indeterminate`] say: its receipt if it took effect. It is always
    /// current, since it decides whether the command is sent again.
    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>>;

    /// The account as it stands; `NotFound` if there is none.
    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account>;

    /// The accounts of an owner, in the order they were opened.
    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>>;

    /// The entries of an account by number; none where there is no such account.
    async fn entries(&self, account: &AccountId, page: PageRequest, read: Consistency)
    -> Result<Page<Entry>>;

    /// The totals of the whole ledger.
    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance>;

    /// Up to `limit` events after `after`, in commit order and without gaps; waits up to `wait` for the first.
    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>>;
}

/// Conveniences for every [`Ledger`].
#[async_trait]
pub trait LedgerExt: Ledger {
    /// Opens an account.
    async fn open(&self, open: OpenAccount) -> Result<Receipt> {
        only(self.execute(vec![Command::Open(open)]).await)
    }

    /// Moves money.
    async fn post(&self, posting: Posting) -> Result<Receipt> {
        only(self.execute(vec![Command::Post(posting)]).await)
    }
}

impl<L: Ledger + ?Sized> LedgerExt for L {}

/// The outcome of the one command that was sent.
fn only(mut outcomes: Vec<Result<Receipt>>) -> Result<Receipt> {
    outcomes.pop().unwrap_or_else(|| Err(Error::new(ErrorKind::Indeterminate, "the ledger gave no outcome")))
}
