//! Filters as SQL: names are checked and quoted, values are bound.

use serde_json::Value;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::documents::Filter;
use crate::{Error, Result};

/// A condition and the values that its question marks stand for.
#[derive(Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a question mark for `value`, which is text or a number.
    pub(super) fn value(&mut self, value: &Value) {
        self.text.push('?');
        self.values.push(value.clone());
    }

    /// Adds the condition that `filter` states; it has been validated.
    pub(super) fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::Eq(field, value) => self.equal(field, value),
            Filter::In(field, values) => self.any(values, |sql, value| sql.equal(field, value)),
            Filter::Range { field, from, to } => {
                self.push("(");
                let mut between = "";
                for (value, comparison) in [(from, " >= "), (to, " <= ")] {
                    if let Some(value) = value {
                        self.push(between);
                        self.push(&expression(field));
                        self.push(comparison);
                        self.value(value);
                        self.push(" AND ");
                        self.of_type(field, value);
                        between = " AND ";
                    }
                }
                self.push(")");
            }
            Filter::And(parts) => self.joined(parts, " AND ", Self::filter),
            Filter::Or(parts) => self.any(parts, Self::filter),
        }
    }

    fn any<T>(&mut self, parts: &[T], add: impl FnMut(&mut Self, &T)) {
        self.joined(parts, " OR ", add);
    }

    fn joined<T>(&mut self, parts: &[T], between: &str, mut add: impl FnMut(&mut Self, &T)) {
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(between);
            }
            add(self, part);
        }
        self.push(")");
    }

    /// SQLite takes `true` for 1, and an object for its text: the type is compared too.
    fn equal(&mut self, field: &str, value: &Value) {
        match value {
            Value::Null => {
                self.push(&expression(field));
                self.push(" IS NULL");
            }
            Value::Bool(_) => self.of_type(field, value),
            _ => {
                self.push("(");
                self.push(&expression(field));
                self.push(" = ");
                self.value(value);
                self.push(" AND ");
                self.of_type(field, value);
                self.push(")");
            }
        }
    }

    fn of_type(&mut self, field: &str, value: &Value) {
        self.push("json_type(body, '");
        self.push(&path(field));
        self.push(match value {
            Value::Bool(true) => "') = 'true'",
            Value::Bool(false) => "') = 'false'",
            Value::Number(_) => "') IN ('integer', 'real')",
            _ => "') = 'text'",
        });
    }
}

/// The value of a field, as it is in the indexes.
pub(super) fn expression(field: &str) -> String {
    format!("json_extract(body, '{}')", path(field))
}

/// `$."a"."b"`; the field's name has been checked and holds no quote.
pub(super) fn path(field: &str) -> String {
    let mut path = String::from("$");
    for part in field.split('.') {
        path.push_str(".\"");
        path.push_str(part);
        path.push('"');
    }
    path
}

/// Binds text and numbers as what they are.
pub(super) fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    value: &Value,
) -> Query<'q, Sqlite, SqliteArguments> {
    match value {
        Value::String(text) => query.bind(text.clone()),
        Value::Bool(truth) => query.bind(i64::from(*truth)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => query.bind(number),
            None => query.bind(number.as_f64()),
        },
        _ => query.bind(None::<i64>),
    }
}

/// The order and the place behind a cursor: `sort` and `id` of the last document, with NULL before everything.
pub(super) fn behind(sql: &mut Sql, sort: &str, forward: bool, last: &(Value, String)) -> Result<()> {
    let (value, id) = last;
    let id = Value::String(id.clone());
    let (beyond, edge) = if forward { (" > ", " IS NOT NULL") } else { (" < ", " IS NULL") };
    match value {
        Value::Array(_) | Value::Object(_) => {
            return Err(Error::invalid("after", "not a cursor of this query"));
        }
        Value::Null => {
            sql.push(&format!("(({sort} IS NULL AND id{beyond}"));
            sql.value(&id);
            sql.push(")");
            if forward {
                sql.push(&format!(" OR {sort}{edge}"));
            }
        }
        _ => {
            sql.push(&format!("({sort}{beyond}"));
            sql.value(value);
            sql.push(&format!(" OR ({sort} = "));
            sql.value(value);
            sql.push(&format!(" AND id{beyond}"));
            sql.value(&id);
            sql.push(")");
            if !forward {
                sql.push(&format!(" OR {sort}{edge}"));
            }
        }
    }
    sql.push(")");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_never_part_of_the_text() {
        let mut sql = Sql::default();
        let evil = "'; DROP TABLE documents --";
        sql.filter(&Filter::eq("a.b", evil).or(Filter::any_of("c", [1, 2])));
        assert!(!sql.text.contains("DROP"), "{}", sql.text);
        assert_eq!(sql.values.len(), 3);
        assert!(sql.text.contains(r#"json_extract(body, '$."a"."b"') = ?"#), "{}", sql.text);
    }
}
