//! DynamoDB: items and their events, in one table that many processes share.
//!
//! ```no_run
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! use bank_stores::ItemsExt;
//! use bank_stores::dynamodb::{DynamoItems, DynamoOptions};
//! use bank_stores::items::{Change, Condition, Key, Transaction};
//!
//! let items = DynamoItems::open(DynamoOptions::new("bank-transfers")?).await?;
//! let create = Change::put(Key::new("transfer", "tr_1"), &"accepted")?.when(Condition::Absent);
//! items.commit_one(Transaction::new("w1").change(create)).await?;
//! # Ok::<(), bank_stores::Error>(())
//! # }).unwrap();
//! ```
//!
//! A transaction is one `TransactWriteItems`, which takes in an item that remembers its id for eight days. So it is sent again as it
//! stands where its reply got lost, until [`DynamoOptions::deadline`]. Transactions of one call are executed one after the other.
//!
//! An event takes a place (a slot) in its shard, which is reserved before its transaction; `docs/adr/0032-slots-on-dynamodb.md` tells
//! why, and what a reader does about a place that stays empty. A writer that dies between the two holds up the readers of its shard
//! for [`DynamoOptions::patience`].
//!
//! While the service is away, calls are `Unavailable` at once, but for one now and then that looks whether it is back.
//!
//! A table belongs to one region: a global table, in which the last writer wins, keeps none of these promises. The table removes what
//! has expired by itself, some time later (time to live).

mod calls;
mod commit;
mod error;
mod events;
mod ids;
mod items;
mod options;
mod retention;
mod rows;
mod scan;
mod sent;
mod slots;
mod table;

pub use items::DynamoItems;
pub use options::DynamoOptions;
