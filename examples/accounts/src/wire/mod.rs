//! What goes over the wire.

use bank_sdk::Limit;
use bank_stores::ledger::MAX_HOLD;
use bank_stores::{Currency, Money, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod activity;
mod cash;
mod decided;
mod holds;
mod staff;

pub use activity::{Activity, ActivityOf, ActivityStatus, Counterparty, Direction, Kind};
pub use cash::{Deposit, NewDeposit, NewWithdrawal, Withdrawal};
pub use decided::{Decided, NewReversal, NewStatus, PostingFacts, PostingLeg, PostingPath};
pub use holds::{HoldsOf, OpenHold, OpenHolds};
pub use staff::{CustomersOf, StaffCustomer};

/// The longest name of an account, in characters; four bytes each fit the ledger's limit.
pub const MAX_NAME: usize = 50;
/// The longest reference, in characters.
pub const MAX_REFERENCE: usize = 140;

/// An account to be opened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[non_exhaustive]
pub struct NewAccount {
    /// The currency it is held in.
    pub currency: Currency,
    /// What its owner calls it, 1 to 50 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME))]
    pub name: Option<String>,
}

impl NewAccount {
    /// An account without a name.
    pub const fn new(currency: Currency) -> Self {
        Self { currency, name: None }
    }

    /// What its owner calls it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// An account, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Its id, `acc_…`.
    pub id: String,
    /// The currency it is held in.
    pub currency: Currency,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Whether it takes part in payments.
    pub status: AccountStatus,
    /// What is on it.
    pub balance: Money,
    /// What may be taken out.
    pub available: Money,
}

/// Whether an account takes part in payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountStatus {
    /// It does.
    Open,
    /// It does not for now.
    Frozen,
    /// It never will again.
    Closed,
}

/// Which page of the caller's accounts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PageOf {
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// Names an account in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AccountPath {
    /// The account.
    pub id: String,
}

/// What an account is to be called.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Rename {
    /// The account.
    pub id: String,
    /// What its owner calls it from now on, 1 to 50 characters.
    #[schemars(length(min = 1, max = 50))]
    pub name: String,
}

/// Asks what is on an account, or was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct BalanceAt {
    /// The account.
    pub id: String,
    /// When, where it is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl BalanceAt {
    /// What is on an account now.
    pub fn now(account: impl Into<String>) -> Self {
        Self { id: account.into(), at: None }
    }
}

/// Which statement of an account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StatementOf {
    /// The account.
    pub id: String,
    /// The first moment of the period; the account's opening where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first moment behind the period; now where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// How many entries on a page, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// What was booked on an account in a period, oldest first, between the balances before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// The account.
    pub account: String,
    /// The first moment of the period.
    pub from: Timestamp,
    /// The first moment behind it.
    pub to: Timestamp,
    /// The balance at its beginning.
    pub opening: Money,
    /// The balance at its end: the opening and all entries, on whichever page.
    pub closing: Money,
    /// How many entries there are on all pages.
    pub entries: u64,
    /// The entries of this page.
    pub items: Vec<Entry>,
    /// Where the next page starts; `null` at the end.
    pub next: Option<String>,
}

/// Money to be kept for a payment to come.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewHold {
    /// On which account.
    pub account: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// After how many seconds it ends by itself, up to ten years; never where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_HOLD.as_secs()))]
    pub expires_in: Option<u64>,
}

/// Names a hold in the path.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HoldPath {
    /// The hold.
    pub id: String,
}

/// A payment out of a hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewCapture {
    /// The hold.
    pub id: String,
    /// How much; all that is left where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// To which account.
    pub to: String,
}

/// Money that is kept, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Its id, `hld_…`.
    pub id: String,
    /// On which account.
    pub account: String,
    /// Whether it still keeps money, and how it ended otherwise.
    pub status: HoldStatus,
    /// What it kept when it was placed.
    pub amount: Money,
    /// What was paid out of it.
    pub captured: Money,
    /// What it still keeps.
    pub remaining: Money,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// Whether a hold still keeps money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldStatus {
    /// It does.
    Open,
    /// It was paid out to the end.
    Captured,
    /// It was ended by its owner.
    Voided,
    /// Its time was over.
    Expired,
}

