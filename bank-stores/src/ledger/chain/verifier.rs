//! Whether what the rows say is what was done.

use std::collections::HashMap;

use super::facts::{Fact, Step};
use super::{Breach, ChainHead, hex};
use crate::canonical::Canonical;
use crate::ledger::CurrencyTotal;

/// The most commands in a block.
pub(super) const BLOCK: u64 = 256;

/// The hash of a block: the hash before it, and its facts in order.
pub(super) fn block_hash(before: Option<[u8; 32]>, facts: &[Fact]) -> [u8; 32] {
    let form = Canonical::new("block.1").bytes(&before.unwrap_or_default()).count(facts.len());
    facts.iter().fold(form, |form, fact| form.bytes(&fact.digest)).finish()
}

/// An account as its commands left it.
#[derive(Debug)]
struct Standing {
    currency: String,
    entries: u64,
    balance: i64,
}

/// Checks a ledger block by block, and then what is kept beside it.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    hash: Option<[u8; 32]>,
    sequence: u64,
    accounts: HashMap<u64, Standing>,
    /// Those that are open.
    holds: HashMap<u64, Keeping>,
    /// By currency.
    totals: HashMap<String, Total>,
}

/// What was done in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    accounts: u64,
    postings: u64,
    debits: i128,
    credits: i128,
}

/// A hold as its commands left it.
#[derive(Debug)]
struct Keeping {
    amount: i64,
    captured: i64,
    /// Whether its row was seen.
    seen: bool,
}

fn breach<T>(from: u64, to: u64, what: &str) -> Result<T, Breach> {
    Err(Breach::new(from, to, what))
}

impl Verifier {
    /// The last command that was checked.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Checks the commands up to `to`, whose hash is `expected` where they are in the chain.
    pub(super) fn block(
        &mut self,
        to: u64,
        facts: &[Fact],
        expected: Option<[u8; 32]>,
    ) -> Result<(), Breach> {
        let from = self.sequence + 1;
        for (wanted, fact) in (from..).zip(facts) {
            if fact.sequence != wanted {
                let to = wanted.max(fact.sequence);
                return breach(wanted, to, "a row is missing, or there is one too many");
            }
            self.fact(fact)?;
        }
        if from + facts.len() as u64 != to + 1 {
            return breach(from + facts.len() as u64, to, "rows are missing at the end");
        }
        if let Some(expected) = expected {
            if to - from >= BLOCK {
                return breach(from, to, "a block of the chain is missing");
            }
            let hash = block_hash(self.hash, facts);
            if hash != expected {
                return breach(from, to, "a row is not as it was when it was chained");
            }
            self.hash = Some(hash);
        }
        self.sequence = to;
        Ok(())
    }

    fn fact(&mut self, fact: &Fact) -> Result<(), Breach> {
        let at = fact.sequence;
        if fact.lacks_posting {
            return breach(at, at, "entries are of no posting");
        }
        if let Some(currency) = fact.opened.clone() {
            self.totals.entry(currency.clone()).or_default().accounts += 1;
            let standing = Standing { currency, entries: 0, balance: 0 };
            self.accounts.insert(at, standing);
        }
        if fact.changed.is_some_and(|account| !self.accounts.contains_key(&account)) {
            return breach(at, at, "a change is of no account");
        }
        if let Some(amount) = fact.placed {
            self.holds.insert(at, Keeping { amount, captured: 0, seen: false });
        }
        if let Some(step) = fact.step {
            self.step(fact, step)?;
        }
        let mut sums: HashMap<String, i128> = HashMap::new();
        for (account, number, amount, balance) in &fact.entries {
            let Some(standing) = self.accounts.get_mut(account) else {
                return breach(at, at, "an entry is of no account");
            };
            *sums.entry(standing.currency.clone()).or_default() += i128::from(*amount);
            let total = self.totals.entry(standing.currency.clone()).or_default();
            *(if *amount < 0 { &mut total.debits } else { &mut total.credits }) += i128::from(*amount).abs();
            (standing.entries, standing.balance) =
                (standing.entries + 1, standing.balance.wrapping_add(*amount));
            if (standing.entries, standing.balance) != (*number, *balance) {
                return breach(at, at, "an entry does not follow from the one before it");
            }
        }
        if sums.values().any(|sum| *sum != 0) {
            return breach(at, at, "a posting does not sum to zero");
        }
        for currency in sums.into_keys() {
            self.totals.entry(currency).or_default().postings += 1;
        }
        Ok(())
    }

