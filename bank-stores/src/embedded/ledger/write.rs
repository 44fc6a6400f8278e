//! What a group did, sent as JSON: one statement a table, whatever the group's size.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::Result;
use crate::embedded::error::from_sqlx;
use crate::embedded::json;
use crate::ledger::sql::tables::{Column, How, Rows};

/// Writes what the group did.
pub(super) async fn write(connection: &mut SqliteConnection, tables: Vec<Rows>) -> Result<()> {
    // All at once, since each word with the connection's thread takes longer than a statement of a small group.
    let sql: Vec<String> = tables.iter().enumerate().map(|(at, rows)| statement(rows, 2 * at + 1)).collect();
    // Our own texts and numbers of values are in it.
    let mut query = sqlx::query(AssertSqlSafe(sql.join(";")));
    for rows in &tables {
        let (json, bytes) = values(rows);
        query = query.bind(json).bind(bytes);
    }
    query.execute(connection).await.map_err(from_sqlx)?;
    Ok(())
}

/// The statement that takes rows from the value of this number, and bytes from the one behind it.
fn statement(rows: &Rows, json: usize) -> String {
    let (table, mut place) = (rows.table, 0);
    let mut next = || {
        place += 1;
        format!("j.value->>{}", place - 1)
    };
    let values: Vec<String> = (rows.columns.iter())
        .map(|(_, column)| match column {
            Column::Numbers(_) | Column::Texts(_) => next(),
            Column::Hashes(_) => format!("substr(${}, {}, {})", json + 1, next(), next()),
            Column::Documents(_) => format!("CAST(substr(${}, {}, {}) AS TEXT)", json + 1, next(), next()),
        })
        .collect();
    let names: Vec<&str> = rows.columns.iter().map(|(name, _)| *name).collect();
    let (all, key) = (names.join(", "), names[0]);
    let insert =
        format!("INSERT INTO {table} ({all}) SELECT {} FROM jsonb_each(${json}) j", values.join(", "));
    if rows.how == How::Insert {
        return insert;
    }
    if rows.how == How::Keep {
        return format!("{insert} WHERE true ON CONFLICT ({key}) DO NOTHING");
    }
    if rows.how == How::Put {
        let set: Vec<String> = names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        return format!("{insert} WHERE true ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "));
    }
    let set: Vec<String> =
        names.iter().zip(&values).skip(1).map(|(name, value)| format!("{name} = {value}")).collect();
    format!("UPDATE {table} SET {} FROM jsonb_each(${json}) j WHERE {key} = {}", set.join(", "), values[0])
}

fn values(rows: &Rows) -> (String, Vec<u8>) {
    let mut list = json::Rows::new();
    for at in 0..rows.len {
        let mut row = list.row();
        for (_, column) in &rows.columns {
            row = match column {
                Column::Numbers(numbers) => row.optional_integer(numbers[at]),
                Column::Texts(texts) => row.optional_text(texts[at].as_deref()),
                Column::Documents(texts) => row.bytes(texts[at].as_bytes()),
                Column::Hashes(hashes) => row.bytes(&hashes[at]),
            };
        }
    }
    list.finish()
}