/// What was paid out of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// Its id, `cap_…`.
    pub id: String,
    /// How much.
    pub amount: Money,
    /// To which account.
    pub to: String,
    /// When it was booked.
    pub at: Timestamp,
    /// The hold as this left it.
    pub hold: Hold,
}

/// What is on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The account.
    pub account: String,
    /// The sum of its entries.
    pub balance: Money,
    /// What may be taken out; not told of the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<Money>,
    /// When this was so.
    pub at: Timestamp,
}

/// Which page of an account's entries.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EntriesOf {
    /// The account.
    pub id: String,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}

/// One movement on an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The transfer or deposit that it belongs to.
    pub posting: String,
    /// What it was.
    pub kind: Kind,
    /// Whether it was added or taken away.
    pub direction: Direction,
    /// Whom it came from or went to, where that is a customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Counterparty>,
    /// What was added; negative amounts were taken away.
    pub amount: Money,
    /// The balance after it.
    pub balance_after: Money,
    /// What the payer wrote.
    pub reference: Option<String>,
    /// When it was booked.
    pub at: Timestamp,
}

/// The totals of the whole ledger, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialBalance {
    /// Whether everything sums to zero.
    pub balanced: bool,
    /// The totals, one a currency.
    pub currencies: Vec<CurrencyTotal>,
    /// The number of the last command that is in them.
    pub sequence: u64,
    /// How far the hash chain over the ledger has come.
    pub chain: Chain,
}

/// Where the hash chain stands. Who keeps number and hash can tell later that nothing up to there was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chain {
    /// The number of the last command that is in it.
    pub sequence: u64,
    /// Its hash, in hexadecimal; empty before the first.
    pub hash: String,
    /// How many commands wait to be taken in.
    pub pending: u64,
}

/// The totals of one currency. They are decimals without a bound, since they may be larger than any one balance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrencyTotal {
    /// The currency.
    pub currency: Currency,
    /// All that was ever taken away, for example `12.34`.
    pub debits: String,
    /// All that was ever added.
    pub credits: String,
    /// The sum of all balances: zero.
    pub total: String,
    /// How many accounts are held in it.
    pub accounts: u64,
    /// How many postings there are in it.
    pub postings: u64,
}

/// Money to be moved for a customer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NewPosting {
    /// The caller's id of the posting: the same id is the same posting, however often it is sent.
    pub id: String,
    /// Whose `from` must be.
    pub customer: String,
    /// From which account.
    pub from: String,
    /// To which account.
    pub to: String,
    /// How much, more than nothing.
    pub amount: Money,
    /// What stands on both statements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What became of a posting. It is final: the same id never becomes anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Posted {
    /// The money was moved.
    Posted {
        /// When.
        posted_at: Timestamp,
        /// Whose the paying account is.
        from_owner: String,
        /// Whose the paid account is.
        to_owner: String,
    },
    /// There is not enough on `from`.
    InsufficientFunds,
    /// `to` does not exist, or takes no money.
    UnknownAccount,
    /// The amount, `from` and `to` are not all in one currency.
    CurrencyMismatch,
    /// `from` does not exist, or is another's.
    NotOwner,
    /// `from` pays nothing for now.
    AccountBlocked,
    /// The ledger cannot hold it, for example since the balance of `to` would be larger than can be held.
    Invalid,
}

/// What other services may know of an account: all but its money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountRecord {
    /// The account.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// The currency it is held in.
    pub currency: Currency,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Whether it takes part in payments.
    pub status: AccountStatus,
}

/// Which page of a customer's accounts.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct OwnedBy {
    /// The customer.
    pub customer: String,
    /// How many, 1 to 200; 50 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[A-Za-z0-9_~-]+$"))]
    pub after: Option<String>,
}