    fn step(&mut self, fact: &Fact, step: Step) -> Result<(), Breach> {
        let at = fact.sequence;
        let Some(keeping) = self.holds.get_mut(&step.hold) else {
            return breach(at, at, "a hold is captured or ended that was not open");
        };
        let paid = step.captured.checked_sub(keeping.captured);
        // The first leg of a capture is the account that the hold is on.
        let by_entries = fact.entries.first().map_or(Some(0), |(_, _, amount, _)| amount.checked_neg());
        if paid != by_entries || step.captured > keeping.amount {
            return breach(at, at, "a capture is not what its entries paid");
        }
        if !step.is_in_row {
            return breach(at, at, "a hold does not say how it ended");
        }
        keeping.captured = step.captured;
        if step.ends {
            self.holds.remove(&step.hold);
        }
        Ok(())
    }

    /// Checks what is captured of a hold that is open; nothing is compared where a command did something to it since.
    pub(super) fn hold(&mut self, hold: u64, captured: Option<i64>) -> Result<(), Breach> {
        let Some(keeping) = self.holds.get_mut(&hold) else {
            return breach(hold, hold, "a hold is open that no command left so");
        };
        keeping.seen = true;
        if captured.is_some_and(|captured| captured != keeping.captured) {
            return breach(hold, hold, "what is captured of a hold is not what its captures say");
        }
        Ok(())
    }

    /// Checks a head of the chain that was kept elsewhere against the block that was checked last.
    pub(super) fn kept(&self, kept: &ChainHead) -> Result<(), Breach> {
        if self.hash.map(hex).unwrap_or_default() == kept.hash {
            return Ok(());
        }
        breach(kept.sequence, kept.sequence, "the chain is not the one whose head was kept")
    }

    /// Checks the totals that are kept of all commands up to the one that was checked last.
    pub(super) fn totals(&self, kept: &[CurrencyTotal]) -> Result<(), Breach> {
        let right = kept.len() == self.totals.len()
            && kept.iter().all(|kept| {
                let CurrencyTotal { accounts, postings, debits, credits, .. } = *kept;
                self.totals.get(kept.currency.code()) == Some(&Total { accounts, postings, debits, credits })
            });
        if right {
            return Ok(());
        }
        breach(self.sequence, self.sequence, "the totals are not what the entries add up to")
    }

