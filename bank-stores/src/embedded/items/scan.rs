//! All items, partition by partition.

use async_trait::async_trait;

use super::{SqliteItems, rows};
use crate::embedded::error::from_sqlx;
use crate::items::{Item, ItemsScan, SCAN, check_scan};
use crate::{Cursor, Error, Page, PageRequest, Result};

#[async_trait]
impl ItemsScan for SqliteItems {
    async fn scan(&self, page: &PageRequest) -> Result<Page<Item>> {
        check_scan(page)?;
        let after = page.after.as_ref().map(|cursor| cursor.position(&SCAN)).transpose()?;
        let wrong = |source| Error::invalid("after", "not a cursor of this query").with_source(source);
        // No partition is empty.
        let (partition, sort): (String, String) = match after {
            Some(after) => serde_json::from_str(&after).map_err(wrong)?,
            None => Default::default(),
        };
        let rows = sqlx::query(
            "SELECT partition, sort, value, version, expires_at FROM items
             WHERE (partition, sort) > (?1, ?2) AND (expires_at IS NULL OR expires_at > ?3)
             ORDER BY partition, sort LIMIT ?4",
        )
        .bind(partition)
        .bind(sort)
        .bind(self.now())
        .bind(i64::from(page.limit) + 1)
        .fetch_all(self.database.readers())
        .await
        .map_err(from_sqlx)?;
        let items = rows.iter().map(rows::item).collect();
        let place = |last: &Item| serde_json::json!([last.key.partition, last.key.sort]).to_string();
        Ok(Page::cut(items, page.limit, |last| Cursor::new(&SCAN, &place(last))))
    }
}
