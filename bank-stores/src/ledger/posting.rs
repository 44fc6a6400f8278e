//! Postings: signed legs that sum to zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::is_id;
use super::{AccountId, PostingId};
use crate::canonical::Canonical;
use crate::{Currency, Error, Money, Result, Timestamp, sealed};

/// The most legs of a posting.
pub const MAX_LEGS: usize = 64;
/// The longest reference, and the longest value of one piece of metadata, in bytes.
pub const MAX_TEXT: usize = 1_024;
/// The most pieces of metadata.
pub const MAX_METADATA: usize = 32;

/// One side of a posting: an account and what is added to its balance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Leg {
    /// The account.
    pub account: AccountId,
    /// What is added to its balance; negative amounts are taken away.
    pub amount: Money,
}

impl Leg {
    /// `amount` is added to the balance of `account`.
    pub fn new(account: AccountId, amount: Money) -> Self {
        Self { account, amount }
    }
}

/// The command that moves money: 2 to 64 legs which sum to zero in each currency and happen together or not at all.
///
/// The id makes it safe to send again: the same id and content gives the first receipt, marked as replayed; the same id
/// with other content is a `Conflict`. A posting that was refused may be tried again under its id, unless it asked to be
/// remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Posting {
    /// Names it.
    pub id: PostingId,
    /// What it is, such as `transfer`; its event's topic is `posting.` and this.
    pub kind: String,
    /// Who gets and who gives.
    pub legs: Vec<Leg>,
    /// What the customer reads on the statement.
    pub reference: Option<String>,
    /// When it takes effect; the time of booking where it is not said.
    pub value_time: Option<Timestamp>,
    /// What the caller wants to find again; not interpreted.
    pub metadata: BTreeMap<String, String>,
    /// Whether a refusal takes the id, see [`Posting::remember_refusal`]. Not part of the content.
    pub remember: bool,
}

impl Posting {
    /// A posting without legs yet.
    pub fn new(id: PostingId, kind: impl Into<String>) -> Self {
        Self {
            id,
            kind: kind.into(),
            legs: Vec::new(),
            reference: None,
            value_time: None,
            metadata: BTreeMap::new(),
            remember: false,
        }
    }

    /// Adds a leg: `amount` is added to the balance of `account`.
    #[must_use]
    pub fn leg(mut self, account: AccountId, amount: Money) -> Self {
        self.legs.push(Leg::new(account, amount));
        self
    }

    /// Adds two legs: `amount` goes from the one account to the other. An amount below zero is refused as one of zero is: it
    /// never goes the other way.
    #[must_use]
    pub fn transfer(self, from: AccountId, to: AccountId, amount: Money) -> Self {
        let given = if amount.is_positive() { amount } else { Money::zero(amount.currency()) };
        let taken = Money::from_minor(-given.minor(), given.currency());
        self.leg(from, taken).leg(to, given)
    }

    /// What the customer reads on the statement; at most 1,024 bytes.
    #[must_use]
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// When it takes effect, where that is not the time of booking.
    #[must_use]
    pub fn value_time(mut self, at: Timestamp) -> Self {
        self.value_time = Some(at);
        self
    }

    /// Adds a piece of metadata; the later of two with the same key stays.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// A refusal by the ledger takes the id for good: the same posting again gets the same refusal, even when it could
    /// succeed by then. What is refused before it reaches the ledger, for its form, is not remembered.
    #[must_use]
    pub fn remember_refusal(mut self) -> Self {
        self.remember = true;
        self
    }

    /// Checks what can be checked without the ledger; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if !is_id(&self.kind) {
            return Err(Error::invalid("kind", "a kind is 1 to 64 characters of A-Z a-z 0-9 _ . : -"));
        }
        self.validate_legs()?;
        check_details(self.reference.as_deref(), self.value_time, &self.metadata)
    }

    fn validate_legs(&self) -> Result<()> {
        if !(2..=MAX_LEGS).contains(&self.legs.len()) {
            let message = format!("a posting has 2 to {MAX_LEGS} legs, not {}", self.legs.len());
            return Err(Error::invalid("legs", message));
        }
        // In 128 bits, 64 amounts of 64 bits cannot overflow. Few currencies: a list is faster than a map.
        let mut sums: Vec<(Currency, i128)> = Vec::with_capacity(2);
        for (index, leg) in self.legs.iter().enumerate() {
            if leg.amount.is_zero() {
                return Err(Error::invalid(
                    format!("legs[{index}].amount"),
                    "a leg moves another amount than zero, and a transfer a positive one",
                ));
            }
            let minor = i128::from(leg.amount.minor());
            match sums.iter_mut().find(|(currency, _)| *currency == leg.amount.currency()) {
                Some((_, sum)) => *sum += minor,
                None => sums.push((leg.amount.currency(), minor)),
            }
        }
        match sums.iter().find(|(_, sum)| *sum != 0) {
            None => Ok(()),
            Some((currency, sum)) => {
                let message = format!("the legs in {currency} sum to {sum} minor units, not to zero");
                Err(Error::invalid("legs", message))
            }
        }
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        let form = Canonical::new("posting.1").text(self.id.as_str()).text(&self.kind);
        let form = details_content(form, self.reference.as_deref(), self.value_time, &self.metadata);
        let mut form = form.count(self.legs.len());
        for leg in &self.legs {
            form =
                form.text(leg.account.as_str()).number(leg.amount.minor()).text(leg.amount.currency().code());
        }
        form.finish()
    }
}

