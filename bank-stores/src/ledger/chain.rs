//! The hash chain over everything that the ledger has done, so that a row which is changed, removed, inserted or moved is
//! found.
//!
//! Engines cut the commit order into blocks of up to [`BLOCK`] commands, off the hot path, and keep one hash a block: SHA-256
//! over the hash before it and the rows of each command. Whoever keeps a [`ChainHead`] elsewhere can tell later that nothing
//! up to it was changed, not even by somebody who computed the whole chain anew.

use std::fmt;
#[cfg(any(feature = "embedded", feature = "aurora", test))]
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;
use crate::{Error, Result};

/// The most commands in a block.
pub const BLOCK: u64 = 256;

/// Where the chain stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainHead {
    /// The last command that is in the chain; 0 before the first.
    pub sequence: u64,
    /// The hash of the last block, as 64 hexadecimal digits; empty before the first.
    pub hash: String,
    /// How many commands came after it and are not in the chain yet.
    pub pending: u64,
}

impl ChainHead {
    /// Made by an adapter.
    pub fn new(sequence: u64, hash: Option<[u8; 32]>, pending: u64) -> Self {
        Self { sequence, hash: hash.map(hex).unwrap_or_default(), pending }
    }
}

/// How far a verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The last command that was checked.
    pub checked: u64,
    /// The last command that there is to check.
    pub of: u64,
}

/// Where the ledger is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Breach {
    /// The first command that may be wrong.
    pub from: u64,
    /// The last one; the same where it is known exactly.
    pub to: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "between commands {} and {}: {}", self.from, self.to, self.what)
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verified {
    /// Where the chain stood.
    pub head: ChainHead,
    /// The first breach, if there is one.
    pub breach: Option<Breach>,
}

impl Verified {
    /// Whether everything is as it was written.
    pub fn holds(&self) -> bool {
        self.breach.is_none()
    }
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub use checks::*;

/// What an engine gives of itself for the chain, read beside its writer.
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) trait ChainStore: Send + Sync + 'static {
    /// Where the chain stands.
    fn head(&self) -> impl Future<Output = Result<ChainHead>> + Send;
    /// The first block that ends behind the command `after`.
    fn block_behind(&self, after: u64) -> impl Future<Output = Result<Option<(u64, [u8; 32])>>> + Send;
    /// The hash of the block that ends with this command.
    fn hash_at(&self, sequence: u64) -> impl Future<Output = Result<[u8; 32]>> + Send;
    /// What the commands behind `from` and up to `to` did.
    fn facts(&self, from: u64, to: u64) -> impl Future<Output = Result<Vec<Fact>>> + Send;
    /// Accounts behind `after` with their balance and number of entries, in order, of those that did not move behind `last`.
    fn balances(&self, after: u64, last: u64) -> impl Future<Output = Result<Vec<(u64, i64, u64)>>> + Send;
    /// An account of which another sum is held than its open holds keep.
    fn wrongly_held(&self) -> impl Future<Output = Result<Option<u64>>> + Send;
    /// How many open holds are due, counted up to `most`.
    fn due_holds(&self, most: u64) -> impl Future<Output = Result<u64>> + Send;
}

/// So many blocks are added at once.
#[cfg(any(feature = "embedded", feature = "aurora", test))]
const BLOCKS: usize = 16;

/// The command behind which blocks are to be added, the blocks, and whether there are more behind them.
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) async fn next_blocks(store: &impl ChainStore) -> Result<(u64, Vec<(u64, [u8; 32])>, bool)> {
    let head = store.head().await?;
    let (after, last) = (head.sequence, head.sequence + head.pending);
    let mut hash = if after == 0 || head.pending == 0 { None } else { Some(store.hash_at(after).await?) };
    let (mut from, mut blocks) = (after, Vec::new());
    while from < last && blocks.len() < BLOCKS {
        let to = last.min(from + BLOCK);
        let facts = store.facts(from, to).await?;
        if facts.len() as u64 != to - from {
            tracing::error!(from, to, "the ledger lacks rows, or has too many: the chain is not continued");
            return Ok((after, Vec::new(), false));
        }
        let next = block_hash(hash, &facts);
        blocks.push((to, next));
        (hash, from) = (Some(next), to);
    }
    Ok((after, blocks, from < last))
}

