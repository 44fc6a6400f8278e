//! What reads of every engine have in common.

use super::{AccountId, HoldId};
use crate::{Direction, Error, ErrorKind, Event, PageRequest, Position, Result};

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

/// A position as a store holds it; `Invalid`, with the field, where none is so great.
pub(crate) fn stored_position(field: &'static str, position: Position) -> Result<i64> {
    let great = |_| Error::invalid(field, "greater than any position of a ledger");
    i64::try_from(position.number()).map_err(great)
}

/// The events behind `after`; `Rejected` where the first of them was forgotten.
pub(crate) fn without_gap(after: Position, events: Vec<Event>) -> Result<Vec<Event>> {
    match events.first().map(|event| event.position.number()) {
        Some(first) if first != after.number() + 1 => {
            let message = format!("the events before position {first} were forgotten");
            Err(Error::new(ErrorKind::Rejected, message).with_field("after"))
        }
        _ => Ok(events),
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
