//! The compared calls.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use bank_benches::Failure;
use bank_benches::calls::Work;
use bank_stores::dynamodb::DynamoItems;
use bank_stores::items::{Change, Key, Query, Transaction};
use bank_stores::{Clock as _, Consistency, Items as _, ItemsExt as _, PageRequest, SystemClock};

const TABLE: &str = "bench-calls";
const PARTITION: &str = "held";
/// How many items there are to be read.
const HELD: u64 = 500;
/// How many a page has.
const PAGE: u32 = 50;
/// A value's bytes.
const VALUE: [u8; 200] = [b'v'; 200];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// One item, read consistently.
    Get,
    /// One item, put together with the transaction's id.
    Commit,
    /// A page of a partition, read consistently.
    Query,
}

impl Kind {
    pub(crate) const ALL: [(Self, &str); 3] = [
        (Self::Get, "get / GetItem"),
        (Self::Commit, "commit / TransactWriteItems"),
        (Self::Query, "query / Query, 50 items"),
    ];
}

/// The role and the driver on one table.
#[derive(Debug)]
pub(crate) struct Calls {
    items: DynamoItems,
    driver: Client,
    /// Counts the calls, so that each has another id and they go through the items.
    next: AtomicU64,
}

impl Calls {
    /// Writes what is read.
    pub(crate) async fn prepare(items: DynamoItems, driver: Client) -> Result<Self, Failure> {
        for first in (0..HELD).step_by(50) {
            let puts = (first..first + 50).map(|number| Change::put_bytes(key(number), VALUE.to_vec()));
            items
                .commit_one(puts.fold(Transaction::new(format!("held-{first}")), Transaction::change))
                .await?;
        }
        Ok(Self { items, driver, next: AtomicU64::new(0) })
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn driver_get(&self) -> Result<(), Failure> {
        let key = key(self.next() % HELD);
        let get = self.driver.get_item().table_name(TABLE).set_key(Some(row(&key))).consistent_read(true);
        get.send().await?.item.map(drop).ok_or_else(|| missing(&key))
    }

    /// The rows that the role's commit writes, in the same call.
    async fn driver_commit(&self) -> Result<(), Failure> {
        let number = self.next();
        let version = number | 1 << 62;
        let id: HashMap<_, _> = [
            ("pk", text(format!("w#driver-{number}"))),
            ("sk", text("w")),
            ("f", bytes(&[7; 32])),
            ("vs", text(version.to_string())),
            ("o", self::number(version)),
            ("ttl", self::number(SystemClock::new().now().seconds() + 8 * 86_400)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let mut item = row(&Key::new("written", (number % HELD).to_string()));
        item.insert("v".to_owned(), bytes(&VALUE));
        item.insert("ver".to_owned(), self::number(version));
        let id = Put::builder()
            .table_name(TABLE)
            .set_item(Some(id))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let item = Put::builder().table_name(TABLE).set_item(Some(item));
        let mut call = self.driver.transact_write_items();
        for put in [id, item] {
            call = call.transact_items(TransactWriteItem::builder().put(put.build()?).build());
        }
        call.send().await?;
        Ok(())
    }

    async fn driver_query(&self) -> Result<(), Failure> {
        let ask = self
            .driver
            .query()
            .table_name(TABLE)
            .consistent_read(true)
            .limit(PAGE as i32 + 1)
            .key_condition_expression("pk = :pk")
            .filter_expression("attribute_not_exists(x) OR x > :now")
            .expression_attribute_values(":pk", text(format!("i#{PARTITION}")))
            .expression_attribute_values(":now", number(SystemClock::new().now().micros()));
        match ask.send().await?.items().len() {
            found if found == PAGE as usize + 1 => Ok(()),
            found => Err(format!("Query gave {found} items").into()),
        }
    }
}

impl Work for Calls {
    type Kind = Kind;

    async fn by_role(&self, kind: Kind, _: usize) -> Result<(), Failure> {
        match kind {
            Kind::Get => {
                let key = key(self.next() % HELD);
                self.items.get(&key, Consistency::Current).await?.map(drop).ok_or_else(|| missing(&key))
            }
            Kind::Commit => {
                let number = self.next();
                let key = Key::new("written", (number % HELD).to_string());
                let put = Change::put_bytes(key, VALUE.to_vec());
                self.items.commit_one(Transaction::new(format!("role-{number}")).change(put)).await?;
                Ok(())
            }
            Kind::Query => {
                let query = Query::partition(PARTITION).page(PageRequest::first(PAGE));
                match self.items.query(&query).await?.items.len() {
                    found if found == PAGE as usize => Ok(()),
                    found => Err(format!("the page has {found} items").into()),
                }
            }
        }
    }

    async fn by_driver(&self, kind: Kind, _: usize) -> Result<(), Failure> {
        match kind {
            Kind::Get => self.driver_get().await,
            Kind::Commit => self.driver_commit().await,
            Kind::Query => self.driver_query().await,
        }
    }
}

fn key(number: u64) -> Key {
    Key::new(PARTITION, format!("{number:06}"))
}

/// An item's key as the role writes it.
fn row(key: &Key) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("pk".to_owned(), text(format!("i#{}", key.partition))),
        ("sk".to_owned(), text(&key.sort)),
    ])
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn bytes(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

fn missing(key: &Key) -> Failure {
    format!("{key} is not there").into()
}
