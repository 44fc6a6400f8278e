//! Accounts that a writer remembers from one group to the next, so that it need not read what it wrote itself.

use std::collections::HashMap;

use super::AccountId;
use super::book::{Book, HeldAccount};

/// So many accounts make a generation; two are remembered, about 25 MB each.
const GENERATION: usize = 65_536;

/// Accounts as the last group left them. Those that no group has touched while a generation filled are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    young: HashMap<AccountId, HeldAccount>,
    old: HashMap<AccountId, HeldAccount>,
}

impl Remembered {
    /// Moves the account into the book, and says whether it is there now.
    pub(crate) fn load(&mut self, id: &AccountId, book: &mut Book) -> bool {
        if let Some(held) = self.young.remove(id).or_else(|| self.old.remove(id)) {
            book.load_account(held.account, held.sequence, held.content);
        }
        book.account(id).is_some()
    }

    /// Remembers the accounts of a group that was committed.
    pub(crate) fn keep(&mut self, book: Book) {
        for held in book.into_accounts() {
            if self.young.len() >= GENERATION {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(held.account.id.clone(), held);
        }
    }

    /// After a group that failed nothing is known.
    #[cfg(feature = "embedded")]
    pub(crate) fn clear(&mut self) {
        (self.young, self.old) = Default::default();
    }
}
