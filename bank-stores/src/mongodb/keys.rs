//! Computed keys: what a unique index compares, and what documents are sorted by.

use ::mongodb::bson::{Bson, Document as Bsons};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Number, Value};

use super::body::to_bson;
use crate::canonical::Canonical;

/// The value of a field, which no path leads to through a list.
fn value<'a>(body: &'a Value, field: &str) -> &'a Value {
    field.split('.').try_fold(body, |value, part| value.get(part)).unwrap_or(&Value::Null)
}

/// The key over these fields as a fingerprint, so that its length does not matter; none where a field is missing or null.
///
/// The fields have been checked: they hold text, numbers, null or nothing.
pub(super) fn unique_key(fields: &[String], body: &Value) -> Option<String> {
    let mut form = Canonical::new("unique.1");
    for field in fields {
        form = match value(body, field) {
            Value::String(text) => form.text("s:").text(text),
            Value::Number(number) => form.text("n:").text(&decimal(number)),
            _ => return None,
        };
    }
    Some(URL_SAFE_NO_PAD.encode(form.finish()))
}

/// What a document is sorted by, none for null: a copy outside of the body, since MongoDB would look into lists on the way.
pub(super) fn sort_key(field: &str, body: &Value) -> Option<Bson> {
    match value(body, field) {
        found @ (Value::String(_) | Value::Number(_)) => Some(to_bson(found)),
        _ => None,
    }
}

/// The keys of a document, under their names.
pub(super) fn unique_keys<'a>(
    uniques: impl IntoIterator<Item = &'a (String, Vec<String>)>,
    body: &Value,
) -> Bsons {
    let key = |(name, fields): &(String, Vec<String>)| {
        Some((name.clone(), Bson::String(unique_key(fields, body)?)))
    };
    uniques.into_iter().filter_map(key).collect()
}

/// What a document is sorted by, under the fields' names.
pub(super) fn sort_keys<'a>(fields: impl IntoIterator<Item = &'a String>, body: &Value) -> Bsons {
    let key = |field: &String| Some((sort_name(field), sort_key(field, body)?));
    fields.into_iter().filter_map(key).collect()
}

/// A field's name without points, which would be a path. Names of fields hold no `-`.
pub(super) fn sort_name(field: &str) -> String {
    field.replace('.', "-")
}

/// One decimal form for each number, whichever type holds it.
fn decimal(number: &Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    let real = number.as_f64().unwrap_or_default();
    // Both ends are exact as reals: -2^63 and 2^63.
    let is_whole = real.fract() == 0.0 && (i64::MIN as f64..9_223_372_036_854_775_808.0).contains(&real);
    // The second form is the shortest that reads back as the same number.
    if is_whole { (real as i64).to_string() } else { format!("{real:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(body: &Value) -> Option<String> {
        unique_key(&["a".to_owned(), "n.b".to_owned()], body)
    }

    #[test]
    fn equal_values_have_one_key_and_others_have_others() {
        let one = key(&json!({"a": 1, "n": {"b": "x"}}));
        assert!(one.is_some());
        assert_eq!(one, key(&json!({"a": 1.0, "n": {"b": "x"}})));
        for other in [
            json!({"a": "1", "n": {"b": "x"}}),
            json!({"a": 1.5, "n": {"b": "x"}}),
            json!({"a": 2, "n": {"b": "x"}}),
            json!({"a": "x", "n": {"b": 1}}),
        ] {
            assert_ne!(one, key(&other), "{other}");
        }
        let great = |number: i64| key(&json!({"a": number, "n": {"b": 1}}));
        assert_ne!(great(9_007_199_254_740_993), great(9_007_199_254_740_992));
        assert_eq!(great(9_007_199_254_740_992), key(&json!({"a": 9_007_199_254_740_992.0, "n": {"b": 1}})));
    }

    #[test]
    fn a_missing_field_binds_nothing() {
        for body in
            [json!({}), json!({"a": 1}), json!({"a": null, "n": {"b": 1}}), json!({"a": 1, "n": [{"b": 1}]})]
        {
            assert_eq!(key(&body), None, "{body}");
        }
    }

    #[test]
    fn a_sort_key_has_a_name_without_points() {
        let keys = sort_keys(&["n.b".to_owned(), "c".to_owned()], &json!({"n": {"b": 2}, "c": null}));
        assert_eq!(keys, ::mongodb::bson::doc! { "n-b": 2_i64 });
    }
}
