//! Filters as MongoDB's: a list has no value, no path leads through one, and null is what a missing field has.

use ::mongodb::bson::{Bson, Document as Bsons, doc};
use serde_json::Value;

use super::body::to_bson;
use crate::documents::Filter;

/// The condition that `filter` states; it has been validated, so that its names are plain and its values no objects.
pub(super) fn condition(filter: &Filter) -> Bsons {
    match filter {
        Filter::Eq(field, value) => equal(field, value),
        Filter::In(field, values) => any_of(field, values),
        Filter::Range { field, from, to } => {
            let bounds = [(from, "$gte"), (to, "$lte")].into_iter();
            // MongoDB compares within a type: a text is not greater than any number.
            let bounds = bounds.filter_map(|(bound, operator)| {
                let path = path(field);
                Some(doc! { path: { operator: to_bson(bound.as_ref()?) } })
            });
            all(bounds.chain(without_lists(field)))
        }
        Filter::And(parts) => all(parts.iter().map(condition)),
        Filter::Or(parts) => any(parts.iter().map(condition)),
    }
}

/// Where a field of the body is.
pub(super) fn path(field: &str) -> String {
    format!("body.{field}")
}

pub(super) fn all(parts: impl IntoIterator<Item = Bsons>) -> Bsons {
    doc! { "$and": parts.into_iter().collect::<Vec<_>>() }
}

pub(super) fn any(parts: impl IntoIterator<Item = Bsons>) -> Bsons {
    doc! { "$or": parts.into_iter().collect::<Vec<_>>() }
}

fn equal(field: &str, value: &Value) -> Bsons {
    match value {
        Value::Null => null(field),
        _ => all([doc! { path(field): to_bson(value) }].into_iter().chain(without_lists(field))),
    }
}

fn any_of(field: &str, values: &[Value]) -> Bsons {
    let others: Vec<Bson> = values.iter().filter(|value| !value.is_null()).map(to_bson).collect();
    let has_null = others.len() < values.len();
    let listed = all([doc! { path(field): { "$in": others } }].into_iter().chain(without_lists(field)));
    if has_null { any([null(field), listed]) } else { listed }
}

/// Null, missing, or behind a list, where there is nothing.
fn null(field: &str) -> Bsons {
    let here =
        all([doc! { path(field): Bson::Null }, doc! { path(field): { "$not": { "$type": "array" } } }]);
    let lists =
        steps(field).filter(|step| *step != field).map(|step| doc! { path(step): { "$type": "array" } });
    any([here].into_iter().chain(lists))
}

/// That neither the field nor anything on the way to it is a list.
fn without_lists(field: &str) -> impl Iterator<Item = Bsons> + '_ {
    steps(field).map(|step| doc! { path(step): { "$not": { "$type": "array" } } })
}

/// `a`, `a.b` and `a.b.c` for `a.b.c`.
fn steps(field: &str) -> impl Iterator<Item = &str> {
    let ends = field.match_indices('.').map(|(end, _)| end).chain([field.len()]);
    ends.map(move |end| &field[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_followed_step_by_step() {
        assert_eq!(steps("a.b.c").collect::<Vec<_>>(), ["a", "a.b", "a.b.c"]);
        let filter = condition(&Filter::eq("a.b", 1));
        let expected = doc! { "$and": [
            { "body.a.b": 1_i64 },
            { "body.a": { "$not": { "$type": "array" } } },
            { "body.a.b": { "$not": { "$type": "array" } } },
        ] };
        assert_eq!(filter, expected);
    }

    #[test]
    fn values_are_never_operators() {
        let filter = condition(&Filter::eq("a", "$where").or(Filter::any_of("b", ["{$gt: 1}"])));
        let shown = filter.to_string();
        assert!(!shown.contains("\"$where\":") && !shown.contains("\"$gt\":"), "{shown}");
    }

    #[test]
    fn null_is_asked_for_apart_from_what_it_is_listed_with() {
        let filter = condition(&Filter::In("a".to_owned(), vec![Value::Null, 1.into()]));
        assert!(filter.get_array("$or").is_ok_and(|parts| parts.len() == 2), "{filter}");
    }
}
