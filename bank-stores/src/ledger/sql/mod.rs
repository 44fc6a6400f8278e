//! The ledger in an SQL database, written once: what engines differ in is a dialect, a session and how rows are sent.

mod columns;
mod history;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod outbox;
pub(crate) mod reads;
pub(crate) mod rows;
pub(crate) mod tables;
pub(crate) mod totals;
pub(crate) mod works;

#[cfg(feature = "aurora")]
pub(crate) use columns::select_accounts;
pub(crate) use history::as_booked;

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::{Consistency, Result, Timestamp};
use rows::Record;

/// The words in which engines differ. A text of ours names them in braces, and tables as well: `{join} {accounts} a`.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// A join whose left side is read first.
    pub(crate) join: &'static str,
    /// The texts of the first value, as rows `j` of one column `value`.
    pub(crate) texts: &'static str,
    /// The numbers of the first value, as such rows.
    pub(crate) numbers: &'static str,
    /// The greater of two values, up to the bracket.
    pub(crate) greatest: &'static str,
    /// The sequence of the newest command.
    pub(crate) newest: &'static str,
    /// The time of the server, where there is one, in microseconds; null otherwise.
    pub(crate) time: &'static str,
    /// Asks for the number, the nonce and the sequence of the newest group, where groups have rows.
    pub(crate) newest_group: Option<&'static str>,
    /// The balance of an account as of a value date, of `as_booked`.
    pub(crate) valued: &'static str,
}

impl Dialect {
    /// The text in this dialect, its tables in this schema.
    pub(crate) fn sql(&self, schema: Option<&str>, text: &str) -> String {
        let mut sql = String::with_capacity(text.len() + 256);
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            sql.push_str(before);
            let (word, behind) = after.split_once('}').unwrap_or((after, ""));
            match word {
                "join" => sql.push_str(self.join),
                "texts" => sql.push_str(self.texts),
                "numbers" => sql.push_str(self.numbers),
                "greatest" => sql.push_str(self.greatest),
                "time" => sql.push_str(self.time),
                "newest" => sql.push_str(&self.sql(schema, self.newest)),
                table => {
                    if let Some(schema) = schema {
                        sql.push_str(schema);
                        sql.push('.');
                    }
                    sql.push_str(table);
                }
            }
            rest = behind;
        }
        sql.push_str(rest);
        sql
    }
}

/// What a statement is given in the place of `$1`, `$2`, …
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Texts(Vec<&'a str>),
    Numbers(Vec<i64>),
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Number(time.micros())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> FromIterator<&'a str> for Value<'a> {
    fn from_iter<T: IntoIterator<Item = &'a str>>(texts: T) -> Self {
        Self::Texts(texts.into_iter().collect())
    }
}

/// A connection to an engine's tables.
pub(crate) trait Session: Send {
    type Row: Record + Send + Sync;

    fn dialect(&self) -> &'static Dialect;

    /// The rows of a query in our own text.
    fn rows(
        &mut self,
        text: &str,
        values: Vec<Value<'_>>,
    ) -> impl Future<Output = Result<Vec<Self::Row>>> + Send;

    /// Executes a statement in our own text; gives how many rows it wrote.
    fn execute(&mut self, text: &str, values: Vec<Value<'_>>) -> impl Future<Output = Result<u64>> + Send;

    /// The one row of a query, if there is one.
    fn row(
        &mut self,
        text: &str,
        values: Vec<Value<'_>>,
    ) -> impl Future<Output = Result<Option<Self::Row>>> + Send {
        let rows = self.rows(text, values);
        async { Ok(rows.await?.into_iter().next()) }
    }

    /// The one number of a query, called `number`.
    fn number(
        &mut self,
        text: &str,
        values: Vec<Value<'_>>,
    ) -> impl Future<Output = Result<Option<i64>>> + Send {
        let row = self.row(text, values);
        async { row.await?.map_or(Ok(None), |row| row.optional_number("number")) }
    }
}

/// An engine's tables, read beside its writer.
pub(crate) trait Store: Send + Sync + 'static {
    type Session: Session + Send;

    /// A connection for reads that have to be as fresh as this.
    fn session(&self, read: Consistency) -> impl Future<Output = Result<Self::Session>> + Send;

    /// The one connection for what reads much, which is waited for, so that it is in nobody's way.
    fn report(&self) -> impl Future<Output = Result<Self::Session>> + Send;

    /// The time that deadlines are held against.
    fn now(&self) -> Timestamp;

    /// Its server has said that it is so late.
    fn learn(&self, _time: Timestamp) {}

    /// The rows of a query of what is committed now.
    fn rows(
        &self,
        text: &str,
        values: &[i64],
    ) -> impl Future<Output = Result<Vec<<Self::Session as Session>::Row>>> + Send {
        let values = values.iter().map(|value| Value::Number(*value)).collect();
        async { self.session(Consistency::Current).await?.rows(text, values).await }
    }
}

/// A store whose every read is a part of a report.
#[derive(Debug)]
pub(crate) struct Reports<S>(pub(crate) std::sync::Arc<S>);

impl<S: Store> Store for Reports<S> {
    type Session = S::Session;

    async fn session(&self, _read: Consistency) -> Result<S::Session> {
        self.0.report().await
    }

    async fn report(&self) -> Result<S::Session> {
        self.0.report().await
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// A store that is read on one connection. A failover moves a connection to the new server once and never back, so no read is of a
/// history that the reads before it did not have any more.
pub(crate) struct OneConnection<S: Store> {
    store: Arc<S>,
    dialect: &'static Dialect,
    session: Mutex<S::Session>,
}

impl<S: Store> OneConnection<S> {
    pub(crate) async fn to(store: Arc<S>) -> Result<Self> {
        let session = store.session(Consistency::Current).await?;
        Ok(Self { dialect: session.dialect(), session: Mutex::new(session), store })
    }

    pub(crate) const fn dialect(&self) -> &'static Dialect {
        self.dialect
    }
}

impl<S: Store> Store for OneConnection<S> {
    type Session = S::Session;

    async fn session(&self, read: Consistency) -> Result<S::Session> {
        self.store.session(read).await
    }

    async fn report(&self) -> Result<S::Session> {
        self.store.report().await
    }

    fn now(&self) -> Timestamp {
        self.store.now()
    }

    async fn rows(&self, text: &str, values: &[i64]) -> Result<Vec<<S::Session as Session>::Row>> {
        let values = values.iter().map(|value| Value::Number(*value)).collect();
        self.session.lock().await.rows(text, values).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        join: "JOIN",
        texts: "t",
        numbers: "n",
        greatest: "max(",
        newest: "(SELECT max(sequence) FROM {chain})",
        time: "NULL",
        newest_group: None,
        valued: "",
    };

    #[test]
    fn words_are_the_dialects_and_other_names_are_tables_of_the_schema() {
        let text = "SELECT {greatest}a, b) FROM {texts} {join} {accounts} a WHERE a.sequence < {newest}";
        let plain =
            "SELECT max(a, b) FROM t JOIN accounts a WHERE a.sequence < (SELECT max(sequence) FROM chain)";
        assert_eq!(DIALECT.sql(None, text), plain);
        assert_eq!(DIALECT.sql(Some("s"), "FROM {accounts}"), "FROM s.accounts");
    }
}
