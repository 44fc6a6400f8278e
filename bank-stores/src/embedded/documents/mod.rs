//! Documents in a SQLite file: a table a collection, with indexes over what is in the JSON.

mod definition;
mod engine;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, TypeInfo, ValueRef};

use super::SqliteOptions;
use super::backup::{self, Staged};
use super::database::{Database, PAGE_SIZE, Schema};
use super::error::{damaged, from_sqlx};
use super::filter::{self, Sql, expression};
use super::writer::{SqliteGroup, start};
use crate::documents::collection::check_name;
use crate::documents::{Collection, Document, DocumentWrite, Find, Written};
use crate::writer::Writer;
use crate::{Consistency, Cursor, Direction, Documents, Error, ErrorKind, Page, Result, Timestamp};
use definition::{Definition, table};
use engine::{Command, DocumentsEngine};

const SCHEMA: Schema = Schema {
    name: "documents",
    application: 0x6261_6402,
    page_size: PAGE_SIZE,
    migrations: &[
        "CREATE TABLE collections (name TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ],
};

const COLUMNS: &str = "id, version, body, expires_at, created";

/// Documents in a SQLite file.
#[derive(Debug)]
pub struct SqliteDocuments {
    database: Arc<Database>,
    /// None where the store is read only.
    writer: Option<Writer<SqliteGroup<DocumentsEngine>>>,
}

impl SqliteDocuments {
    /// Opens the store and starts its writer on the current tokio runtime.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        let clock = options.clock.clone();
        let database = Database::open(options, SCHEMA).await?;
        let writer = match database.options().read_only {
            true => None,
            false => Some(start(database.clone(), DocumentsEngine::new(clock)).await?),
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

    /// Copies the store, as it is at one moment, into the new file `to`, while others go on writing. The file has its name only when
    /// it is whole and the disk has it. A store that was opened only to read can be copied too, so that it is done beside the process
    /// that writes.
    ///
    /// # Errors
    /// `Conflict`, field `to`, where there is such a file; `Denied` and `Unavailable` where it cannot be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        backup::backup(&self.database, to.as_ref()).await
    }

    /// Puts the backup `from` in the place of the store's file `to`, which nobody may have open. There is a whole store in that place at
    /// every moment; the one that was there stays beside it, under a name with `.replaced-` and the time at its end.
    ///
    /// # Errors
    /// `Denied` where `to` is in use; `Unavailable` where somebody reads it; `NotFound`, `Denied` and `Rejected`, field `from`, where
    /// the backup is not there, is no file of such a store, or is not whole.
    pub async fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        Self::stage(from, to).await?.take_place().await
    }

    /// The first half of [`restore`](Self::restore): a copy that is whole and of this program's schema, for whoever restores more than
    /// this at once.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    pub async fn stage(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Staged> {
        let staged = Staged::whole(from.as_ref(), to.as_ref(), SCHEMA).await?;
        // Older tables are brought to the newest version.
        Self::open(SqliteOptions::new(staged.path())).await?.close().await;
        Ok(staged)
    }

    /// Writes the file anew, without what was changed or removed, which stays in it otherwise until its room is used again. It needs
    /// as much room on the disk as the file takes, and writes wait meanwhile.
    ///
    /// # Errors
    /// `Denied` where the store is read only; `Unavailable` where others use it, or the disk is full.
    pub async fn vacuum(&self) -> Result<()> {
        self.database.vacuum().await
    }

    fn now(&self) -> i64 {
        self.database.options().clock.now().micros()
    }

    async fn run(&self, commands: Vec<Command>) -> Vec<Result<Option<Written>>> {
        match &self.writer {
            Some(writer) => writer.execute(commands).await,
            None => commands.iter().map(|_| Err(self.database.read_only_refusal())).collect(),
        }
    }

    async fn known(&self, collection: &str) -> Result<Definition> {
        check_name("collection", collection)?;
        let mut connection = self.database.readers().acquire().await.map_err(from_sqlx)?;
        Definition::find(&mut connection, collection).await?.ok_or_else(|| never_declared(collection))
    }
}

fn never_declared(collection: &str) -> Error {
    let message = format!("the collection {collection} was never declared");
    Error::new(ErrorKind::NotFound, message).with_field("collection")
}