    /// Checks that no open hold lacks its row.
    pub(super) fn all_seen(&self) -> Result<(), Breach> {
        if let Some(hold) = self.holds.iter().find_map(|(hold, keeping)| (!keeping.seen).then_some(*hold)) {
            return breach(hold, hold, "a hold has ended that no command ended");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    fn fact(sequence: u64, text: &str) -> Fact {
        Fact::new(sequence, Canonical::new(text).finish())
    }

    fn facts() -> Vec<Fact> {
        let mut facts = vec![fact(1, "a"), fact(2, "b"), fact(3, "p"), fact(4, "c")];
        (facts[0].opened, facts[1].opened) = (Some("EUR".into()), Some("EUR".into()));
        facts[2].entry(0, 1, 1, -5, -5);
        facts[2].entry(1, 2, 1, 5, 5);
        facts[3].changed = Some(2);
        facts
    }

    fn check(facts: &[Fact], hash: [u8; 32]) -> Result<(), Breach> {
        Verifier::default().block(4, facts, Some(hash))
    }

    #[test]
    fn what_is_changed_removed_inserted_or_moved_is_found() {
        let hash = block_hash(None, &facts());
        assert_eq!(check(&facts(), hash), Ok(()));
        let mut changed = facts();
        changed[2] = Fact { entries: changed[2].entries.clone(), ..fact(3, "q") };
        let mut removed = facts();
        removed.remove(1);
        let mut moved = facts();
        moved.swap(0, 1);
        let mut inserted = facts();
        inserted.push(fact(5, "d"));
        let mut twice = facts();
        twice.insert(1, fact(2, "d"));
        twice.pop();
        let mut unbalanced = facts();
        unbalanced[2].entries[1] = (2, 1, 6, 6);
        for wrong in [changed, removed, moved, inserted, twice, unbalanced] {
            assert!(check(&wrong, hash).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_kept_beside_the_commands_is_what_they_left() {
        let checked = || {
            let mut verifier = Verifier::default();
            verifier.block(4, &facts(), None).unwrap();
            verifier
        };
        let verifier = checked();
        verifier.all_seen().unwrap();
        let mut total = CurrencyTotal::zero(Currency::EUR);
        (total.accounts, total.postings, total.debits, total.credits) = (2, 1, 5, 5);
        verifier.totals(std::slice::from_ref(&total)).unwrap();
        assert!(verifier.totals(&[]).is_err());
        total.debits = 6;
        assert!(verifier.totals(&[total]).is_err());
    }

    #[test]
    fn a_change_of_no_account_is_found() {
        let mut lost = facts();
        lost[3].changed = Some(3);
        assert!(Verifier::default().block(4, &lost, None).is_err());
    }

    #[test]
    fn entries_without_their_posting_are_found_before_they_are_chained() {
        let mut orphaned = facts();
        orphaned[2].lacks_posting = true;
        assert!(Verifier::default().block(4, &orphaned, None).is_err());
    }

    #[test]
    fn a_hold_is_what_its_commands_made_of_it() {
        let placed = |sequence| Fact { placed: Some(10), ..fact(sequence, "h") };
        let step = |captured, ends| Some(Step { hold: 5, captured, ends, is_in_row: true });
        let capture = |sequence, captured, paid: i64, ends| {
            let mut fact = Fact { step: step(captured, ends), ..fact(sequence, "c") };
            let before = -5 - (captured - paid);
            fact.entry(0, 1, 2 + (sequence - 6), -paid, before - paid);
            fact.entry(1, 2, 2 + (sequence - 6), paid, paid - before);
            fact
        };
        let left = |more: &[Fact]| {
            let mut all = facts();
            all.push(placed(5));
            all.extend_from_slice(more);
            let mut verifier = Verifier::default();
            verifier.block(all.len() as u64, &all, None).map(|()| verifier)
        };
        left(&[]).unwrap().hold(5, Some(0)).unwrap();
        assert!(left(&[]).unwrap().hold(5, Some(1)).is_err());
        left(&[capture(6, 4, 4, false)]).unwrap().hold(5, Some(4)).unwrap();
        let ended = [capture(6, 4, 4, false), capture(7, 10, 6, true)];
        assert!(left(&ended).unwrap().hold(5, Some(10)).is_err(), "it has ended, and is open");
        assert!(
            left(&[ended[0].clone(), ended[1].clone(), capture(8, 10, 0, true)]).is_err(),
            "it ends twice"
        );
        assert!(left(&[capture(6, 11, 11, true)]).is_err(), "more than it kept");
        assert!(left(&[capture(6, 4, 5, false)]).is_err(), "another sum than was paid");
        let mut unsaid = capture(6, 10, 10, true);
        unsaid.step = Some(Step { hold: 5, captured: 10, ends: true, is_in_row: false });
        assert!(left(&[unsaid]).is_err(), "its row says something else");
        let lacking = left(&[]).unwrap();
        assert!(lacking.all_seen().is_err(), "its row does not say that it is open");
    }
}
