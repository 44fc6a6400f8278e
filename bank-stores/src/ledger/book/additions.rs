//! What is added to a posting later, without moving money.

use super::{AddedTo, Book, Effect, Made, MadeChange, Outcome, Subject, missing, rejected};
use crate::Result;
use crate::ledger::annotation::Addition;
use crate::ledger::{MAX_ADDITIONS, Receipt};

impl Book {
    pub(super) fn add<'c, A: Addition>(
        &mut self,
        addition: &'c A,
        index: usize,
        earlier: &[Outcome<'c>],
    ) -> Result<Outcome<'c>> {
        let (id, posting, content) = (addition.id(), addition.posting(), addition.content());
        if let Some(outcome) = self.known_change(id, content, earlier)? {
            return Ok(outcome);
        }
        let made_here = || match self.postings.get(posting)?.effect {
            Effect::Fresh(at) => match &earlier[at] {
                Outcome::Fresh(receipt, _) => Some(AddedTo { posting: receipt.sequence, additions: 0 }),
                _ => None,
            },
            Effect::Stored(_) => None,
        };
        let Some(before) = self.added_to.get(posting).copied().or_else(made_here) else {
            return Err(missing("posting", posting.as_str(), "posting"));
        };
        if before.additions >= MAX_ADDITIONS {
            let message = format!("{MAX_ADDITIONS} things were added to posting {posting}");
            return Err(rejected(message, "posting"));
        }
        self.sequence += 1;
        let receipt = Receipt::added(id.clone(), self.sequence, self.booked_at);
        let after = AddedTo { additions: before.additions + 1, ..before };
        let found = self.added_to.insert(posting.clone(), after);
        if let Some(undo) = &mut self.undo {
            undo.added_to(posting, found);
        }
        self.keep_change(id, content, index);
        let (of, state) = (Subject::Posting(before.posting), addition.state().to_string());
        Ok(Outcome::Fresh(receipt, Made::Change(MadeChange { id, of, kind: A::KIND, state, content })))
    }
}