fn no_outcome() -> Error {
    Error::new(ErrorKind::Indeterminate, "the store gave no outcome")
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        collection.validate()?;
        let outcome = self.run(vec![Command::Declare(collection.clone())]).await.pop();
        outcome.unwrap_or_else(|| Err(no_outcome())).map(drop)
    }

    async fn get(&self, collection: &str, id: &str, _read: Consistency) -> Result<Option<Document>> {
        self.known(collection).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM {} WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
            table(collection)
        );
        // The collection's name has been checked.
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(id)
            .bind(self.now())
            .fetch_optional(self.database.readers())
            .await
            .map_err(from_sqlx)?;
        row.as_ref().map(document).transpose()
    }

    /// What is wrong with a form is said before anything waits.
    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Written>> {
        let name = check_name("collection", collection);
        let fault = |write: &DocumentWrite| name.clone().and_then(|()| write.validate()).err();
        let faults: Vec<Option<Error>> = writes.iter().map(fault).collect();
        let collection: Arc<str> = collection.into();
        let command = |write| Command::Write { collection: collection.clone(), write };
        let sound = writes.into_iter().zip(&faults).filter(|(_, fault)| fault.is_none());
        let mut done = self.run(sound.map(|(write, _)| command(write)).collect()).await.into_iter();
        let mut outcome = || done.next().unwrap_or_else(|| Err(no_outcome()))?.ok_or_else(no_outcome);
        faults.into_iter().map(|fault| fault.map_or_else(&mut outcome, Err)).collect()
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        find.validate()?;
        let definition = self.known(collection).await?;
        if let Some(field) = &find.sort
            && !definition.sorted.contains(field)
        {
            return Err(Error::invalid("sort", format!("the collection does not declare {field} as sorted")));
        }
        let identity = find.identity(collection);
        let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
        let forward = find.page.direction == Direction::Forward;
        let sort = find.sort.as_deref().map_or_else(|| "NULL".to_owned(), expression);
        let mut sql = Sql::default();
        sql.push(&format!(
            "SELECT {COLUMNS}, {sort} FROM {} WHERE (expires_at IS NULL OR expires_at > ",
            table(collection)
        ));
        sql.value(&self.now().into());
        sql.push(")");
        if let Some(filter) = &find.filter {
            sql.push(" AND ");
            sql.filter(filter);
        }
        if let Some(cursor) = &find.page.after {
            let wrong = |_| Error::invalid("after", "not a cursor of this query");
            let (value, id): (Place, String) =
                serde_json::from_str(&cursor.position(&identity)?).map_err(wrong)?;
            sql.push(" AND ");
            match &find.sort {
                Some(_) => filter::behind(&mut sql, &sort, forward, &(value.into(), id))?,
                None => {
                    sql.push(if forward { "id > " } else { "id < " });
                    sql.value(&id.into());
                }
            }
        }
        let order = if forward { "" } else { " DESC" };
        match &find.sort {
            Some(_) => sql.push(&format!(" ORDER BY {sort}{order}, id{order} LIMIT ")),
            None => sql.push(&format!(" ORDER BY id{order} LIMIT ")),
        }
        sql.value(&(i64::from(find.page.limit) + 1).into());
        // Only checked names and our own words are in it.
        let query = sqlx::query(AssertSqlSafe(sql.text)).persistent(false);
        let query = sql.values.iter().fold(query, filter::bind);
        let rows = query.fetch_all(self.database.readers()).await.map_err(from_sqlx)?;
        let found =
            rows.iter().map(|row| Ok((document(row)?, sorted_by(row)?))).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(found, find.page.limit, |(last, place)| {
            Cursor::new(&identity, &serde_json::json!([place, last.id]).to_string())
        });
        Ok(page.map(|(document, _)| document))
    }
}

/// The value by which a document was sorted, exactly as SQLite compares it: decimals would not do for every real.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Place {
    Null,
    Integer(i64),
    /// Its bits.
    Real(u64),
    Text(String),
}

impl From<Place> for Value {
    fn from(place: Place) -> Self {
        match place {
            Place::Null => Self::Null,
            Place::Integer(number) => number.into(),
            Place::Real(bits) => f64::from_bits(bits).into(),
            Place::Text(text) => text.into(),
        }
    }
}

fn sorted_by(row: &SqliteRow) -> Result<Place> {
    let raw = row.try_get_raw(5).map_err(from_sqlx)?;
    if raw.is_null() {
        return Ok(Place::Null);
    }
    Ok(match raw.type_info().name() {
        "INTEGER" => Place::Integer(row.try_get_unchecked(5).map_err(from_sqlx)?),
        "REAL" => Place::Real(row.try_get_unchecked::<f64, _>(5).map_err(from_sqlx)?.to_bits()),
        _ => Place::Text(row.try_get_unchecked(5).map_err(from_sqlx)?),
    })
}

fn document(row: &SqliteRow) -> Result<Document> {
    let body = serde_json::from_str(row.get(2))
        .map_err(|source| damaged(Error::invalid("body", "not JSON").with_source(source)))?;
    let expires_at = row.get::<Option<i64>, _>(3).map(Timestamp::from_micros);
    let created = Timestamp::from_micros(row.get(4));
    Ok(Document::new(row.get(0), row.get::<i64, _>(1) as u64, body, expires_at, created))
}