/// Checks what people and programs note with a command.
pub(super) fn check_details(
    reference: Option<&str>,
    value_time: Option<Timestamp>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    check_text("reference", reference.unwrap_or_default())?;
    if value_time.is_some_and(|at| !at.has_wire_form()) {
        return Err(Error::invalid("value_time", "lies in the years 0 to 9999"));
    }
    if metadata.len() > MAX_METADATA {
        return Err(Error::invalid("metadata", format!("at most {MAX_METADATA} pieces")));
    }
    for (key, value) in metadata {
        if !is_id(key) {
            return Err(Error::invalid("metadata", "a key is 1 to 64 characters of A-Z a-z 0-9 _ . : -"));
        }
        check_text("metadata", value)?;
    }
    Ok(())
}

/// Adds them to a content.
pub(super) fn details_content(
    form: Canonical,
    reference: Option<&str>,
    value_time: Option<Timestamp>,
    metadata: &BTreeMap<String, String>,
) -> Canonical {
    let form = form
        .optional(reference, Canonical::text)
        .optional(value_time, |form, at| form.number(at.micros()))
        .count(metadata.len());
    metadata.iter().fold(form, |form, (key, value)| form.text(key).text(value))
}

fn check_text(field: &'static str, text: &str) -> Result<()> {
    if text.len() > sealed::most_of_text(text, MAX_TEXT) {
        return Err(Error::invalid(field, format!("at most {MAX_TEXT} bytes")));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, "no NUL"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::new(id).unwrap()
    }

    fn posting() -> Posting {
        let amount = Money::from_minor(100, Currency::EUR);
        Posting::new(PostingId::new("p").unwrap(), "transfer").transfer(account("a"), account("b"), amount)
    }

    #[test]
    fn legs_sum_to_zero_in_each_currency() {
        assert!(posting().validate().is_ok());
        let crossed = posting()
            .leg(account("a"), Money::from_minor(5, Currency::EUR))
            .leg(account("b"), Money::from_minor(-5, Currency::USD));
        assert_eq!(crossed.validate().unwrap_err().field(), Some("legs"));
        let smallest = Posting::new(PostingId::new("p").unwrap(), "x").transfer(
            account("a"),
            account("b"),
            Money::from_minor(i64::MIN, Currency::EUR),
        );
        assert!(smallest.validate().is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let zero = Money::zero(Currency::EUR);
        let mut many = posting();
        for _ in 0..32 {
            many.legs.extend(posting().legs);
        }
        let cases = [
            (Posting::new(PostingId::new("p").unwrap(), "x"), "legs"),
            (many, "legs"),
            (posting().leg(account("c"), zero), "legs[2].amount"),
            (Posting { kind: String::new(), ..posting() }, "kind"),
            (posting().reference("x".repeat(1_025)), "reference"),
            (posting().metadata("", "x"), "metadata"),
            (posting().metadata("x", "\0"), "metadata"),
        ];
        for (posting, field) in cases {
            assert_eq!(posting.validate().unwrap_err().field(), Some(field));
        }
    }

    #[test]
    fn a_reference_of_140_characters_fits_whatever_they_are() {
        assert!(posting().reference("\u{1f4b6}".repeat(140)).validate().is_ok());
    }

    #[test]
    fn each_field_is_part_of_the_content() {
        let content = posting().content();
        let mut swapped = posting();
        swapped.legs.swap(0, 1);
        let others = [
            Posting { kind: "deposit".into(), ..posting() },
            posting().reference("r"),
            posting().value_time(Timestamp::EPOCH),
            posting().metadata("k", "v"),
            swapped,
        ];
        for other in others {
            assert_ne!(content, other.content(), "{other:?}");
        }
    }
}
