//! The table: its keys, what it is checked for, and the row that tells what store it is.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription,
    TableStatus, TimeToLiveSpecification,
};
use tokio::time::Instant;

use super::DynamoOptions;
use super::calls::{Effect, call, plain};
use super::error::given_up;
use super::rows::{At, number, number_of};
use crate::breaker::Breaker;
use crate::outbox::new_epoch;
use crate::{Error, ErrorKind, Result};

/// How long a table may take to be made.
const MAKING: Duration = Duration::from_secs(120);

/// What a store is for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store {
    pub(super) shards: u16,
    /// Of the position before the first event.
    pub(super) epoch: u64,
}

/// Sees to it that the table is there and as it has to be, and gives the store that it is.
pub(super) async fn open(client: &Client, options: &DynamoOptions, breaker: &Breaker) -> Result<Store> {
    let deadline = Instant::now() + options.deadline;
    let describe = || client.describe_table().table_name(&options.table).send();
    let described = match call(breaker, "DescribeTable", Effect::None, deadline, describe).await? {
        Ok(described) => described.table,
        Err(error) => match error.as_service_error().and_then(|error| error.code()) {
            Some("ResourceNotFoundException") if options.create => {
                Some(create(client, options, breaker).await?)
            }
            _ => return Err(given_up(error, false)),
        },
    };
    check(described.as_ref())?;
    let read = || store(client, options, breaker);
    if let Some(store) = read().await? {
        return Ok(store);
    }
    let mut row = At::store().row();
    row.insert("shards".to_owned(), number(options.shards));
    row.insert("e".to_owned(), number(new_epoch()));
    let put = || {
        let put = client.put_item().table_name(&options.table).set_item(Some(row.clone()));
        put.condition_expression("attribute_not_exists(pk)").send()
    };
    // Where it is refused, somebody else has made it.
    let made = call(breaker, "PutItem", Effect::Some, deadline, put).await?;
    match read().await? {
        Some(store) => Ok(store),
        None => Err(made.err().map_or_else(unfit, |error| given_up(error, false))),
    }
}

/// The store that the table is, if it is one.
pub(super) async fn store(
    client: &Client,
    options: &DynamoOptions,
    breaker: &Breaker,
) -> Result<Option<Store>> {
    let read = || {
        let get = client.get_item().table_name(&options.table).set_key(Some(At::store().row()));
        get.consistent_read(true).send()
    };
    let Some(row) =
        plain(breaker, "GetItem", Effect::None, Instant::now() + options.deadline, read).await?.item
    else {
        return Ok(None);
    };
    let shards = u16::try_from(number_of(&row, "shards")?).map_err(|_| unfit())?;
    Ok(Some(Store { shards, epoch: number_of(&row, "e")? }))
}

fn check(table: Option<&TableDescription>) -> Result<()> {
    let table = table.ok_or_else(unfit)?;
    let key = |name: &str, kind: &KeyType| {
        let keys = table.key_schema().iter();
        let attributes = table.attribute_definitions().iter();
        keys.filter(|key| key.attribute_name() == name && key.key_type() == kind).count() == 1
            && attributes
                .filter(|attribute| {
                    attribute.attribute_name() == name
                        && *attribute.attribute_type() == ScalarAttributeType::S
                })
                .count()
                == 1
    };
    if !key("pk", &KeyType::Hash) || !key("sk", &KeyType::Range) {
        return Err(unfit());
    }
    match table.table_status() {
        Some(TableStatus::Active | TableStatus::Updating) => Ok(()),
        _ => Err(Error::new(ErrorKind::Unavailable, "the table is being made or removed")),
    }
}

fn unfit() -> Error {
    Error::invalid(
        "table",
        "the table has other keys than the texts `pk` and `sk`; docs/stores.md says how it is made",
    )
}

/// Makes the table, and waits until it can be used.
async fn create(client: &Client, options: &DynamoOptions, breaker: &Breaker) -> Result<TableDescription> {
    let deadline = Instant::now() + MAKING;
    let wrong = |source| Error::invalid("table", "the table cannot be described").with_source(source);
    let keys = [("pk", KeyType::Hash), ("sk", KeyType::Range)].map(|(name, kind)| {
        let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build();
        (key, attribute)
    });
    let mut creating =
        client.create_table().table_name(&options.table).billing_mode(BillingMode::PayPerRequest);
    for (key, attribute) in keys {
        creating = creating.key_schema(key.map_err(wrong)?).attribute_definitions(attribute.map_err(wrong)?);
    }
    match call(breaker, "CreateTable", Effect::Some, deadline, || creating.clone().send()).await? {
        Ok(_) => {}
        // Somebody else makes it.
        Err(error)
            if error.as_service_error().and_then(|error| error.code()) == Some("ResourceInUseException") => {}
        Err(error) => return Err(given_up(error, false)),
    }
    loop {
        let describe = || client.describe_table().table_name(&options.table).send();
        let described = plain(breaker, "DescribeTable", Effect::None, deadline, describe).await?.table;
        if let Some(table) = described.filter(|table| table.table_status() == Some(&TableStatus::Active)) {
            let live = TimeToLiveSpecification::builder().attribute_name("ttl").enabled(true).build();
            let live = live.map_err(wrong)?;
            let update = || {
                let update = client.update_time_to_live().table_name(&options.table);
                update.time_to_live_specification(live.clone()).send()
            };
            // Where somebody else was first, it is refused.
            drop(call(breaker, "UpdateTimeToLive", Effect::Some, deadline, update).await?);
            return Ok(table);
        }
        if Instant::now() >= deadline {
            return Err(Error::new(ErrorKind::Unavailable, "the table is not made in time"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
