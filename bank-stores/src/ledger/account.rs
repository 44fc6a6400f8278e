//! Accounts and how they are opened.

use serde::{Deserialize, Serialize};

use super::{AccountId, OwnerId};
use crate::canonical::Canonical;
use crate::{Currency, Error, Money, Result, Timestamp, sealed};

/// The longest name of an account, in bytes.
pub const MAX_NAME: usize = 200;

/// How far an account's balance may fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Floor {
    /// Never below zero: a customer's account.
    #[default]
    Zero,
    /// Down to this many minor units of the account's currency: below zero an overdraft, above it a reserve, which an account that
    /// is being opened cannot have.
    At(i64),
    /// Without bound: the bank's own accounts, such as cash and clearing.
    None,
}

impl Floor {
    /// The smallest balance in minor units.
    pub fn minor(self) -> Option<i64> {
        match self {
            Self::Zero => Some(0),
            Self::At(minor) => Some(minor),
            Self::None => None,
        }
    }
}

/// How far an account's balance may rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ceiling {
    /// Without bound.
    #[default]
    None,
    /// Up to this many minor units, which are zero or more.
    At(i64),
}

impl Ceiling {
    /// The greatest balance in minor units.
    pub fn minor(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::At(minor) => Some(minor),
        }
    }

    pub(super) fn validate(self) -> Result<()> {
        match self {
            Self::At(minor) if minor < 0 => Err(Error::invalid("ceiling", "a ceiling is zero or above")),
            _ => Ok(()),
        }
    }
}

/// Whether an account takes part in postings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccountStatus {
    /// It does.
    #[default]
    Open,
    /// It does not for now.
    Frozen,
    /// It never will again.
    Closed,
}

/// An account as it stands.
///
/// Its JSON is what a change of an account leaves in the ledger for good, and is hashed: a field that is added is left out where it
/// is not set, and read back from rows that lack it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// Its name in the ledger.
    pub id: AccountId,
    /// Whom it belongs to; the bank's own accounts have none.
    pub owner: Option<OwnerId>,
    /// What people call it now.
    pub name: Option<String>,
    /// The currency it is held in.
    pub currency: Currency,
    /// Whether it takes part in postings.
    pub status: AccountStatus,
    /// The smallest balance allowed, if there is one.
    pub floor: Option<Money>,
    /// The greatest balance allowed, if there is one.
    pub ceiling: Option<Money>,
    /// The sum of its entries.
    pub balance: Money,
    /// What open holds keep for others.
    pub held: Money,
    /// What may be taken out: the balance above the floor that is not held; where there is no floor, above zero.
    pub available: Money,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How many entries it has, which is also the number of the last.
    pub entry_count: u64,
}

impl Account {
    /// Made by an adapter: the account as `open` leaves it.
    pub fn opened(open: &OpenAccount, opened_at: Timestamp) -> Self {
        let floor = open.floor.minor().map(|minor| Money::from_minor(minor, open.currency));
        let mut account = Self {
            id: open.id.clone(),
            owner: open.owner.clone(),
            name: open.name.clone(),
            currency: open.currency,
            status: AccountStatus::Open,
            floor,
            ceiling: open.ceiling.minor().map(|minor| Money::from_minor(minor, open.currency)),
            balance: Money::zero(open.currency),
            held: Money::zero(open.currency),
            available: Money::zero(open.currency),
            opened_at,
            entry_count: 0,
        };
        account.set_balance(0, 0, 0);
        account
    }

    /// Made by an adapter: sets what postings and holds change, and what follows from it.
    pub fn set_balance(&mut self, minor: i64, held: i64, entry_count: u64) {
        let floor = self.floor.map_or(0, Money::minor);
        self.balance = Money::from_minor(minor, self.currency);
        self.held = Money::from_minor(held, self.currency);
        self.available = Money::from_minor(minor.saturating_sub(held).saturating_sub(floor), self.currency);
        self.entry_count = entry_count;
    }

    /// Made by an adapter: sets what a [`ChangeAccount`](super::ChangeAccount) changes, and what follows from it.
    pub fn set_rules(&mut self, status: AccountStatus, floor: Floor, ceiling: Ceiling) {
        let money = |minor| Money::from_minor(minor, self.currency);
        (self.status, self.floor, self.ceiling) =
            (status, floor.minor().map(money), ceiling.minor().map(money));
        self.set_balance(self.balance.minor(), self.held.minor(), self.entry_count);
    }
}

/// The command that opens an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenAccount {
    /// Names the account and the command.
    pub id: AccountId,
    /// The currency it is held in.
    pub currency: Currency,
    /// Whom it belongs to.
    pub owner: Option<OwnerId>,
    /// What people call it.
    pub name: Option<String>,
    /// How far its balance may fall.
    pub floor: Floor,
    /// How far its balance may rise.
    pub ceiling: Ceiling,
}

