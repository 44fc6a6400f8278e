//! Which fields of documents are sealed, and how they are declared and looked for all the same.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

use super::sealer::Sealer;
use crate::documents::{Collection, Filter, Unique};
use crate::{Error, Result};

/// The field of a stored body that holds the blind indexes of its sealed fields.
pub(super) const INDEX: &str = "sealed_index";

/// Which fields of which collections are sealed. They are fields of the body itself, not nested ones; what is nested in them is
/// sealed with them.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SealedFields(BTreeMap<String, BTreeMap<String, Kind>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Indexed,
}

impl SealedFields {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Seals `field` of the documents of `collection`. Nothing is found by it, and no key or order has it.
    pub fn seal(self, collection: impl Into<String>, field: impl Into<String>) -> Self {
        self.with(collection.into(), field.into(), Kind::Plain)
    }

    /// Seals `field`, and keeps a blind index beside it: documents are found by its being equal to a text, a number or null, and
    /// unique keys may have it. Whoever reads the store sees which documents have equal values there.
    pub fn seal_indexed(self, collection: impl Into<String>, field: impl Into<String>) -> Self {
        self.with(collection.into(), field.into(), Kind::Indexed)
    }

    fn with(mut self, collection: String, field: String, kind: Kind) -> Self {
        self.0.entry(collection).or_default().insert(field, kind);
        self
    }

    /// Those of one collection.
    pub(super) fn of(&self, collection: &str) -> Fields<'_> {
        Fields(self.0.get(collection))
    }
}

/// The sealed fields of one collection.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(Option<&'a BTreeMap<String, Kind>>);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_none_or(BTreeMap::is_empty)
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.into_iter().flatten().map(|(name, _)| name.as_str())
    }

    pub(super) fn is_indexed(self, field: &str) -> bool {
        self.kind(field) == Some(Kind::Indexed)
    }

    fn kind(self, field: &str) -> Option<Kind> {
        self.0?.get(field).copied()
    }

    /// Where the store has this field, for keys and indexes: a sealed one by its blind index.
    fn stored(self, field: &str, what: &'static str) -> Result<String> {
        let first = field.split('.').next().unwrap_or(field);
        if first == INDEX {
            return Err(Error::invalid(what, format!("`{INDEX}` is not a field of the document")));
        }
        match self.kind(first) {
            None => Ok(field.to_owned()),
            Some(Kind::Indexed) if first == field => Ok(format!("{INDEX}.{field}")),
            Some(_) => Err(Error::invalid(what, format!("`{field}` is sealed without a blind index"))),
        }
    }

    /// The collection as the store has it.
    pub(super) fn declared(self, collection: &Collection) -> Result<Collection> {
        // Wrong names are named as they were given.
        collection.validate()?;
        let all = |fields: &[String]| -> Result<Vec<String>> {
            fields.iter().map(|field| self.stored(field, "field")).collect()
        };
        let mut stored = Collection::new(&*collection.name);
        for Unique { name, fields } in &collection.unique {
            stored = stored.unique(&**name, all(fields)?);
        }
        for field in &collection.sorted {
            let first = field.split('.').next().unwrap_or(field);
            if first == INDEX || self.kind(first).is_some() {
                return Err(Error::invalid("sorted", format!("`{field}` is sealed and has no order")));
            }
            stored = stored.sorted(&**field);
        }
        for fields in &collection.indexes {
            stored = stored.index(all(fields)?);
        }
        Ok(stored)
    }

    /// The filter as the store understands it.
    pub(super) fn filter(self, filter: Filter, collection: &str, index: Option<&Sealer>) -> Result<Filter> {
        let blind = |field: &str, value: Value| match index {
            Some(index) if self.is_indexed(field) => {
                blind(index, collection, field, &value).ok_or_else(|| {
                    Error::invalid(
                        "filter",
                        format!("`{field}` is sealed: it is found by text, a number or null"),
                    )
                })
            }
            _ => Ok(value),
        };
        Ok(match filter {
            Filter::Eq(field, value) => Filter::Eq(self.stored(&field, "filter")?, blind(&field, value)?),
            Filter::In(field, values) => {
                let values = values.into_iter().map(|value| blind(&field, value)).collect::<Result<_>>()?;
                Filter::In(self.stored(&field, "filter")?, values)
            }
            Filter::Range { field, from, to } => {
                if self.stored(&field, "filter")? != field {
                    return Err(Error::invalid("filter", format!("`{field}` is sealed and has no order")));
                }
                Filter::Range { field, from, to }
            }
            Filter::And(parts) => Filter::And(self.filters(parts, collection, index)?),
            Filter::Or(parts) => Filter::Or(self.filters(parts, collection, index)?),
        })
    }

    fn filters(self, parts: Vec<Filter>, collection: &str, index: Option<&Sealer>) -> Result<Vec<Filter>> {
        parts.into_iter().map(|part| self.filter(part, collection, index)).collect()
    }
}

