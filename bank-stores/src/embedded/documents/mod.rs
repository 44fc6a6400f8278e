//! Documents in a SQLite file: a table a collection, with indexes over what is in the JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row, TypeInfo, ValueRef};

use super::SqliteOptions;
use super::database::{Database, Schema};
use super::error::{damaged, from_sqlx, is_constraint};
use super::filter::{self, Sql, expression};
use super::writer::{Engine, SqliteGroup, start};
use crate::documents::model::check_name;
use crate::documents::{Collection, Document, DocumentChange, DocumentWrite, Find, MAX_BODY, Unique};
use crate::writer::Writer;
use crate::{Clock, Consistency, Cursor, Direction, Documents, Error, ErrorKind, Page, Result, Timestamp};

const SCHEMA: Schema = Schema {
    name: "documents",
    application: 0x6261_6401,
    migrations: &["
CREATE TABLE collections (name TEXT PRIMARY KEY, uniques TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL) STRICT;
INSERT INTO state VALUES (1, 0)"],
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
            false => Some(start(database.clone(), DocumentsEngine { clock, sequence: 0 }).await?),
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

    async fn run(&self, commands: Vec<DocumentCommand>) -> Vec<Result<Option<Document>>> {
        match &self.writer {
            Some(writer) => writer.execute(commands).await,
            None => commands.iter().map(|_| Err(self.database.read_only_refusal())).collect(),
        }
    }

    async fn known(&self, collection: &str) -> Result<()> {
        check_name("collection", collection)?;
        let mut connection = self.database.readers().acquire().await.map_err(from_sqlx)?;
        uniques(&mut connection, collection).await.map(drop)
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn declare(&self, collection: &Collection) -> Result<()> {
        collection.validate()?;
        let outcome = self.run(vec![DocumentCommand::Declare(collection.clone())]).await.pop();
        outcome.map_or(Ok(()), |outcome| outcome.map(drop))
    }

    async fn get(&self, collection: &str, id: &str, _read: Consistency) -> Result<Option<Document>> {
        self.known(collection).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM doc_{collection} WHERE id = ?1 AND (expires_at IS NULL OR expires_at > ?2)"
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

    async fn write(&self, collection: &str, writes: Vec<DocumentWrite>) -> Vec<Result<Document>> {
        let command = |write| DocumentCommand::Write { collection: collection.to_owned(), write };
        let outcomes = self.run(writes.into_iter().map(command).collect()).await;
        let missing = || Error::new(ErrorKind::Indeterminate, "the store gave no outcome");
        outcomes.into_iter().map(|outcome| outcome?.ok_or_else(missing)).collect()
    }

    async fn find(&self, collection: &str, find: &Find) -> Result<Page<Document>> {
        find.validate()?;
        self.known(collection).await?;
        let identity = find.identity(collection);
        let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
        let forward = find.page.direction == Direction::Forward;
        let sort = find.sort.as_deref().map_or_else(|| "created".to_owned(), expression);
        let mut sql = Sql::default();
        sql.push(&format!(
            "SELECT {COLUMNS}, {sort} FROM doc_{collection} WHERE (expires_at IS NULL OR expires_at > "
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
            filter::behind(&mut sql, &sort, forward, &(value.into(), id))?;
        }
        let order = if forward { "" } else { " DESC" };
        sql.push(&format!(" ORDER BY {sort}{order}, id{order} LIMIT "));
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

#[derive(Debug)]
pub(super) enum DocumentCommand {
    Declare(Collection),
    Write { collection: String, write: DocumentWrite },
}

#[derive(Debug)]
pub(super) struct DocumentsEngine {
    clock: Arc<dyn Clock>,
    sequence: u64,
}

impl Engine for DocumentsEngine {
    type Command = DocumentCommand;
    type Outcome = Option<Document>;

    async fn load(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        let sequence: i64 = sqlx::query_scalar("SELECT sequence FROM state")
            .fetch_one(&mut *connection)
            .await
            .map_err(from_sqlx)?;
        self.sequence = sequence as u64;
        remember_writes(connection).await
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        commands: &[DocumentCommand],
    ) -> Result<Vec<Result<Option<Document>>>> {
        let now = self.clock.now();
        let before = self.sequence;
        let mut swept: Vec<&str> = Vec::new();
        let mut outcomes = Vec::with_capacity(commands.len());
        for command in commands {
            let outcome = match command {
                DocumentCommand::Declare(collection) => declare(connection, collection).await.map(|()| None),
                DocumentCommand::Write { collection, write } => {
                    let fresh = !swept.contains(&collection.as_str());
                    swept.push(collection);
                    self.write(connection, collection, write, now, fresh).await.map(Some)
                }
            };
            // What the disk or the file does wrong fails the group; what the caller does wrong, only its own command.
            match outcome {
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Damaged) => {
                    return Err(error);
                }
                outcome => outcomes.push(outcome),
            }
        }
        if self.sequence != before {
            sqlx::query("UPDATE state SET sequence = ?1")
                .bind(self.sequence as i64)
                .execute(connection)
                .await
                .map_err(from_sqlx)?;
        }
        Ok(outcomes)
    }

    fn position(&self) -> u64 {
        self.sequence
    }
}

impl DocumentsEngine {
    async fn write(
        &mut self,
        connection: &mut SqliteConnection,
        collection: &str,
        write: &DocumentWrite,
        now: Timestamp,
        sweep: bool,
    ) -> Result<Document> {
        check_name("collection", collection)?;
        write.validate()?;
        let uniques = uniques(connection, collection).await?;
        if sweep {
            // So that what has expired blocks no unique key.
            let sql =
                format!("DELETE FROM doc_{collection} WHERE expires_at IS NOT NULL AND expires_at <= ?1");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(now.micros());
            query.execute(&mut *connection).await.map_err(from_sqlx)?;
        }
        let content = write.content();
        if let Some(outcome) = repeated(connection, collection, write, &content).await? {
            return outcome;
        }
        let change = &write.change;
        let version = self.sequence + 1;
        let (sql, body, expires_at, expected) = match change {
            DocumentChange::Insert { body, expires_at, .. } => (
                format!(
                    "INSERT INTO doc_{collection} (id, version, body, expires_at, created, write, content)
                     VALUES (?1, ?2, ?3, ?4, ?2, ?6, ?7)
                     RETURNING {COLUMNS}"
                ),
                Some(body),
                *expires_at,
                None,
            ),
            DocumentChange::Replace { version, body, expires_at, .. } => (
                format!(
                    "UPDATE doc_{collection} SET version = ?2, body = ?3, expires_at = ?4, write = ?6, content = ?7
                     WHERE id = ?1 AND version = ?5
                     RETURNING {COLUMNS}"
                ),
                Some(body),
                *expires_at,
                Some(*version),
            ),
            DocumentChange::Delete { version, .. } => (
                format!("DELETE FROM doc_{collection} WHERE id = ?1 AND version = ?5 RETURNING {COLUMNS}"),
                None,
                None,
                Some(*version),
            ),
        };
        let text = body.map(Value::to_string);
        if text.as_ref().is_some_and(|text| text.len() > MAX_BODY) {
            return Err(Error::invalid("body", format!("a body has at most {MAX_BODY} bytes")));
        }
        let written = sqlx::query(AssertSqlSafe(sql))
            .bind(change.id())
            .bind(version as i64)
            .bind(text)
            .bind(expires_at.map(Timestamp::micros))
            .bind(expected.map(|expected| i64::try_from(expected).unwrap_or(-1)))
            .bind(write.write.as_str())
            .bind(&content[..])
            .fetch_optional(&mut *connection)
            .await;
        match written {
            Ok(Some(row)) => {
                self.sequence = version;
                document(&row)
            }
            Ok(None) => Err(missed(connection, collection, change.id()).await?),
            Err(error) if is_constraint(&error) => {
                Err(taken(connection, collection, change, &uniques).await?)
            }
            Err(error) => Err(from_sqlx(error)),
        }
    }
}

/// The outcome of a write that the document remembers, if this is one.
async fn repeated(
    connection: &mut SqliteConnection,
    collection: &str,
    write: &DocumentWrite,
    content: &[u8; 32],
) -> Result<Option<Result<Document>>> {
    let sql = format!("SELECT {COLUMNS}, content FROM doc_{collection} WHERE id = ?1 AND write = ?2");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(write.change.id())
        .bind(write.write.as_str())
        .fetch_optional(connection)
        .await
        .map_err(from_sqlx)?;
    let Some(row) = row else { return Ok(None) };
    if row.get::<&[u8], _>(5) == content {
        return document(&row).map(|document| Some(Ok(document)));
    }
    let error = Error::new(ErrorKind::Conflict, "the same id was used for other content");
    Ok(Some(Err(error.with_field("write"))))
}

/// Collections of the first version of this store did not remember the last write of a document.
async fn remember_writes(connection: &mut SqliteConnection) -> Result<()> {
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM collections c
         WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info('doc_' || c.name) WHERE name = 'write')",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(from_sqlx)?;
    for name in old {
        for column in ["content BLOB", "write TEXT"] {
            // A start that was cut off may have added the first.
            let sql = format!("ALTER TABLE doc_{name} ADD COLUMN {column}");
            let added = sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await;
            if let Err(error) = added
                && column.starts_with("write")
            {
                return Err(from_sqlx(error));
            }
        }
    }
    Ok(())
}

/// Why nothing was there to be replaced or deleted.
async fn missed(connection: &mut SqliteConnection, collection: &str, id: &str) -> Result<Error> {
    let sql = format!("SELECT 1 FROM doc_{collection} WHERE id = ?1");
    let found =
        sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(connection).await.map_err(from_sqlx)?;
    Ok(match found {
        Some(_) => Error::new(ErrorKind::Conflict, "the document has another version").with_field("version"),
        None => Error::new(ErrorKind::NotFound, "there is no such document").with_field("id"),
    })
}

/// Which key was taken: SQLite's code does not say, so that each is looked for.
async fn taken(
    connection: &mut SqliteConnection,
    collection: &str,
    change: &DocumentChange,
    uniques: &[Unique],
) -> Result<Error> {
    let message = "another document has this key";
    if let (DocumentChange::Insert { body, .. } | DocumentChange::Replace { body, .. }, id) =
        (change, change.id())
    {
        for unique in uniques {
            let mut sql = format!("SELECT 1 FROM doc_{collection} WHERE id <> ?1");
            for field in &unique.fields {
                let expression = expression(field);
                let of_body = expression.replacen("body", "?2", 1);
                let _ = write!(sql, " AND {expression} = {of_body}");
            }
            let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(body.to_string());
            if query.fetch_optional(&mut *connection).await.map_err(from_sqlx)?.is_some() {
                return Ok(Error::new(ErrorKind::AlreadyExists, message).with_field(unique.name.clone()));
            }
        }
    }
    Ok(Error::new(ErrorKind::AlreadyExists, message).with_field("id"))
}

/// Makes what is missing of the collection.
async fn declare(connection: &mut SqliteConnection, collection: &Collection) -> Result<()> {
    let name = &collection.name;
    let mut statements = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS doc_{name} (
                 id TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL, expires_at INTEGER,
                 created INTEGER NOT NULL, write TEXT, content BLOB
             ) STRICT"
        ),
        format!("CREATE INDEX IF NOT EXISTS doc_{name}__created ON doc_{name} (created, id)"),
        format!(
            "CREATE INDEX IF NOT EXISTS doc_{name}__expiry ON doc_{name} (expires_at) WHERE expires_at IS NOT NULL"
        ),
    ];
    let list =
        |fields: &[String]| fields.iter().map(|field| expression(field)).collect::<Vec<_>>().join(", ");
    for unique in &collection.unique {
        let (key, fields) = (&unique.name, list(&unique.fields));
        statements
            .push(format!("CREATE UNIQUE INDEX IF NOT EXISTS doc_{name}__u_{key} ON doc_{name} ({fields})"));
    }
    for index in &collection.indexes {
        let (key, fields) = (index.join(","), list(index));
        statements
            .push(format!("CREATE INDEX IF NOT EXISTS \"doc_{name}__i_{key}\" ON doc_{name} ({fields}, id)"));
    }
    for statement in statements {
        // Only checked names are in it.
        if let Err(error) =
            sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(&mut *connection).await
        {
            if is_constraint(&error) {
                let message = "documents that are there break the unique key";
                return Err(Error::new(ErrorKind::Conflict, message).with_field("unique").with_source(error));
            }
            return Err(from_sqlx(error));
        }
    }
    let keys: Vec<(&String, &Vec<String>)> =
        collection.unique.iter().map(|unique| (&unique.name, &unique.fields)).collect();
    sqlx::query(
        "INSERT INTO collections VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET uniques = excluded.uniques",
    )
    .bind(name)
    .bind(serde_json::json!(keys).to_string())
    .execute(connection)
    .await
    .map_err(from_sqlx)?;
    Ok(())
}

/// The unique keys of a collection; `NotFound` if it was never declared.
async fn uniques(connection: &mut SqliteConnection, collection: &str) -> Result<Vec<Unique>> {
    let text: Option<String> = sqlx::query_scalar("SELECT uniques FROM collections WHERE name = ?1")
        .bind(collection)
        .fetch_optional(connection)
        .await
        .map_err(from_sqlx)?;
    let Some(text) = text else {
        let message = format!("the collection {collection} was never declared");
        return Err(Error::new(ErrorKind::NotFound, message).with_field("collection"));
    };
    let keys: Vec<(String, Vec<String>)> = serde_json::from_str(&text)
        .map_err(|source| damaged(Error::invalid("uniques", "not a list").with_source(source)))?;
    Ok(keys.into_iter().map(|(name, fields)| Unique::new(name, fields)).collect())
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
    let (version, created) = (row.get::<i64, _>(1) as u64, row.get::<i64, _>(4) as u64);
    Ok(Document::new(row.get(0), version, body, expires_at, created))
}
