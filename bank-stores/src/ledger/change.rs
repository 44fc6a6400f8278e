//! Changes of an account: renamed, frozen, closed, other bounds.

use serde::{Deserialize, Serialize};

use super::account::check_name;
use super::{AccountId, AccountStatus, Ceiling, ChangeId, Floor};
use crate::canonical::Canonical;
use crate::{Error, Result};

/// The command that changes what an account may do, or what it is called.
///
/// | Change | Refused where |
/// | --- | --- |
/// | any | the account is closed: `Rejected`, field `account` |
/// | any with [`only_if`](Self::only_if) | the account has another status: `Rejected`, field `only_if` |
/// | to closed | there is a balance or an open hold: `Rejected`, field `status` |
/// | of the floor | balance less holds lies below it: `Rejected`, field `floor` |
/// | of the ceiling | the balance lies above it: `Rejected`, field `ceiling` |
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangeAccount {
    /// Names it.
    pub id: ChangeId,
    /// Which account.
    pub account: AccountId,
    /// Whether it takes part in postings from now on; as before where it is not said.
    pub status: Option<AccountStatus>,
    /// How far its balance may fall from now on.
    pub floor: Option<Floor>,
    /// How far its balance may rise from now on.
    pub ceiling: Option<Ceiling>,
    /// What people call it from now on.
    pub name: Option<String>,
    /// The status that it must have for the change; any where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<AccountStatus>,
}

impl ChangeAccount {
    /// A change of nothing yet.
    pub fn new(id: ChangeId, account: AccountId) -> Self {
        Self { id, account, status: None, floor: None, ceiling: None, name: None, only_if: None }
    }

    /// Whether it takes part in postings from now on.
    #[must_use]
    pub fn status(mut self, status: AccountStatus) -> Self {
        self.status = Some(status);
        self
    }

    /// How far its balance may fall from now on.
    #[must_use]
    pub fn floor(mut self, floor: Floor) -> Self {
        self.floor = Some(floor);
        self
    }

    /// How far its balance may rise from now on.
    #[must_use]
    pub fn ceiling(mut self, ceiling: Ceiling) -> Self {
        self.ceiling = Some(ceiling);
        self
    }

    /// What people call it from now on; at most 200 bytes.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The status that the account must have for the change. Whoever has looked at it before closes no account, say, that was
    /// frozen meanwhile.
    #[must_use]
    pub fn only_if(mut self, status: AccountStatus) -> Self {
        self.only_if = Some(status);
        self
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        let Self { status, floor, ceiling, name, .. } = self;
        if status.is_none() && floor.is_none() && ceiling.is_none() && name.is_none() {
            return Err(Error::invalid("change", "a change changes something"));
        }
        check_name(name.as_deref())?;
        ceiling.map_or(Ok(()), Ceiling::validate)
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let status = self.status.map(|status| status as i64);
        let bound = |form: Canonical, minor: Option<i64>| form.optional(minor, Canonical::number);
        let form = Canonical::new("change.1")
            .text(self.id.as_str())
            .text(self.account.as_str())
            .optional(status, Canonical::number)
            .optional(self.floor, |form, floor| bound(form, floor.minor()))
            .optional(self.ceiling, |form, ceiling| bound(form, ceiling.minor()))
            .optional(self.name.as_deref(), Canonical::text);
        // Changes without it have the content that they had before there was one.
        match self.only_if {
            Some(status) => form.text("only_if").number(status as i64).finish(),
            None => form.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_part_of_the_content() {
        let change = || ChangeAccount::new(ChangeId::new("c").unwrap(), AccountId::new("a").unwrap());
        let all = [
            change(),
            change().status(AccountStatus::Open),
            change().status(AccountStatus::Frozen),
            change().floor(Floor::None),
            change().floor(Floor::Zero),
            change().ceiling(Ceiling::None),
            change().ceiling(Ceiling::At(0)),
            change().name("a"),
            change().name("b"),
            change().name("b").only_if(AccountStatus::Open),
            change().name("b").only_if(AccountStatus::Frozen),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other.content() != one.content()), "{one:?}");
        }
        assert_eq!(change().validate().unwrap_err().field(), Some("change"));
        let nothing = change().only_if(AccountStatus::Open);
        assert_eq!(nothing.validate().unwrap_err().field(), Some("change"));
        assert_eq!(change().ceiling(Ceiling::At(-1)).validate().unwrap_err().field(), Some("ceiling"));
        assert_eq!(change().name("").validate().unwrap_err().field(), Some("name"));
    }
}
