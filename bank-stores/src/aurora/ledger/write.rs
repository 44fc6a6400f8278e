//! What a group did, sent as arrays: one statement for all tables, whatever the group's size.

use std::sync::Arc;

use super::known::LastGroup;
use super::statement::Statement;
use crate::Timestamp;
use crate::aurora::clock::{AHEAD, BEHIND};
use crate::ledger::Command;
use crate::ledger::book::{Book, Outcome};
use crate::ledger::sql::tables::{Column, How, Order, Rows, rows};

/// Where groups are written.
#[derive(Debug)]
pub(crate) struct Groups {
    /// The schema, and the lock of its groups, as they stand in statements.
    pub(crate) schema: Arc<str>,
    pub(crate) lock: Arc<str>,
}

/// By what a group was evaluated outside of a transaction, beside what is remembered.
pub(super) struct Evaluated {
    /// Which has to be about the server's time still.
    pub(super) now: Timestamp,
    /// Postings that are refused: a refusal is true of what is, and what happened before is no refusal, however poor its account
    /// is now.
    pub(super) not_posted: Vec<String>,
    /// Commands that were not refused for good, as far as is known: what was does not happen.
    pub(super) not_refused: Vec<String>,
}

/// A statement that writes what the group `next` did, whose first sequence comes behind `before`, where `last` is still the last
/// group and what it was evaluated by still holds; otherwise it gives no row and does nothing. Outside of a transaction it is one
/// of its own.
pub(super) fn statement(
    Groups { schema, lock }: &Groups,
    commands: &[&Command],
    outcomes: &[Outcome<'_>],
    book: &Book,
    before: u64,
    (last, next): (LastGroup, LastGroup),
    known: Option<&Evaluated>,
) -> sqlx::Result<Statement> {
    let mut statement = Statement::default();
    let (sequence, at) =
        (statement.value(book.sequence() as i64)?, statement.value(book.booked_at().micros())?);
    let (number, nonce) = (statement.value(next.number)?, statement.value(next.nonce)?);
    let (last, last_nonce) = (statement.value(last.number)?, statement.value(last.nonce)?);
    let still_holds = match known {
        Some(known) => {
            let now = statement.value(known.now.micros())?;
            let (ahead, behind) = (AHEAD.as_micros(), BEHIND.as_micros());
            let mut holds = format!(
                " AND extract(epoch FROM clock_timestamp()) * 1000000
                      BETWEEN {now}::bigint - {ahead} AND {now}::bigint + {behind}"
            );
            for (table, ids) in [("postings", &known.not_posted), ("refusals", &known.not_refused)] {
                if !ids.is_empty() {
                    let ids = statement.column(ids.clone(), "text")?;
                    holds.push_str(&format!(
                        " AND NOT EXISTS (SELECT 1 FROM {schema}.{table} WHERE id = ANY({ids}))"
                    ));
                }
            }
            holds
        }
        None => String::new(),
    };
    // The other parts look at this one's row, and do nothing without it. What is seen was committed before the statement began, and
    // so before the lock was had: that no group came since, the number says, which no two groups have.
    statement.part(format!(
        "INSERT INTO {schema}.groups (number, nonce, sequence, booked_at)
         SELECT {number}, {nonce}, {sequence}, {at}
         FROM {schema}.groups g CROSS JOIN (SELECT pg_advisory_xact_lock({lock}) OFFSET 0) AS turn
         WHERE g.number = {last} AND g.nonce = {last_nonce}{still_holds}
         ON CONFLICT (number) DO NOTHING RETURNING 1"
    ));
    for rows in rows(commands, outcomes, book, before, Order::Account) {
        put(&mut statement, schema, rows)?;
    }
    Ok(statement)
}

/// Adds a part that takes a table's rows.
fn put(statement: &mut Statement, schema: &str, rows: Rows) -> sqlx::Result<()> {
    let (table, how) = (rows.table, rows.how);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (name, column) in rows.columns {
        names.push(name);
        values.push(match column {
            Column::Numbers(numbers) => statement.column(numbers, "bigint")?,
            Column::Texts(texts) => statement.column(texts, "text")?,
            Column::Documents(texts) => statement.column(texts, "text")?,
            Column::Hashes(hashes) => statement.column(hashes, "bytea")?,
        });
    }
    let (all, key, values) = (names.join(", "), names[0], values.join(", "));
    let set = |from: &str| {
        names[1..].iter().map(|name| format!("{name} = {from}.{name}")).collect::<Vec<_>>().join(", ")
    };
    let insert = format!(
        "INSERT INTO {schema}.{table} ({all}) SELECT * FROM unnest({values}) WHERE EXISTS (SELECT 1 FROM t0)"
    );
    statement.part(match how {
        How::Insert => insert,
        How::Keep => format!("{insert} ON CONFLICT ({key}) DO NOTHING"),
        How::Put => format!("{insert} ON CONFLICT ({key}) DO UPDATE SET {}", set("excluded")),
        How::Update => format!(
            "UPDATE {schema}.{table} t SET {} FROM unnest({values}) AS v ({all})
             WHERE t.{key} = v.{key} AND EXISTS (SELECT 1 FROM t0)",
            set("v")
        ),
    });
    Ok(())
}
