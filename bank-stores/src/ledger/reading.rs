//! What reads of every engine have in common.

use super::{AccountId, HoldId};
use crate::{Direction, Error, ErrorKind, PageRequest, Result};

/// A balance by value date looks through the account's entries, unless they are more than this and the postings of all accounts
/// whose two times differ, the later of them after the date, are fewer than this.
pub(crate) const MANY: i64 = 10_000;

pub(crate) fn no_account(id: &AccountId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no account {id}")).with_field("account")
}

pub(crate) fn no_hold(id: &HoldId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no hold {id}")).with_field("hold")
}

pub(crate) fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Backward => "backward",
    }
}

/// Behind which number the page starts, and how many rows to read: one more than the page holds.
pub(crate) fn page_start(page: &PageRequest, query: &[&str]) -> Result<(i64, i64)> {
    page.validate()?;
    let from = match (&page.after, page.direction) {
        (None, Direction::Forward) => 0,
        (None, Direction::Backward) => i64::MAX,
        (Some(cursor), _) => {
            let position = cursor.position(query)?;
            position.parse().map_err(|_| Error::invalid("after", "not a cursor of this query"))?
        }
    };
    Ok((from, i64::from(page.limit) + 1))
}
