//! What collections are like, and how they are made.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::documents::Collection;
use crate::embedded::error::{damaged, from_sqlx, is_constraint};
use crate::embedded::filter::{expression, path};
use crate::{Error, ErrorKind, Result};

/// A collection as it was declared, all declarations together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) uniques: Vec<(String, Vec<String>)>,
    pub(super) sorted: Vec<String>,
    indexes: Vec<Vec<String>>,
}

/// The collection's table. Names hold no colon, so that no two tables or indexes of different collections have one name.
pub(super) fn table(collection: &str) -> String {
    format!("\"documents:{collection}\"")
}

impl Definition {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), uniques: Vec::new(), sorted: Vec::new(), indexes: Vec::new() }
    }

    pub(super) async fn find(connection: &mut SqliteConnection, collection: &str) -> Result<Option<Self>> {
        let row = sqlx::query("SELECT definition FROM collections WHERE name = ?1")
            .bind(collection)
            .fetch_optional(connection)
            .await
            .map_err(from_sqlx)?;
        let read = |row: sqlx::sqlite::SqliteRow| {
            serde_json::from_str(row.get(0))
                .map_err(|source| damaged(Error::invalid("definition", "not JSON").with_source(source)))
        };
        row.map(read).transpose()
    }

    /// In the words of the role.
    pub(super) fn collection(&self) -> Collection {
        let mut collection = Collection::new(&self.name);
        for (name, fields) in &self.uniques {
            collection = collection.unique(name, fields);
        }
        self.sorted.iter().fold(collection, Collection::sorted)
    }

    /// What is declared besides; `Conflict` where a key has other fields.
    fn extended(&self, declared: &Collection) -> Result<Self> {
        let mut next = self.clone();
        for unique in &declared.unique {
            match self.uniques.iter().find(|(name, _)| *name == unique.name) {
                Some((_, fields)) if *fields == unique.fields => {}
                Some(_) => {
                    let message = format!("the unique key {} has other fields", unique.name);
                    return Err(conflict("unique", message));
                }
                None => next.uniques.push((unique.name.clone(), unique.fields.clone())),
            }
        }
        let new = |of: &[String], fields: &String| !of.contains(fields);
        next.sorted.extend(declared.sorted.iter().filter(|field| new(&self.sorted, field)).cloned());
        next.indexes.extend(declared.indexes.iter().filter(|fields| !self.indexes.contains(fields)).cloned());
        Ok(next)
    }
}

fn conflict(field: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Conflict, message).with_field(field)
}

/// Makes what is missing of the collection, or nothing.
pub(super) async fn declare(connection: &mut SqliteConnection, collection: &Collection) -> Result<()> {
    let known = Definition::find(connection, &collection.name).await?;
    let before = known.clone().unwrap_or_else(|| Definition::new(&collection.name));
    let after = before.extended(collection)?;
    if known.as_ref() == Some(&after) {
        return Ok(());
    }
    run(connection, "SAVEPOINT declare".to_owned()).await?;
    let made = make(connection, &before, &after).await;
    if made.is_err() {
        run(connection, "ROLLBACK TO declare".to_owned()).await?;
    }
    run(connection, "RELEASE declare".to_owned()).await?;
    made
}

async fn make(connection: &mut SqliteConnection, before: &Definition, after: &Definition) -> Result<()> {
    let (name, table) = (&after.name, table(&after.name));
    let list =
        |fields: &[String]| fields.iter().map(|field| expression(field)).collect::<Vec<_>>().join(", ");
    run(
        connection,
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (
                 id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, expires_at INTEGER,
                 created INTEGER NOT NULL, write TEXT NOT NULL, content BLOB NOT NULL
             ) STRICT"
        ),
    )
    .await?;
    run(
        connection,
        format!(
            "CREATE INDEX IF NOT EXISTS \"expiry:{name}\" ON {table} (expires_at) WHERE expires_at IS NOT NULL"
        ),
    )
    .await?;
    for (key, fields) in after.uniques.iter().skip(before.uniques.len()) {
        for field in fields {
            check_held(connection, &table, "unique", field).await?;
        }
        let sql = format!("CREATE UNIQUE INDEX \"unique:{name}:{key}\" ON {table} ({})", list(fields));
        if let Err(error) = execute(connection, sql).await {
            return Err(match is_constraint(&error) {
                true => {
                    conflict("unique", "documents that are there break the unique key").with_source(error)
                }
                false => from_sqlx(error),
            });
        }
    }
    for field in after.sorted.iter().skip(before.sorted.len()) {
        check_held(connection, &table, "sorted", field).await?;
        let sql = format!("CREATE INDEX \"sorted:{name}:{field}\" ON {table} ({}, id)", expression(field));
        run(connection, sql).await?;
    }
    for fields in after.indexes.iter().skip(before.indexes.len()) {
        let sql =
            format!("CREATE INDEX \"index:{name}:{}\" ON {table} ({}, id)", fields.join(","), list(fields));
        run(connection, sql).await?;
    }
    let definition = serde_json::json!(after).to_string();
    sqlx::query("INSERT INTO collections VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET definition = ?2")
        .bind(name)
        .bind(definition)
        .execute(connection)
        .await
        .map_err(from_sqlx)
        .map(drop)
}

/// Refuses a key or an order where documents hold what it cannot hold.
async fn check_held(
    connection: &mut SqliteConnection,
    table: &str,
    what: &'static str,
    field: &str,
) -> Result<()> {
    let held = format!("json_type(body, '{}')", path(field));
    let longest = if what == "sorted" {
        format!(" OR octet_length({}) > {}", expression(field), crate::documents::MAX_SORT_TEXT)
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {table} WHERE {held} NOT IN ('text', 'integer', 'real', 'null'){longest})"
    );
    let found: bool =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(from_sqlx)?;
    if found {
        let message = format!("documents that are there hold something else than text or numbers in {field}");
        return Err(conflict(what, message));
    }
    Ok(())
}

async fn run(connection: &mut SqliteConnection, sql: String) -> Result<()> {
    execute(connection, sql).await.map_err(from_sqlx)
}

/// Only checked names and our own words are in it.
async fn execute(connection: &mut SqliteConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql)).persistent(false).execute(connection).await.map(drop)
}
