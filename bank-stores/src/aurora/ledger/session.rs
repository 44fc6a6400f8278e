//! PostgreSQL's dialect and sessions.

use std::ops::DerefMut;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::{Arguments as _, AssertSqlSafe};

use crate::aurora::database::Database;
use crate::aurora::error::from_sqlx;
use crate::ledger::sql::{Dialect, Session, Store, Value, as_booked};
use crate::{Consistency, Result, Timestamp};

pub(crate) static DIALECT: Dialect = Dialect {
    join: "JOIN",
    texts: "unnest($1::text[]) AS j (value)",
    numbers: "unnest($1::bigint[]) AS j (value)",
    greatest: "greatest(",
    newest: "(SELECT sequence FROM {groups} ORDER BY number DESC LIMIT 1)",
    time: "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    newest_group: Some("SELECT number, nonce, sequence FROM {groups} ORDER BY number DESC LIMIT 1"),
    // Each subquery is read for the one row of `chosen`, and not at all where its condition on that row does not hold.
    valued: as_booked!(
        ", chosen AS MATERIALIZED (
              SELECT *, entries <= $3 OR $3 = (SELECT count(*) FROM (
                  SELECT 1 FROM {postings} WHERE value_at IS NOT NULL AND greatest(booked_at, value_at) > $2 LIMIT $3
              ) AS later) AS by_entries FROM booked
          ), summed AS (
              SELECT b.currency, b.balance, coalesce((
                  SELECT sum(CASE WHEN d.booked_at <= $2 THEN -d.amount::numeric ELSE d.amount END) FROM (
                      SELECT e.amount, p.booked_at, p.value_at FROM {entries} e JOIN {postings} p ON p.sequence = e.posting
                      WHERE b.by_entries AND e.account = b.account
                      UNION ALL
                      SELECT e.amount, p.booked_at, p.value_at FROM (
                          SELECT sequence, booked_at, value_at FROM {postings}
                          WHERE NOT b.by_entries AND value_at IS NOT NULL AND greatest(booked_at, value_at) > $2 OFFSET 0
                      ) p JOIN {entries} e ON e.posting = p.sequence AND e.account = b.account
                  ) d WHERE (d.booked_at <= $2) <> (d.value_at <= $2)), 0) AS dated
              FROM chosen b
          )
          SELECT currency, balance, div(dated, 4294967296)::bigint AS high, mod(dated, 4294967296)::bigint AS low
          FROM summed"
    ),
};

/// A connection, the writer's own or a pool's, and the schema of its tables.
#[derive(Debug)]
pub(crate) struct PgSession<C> {
    pub(crate) connection: C,
    pub(crate) schema: Arc<str>,
}

impl<C: DerefMut<Target = PgConnection> + Send> Session for PgSession<C> {
    type Row = PgRow;

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    async fn rows(&mut self, text: &str, values: Vec<Value<'_>>) -> Result<Vec<PgRow>> {
        let (sql, arguments) = (DIALECT.sql(Some(&self.schema), text), arguments(values)?);
        // Our own texts with our own words in them.
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.fetch_all(&mut *self.connection).await.map_err(from_sqlx)
    }

    async fn execute(&mut self, text: &str, values: Vec<Value<'_>>) -> Result<u64> {
        let (sql, arguments) = (DIALECT.sql(Some(&self.schema), text), arguments(values)?);
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
        query.execute(&mut *self.connection).await.map_err(from_sqlx).map(|done| done.rows_affected())
    }
}

fn arguments(values: Vec<Value<'_>>) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        let added = match value {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
            Value::Texts(texts) => arguments.add(texts),
            Value::Numbers(numbers) => arguments.add(numbers),
        };
        added.map_err(|error| from_sqlx(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}

impl Store for Database {
    type Session = PgSession<PoolConnection<Postgres>>;

    async fn session(&self, read: Consistency) -> Result<Self::Session> {
        self.reader(read).await.map(|connection| self.connected(connection))
    }

    async fn report(&self) -> Result<Self::Session> {
        self.reports().acquire().await.map(|connection| self.connected(connection)).map_err(from_sqlx)
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn learn(&self, time: Timestamp) {
        self.clock().is(time);
    }
}
