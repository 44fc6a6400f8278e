//! The tables as the hash chain reads them.

use sqlx::postgres::PgRow;

use crate::aurora::database::Database;
use crate::aurora::error::from_sqlx;
use crate::ledger::chain::ChainStore;
use crate::{Result, Timestamp};

impl ChainStore for Database {
    type Row = PgRow;
    const NEWEST: &'static str = "SELECT sequence FROM state";

    async fn rows(&self, sql: &'static str, values: &[i64]) -> Result<Vec<Self::Row>> {
        let query = values.iter().fold(sqlx::query(sql), |query, value| query.bind(*value));
        query.fetch_all(self.current()).await.map_err(from_sqlx)
    }

    fn now(&self) -> Timestamp {
        self.options().clock.now()
    }
}
