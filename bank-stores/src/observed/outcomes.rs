//! How calls of a store end.

use std::fmt;

use crate::{ErrorKind, Result};

/// How one command, or a call with one outcome, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Ok,
    /// The store gave an error of this kind.
    Failed(ErrorKind),
    /// The caller gave it up before it had an outcome.
    Cancelled,
}

impl Outcome {
    /// All that there are, each at its index.
    pub(super) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Cancelled,
        Self::Failed(ErrorKind::NotFound),
        Self::Failed(ErrorKind::AlreadyExists),
        Self::Failed(ErrorKind::Conflict),
        Self::Failed(ErrorKind::Rejected),
        Self::Failed(ErrorKind::InsufficientFunds),
        Self::Failed(ErrorKind::Unavailable),
        Self::Failed(ErrorKind::Indeterminate),
        Self::Failed(ErrorKind::Invalid),
        Self::Failed(ErrorKind::Denied),
        Self::Failed(ErrorKind::Damaged),
    ];

    /// In words: `ok`, `cancelled`, or those of [`ErrorKind::as_str`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(kind) => kind.as_str(),
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn of<T>(result: &Result<T>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(error) => Self::Failed(error.kind()),
        }
    }

    /// Where it stands in [`Outcome::ALL`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::Cancelled => 1,
            Self::Failed(kind) => match kind {
                ErrorKind::NotFound => 2,
                ErrorKind::AlreadyExists => 3,
                ErrorKind::Conflict => 4,
                ErrorKind::Rejected => 5,
                ErrorKind::InsufficientFunds => 6,
                ErrorKind::Unavailable => 7,
                ErrorKind::Indeterminate => 8,
                ErrorKind::Invalid => 9,
                ErrorKind::Denied => 10,
                ErrorKind::Damaged => 11,
            },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How often a call had each outcome. `Display` says `ok` for one, and `3 ok, 1 conflict` for many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes([u64; Outcome::ALL.len()]);

impl Outcomes {
    /// `outcome`, `times`.
    pub(super) fn repeated(outcome: Outcome, times: usize) -> Self {
        let mut outcomes = Self::default();
        outcomes.0[outcome.index()] = times as u64;
        outcomes
    }

    pub(super) fn of<'a, T: 'a>(results: impl IntoIterator<Item = &'a Result<T>>) -> Self {
        let mut outcomes = Self::default();
        for result in results {
            outcomes.0[Outcome::of(result).index()] += 1;
        }
        outcomes
    }

    /// The outcomes that occurred, and how often each did. None does where a call had no commands.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().zip(self.0).filter(|(_, times)| *times > 0)
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: u64 = self.0.iter().sum();
        for (position, (outcome, times)) in self.iter().enumerate() {
            match (position, all) {
                (_, 1) => write!(f, "{outcome}")?,
                (0, _) => write!(f, "{times} {outcome}")?,
                _ => write!(f, ", {times} {outcome}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn each_outcome_has_an_index_and_a_word_of_its_own() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index);
            assert_eq!(Outcome::ALL.iter().filter(|other| other.as_str() == outcome.as_str()).count(), 1);
        }
    }

    #[test]
    fn outcomes_read_as_one_word_or_as_a_list() {
        let conflict = || Err(Error::new(ErrorKind::Conflict, "x"));
        assert_eq!(Outcomes::of(&[Ok(())]).to_string(), "ok");
        assert_eq!(Outcomes::of(&[conflict(), Ok(()), Ok(())]).to_string(), "2 ok, 1 conflict");
        assert_eq!(Outcomes::repeated(Outcome::Cancelled, 2).to_string(), "2 cancelled");
        assert_eq!(Outcomes::default().to_string(), "");
    }
}
