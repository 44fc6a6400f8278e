//! The tables as the hash chain reads them.

use sqlx::sqlite::SqliteRow;

use crate::embedded::database::Database;
use crate::embedded::error::from_sqlx;
use crate::ledger::chain::ChainStore;
use crate::{Result, Timestamp};

impl ChainStore for Database {
    type Row = SqliteRow;
    const NEWEST: &'static str = "SELECT max(position) FROM outbox";

    async fn rows(&self, sql: &'static str, values: &[i64]) -> Result<Vec<Self::Row>> {
        let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value));
        query.fetch_all(self.readers()).await.map_err(from_sqlx)
    }

    fn now(&self) -> Timestamp {
        self.options().clock.now()
    }
}
