//! Items in a SQLite file.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row};

use super::database::Database;
use super::error::from_sqlx;
use super::items_engine::{self as engine, ItemsEngine};
use super::writer::{SqliteGroup, start};
use super::{SqliteOptions, outbox};
use crate::items::{Committed, Item, Key, Query, SortRange, Transaction, WriteId};
use crate::writer::Writer;
use crate::{Consistency, Cursor, Direction, Event, Items, Page, Position, Result};

/// Items in a SQLite file.
#[derive(Debug)]
pub struct SqliteItems {
    database: Arc<Database>,
    /// None where the store is read only.
    writer: Option<Writer<SqliteGroup<ItemsEngine>>>,
}

impl SqliteItems {
    /// Opens the store and starts its writer on the current tokio runtime.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let clock = options.clock.clone();
        let database = Database::open(options, engine::SCHEMA).await?;
        let writer = match database.options().read_only {
            true => None,
            false => Some(start(database.clone(), ItemsEngine::new(clock)).await?),
        };
        Ok(Self { database, writer })
    }

    /// Executes what is waiting and closes the file; later calls are `Unavailable`.
    pub async fn close(&self) {
        match &self.writer {
            Some(writer) => writer.close().await,
            None => self.database.readers().close().await,
        }
    }

    fn now(&self) -> i64 {
        self.database.options().clock.now().micros()
    }
}

#[async_trait]
impl Items for SqliteItems {
    async fn get(&self, key: &Key, _read: Consistency) -> Result<Option<Item>> {
        key.validate()?;
        let row = sqlx::query(
            "SELECT partition, sort, value, version, expires_at FROM items
             WHERE partition = ?1 AND sort = ?2 AND (expires_at IS NULL OR expires_at > ?3)",
        )
        .bind(&key.partition)
        .bind(&key.sort)
        .bind(self.now())
        .fetch_optional(self.database.readers())
        .await
        .map_err(from_sqlx)?;
        Ok(row.as_ref().map(engine::item))
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<Result<Committed>> {
        match &self.writer {
            Some(writer) => writer.execute(transactions).await,
            None => transactions.iter().map(|_| Err(self.database.read_only_refusal())).collect(),
        }
    }

    async fn committed(&self, id: &WriteId) -> Result<Option<Committed>> {
        let row = sqlx::query("SELECT sequence, versions FROM writes WHERE id = ?1")
            .bind(id.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        row.map(|row| engine::committed(id.clone(), row.get(0), row.get(1))).transpose()
    }

    async fn query(&self, query: &Query) -> Result<Page<Item>> {
        query.validate()?;
        let identity = query.identity();
        let after = query.page.after.as_ref().map(|cursor| cursor.position(&identity)).transpose()?;
        let (low, high, beyond) = bounds(&query.range);
        let mut sql = String::from(
            "SELECT partition, sort, value, version, expires_at FROM items
             WHERE partition = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        );
        let forward = query.page.direction == Direction::Forward;
        for (present, part) in [
            (low.is_some(), " AND sort >= ?3"),
            (high.is_some(), " AND sort <= ?4"),
            (beyond.is_some(), " AND sort < ?5"),
            (after.is_some(), if forward { " AND sort > ?6" } else { " AND sort < ?6" }),
        ] {
            if present {
                sql.push_str(part);
            }
        }
        sql.push_str(if forward { " ORDER BY sort LIMIT ?7" } else { " ORDER BY sort DESC LIMIT ?7" });
        // Only the constant pieces above are in it; there are 32 such texts at most.
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(&query.partition)
            .bind(self.now())
            .bind(low)
            .bind(high)
            .bind(beyond)
            .bind(after)
            .bind(i64::from(query.page.limit) + 1)
            .fetch_all(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        let items = rows.iter().map(engine::item).collect();
        Ok(Page::cut(items, query.page.limit, |last: &Item| Cursor::new(&identity, &last.key.sort)))
    }

    async fn events(&self, after: Position, limit: u32, wait: Duration) -> Result<Vec<Event>> {
        let position = self.writer.as_ref().map(Writer::position);
        outbox::read(self.database.readers(), position, after, limit, wait).await
    }
}

/// The smallest `sort`, the greatest, and the first that lies beyond.
fn bounds(range: &SortRange) -> (Option<&str>, Option<&str>, Option<String>) {
    match range {
        SortRange::All => (None, None, None),
        SortRange::Between(from, to) => (Some(from), Some(to), None),
        SortRange::Prefix(prefix) => (Some(prefix), None, beyond(prefix)),
    }
}

/// The first text, in byte order, that lies beyond all that start with `prefix`; none where there is no such text.
fn beyond(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Byte order of UTF-8 is the order of code points; the surrogates' gap is stepped over.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::Change;
    use crate::{Clock, ManualClock, Timestamp};

    #[tokio::test]
    async fn what_expires_goes_at_least_as_fast_as_more_comes() {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000));
        let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let items = SqliteItems::open(options).await.unwrap();
        let minute = Duration::from_secs(60);
        let write = async |name: &str, count: usize| {
            let expires_at = clock.now().saturating_add(minute);
            let put = |n| {
                let key = Key::new(format!("{name}{n}"), "s");
                Change::put(key, &n).unwrap().expires_at(expires_at)
            };
            let transaction = |n| Transaction::new(format!("{name}{n}")).change(put(n));
            for outcome in items.commit((0..count).map(transaction).collect()).await {
                outcome.unwrap();
            }
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM items")
                .fetch_one(items.database.readers())
                .await
                .unwrap()
        };
        assert_eq!(write("a", 3_000).await, 3_000);
        clock.advance(minute);
        // The group that is the first of this minute removes more than the others.
        assert!(write("b", 1).await <= 2_001);
        assert!(write("c", 1_500).await <= 1_501);
    }

    #[test]
    fn the_end_of_a_prefix_lies_just_beyond_it() {
        assert_eq!(beyond("ab").as_deref(), Some("ac"));
        assert_eq!(beyond("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(beyond("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(beyond("\u{10ffff}"), None);
        assert_eq!(beyond(""), None);
    }
}
