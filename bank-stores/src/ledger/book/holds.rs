//! Keeping money for a payment to come, and letting it go.

use std::borrow::Cow;

use super::{Book, Captured, HeldHold, Made, MadePosting, Outcome, missing, other_content, rejected};
use crate::ledger::{
    AccountId, AccountStatus, Capture, CommandId, Hold, HoldId, HoldStatus, PlaceHold, Posting, Receipt,
};
use crate::{Error, ErrorKind, Result};

impl Book {
    pub(super) fn place<'c>(&mut self, place: &'c PlaceHold) -> Result<Outcome<'c>> {
        let content = place.content();
        if let Some(held) = self.holds.get(&place.id) {
            if held.content != content {
                return Err(other_content("hold"));
            }
            // As it was placed, whatever became of it.
            let receipt = held.clone().receipt(&CommandId::Hold(place.id.clone()));
            return receipt
                .map(|receipt| Outcome::Replayed(receipt.replay()))
                .ok_or_else(|| missing("hold", place.id.as_str(), "hold"));
        }
        let Some(held) = self.accounts.get(&place.account) else {
            return Err(missing("account", place.account.as_str(), "account"));
        };
        let (account, amount) = (&held.account, place.amount.minor());
        if account.currency != place.amount.currency() {
            let message = format!("account {} is held in {}", account.id, account.currency);
            return Err(Error::invalid("amount", message));
        }
        if account.status != AccountStatus::Open {
            return Err(rejected(format!("account {} is not open", account.id), "account"));
        }
        let Some(kept) = account.held.minor().checked_add(amount) else {
            return Err(Error::invalid("amount", "the holds would be larger than can be held"));
        };
        let free = i128::from(account.balance.minor()) - i128::from(kept);
        if account.floor.is_some_and(|floor| free < i128::from(floor.minor())) {
            let message = format!("account {} has not enough", account.id);
            return Err(Error::new(ErrorKind::InsufficientFunds, message).with_field("account"));
        }
        self.sequence += 1;
        let hold = Hold::placed(place, self.booked_at);
        let id = CommandId::Hold(place.id.clone());
        let receipt = Receipt::held(id, self.sequence, self.booked_at, hold.clone());
        self.release(&place.account, -amount);
        if let Some(undo) = &mut self.undo {
            undo.hold(&place.id, None);
        }
        let held = HeldHold { hold, sequence: self.sequence, content, ended: None, changed: true };
        self.holds.insert(place.id.clone(), held);
        Ok(Outcome::Fresh(receipt, Made::Hold(place.id.clone())))
    }

    pub(super) fn void<'c>(&mut self, id: &HoldId) -> Result<Outcome<'c>> {
        let Some(held) = self.holds.get(id) else { return Err(missing("hold", id.as_str(), "hold")) };
        let command = CommandId::Void(id.clone());
        if let Some(receipt) = held.clone().receipt(&command) {
            return Ok(Outcome::Replayed(receipt.replay()));
        }
        self.open_hold(id)?;
        let hold = self.end(id, HoldStatus::Voided);
        let receipt = hold.map(|hold| Receipt::held(command, self.sequence, self.booked_at, hold));
        receipt
            .map(|receipt| Outcome::Fresh(receipt, Made::Void))
            .ok_or_else(|| missing("hold", id.as_str(), "hold"))
    }

    /// The posting that pays out of a hold.
    pub(super) fn capture<'c>(&self, capture: &Capture, content: [u8; 32]) -> Result<MadePosting<'c>> {
        let held = self.open_hold(&capture.hold)?;
        let hold = &held.hold;
        let amount = capture.amount.unwrap_or(hold.remaining);
        if amount.currency() != hold.amount.currency() {
            let message = format!("hold {} is in {}", hold.id, hold.amount.currency());
            return Err(Error::invalid("amount", message));
        }
        if amount.minor() > hold.remaining.minor() {
            let message = format!("hold {} keeps only {}", hold.id, hold.remaining);
            return Err(Error::new(ErrorKind::InsufficientFunds, message).with_field("amount"));
        }
        let ends = capture.release || amount == hold.remaining;
        let captured = Captured {
            id: hold.id.clone(),
            hold: held.sequence,
            captured: hold.captured.minor() + amount.minor(),
            status: if ends { HoldStatus::Captured } else { HoldStatus::Open },
        };
        let mut posting = Posting::new(capture.id.clone(), capture.kind.clone()).transfer(
            hold.account.clone(),
            capture.to.clone(),
            amount,
        );
        posting.reference.clone_from(&capture.reference);
        (posting.value_time, posting.metadata) = (capture.value_time, capture.metadata.clone());
        Ok(MadePosting { posting: Cow::Owned(posting), content, reverses: None, capture: Some(captured) })
    }

    /// Ends every loaded hold whose deadline has come, the earliest first.
    pub(super) fn expire(&mut self) {
        let mut due: Vec<_> = self
            .holds
            .values()
            .filter(|held| held.hold.is_due(self.booked_at))
            // Where its account cannot be read, it stays as it is.
            .filter(|held| self.accounts.contains_key(&held.hold.account))
            .map(|held| (held.hold.deadline, held.sequence, held.hold.id.clone()))
            .collect();
        due.sort();
        for (_, _, id) in due {
            self.end(&id, HoldStatus::Expired);
        }
    }

    /// The hold, if it has not ended.
    fn open_hold(&self, id: &HoldId) -> Result<&HeldHold> {
        let Some(held) = self.holds.get(id) else { return Err(missing("hold", id.as_str(), "hold")) };
        // A hold that is placed in this very group may be due in theory only: its deadline lies behind its booking.
        match held.hold.status {
            HoldStatus::Open => Ok(held),
            HoldStatus::Captured => Err(rejected(format!("hold {id} was captured to its end"), "hold")),
            HoldStatus::Voided => Err(rejected(format!("hold {id} was voided"), "hold")),
            HoldStatus::Expired => Err(rejected(format!("hold {id} has expired"), "hold")),
        }
    }

    /// Ends a hold without paying anything out of it, under the next sequence.
    fn end(&mut self, id: &HoldId, status: HoldStatus) -> Option<Hold> {
        let (account, kept) = {
            let hold = &self.holds.get(id)?.hold;
            (hold.account.clone(), hold.remaining.minor())
        };
        self.release(&account, kept);
        self.sequence += 1;
        let ended = (self.sequence, self.booked_at);
        let held = self.hold_mut(id)?;
        held.hold = held.hold.clone().with(held.hold.captured.minor(), status);
        (held.ended, held.changed) = (Some(ended), true);
        Some(held.hold.clone())
    }

    /// So much of what is held on an account is held no longer; more is where it is negative.
    pub(super) fn release(&mut self, account: &AccountId, minor: i64) {
        if let Some(held) = self.account_mut(account) {
            let account = &mut held.account;
            let kept = account.held.minor() - minor;
            account.set_balance(account.balance.minor(), kept, account.entry_count);
            held.holding = true;
        }
    }
}
