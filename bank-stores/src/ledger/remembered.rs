//! Accounts that a writer remembers from one group to the next, so that it need not read what it wrote itself.

use std::collections::HashMap;

use super::AccountId;
use super::book::{Book, HeldAccount};

/// So many accounts make a generation; two are remembered, about 50 MB each where so many are in use.
const GENERATION: usize = 131_072;

/// Accounts as the last group left them. Those that no group has touched while a generation filled are forgotten first.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// An account is in one of the two.
    young: HashMap<AccountId, HeldAccount>,
    old: HashMap<AccountId, HeldAccount>,
    generation: usize,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation: GENERATION }
    }
}

impl Remembered {
    #[cfg(feature = "aurora")]
    pub(crate) fn has(&self, id: &AccountId) -> bool {
        self.young.contains_key(id) || self.old.contains_key(id)
    }

    /// Moves the account into the book, unless it is there already, and says whether it is there now.
    pub(crate) fn load(&mut self, id: &AccountId, book: &mut Book) -> bool {
        if book.account(id).is_some() {
            return true;
        }
        let Some(held) = self.young.remove(id).or_else(|| self.old.remove(id)) else { return false };
        book.load_account(held.account, held.sequence, held.content);
        true
    }

    /// Remembers the accounts of a group that was committed, instead of what was known of them before.
    pub(crate) fn keep(&mut self, book: Book) {
        for held in book.into_accounts() {
            self.old.remove(&held.account.id);
            if self.young.len() >= self.generation {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(held.account.id.clone(), held);
        }
    }

    /// After a group that failed nothing is known.
    #[cfg(feature = "embedded")]
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Account, OpenAccount};
    use crate::{Currency, Timestamp};

    fn id(name: &str) -> AccountId {
        AccountId::new(name).unwrap()
    }

    /// A book of one account, as it was told by a group.
    fn book(name: &str, entries: u64) -> Book {
        let open = OpenAccount::new(id(name), Currency::EUR);
        let mut account = Account::opened(&open, Timestamp::EPOCH);
        account.set_balance(0, 0, entries);
        let mut book = Book::new(1, Timestamp::EPOCH);
        book.load_account(account, 1, [0; 32]);
        book
    }

    #[test]
    fn what_a_group_left_is_what_is_known_and_the_oldest_are_forgotten() {
        let mut remembered = Remembered { generation: 2, ..Remembered::default() };
        for name in ["a", "b", "c"] {
            remembered.keep(book(name, 1));
        }
        // A group that had read it from the database: what an older generation knows is no longer true.
        remembered.keep(book("a", 2));
        let mut group = Book::new(1, Timestamp::EPOCH);
        for _ in 0..2 {
            assert!(remembered.load(&id("a"), &mut group));
            assert_eq!(group.account(&id("a")).unwrap().account.entry_count, 2);
        }
        // Nor is what is in the book replaced by what is remembered.
        remembered.keep(book("a", 3));
        assert!(remembered.load(&id("a"), &mut group));
        assert_eq!(group.account(&id("a")).unwrap().account.entry_count, 2);
        for name in ["d", "e", "f", "g"] {
            remembered.keep(book(name, 1));
        }
        assert!(!remembered.load(&id("b"), &mut group) && remembered.load(&id("f"), &mut group));
    }
}
