//! All items of the table, among whatever else is in it.

use async_trait::async_trait;

use super::DynamoItems;
use super::calls::{Effect, plain};
use super::rows::{At, item, number, text, text_of};
use crate::items::{Item, ItemsScan, SCAN, check_scan};
use crate::{Cursor, Error, Page, PageRequest, Result};

#[async_trait]
impl ItemsScan for DynamoItems {
    /// It reads the whole table, events and ids of transactions too, and is paid for so.
    async fn scan(&self, page: &PageRequest) -> Result<Page<Item>> {
        check_scan(page)?;
        let after = page.after.as_ref().map(|cursor| cursor.position(&SCAN)).transpose()?;
        let wrong = |source| Error::invalid("after", "not a cursor of this query").with_source(source);
        let start = match after {
            Some(after) => {
                let (pk, sk) = serde_json::from_str(&after).map_err(wrong)?;
                Some(At { pk, sk }.row())
            }
            None => None,
        };
        let limit = i32::try_from(page.limit).unwrap_or(i32::MAX);
        let ask = || {
            let ask = self.client.scan().table_name(self.table()).set_exclusive_start_key(start.clone());
            ask.consistent_read(true)
                .limit(limit)
                .filter_expression("begins_with(pk, :items) AND (attribute_not_exists(x) OR x > :now)")
                .expression_attribute_values(":items", text("i#"))
                .expression_attribute_values(":now", number(self.options.clock.now().micros()))
                .send()
        };
        let got = plain(&self.breaker, "Scan", Effect::None, self.deadline(), ask).await?;
        let items = got.items.iter().flatten().map(item).collect::<Result<_>>()?;
        let next = match got.last_evaluated_key {
            Some(last) => {
                let place = serde_json::json!([text_of(&last, "pk")?, text_of(&last, "sk")?]);
                Some(Cursor::new(&SCAN, &place.to_string()))
            }
            None => None,
        };
        Ok(Page { items, next })
    }
}