/// Checks everything against the chain, and balances against entries.
#[cfg(any(feature = "embedded", feature = "aurora", test))]
pub(crate) async fn verify(
    store: &impl ChainStore,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Verified> {
    // What is committed while it reads is left for the next time.
    let head = store.head().await?;
    let last = head.sequence + head.pending;
    let mut verifier = Verifier::new();
    while verifier.sequence() < last {
        let from = verifier.sequence();
        let block = if from < head.sequence { store.block_behind(from).await? } else { None };
        let (to, expected) = match block {
            Some((to, hash)) => (to, Some(hash)),
            // Not in the chain yet.
            None => (last.min(from + BLOCK), None),
        };
        let facts = store.facts(from, to.min(from + 2 * BLOCK)).await?;
        if let Err(breach) = verifier.block(to, &facts, expected) {
            return Ok(verifier.finish(head, Some(breach)));
        }
        progress(Progress { checked: to.min(last), of: last });
    }
    let mut after = 0;
    loop {
        let balances = store.balances(after, last).await?;
        let Some((next, _, _)) = balances.last().copied() else { break };
        for (account, balance, entries) in balances {
            if let Err(breach) = verifier.balance(account, balance, entries) {
                return Ok(verifier.finish(head, Some(breach)));
            }
        }
        after = next;
    }
    let wrong = store.wrongly_held().await?.map(|account| Breach {
        from: account,
        to: account,
        what: "what is held on an account is not what its open holds keep".to_owned(),
    });
    Ok(verifier.finish(head, wrong))
}

mod checks {
    use std::collections::HashMap;

    use super::{BLOCK, Breach, Canonical, ChainHead, Error, Result, Verified};

    /// What one command did, as its rows say. For adapters.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct Fact {
        /// Its place in the commit order.
        pub sequence: u64,
        /// Its rows, in a form that is the same in every engine.
        pub digest: [u8; 32],
        /// The currency of an account that was opened.
        pub opened: Option<String>,
        /// The entries that it made: account, number, amount and balance after it.
        pub entries: Vec<(u64, u64, i64, i64)>,
    }

    impl Fact {
        /// A command whose rows hold these parts.
        pub fn new(sequence: u64, form: &str, parts: &[Part<'_>]) -> Self {
            let digest =
                parts.iter().fold(Canonical::new(form).count(sequence as usize), |form, part| match part {
                    Part::Text(text) => form.optional(*text, Canonical::text),
                    Part::Number(number) => form.optional(*number, Canonical::number),
                    Part::Bytes(bytes) => form.bytes(bytes),
                });
            Self { sequence, digest: digest.finish(), opened: None, entries: Vec::new() }
        }

        /// The same with an entry: of which account (by the sequence of its opening), its number, amount and balance.
        pub fn entry(&mut self, account: u64, number: u64, amount: i64, balance: i64) {
            let form = Canonical::new("entry.1").bytes(&self.digest).number(account as i64);
            self.digest = form.number(number as i64).number(amount).number(balance).finish();
            self.entries.push((account, number, amount, balance));
        }
    }

    /// A column of a row.
    #[derive(Clone, Copy, Debug)]
    pub enum Part<'a> {
        /// Text, or nothing.
        Text(Option<&'a str>),
        /// A number, or nothing.
        Number(Option<i64>),
        /// Bytes.
        Bytes(&'a [u8]),
    }

    /// The hash of a block: the hash before it, and its facts in order.
    pub fn block_hash(before: Option<[u8; 32]>, facts: &[Fact]) -> [u8; 32] {
        let form = Canonical::new("block.1").bytes(&before.unwrap_or_default()).count(facts.len());
        facts.iter().fold(form, |form, fact| form.bytes(&fact.digest)).finish()
    }

    /// Checks a ledger block by block. For adapters.
    #[derive(Debug, Default)]
    pub struct Verifier {
        hash: Option<[u8; 32]>,
        sequence: u64,
        accounts: HashMap<u64, (String, u64, i64)>,
    }

    impl Verifier {
        /// Nothing checked yet.
        pub fn new() -> Self {
            Self::default()
        }

        /// The last command that was checked.
        pub fn sequence(&self) -> u64 {
            self.sequence
        }

        /// Checks the commands up to `to`, whose hash is `expected` where they are in the chain.
        pub fn block(&mut self, to: u64, facts: &[Fact], expected: Option<[u8; 32]>) -> Result<(), Breach> {
            let from = self.sequence + 1;
            let breach = |from, to, what: &str| Err(Breach { from, to, what: what.to_owned() });
            for (at, fact) in facts.iter().enumerate() {
                let wanted = from + at as u64;
                if fact.sequence != wanted {
                    return breach(
                        wanted,
                        wanted.max(fact.sequence),
                        "a row is missing, or there is one too many",
                    );
                }
                if let Some(currency) = &fact.opened {
                    self.accounts.insert(fact.sequence, (currency.clone(), 0, 0));
                }
                let mut sums: HashMap<String, i128> = HashMap::new();
                for (account, number, amount, balance) in &fact.entries {
                    let Some((currency, count, before)) = self.accounts.get_mut(account) else {
                        return breach(wanted, wanted, "an entry is of no account");
                    };
                    *sums.entry(currency.clone()).or_default() += i128::from(*amount);
                    (*count, *before) = (*count + 1, before.wrapping_add(*amount));
                    if (*count, *before) != (*number, *balance) {
                        return breach(wanted, wanted, "an entry does not follow from the one before it");
                    }
                }
                if sums.values().any(|sum| *sum != 0) {
                    return breach(wanted, wanted, "a posting does not sum to zero");
                }
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

        /// Checks an account's balance and number of entries as they are kept beside its entries.
        pub fn balance(&self, account: u64, balance: i64, entries: u64) -> Result<(), Breach> {
            match self.accounts.get(&account) {
                Some((_, count, sum)) if (*count, *sum) == (entries, balance) => Ok(()),
                _ => Err(Breach {
                    from: account,
                    to: account,
                    what: "a balance is not what its entries add up to".to_owned(),
                }),
            }
        }

        /// What was found.
        pub fn finish(self, head: ChainHead, breach: Option<Breach>) -> Verified {
            Verified { head, breach }
        }
    }

    /// A stored hash.
    pub fn stored_hash(bytes: &[u8]) -> Result<[u8; 32]> {
        let damaged =
            |_| Error::new(crate::ErrorKind::Unavailable, "the store holds a hash that cannot be read");
        bytes.try_into().map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Vec<Fact> {
        let mut facts = vec![
            Fact::new(1, "account", &[Part::Text(Some("a"))]),
            Fact::new(2, "account", &[Part::Text(Some("b"))]),
            Fact::new(3, "posting", &[Part::Text(Some("p")), Part::Number(None)]),
        ];
        (facts[0].opened, facts[1].opened) = (Some("EUR".into()), Some("EUR".into()));
        facts[2].entry(1, 1, -5, -5);
        facts[2].entry(2, 1, 5, 5);
        facts
    }

    fn check(facts: &[Fact], hash: [u8; 32]) -> Result<(), Breach> {
        Verifier::new().block(3, facts, Some(hash))
    }

    #[test]
    fn what_is_changed_removed_inserted_or_moved_is_found() {
        let hash = block_hash(None, &facts());
        assert_eq!(check(&facts(), hash), Ok(()));
        let mut changed = facts();
        changed[2] =
            Fact { entries: changed[2].entries.clone(), ..Fact::new(3, "posting", &[Part::Text(Some("q"))]) };
        let mut removed = facts();
        removed.remove(1);
        let mut moved = facts();
        moved.swap(0, 1);
        let mut inserted = facts();
        inserted.push(Fact::new(4, "account", &[]));
        let mut unbalanced = facts();
        unbalanced[2].entries[1] = (2, 1, 6, 6);
        for wrong in [changed, removed, moved, inserted, unbalanced] {
            assert!(check(&wrong, hash).is_err(), "{wrong:?}");
        }
        let mut verifier = Verifier::new();
        verifier.block(3, &facts(), Some(hash)).unwrap();
        assert!(verifier.balance(2, 5, 1).is_ok() && verifier.balance(2, 6, 1).is_err());
    }
}
