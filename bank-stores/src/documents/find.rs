//! Finding documents: filters, order, pages.

use serde_json::Value;

use super::collection::check_field;
use super::write::holds;
use crate::{Consistency, Direction, Error, PageRequest, Result};

/// How deep filters may be nested, and how many values and parts one may have.
const MAX_DEPTH: usize = 8;
const MAX_PARTS: usize = 100;

/// Which documents are wanted.
///
/// Values are compared with their type: the number 1 is neither `"1"` nor `true`. Only text, numbers, `true`, `false`
/// and null can be compared; null is also what a missing field has. A field that holds a list has none of these, and a path does
/// not lead through lists.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Filter {
    /// The field has this value.
    Eq(String, Value),
    /// The field has one of these values.
    In(String, Vec<Value>),
    /// The field lies from `from` on and up to `to`, both included; text by bytes, numbers by size.
    Range {
        /// The field.
        field: String,
        /// The smallest value, if there is one.
        from: Option<Value>,
        /// The greatest value, if there is one.
        to: Option<Value>,
    },
    /// All of these hold.
    And(Vec<Self>),
    /// At least one of these holds.
    Or(Vec<Self>),
}

impl Filter {
    /// The field has this value.
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Eq(field.into(), value.into())
    }

    /// The field has one of these values.
    pub fn any_of<V: Into<Value>>(field: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        Self::In(field.into(), values.into_iter().map(Into::into).collect())
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::And(vec![self, other])
    }

    /// One of the two holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::Or(vec![self, other])
    }

    fn validate(&self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::invalid("filter", format!("nested more than {MAX_DEPTH} deep")));
        }
        match self {
            Self::Eq(field, value) => check_field(field).and_then(|()| check_value(value)),
            Self::In(field, values) => {
                check_field(field)?;
                check_count(values.len())?;
                values.iter().try_for_each(check_value)
            }
            Self::Range { field, from, to } => {
                check_field(field)?;
                if from.is_none() && to.is_none() {
                    return Err(Error::invalid("filter", "a range has a smallest or a greatest value"));
                }
                [from, to].into_iter().flatten().try_for_each(|value| match value {
                    Value::String(_) | Value::Number(_) => check_value(value),
                    _ => Err(Error::invalid("filter", "a range is of text or numbers")),
                })
            }
            Self::And(parts) | Self::Or(parts) => {
                check_count(parts.len())?;
                parts.iter().try_for_each(|part| part.validate(depth + 1))
            }
        }
    }
}

fn check_value(value: &Value) -> Result<()> {
    match value {
        Value::Array(_) | Value::Object(_) => {
            Err(Error::invalid("filter", "lists and objects cannot be compared"))
        }
        Value::Number(number) if !holds(number) => {
            Err(Error::invalid("filter", "whole numbers are from -2^63 to 2^63 - 1"))
        }
        _ => Ok(()),
    }
}

fn check_count(count: usize) -> Result<()> {
    if (1..=MAX_PARTS).contains(&count) {
        return Ok(());
    }
    Err(Error::invalid("filter", format!("1 to {MAX_PARTS} parts")))
}

/// Which documents are wanted, in which order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Find {
    /// Which documents; all where it is not said.
    pub filter: Option<Filter>,
    /// By which declared field; by id where it is not said.
    pub sort: Option<String>,
    /// Which page; its direction is that of the order.
    pub page: PageRequest,
    /// How fresh it has to be.
    pub read: Consistency,
}

impl Find {
    /// The first 100 documents by id.
    pub fn all() -> Self {
        Self { filter: None, sort: None, page: PageRequest::first(100), read: Consistency::Current }
    }

    /// Only these; called twice, both have to hold.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(match self.filter {
            Some(first) => first.and(filter),
            None => filter,
        });
        self
    }

    /// By this field, which the collection declares as sorted; among equals by id. Missing and null come first, then numbers, then
    /// text by bytes.
    #[must_use]
    pub fn sort(mut self, field: impl Into<String>, direction: Direction) -> Self {
        self.sort = Some(field.into());
        self.page.direction = direction;
        self
    }

    /// Which page; keeps the direction that [`Find::sort`] has set.
    #[must_use]
    pub fn page(mut self, page: PageRequest) -> Self {
        let direction = if self.sort.is_some() { self.page.direction } else { page.direction };
        self.page = PageRequest { direction, ..page };
        self
    }

    /// How fresh the answer has to be; current where it is not said.
    #[must_use]
    pub fn read(mut self, read: Consistency) -> Self {
        self.read = read;
        self
    }

    /// Checks what can be checked without the store; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        self.page.validate()?;
        if let Some(field) = &self.sort {
            check_field(field)?;
        }
        self.filter.as_ref().map_or(Ok(()), |filter| filter.validate(1))
    }

    /// What a cursor of this query is bound to, for the collection named.
    pub fn identity(&self, collection: &str) -> Vec<String> {
        vec![
            "documents".to_owned(),
            collection.to_owned(),
            format!("{:?}", self.page.direction),
            format!("{:?}", self.sort),
            format!("{:?}", self.filter),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let deep = (0..10).fold(Filter::eq("a", 1), |filter, _| Filter::And(vec![filter]));
        let bad = [
            Filter::eq("a'b", 1),
            Filter::eq("a", json!({"$gt": 1})),
            Filter::In("a".into(), vec![]),
            Filter::Range { field: "a".into(), from: None, to: None },
            Filter::Range { field: "a".into(), from: Some(json!(true)), to: None },
            Filter::Or(vec![]),
            Filter::eq("a", u64::MAX),
            deep,
        ];
        for filter in bad {
            assert!(Find::all().filter(filter).validate().is_err());
        }
        assert!(Find::all().filter(Filter::eq("a.b", json!(null))).validate().is_ok());
    }
}
