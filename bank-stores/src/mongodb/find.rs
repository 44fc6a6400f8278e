//! Finding documents, page by page.

use ::mongodb::bson::{Bson, Document as Bsons, doc};
use ::mongodb::options::{ReadConcern, ReadPreference, SelectionCriteria};
use serde::{Deserialize, Serialize};

use super::filter::{all, any, condition};
use super::keys::sort_name;
use super::row::{document, is_alive};
use super::store::Store;
use crate::documents::{Document, Find};
use crate::error::damaged;
use crate::{Consistency, Cursor, Direction, Error, Page, Result};

/// A page ends where it has so many bytes, also where more documents were asked for.
const MAX_BYTES: usize = 16 * 1_024 * 1_024;

/// The documents that match; `find` has been validated.
pub(super) async fn find(store: &Store, collection: &str, find: &Find) -> Result<Page<Document>> {
    let definition = store.definition(collection).await?;
    if let Some(field) = &find.sort
        && !definition.declared.sorted.contains(field)
    {
        return Err(Error::invalid("sort", format!("the collection does not declare {field} as sorted")));
    }
    let identity = find.identity(collection);
    let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
    let is_forward = find.page.direction == Direction::Forward;
    let order = find.sort.as_deref().map(sort_name);
    let mut conditions = vec![is_alive(store.now())];
    conditions.extend(find.filter.as_ref().map(condition));
    if let Some(cursor) = &find.page.after {
        let wrong = |_| Error::invalid("after", "not a cursor of this query");
        let (place, id): (Place, String) =
            serde_json::from_str(&cursor.position(&identity)?).map_err(wrong)?;
        conditions.push(match &order {
            Some(name) => behind(&format!("s.{name}"), &place, &id, is_forward),
            None => doc! { "_id": { beyond(is_forward): id } },
        });
    }
    let direction = if is_forward { 1 } else { -1 };
    let mut sort = Bsons::new();
    if let Some(name) = &order {
        sort.insert(format!("s.{name}"), direction);
    }
    sort.insert("_id", direction);
    let (limit, rows) = (find.page.limit as usize, store.rows(collection));
    let mut call = rows
        .find(all(conditions))
        .sort(sort)
        .limit(i64::from(find.page.limit) + 1)
        .projection(doc! { "k": 0, "w": 0, "f": 0 })
        .read_concern(ReadConcern::majority());
    if find.read == Consistency::Any {
        call = call.selection_criteria(any_copy());
    }
    let mut cursor = store.read(call).await?;
    let mut found: Vec<(Document, Place)> = Vec::new();
    let (mut bytes, mut is_more) = (0, false);
    while let Some(row) = store.next(&mut cursor).await? {
        if found.len() == limit || bytes > MAX_BYTES {
            is_more = true;
            break;
        }
        bytes += cursor.current().as_bytes().len();
        let place = order.as_ref().map_or(Ok(Place::Null), |name| place(&row, name))?;
        found.push((document(row)?, place));
    }
    let next = found
        .last()
        .filter(|_| is_more)
        .map(|(last, place)| Cursor::new(&identity, &serde_json::json!([place, last.id]).to_string()));
    Ok(Page { items: found.into_iter().map(|(document, _)| document).collect(), next })
}

/// A secondary where there is one.
pub(super) fn any_copy() -> SelectionCriteria {
    SelectionCriteria::ReadPreference(ReadPreference::SecondaryPreferred { options: None })
}

/// The value by which a document was sorted, exactly as the server compares it: decimals would not do for every real.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Place {
    Null,
    Integer(i64),
    /// Its bits.
    Real(u64),
    Text(String),
}

fn place(row: &Bsons, name: &str) -> Result<Place> {
    let keys = row.get_document("s").ok();
    Ok(match keys.and_then(|keys| keys.get(name)) {
        None | Some(Bson::Null) => Place::Null,
        Some(Bson::Int32(number)) => Place::Integer(i64::from(*number)),
        Some(Bson::Int64(number)) => Place::Integer(*number),
        Some(Bson::Double(real)) => Place::Real(real.to_bits()),
        Some(Bson::String(text)) => Place::Text(text.clone()),
        Some(_) => return Err(damaged(Error::invalid("s", "nothing is sorted by this"))),
    })
}

fn beyond(is_forward: bool) -> &'static str {
    if is_forward { "$gt" } else { "$lt" }
}

/// What comes behind this place: the rest of the equal ones by id, then what is beyond of the same type, then the types beyond. Missing
/// comes before numbers, and these before text.
fn behind(field: &str, place: &Place, id: &str, is_forward: bool) -> Bsons {
    let missing = || doc! { field: { "$exists": false } };
    let numbers = || doc! { field: { "$type": "number" } };
    let texts = || doc! { field: { "$type": "string" } };
    let value: Bson = match place {
        Place::Null => {
            let mut equal = missing();
            equal.insert("_id", doc! { beyond(is_forward): id });
            return if is_forward { any([equal, numbers(), texts()]) } else { equal };
        }
        Place::Integer(number) => (*number).into(),
        Place::Real(bits) => f64::from_bits(*bits).into(),
        Place::Text(text) => text.as_str().into(),
    };
    let further = match (place, is_forward) {
        (Place::Text(_), true) => vec![],
        (Place::Text(_), false) => vec![numbers(), missing()],
        (_, true) => vec![texts()],
        (_, false) => vec![missing()],
    };
    let equal = doc! { field: value.clone(), "_id": { beyond(is_forward): id } };
    // MongoDB compares within a type.
    any([equal, doc! { field: { beyond(is_forward): value } }].into_iter().chain(further))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_beyond_follow_in_their_order() {
        let parts = |place: Place, is_forward| {
            let filter = behind("s.v", &place, "d1", is_forward);
            filter.get_array("$or").map_or(1, Vec::len)
        };
        assert_eq!((parts(Place::Null, true), parts(Place::Null, false)), (3, 1));
        assert_eq!((parts(Place::Integer(1), true), parts(Place::Integer(1), false)), (3, 3));
        assert_eq!((parts(Place::Text("a".into()), true), parts(Place::Text("a".into()), false)), (2, 4));
    }
}