/// What stands for a value in the blind index of its field; nothing for what is not found by.
pub(super) fn blind(index: &Sealer, collection: &str, field: &str, value: &Value) -> Option<Value> {
    let text = match value {
        Value::Null => return Some(Value::Null),
        Value::String(text) => format!("t{text}"),
        Value::Number(number) => format!("n{}", number_text(number)),
        _ => return None,
    };
    let context = super::sealer::context(&["document", collection, field]);
    Some(Value::String(index.blind_index(&context, text.as_bytes())))
}

/// A number in one form: 1 and 1.0 are one.
fn number_text(number: &Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    let real = number.as_f64().unwrap_or_default();
    // Two powers of 63 are the ends of whole numbers; below them the conversion is exact.
    let is_whole =
        real.fract() == 0.0 && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&real);
    if is_whole { (real as i64).to_string() } else { format!("r{:x}", real.to_bits()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_have_equal_indexes_and_others_have_not() {
        let index = Sealer::new("k", [1; 32]).unwrap();
        let of = |value: Value| blind(&index, "c", "f", &value);
        assert_eq!(of(json!(1)), of(json!(1.0)));
        assert_eq!(of(json!(-0.0)), of(json!(0)));
        assert_ne!(of(json!(1)), of(json!("1")));
        assert_ne!(of(json!(9_007_199_254_740_993_i64)), of(json!(9_007_199_254_740_992_i64)));
        assert_ne!(of(json!(0.5)), of(json!(0.25)));
        assert_eq!(of(json!(null)), Some(Value::Null));
        assert_eq!((of(json!([1])), of(json!(true))), (None, None));
        assert_ne!(of(json!("x")), blind(&index, "c", "g", &json!("x")));
    }

    #[test]
    fn what_cannot_be_found_by_a_sealed_field_is_named() {
        let fields = SealedFields::new().seal("c", "body").seal_indexed("c", "email");
        let (fields, index) = (fields.of("c"), Sealer::new("k", [1; 32]).unwrap());
        let range = Filter::Range { field: "email".into(), from: Some(json!("a")), to: None };
        for bad in [
            Filter::eq("body", "x"),
            Filter::eq("body.x", "x"),
            Filter::eq("email.x", "x"),
            Filter::eq("email", true),
            Filter::eq("sealed_index.email", "x"),
            range.clone(),
            Filter::eq("a", 1).and(range),
        ] {
            let error = fields.filter(bad.clone(), "c", Some(&index)).unwrap_err();
            assert_eq!(error.field(), Some("filter"), "{bad:?}");
        }
        let mapped = fields.filter(Filter::eq("email", "x"), "c", Some(&index)).unwrap();
        assert!(matches!(mapped, Filter::Eq(field, Value::String(_)) if field == "sealed_index.email"));
        for bad in [
            Collection::new("c").unique("k", ["body"]),
            Collection::new("c").index(["email.x"]),
            Collection::new("c").sorted("email"),
        ] {
            assert!(fields.declared(&bad).is_err(), "{bad:?}");
        }
    }
}
