//! Moving money: postings, and the reversals and captures that are postings too.

use std::borrow::Cow;

use super::accounts::replay;
use super::{Book, Captured, Effect, Known, Made, MadePosting, Outcome, missing, other_content, rejected};
use crate::ledger::{
    AccountId, AccountStatus, Entry, Hold, HoldStatus, Leg, Posting, PostingId, REVERSAL, Receipt, Reversal,
};
use crate::{Error, ErrorKind, Result};

/// What a capture lets go of what is held on an account, and the hold as it leaves it.
#[derive(Debug)]
struct Released {
    account: AccountId,
    amount: i64,
    hold: Hold,
}

impl Book {
    /// A posting that `make` makes unless its id is known.
    pub(super) fn post<'c>(
        &mut self,
        id: &PostingId,
        content: [u8; 32],
        index: usize,
        earlier: &[Outcome<'c>],
        make: impl FnOnce(&Self, [u8; 32]) -> Result<MadePosting<'c>>,
    ) -> Result<Outcome<'c>> {
        if let Some(known) = self.postings.get(id) {
            if known.content != content {
                return Err(other_content("posting"));
            }
            return Ok(match known.effect {
                Effect::Stored(sequence) => Outcome::RecallPosting(sequence),
                Effect::Fresh(first) => replay(&earlier[first]),
            });
        }
        let made = make(self, content)?;
        let released = made.capture.as_ref().and_then(|capture| self.released_by(capture));
        let entries = self.entries(&made.posting, released.as_ref())?;
        for entry in &entries {
            if let Some(held) = self.account_mut(&entry.account) {
                let kept = held.account.held.minor();
                held.account.set_balance(entry.balance_after.minor(), kept, entry.number);
            }
        }
        self.sequence += 1;
        let mut receipt = Receipt::posted(id.clone(), self.sequence, self.booked_at, entries);
        if let Some(Released { account, amount, hold }) = released {
            self.release(&account, amount);
            let ended = (hold.status != HoldStatus::Open).then_some((self.sequence, self.booked_at));
            if let Some(held) = self.hold_mut(&hold.id) {
                (held.hold, held.ended, held.changed) = (hold.clone(), ended, true);
            }
            receipt = receipt.with_hold(hold);
        }
        if let Some(undo) = &mut self.undo {
            undo.posting(id);
        }
        self.postings.insert(id.clone(), Known { content, effect: Effect::Fresh(index) });
        Ok(Outcome::Fresh(receipt, Made::Posting(made)))
    }

    /// The posting that undoes another.
    pub(super) fn reversal<'c>(
        &self,
        reversal: &Reversal,
        content: [u8; 32],
        earlier: &[Outcome<'c>],
    ) -> Result<MadePosting<'c>> {
        let wanted = &reversal.reverses;
        let fresh = match self.postings.get(wanted).map(|known| known.effect) {
            Some(Effect::Fresh(at)) => match &earlier[at] {
                Outcome::Fresh(receipt, Made::Posting(made)) => {
                    Some((receipt.sequence, made.posting.legs.clone(), made.reverses.is_some()))
                }
                _ => None,
            },
            _ => None,
        };
        let (sequence, legs, is_reversal, reversed) = match (fresh, self.targets.get(wanted)) {
            (Some((sequence, legs, is_reversal)), _) => (sequence, legs, is_reversal, false),
            (None, Some(target)) => {
                (target.sequence, target.legs.clone(), target.is_reversal, target.reversed)
            }
            (None, None) => return Err(missing("posting", wanted.as_str(), "reverses")),
        };
        if is_reversal {
            return Err(rejected(format!("posting {wanted} is a reversal itself"), "reverses"));
        }
        if reversed || self.reversed.contains(wanted) {
            return Err(rejected(format!("posting {wanted} was reversed before"), "reverses"));
        }
        let mut posting = Posting::new(reversal.id.clone(), REVERSAL);
        for (index, leg) in legs.into_iter().enumerate() {
            let given = leg
                .amount
                .checked_neg()
                .map_err(|error| error.with_field(format!("legs[{index}].amount")))?;
            posting.legs.push(Leg::new(leg.account, given));
        }
        posting.reference.clone_from(&reversal.reference);
        (posting.value_time, posting.metadata) = (reversal.value_time, reversal.metadata.clone());
        Ok(MadePosting {
            posting: Cow::Owned(posting),
            content,
            reverses: Some((sequence, wanted.clone())),
            capture: None,
        })
    }

    /// Marks a posting as reversed in this group.
    pub(super) fn mark_reversed(&mut self, id: &PostingId) {
        if let Some(undo) = &mut self.undo {
            undo.reversed(id);
        }
        self.reversed.insert(id.clone());
    }

    fn released_by(&self, capture: &Captured) -> Option<Released> {
        let before = &self.holds.get(&capture.id)?.hold;
        let hold = before.clone().with(capture.captured, capture.status);
        let amount = before.remaining.minor() - hold.remaining.minor();
        Some(Released { account: hold.account.clone(), amount, hold })
    }

    /// The entries that the posting makes, if every rule allows them; changes nothing.
    fn entries(&self, posting: &Posting, released: Option<&Released>) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::with_capacity(posting.legs.len());
        for (index, leg) in posting.legs.iter().enumerate() {
            let field = |part: &str| format!("legs[{index}].{part}");
            let Some(held) = self.accounts.get(&leg.account) else {
                return Err(missing("account", leg.account.as_str(), field("account")));
            };
            let account = &held.account;
            if account.currency != leg.amount.currency() {
                let message = format!("account {} is held in {}", account.id, account.currency);
                return Err(Error::invalid(field("amount"), message));
            }
            if account.status != AccountStatus::Open {
                return Err(rejected(format!("account {} is not open", account.id), field("account")));
            }
            // A posting may have several legs on one account: the later one goes on where the earlier one ended.
            let (before, number) = match entries.iter().rev().find(|entry| entry.account == leg.account) {
                Some(entry) => (entry.balance_after.minor(), entry.number),
                None => (account.balance.minor(), account.entry_count),
            };
            let after = before.checked_add(leg.amount.minor()).ok_or_else(|| {
                Error::invalid(field("amount"), "the balance would be larger than can be held")
            })?;
            let of_hold = released.filter(|released| released.account == leg.account);
            let kept = account.held.minor() - of_hold.map_or(0, |released| released.amount);
            let free = i128::from(after) - i128::from(kept);
            if leg.amount.is_negative() && account.floor.is_some_and(|floor| free < i128::from(floor.minor()))
            {
                let message = format!("account {} has not enough", account.id);
                return Err(Error::new(ErrorKind::InsufficientFunds, message).with_field(field("account")));
            }
            if leg.amount.is_positive() && account.ceiling.is_some_and(|ceiling| after > ceiling.minor()) {
                let message = format!("account {} would hold more than it may", account.id);
                return Err(rejected(message, field("amount")));
            }
            entries.push(Entry::of_leg(posting, index, number + 1, after, self.booked_at));
        }
        Ok(entries)
    }
}
