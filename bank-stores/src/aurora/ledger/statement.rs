//! One statement that writes to several tables: each gets its rows as arrays, in a common table expression of its own.

use sqlx::postgres::{PgArguments, PgConnection, PgHasArrayType, Postgres};
use sqlx::{Arguments, AssertSqlSafe, Encode, Type};

/// A statement under construction.
#[derive(Default)]
pub(super) struct Statement {
    parts: Vec<String>,
    arguments: PgArguments,
    count: usize,
}

impl Statement {
    /// The next argument, as it is written in the statement.
    pub(super) fn value<'q, T>(&mut self, value: T) -> sqlx::Result<String>
    where
        T: Encode<'q, Postgres> + Type<Postgres> + 'q,
    {
        self.arguments.add(value).map_err(sqlx::Error::Encode)?;
        self.count += 1;
        Ok(format!("${}", self.count))
    }

    /// A column of the next table.
    pub(super) fn column<'q, T>(&mut self, values: Vec<T>, kind: &str) -> sqlx::Result<String>
    where
        T: PgHasArrayType + Encode<'q, Postgres> + Type<Postgres> + 'q,
        Vec<T>: Encode<'q, Postgres> + Type<Postgres>,
    {
        Ok(format!("{}::{kind}[]", self.value(values)?))
    }

    /// Adds what is done with a table.
    pub(super) fn part(&mut self, sql: String) {
        self.parts.push(sql);
    }

    /// Executes everything at once; says whether the first part gave a row.
    pub(super) async fn execute(self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let mut sql = String::new();
        for (number, part) in self.parts.iter().enumerate() {
            sql.push_str(if number == 0 { "WITH " } else { ", " });
            sql.push_str(&format!("t{number} AS ({part})"));
        }
        sql.push_str(" SELECT 1 FROM t0");
        // Only our own words and numbers of arguments are in it.
        // All rows, and with them the end of the statement: a row may come before what it tells is committed.
        let rows = sqlx::query_with(AssertSqlSafe(sql), self.arguments).fetch_all(connection).await?;
        Ok(!rows.is_empty())
    }
}
