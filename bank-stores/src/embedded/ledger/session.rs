//! SQLite's dialect and sessions.

use std::ops::DerefMut;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Sqlite};

use crate::embedded::database::Database;
use crate::embedded::error::from_sqlx;
use crate::ledger::sql::{Dialect, Session, Store, Value, as_booked};
use crate::{Consistency, Result, Timestamp};

/// `CROSS JOIN` keeps the order of a join; a list travels as JSON.
static DIALECT: Dialect = Dialect {
    join: "CROSS JOIN",
    texts: "jsonb_each($1) j",
    numbers: "jsonb_each($1) j",
    greatest: "max(",
    newest: "(SELECT coalesce(max(sequence), 0) FROM (
                  SELECT max(sequence) AS sequence FROM {postings} UNION ALL SELECT max(sequence) FROM {accounts}
                  UNION ALL SELECT max(sequence) FROM {holds} UNION ALL SELECT max(sequence) FROM {changes}
                  UNION ALL SELECT max(ended_by) FROM {holds} WHERE ended_by IS NOT NULL))",
    time: "CAST(NULL AS INTEGER)",
    newest_group: None,
    valued: as_booked!(
        ", chosen AS MATERIALIZED (
             SELECT account, entries <= $3 OR $3 = (SELECT count(*) FROM (
                 SELECT 1 FROM {postings} WHERE value_at IS NOT NULL AND max(booked_at, value_at) > $2 LIMIT $3
             )) AS by_entries FROM booked
         ), dated AS (
             SELECT e.amount, p.booked_at, p.value_at FROM chosen CROSS JOIN {entries} e ON e.account = chosen.account
             CROSS JOIN {postings} p ON p.sequence = e.posting WHERE chosen.by_entries
             UNION ALL
             SELECT e.amount, p.booked_at, p.value_at FROM chosen CROSS JOIN {postings} p
             CROSS JOIN {entries} e ON e.posting = p.sequence AND e.account = chosen.account
             WHERE NOT chosen.by_entries AND p.value_at IS NOT NULL AND max(p.booked_at, p.value_at) > $2
         ), halves AS (
             SELECT iif(booked_at <= $2, -1, 1) AS sign, amount >> 32 AS high, amount & 4294967295 AS low
             FROM dated WHERE (booked_at <= $2) <> (value_at <= $2)
         )
         SELECT currency, balance, coalesce((SELECT sum(sign * high) FROM halves), 0) AS high,
                coalesce((SELECT sum(sign * low) FROM halves), 0) AS low FROM booked"
    ),
};

/// A connection, the writer's own or a pool's.
#[derive(Debug)]
pub(crate) struct SqliteSession<C>(pub(super) C);

impl<C: DerefMut<Target = SqliteConnection> + Send> Session for SqliteSession<C> {
    type Row = SqliteRow;

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn rows(&mut self, text: &str, values: Vec<Value<'_>>) -> Result<Vec<SqliteRow>> {
        let (sql, arguments) = (DIALECT.sql(None, text), arguments(values)?);
        // Our own texts with our own words in them.
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.fetch_all(&mut *self.0).await.map_err(from_sqlx)
    }

    async fn execute(&mut self, text: &str, values: Vec<Value<'_>>) -> Result<u64> {
        let (sql, arguments) = (DIALECT.sql(None, text), arguments(values)?);
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.execute(&mut *self.0).await.map_err(from_sqlx).map(|done| done.rows_affected())
    }
}

fn arguments(values: Vec<Value<'_>>) -> Result<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for value in values {
        // Lists of texts and of numbers are always JSON.
        let added = match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text.to_owned()),
            Value::Bytes(bytes) => arguments.add(bytes.to_vec()),
            Value::Texts(texts) => arguments.add(serde_json::to_string(&texts).unwrap_or_default()),
            Value::Numbers(numbers) => arguments.add(serde_json::to_string(&numbers).unwrap_or_default()),
        };
        added.map_err(|error| from_sqlx(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

impl Store for Database {
    type Session = SqliteSession<PoolConnection<Sqlite>>;

    async fn session(&self, _read: Consistency) -> Result<Self::Session> {
        self.readers().acquire().await.map(SqliteSession).map_err(from_sqlx)
    }

    async fn report(&self) -> Result<Self::Session> {
        self.reports().acquire().await.map(SqliteSession).map_err(from_sqlx)
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }
}