impl OpenAccount {
    /// An account without owner and name that never falls below zero.
    pub fn new(id: AccountId, currency: Currency) -> Self {
        Self { id, currency, owner: None, name: None, floor: Floor::Zero, ceiling: Ceiling::None }
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// What people call it; at most 200 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How far its balance may fall.
    #[must_use]
    pub fn floor(mut self, floor: Floor) -> Self {
        self.floor = floor;
        self
    }

    /// How far its balance may rise.
    #[must_use]
    pub fn ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = ceiling;
        self
    }

    /// The rest of what it says beside id, currency and owner, as a store keeps it.
    #[cfg(any(feature = "embedded", feature = "aurora"))]
    pub(crate) fn terms(&self) -> String {
        let Self { id: _, currency: _, owner: _, name, floor, ceiling } = self.clone();
        // Our own types have text keys and no failing serializer.
        serde_json::to_string(&Terms { name, floor, ceiling }).unwrap_or_default()
    }

    /// With these [`terms`](Self::terms).
    #[cfg(any(feature = "embedded", feature = "aurora"))]
    pub(crate) fn with_terms(self, terms: &str) -> serde_json::Result<Self> {
        let Terms { name, floor, ceiling } = serde_json::from_str(terms)?;
        Ok(Self { name, floor, ceiling, ..self })
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check_name(self.name.as_deref())?;
        if self.floor.minor().is_some_and(|minor| minor > 0) {
            return Err(Error::invalid(
                "floor",
                "a new account has nothing in it, so that its floor is zero or below",
            ));
        }
        self.ceiling.validate()
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("account.1")
            .text(self.id.as_str())
            .text(self.currency.code())
            .optional(self.owner.as_ref(), |form, owner| form.text(owner.as_str()))
            .optional(self.name.as_deref(), Canonical::text)
            .optional(self.floor.minor(), Canonical::number);
        // An account without a ceiling reads as it did before there were any.
        match self.ceiling.minor() {
            Some(minor) => form.text("ceiling").number(minor).finish(),
            None => form.finish(),
        }
    }
}

/// Fields of an [`OpenAccount`] that no query looks for. Their JSON is kept for good, and is hashed as it stands; what is as in
/// [`OpenAccount::new`] is left out.
#[cfg(any(feature = "embedded", feature = "aurora"))]
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Terms {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    floor: Floor,
    #[serde(skip_serializing_if = "is_default")]
    ceiling: Ceiling,
}

#[cfg(any(feature = "embedded", feature = "aurora"))]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether an account may be called so.
pub(super) fn check_name(name: Option<&str>) -> Result<()> {
    let name = name.unwrap_or("-");
    if name.is_empty() || name.len() > sealed::most_of_text(name, MAX_NAME) {
        return Err(Error::invalid("name", format!("a name has 1 to {MAX_NAME} bytes")));
    }
    if name.contains('\0') {
        return Err(Error::invalid("name", "a name holds no NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_is_what_lies_above_the_floor() {
        let open = OpenAccount::new(AccountId::new("a").unwrap(), Currency::EUR).floor(Floor::At(-500));
        let mut account = Account::opened(&open, Timestamp::EPOCH);
        assert_eq!(account.available.minor(), 500);
        account.set_balance(-200, 0, 1);
        assert_eq!((account.balance.minor(), account.available.minor()), (-200, 300));
        account.set_balance(-200, 100, 1);
        assert_eq!((account.held.minor(), account.available.minor()), (100, 200));
    }

    #[test]
    fn each_field_is_part_of_the_content() {
        let open = OpenAccount::new(AccountId::new("a").unwrap(), Currency::EUR);
        let others = [
            OpenAccount::new(AccountId::new("b").unwrap(), Currency::EUR),
            OpenAccount::new(AccountId::new("a").unwrap(), Currency::USD),
            open.clone().name("n"),
            open.clone().owner(OwnerId::new("n").unwrap()),
            open.clone().floor(Floor::None),
            open.clone().floor(Floor::At(-1)),
            open.clone().ceiling(Ceiling::At(1)),
        ];
        for other in others {
            assert_ne!(open.content(), other.content(), "{other:?}");
        }
        // Zero is the same floor however it is said.
        let content = open.content();
        assert_eq!(content, open.floor(Floor::At(0)).content());
    }

    #[cfg(any(feature = "embedded", feature = "aurora"))]
    #[test]
    fn terms_are_read_back_as_they_were_written() {
        let open = || OpenAccount::new(AccountId::new("a").unwrap(), Currency::EUR);
        for (said, written) in [
            (open(), "{}"),
            (open().floor(Floor::None), r#"{"floor":"none"}"#),
            (
                open().name("n").floor(Floor::At(-5)).ceiling(Ceiling::At(7)),
                r#"{"name":"n","floor":{"at":-5},"ceiling":{"at":7}}"#,
            ),
        ] {
            assert_eq!(said.terms(), written);
            assert_eq!(open().with_terms(written).unwrap(), said);
        }
        assert!(open().with_terms("").is_err());
    }
}
