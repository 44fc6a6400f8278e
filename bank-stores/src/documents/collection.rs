//! Collections: their keys, orders and indexes.

use serde_json::Value;

use crate::{Error, Result};

/// The longest text in a field that documents are sorted by, in bytes.
pub const MAX_SORT_TEXT: usize = 512;

/// A key that no two documents share.
///
/// A document that lacks one of the fields, or has null there, is not bound by it. The fields hold text or numbers and nothing
/// else; the number 1 and the text "1" are two keys, 1 and 1.0 one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Unique {
    /// Its name, given by the error when it is broken.
    pub name: String,
    /// The fields that make it, `a.b` for nested ones.
    pub fields: Vec<String>,
}

impl Unique {
    /// A unique key `name` over `fields`.
    pub fn new<F: Into<String>>(name: impl Into<String>, fields: impl IntoIterator<Item = F>) -> Self {
        Self { name: name.into(), fields: fields.into_iter().map(Into::into).collect() }
    }
}

/// What a collection of documents is like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Collection {
    /// Its name: 1 to 48 characters of `a-z 0-9 _`, a letter first.
    pub name: String,
    /// Keys that no two documents share.
    pub unique: Vec<Unique>,
    /// Fields that documents may be sorted by. They hold text of up to 512 bytes, numbers, null or nothing.
    pub sorted: Vec<String>,
    /// Fields that are often searched by, together.
    pub indexes: Vec<Vec<String>>,
}

impl Collection {
    /// A collection without unique keys and indexes yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), unique: Vec::new(), sorted: Vec::new(), indexes: Vec::new() }
    }

    /// Adds a unique key.
    #[must_use]
    pub fn unique<F: Into<String>>(
        mut self,
        name: impl Into<String>,
        fields: impl IntoIterator<Item = F>,
    ) -> Self {
        self.unique.push(Unique::new(name, fields));
        self
    }

    /// Adds a field that documents may be sorted by.
    #[must_use]
    pub fn sorted(mut self, field: impl Into<String>) -> Self {
        self.sorted.push(field.into());
        self
    }

    /// Adds an index.
    #[must_use]
    pub fn index<F: Into<String>>(mut self, fields: impl IntoIterator<Item = F>) -> Self {
        self.indexes.push(fields.into_iter().map(Into::into).collect());
        self
    }

    /// Checks the names; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        check_name("collection", &self.name)?;
        for unique in &self.unique {
            check_name("unique.name", &unique.name)?;
        }
        self.sorted.iter().try_for_each(|field| check_field(field))?;
        let lists = self.unique.iter().map(|unique| &unique.fields).chain(&self.indexes);
        for fields in lists {
            if !(1..=8).contains(&fields.len()) {
                return Err(Error::invalid("fields", "1 to 8 fields"));
            }
            for field in fields {
                check_field(field)?;
            }
        }
        Ok(())
    }
}

impl Collection {
    /// Asked by an adapter: what the fields of keys and of orders hold in this body is what they may hold. `Invalid` names the
    /// field, such as `body.email`.
    pub fn check(&self, body: &Value) -> Result<()> {
        for field in self.unique.iter().flat_map(|unique| &unique.fields) {
            check_key(field, body, usize::MAX)?;
        }
        self.sorted.iter().try_for_each(|field| check_key(field, body, MAX_SORT_TEXT))
    }
}

fn check_key(field: &str, body: &Value, longest: usize) -> Result<()> {
    let value = field.split('.').try_fold(body, |value, part| value.get(part));
    match value {
        None | Some(Value::Null | Value::Number(_)) => Ok(()),
        Some(Value::String(text)) if text.len() <= longest && !text.contains('\0') => Ok(()),
        Some(Value::String(_)) => {
            let message = format!("text of at most {longest} bytes without NUL");
            Err(Error::invalid(format!("body.{field}"), message))
        }
        Some(_) => {
            Err(Error::invalid(format!("body.{field}"), "text, a number or null in the field of a key"))
        }
    }
}

/// Checks the name of a collection or a key.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && name.len() <= 48 && name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(Error::invalid(field, "1 to 48 characters of a-z 0-9 _, a letter first"))
}

/// Checks the name of a field: parts of `A-Z a-z 0-9 _`, with points between.
pub(crate) fn check_field(name: &str) -> Result<()> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.len() <= 200 && name.split('.').all(part) {
        return Ok(());
    }
    Err(Error::invalid(
        "field",
        "a field's name has A-Z a-z 0-9 _, with points between the names of nested ones",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        for bad in ["", "a b", "a'b", "a..b", ".a", "a\"", "$", "ä"] {
            assert!(check_field(bad).is_err(), "{bad}");
        }
        assert!(check_field("a.b_1.C").is_ok());
        for bad in ["", "Consents", "1a", "a-b", "a.b", &"a".repeat(49)] {
            assert!(Collection::new(bad).validate().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_fields_of_keys_hold_text_and_numbers() {
        let collection = Collection::new("c").unique("k", ["a.b", "c"]).sorted("d");
        for body in
            [json!({}), json!({ "a": { "b": "x" }, "c": 1.5, "d": null }), json!({ "a": [1], "e": true })]
        {
            assert!(collection.check(&body).is_ok(), "{body}");
        }
        let long = "x".repeat(MAX_SORT_TEXT + 1);
        for (body, field) in [
            (json!({ "a": { "b": true } }), "body.a.b"),
            (json!({ "c": [1] }), "body.c"),
            (json!({ "c": {} }), "body.c"),
            (json!({ "d": false }), "body.d"),
            (json!({ "d": long }), "body.d"),
        ] {
            assert_eq!(collection.check(&body).unwrap_err().field(), Some(field));
        }
    }
}
