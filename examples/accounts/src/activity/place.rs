//! The place of a row in the activity of a customer.

use bank_stores::ledger::{AccountId, HoldId};
use bank_stores::{Cursor, Error, Result, Timestamp};

/// Between the parts of a place; no id has it.
const BETWEEN: char = '|';

/// Where a row stands. Newer rows have greater places, and a row's never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    pub(super) account: AccountId,
    pub(super) row: RowId,
}

/// Which row of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowId {
    Hold(HoldId),
    /// By its number.
    Entry(u64),
}

impl Place {
    /// The cursor of this place in the list that `query` describes.
    pub(super) fn write(&self, query: &[String]) -> String {
        let (at, account) = (self.at.micros(), &self.account);
        let position = match &self.row {
            RowId::Hold(id) => format!("{at}{BETWEEN}{account}{BETWEEN}h{id}"),
            RowId::Entry(number) => format!("{at}{BETWEEN}{account}{BETWEEN}e{number}"),
        };
        Cursor::new(&parts(query), &position).to_string()
    }

    /// The place of a cursor that was given for this query; `Invalid` otherwise.
    pub(super) fn read(cursor: &str, query: &[String]) -> Result<Self> {
        let position = Cursor::from_text(cursor).position(&parts(query))?;
        Self::parse(&position).ok_or_else(|| Error::invalid("after", "not a cursor of this query"))
    }

    fn parse(position: &str) -> Option<Self> {
        let (at, rest) = position.split_once(BETWEEN)?;
        let (account, row) = rest.split_once(BETWEEN)?;
        let at = Timestamp::from_micros(at.parse().ok()?);
        let row = match row.split_at_checked(1)? {
            ("h", id) => RowId::Hold(HoldId::new(id).ok()?),
            ("e", number) => RowId::Entry(number.parse().ok()?),
            _ => return None,
        };
        let place = Self { at, account: AccountId::new(account).ok()?, row };
        at.has_wire_form().then_some(place)
    }
}

fn parts(query: &[String]) -> Vec<&str> {
    query.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seconds: i64, account: &str, row: RowId) -> Place {
        Place { at: Timestamp::from_seconds(seconds), account: AccountId::new(account).unwrap(), row }
    }

    #[test]
    fn a_place_is_read_back_for_its_own_query_only() {
        let query = vec!["a".to_owned(), "b".to_owned()];
        for row in [RowId::Entry(17), RowId::Hold(HoldId::new("hld:1").unwrap())] {
            let place = place(5, "acc:1", row);
            assert_eq!(Place::read(&place.write(&query), &query).unwrap(), place);
            assert!(Place::read(&place.write(&query), &query[..1]).is_err());
        }
        for made_up in ["", "5|a", "5|a|x1", "5|a|e", "x|a|e1", "9223372036854775807|a|e1"] {
            assert!(Place::parse(made_up).is_none(), "{made_up}");
        }
    }

    #[test]
    fn what_is_newer_is_greater_and_later_entries_of_one_moment_too() {
        assert!(place(2, "a", RowId::Entry(1)) > place(1, "b", RowId::Entry(9)));
        assert!(place(1, "a", RowId::Entry(10)) > place(1, "a", RowId::Entry(9)));
    }
}
