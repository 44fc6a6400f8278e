//! What the ledger can be told to do.

use super::{
    Annotation, Capture, ChangeAccount, CommandId, HoldId, OpenAccount, PlaceHold, Posting, Reversal,
};
use crate::Result;

/// The most commands that are linked to one another.
pub const MAX_LINKED: usize = 64;

/// What the ledger can be told to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Open an account.
    Open(OpenAccount),
    /// Change what an account may do, or what it is called.
    Change(ChangeAccount),
    /// Add a note to a posting.
    Annotate(Annotation),
    /// Move money.
    Post(Posting),
    /// Undo a posting.
    Reverse(Reversal),
    /// Keep money for a payment to come.
    Hold(PlaceHold),
    /// Pay out of a hold.
    Capture(Capture),
    /// End a hold; what was captured of it stays captured. Voiding it again is the same command.
    Void(HoldId),
    /// Do this only if the next command of the call is done too.
    ///
    /// Commands linked so succeed or fail together; the one that fails says why, the others are `Rejected` with the field
    /// `linked`. Up to 64 of them, the last of which is not linked itself; a refusal among them is never remembered.
    Linked(Box<Self>),
}

impl Command {
    /// This command, to be done only if the next one of the call is done too.
    #[must_use]
    pub fn linked(self) -> Self {
        match self {
            Self::Linked(_) => self,
            command => Self::Linked(Box::new(command)),
        }
    }

    /// Whether it is linked to the next one.
    pub fn is_linked(&self) -> bool {
        matches!(self, Self::Linked(_))
    }

    /// The command itself, linked or not.
    pub fn plain(&self) -> &Self {
        match self {
            Self::Linked(command) => command.plain(),
            command => command,
        }
    }

    /// The id under which the outcome can be looked up.
    pub fn id(&self) -> CommandId {
        match self {
            Self::Open(open) => CommandId::Account(open.id.clone()),
            Self::Change(change) => CommandId::Change(change.id.clone()),
            Self::Annotate(annotation) => CommandId::Change(annotation.id.clone()),
            Self::Post(posting) => CommandId::Posting(posting.id.clone()),
            Self::Reverse(reversal) => CommandId::Posting(reversal.id.clone()),
            Self::Hold(hold) => CommandId::Hold(hold.id.clone()),
            Self::Capture(capture) => CommandId::Posting(capture.id.clone()),
            Self::Void(hold) => CommandId::Void(hold.clone()),
            Self::Linked(command) => command.id(),
        }
    }

    /// Checks what can be checked without the ledger.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Open(open) => open.validate(),
            Self::Change(change) => change.validate(),
            Self::Annotate(annotation) => annotation.validate(),
            Self::Post(posting) => posting.validate(),
            Self::Reverse(reversal) => reversal.validate(),
            Self::Hold(hold) => hold.validate(),
            Self::Capture(capture) => capture.validate(),
            Self::Void(_) => Ok(()),
            Self::Linked(command) => command.validate(),
        }
    }

    /// Whether a refusal takes the id.
    #[cfg(any(feature = "embedded", feature = "aurora", test))]
    pub(crate) fn remembers(&self) -> bool {
        match self {
            Self::Post(posting) => posting.remember,
            Self::Reverse(reversal) => reversal.remember,
            Self::Hold(hold) => hold.remember,
            Self::Capture(capture) => capture.remember,
            Self::Open(_) | Self::Change(_) | Self::Annotate(_) | Self::Void(_) | Self::Linked(_) => false,
        }
    }

    /// About how many bytes it takes in a store.
    #[cfg(any(feature = "embedded", feature = "aurora", test))]
    pub(crate) fn size(&self) -> usize {
        // In its own row; a leg has a row too.
        let details = |reference: &Option<String>, metadata: &std::collections::BTreeMap<String, String>| {
            let pieces = metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            1_024 + 8 * (reference.as_ref().map_or(0, String::len) + pieces)
        };
        match self {
            Self::Open(_) | Self::Change(_) | Self::Void(_) => 2_048,
            Self::Annotate(annotation) => 1_024 + 2 * annotation.note.len(),
            Self::Post(posting) => {
                details(&posting.reference, &posting.metadata) + posting.legs.len() * 1_024
            }
            Self::Reverse(reversal) => details(&reversal.reference, &reversal.metadata) + 4_096,
            Self::Hold(hold) => details(&hold.reference, &hold.metadata),
            Self::Capture(capture) => details(&capture.reference, &capture.metadata) + 4_096,
            Self::Linked(command) => command.size(),
        }
    }

    /// What tells this content from any other under the same id.
    pub fn content(&self) -> [u8; 32] {
        match self {
            Self::Open(open) => open.content(),
            Self::Change(change) => change.content(),
            Self::Annotate(annotation) => annotation.content(),
            Self::Post(posting) => posting.content(),
            Self::Reverse(reversal) => reversal.content(),
            Self::Hold(hold) => hold.content(),
            Self::Capture(capture) => capture.content(),
            // The id is all that there is.
            Self::Void(_) => [0; 32],
            Self::Linked(command) => command.content(),
        }
    }
}

macro_rules! from {
    ($($variant:ident $type:ty),*) => {
        $(impl From<$type> for Command {
            fn from(command: $type) -> Self {
                Self::$variant(command)
            }
        })*
    };
}

from!(Open OpenAccount, Change ChangeAccount, Annotate Annotation, Post Posting, Reverse Reversal, Hold PlaceHold, Capture Capture);
