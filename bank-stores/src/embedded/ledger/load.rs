//! What a group of commands needs to know: a fixed number of queries, whatever its size.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::columns::{select_accounts, select_entries, select_holds};
use crate::embedded::error::{damaged, from_sqlx};
use crate::embedded::json::Rows;
use crate::ledger::book::{Book, Target};
use crate::ledger::refusal;
use crate::ledger::remembered::Remembered;
use crate::ledger::rows::{Record as _, account, entry, hold};
use crate::ledger::work::SWEEP;
use crate::ledger::{Account, AccountId, ChangeId, Command, CommandId, HoldStatus, Leg, PostingId, Receipt};
use crate::{Result, Timestamp};

/// What commands name.
#[derive(Default)]
struct Named<'c> {
    postings: Vec<&'c str>,
    targets: Vec<&'c str>,
    holds: HashSet<&'c str>,
    changes: Vec<&'c str>,
    accounts: HashSet<AccountId>,
}

impl<'c> Named<'c> {
    fn by(commands: &[&'c Command]) -> Self {
        let mut named = Self::default();
        for command in commands {
            match command.plain() {
                Command::Open(open) => {
                    named.accounts.insert(open.id.clone());
                }
                Command::Change(change) => {
                    named.changes.push(change.id.as_str());
                    named.accounts.insert(change.account.clone());
                }
                Command::Post(posting) => {
                    named.postings.push(posting.id.as_str());
                    for leg in &posting.legs {
                        if !named.accounts.contains(&leg.account) {
                            named.accounts.insert(leg.account.clone());
                        }
                    }
                }
                Command::Reverse(reversal) => {
                    named.postings.push(reversal.id.as_str());
                    named.targets.push(reversal.reverses.as_str());
                }
                Command::Hold(place) => {
                    named.holds.insert(place.id.as_str());
                    named.accounts.insert(place.account.clone());
                }
                Command::Capture(capture) => {
                    named.postings.push(capture.id.as_str());
                    named.holds.insert(capture.hold.as_str());
                    named.accounts.insert(capture.to.clone());
                }
                Command::Void(id) => {
                    named.holds.insert(id.as_str());
                }
                Command::Linked(_) => {}
            }
        }
        named
    }
}

/// Loads what the commands need, accounts that are remembered among it. `refusals` says whether there are any refusals that are
/// remembered, `due` whether a hold's deadline may have come.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    commands: &[&Command],
    book: &mut Book,
    remembered: &mut Remembered,
    refusals: bool,
    due: bool,
) -> Result<()> {
    let mut named = Named::by(commands);
    load_postings(connection, &named.postings, book).await?;
    if !named.targets.is_empty() {
        let touched = load_targets(connection, &named, book).await?;
        named.accounts.extend(touched);
    }
    if !named.changes.is_empty() {
        load_changes(connection, &named.changes, book).await?;
    }
    if refusals {
        load_refusals(connection, commands, book).await?;
    }
    let mut holds = HashMap::new();
    if !named.holds.is_empty() {
        let sql = select_holds!("jsonb_each(?1) j CROSS JOIN holds h ON h.id = j.value", "");
        let ids = texts(named.holds.iter().copied());
        let rows = sqlx::query(sql).bind(ids).fetch_all(&mut *connection).await.map_err(from_sqlx)?;
        for row in &rows {
            let held = hold(row)?;
            holds.insert(held.hold.id.clone(), held);
        }
    }
    if due {
        for held in due_holds(connection, &named.accounts, book.booked_at()).await? {
            holds.insert(held.hold.id.clone(), held);
        }
    }
    named.accounts.extend(holds.values().map(|held| held.hold.account.clone()));
    for held in holds.into_values() {
        book.load_hold(held.hold, held.sequence, held.content, held.ended);
    }
    named.accounts.retain(|id| !remembered.load(id, book));
    if named.accounts.is_empty() {
        return Ok(());
    }
    let sql = select_accounts!("jsonb_each(?1) j CROSS JOIN accounts a ON a.id = j.value", "");
    let ids = texts(named.accounts.iter().map(AccountId::as_str));
    let rows = sqlx::query(sql).bind(ids).fetch_all(connection).await.map_err(from_sqlx)?;
    for row in &rows {
        let held = account(row)?;
        book.load_account(held.account, held.sequence, held.content);
    }
    Ok(())
}

async fn load_postings(connection: &mut SqliteConnection, ids: &[&str], book: &mut Book) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(
        "SELECT p.id, p.sequence, p.content FROM jsonb_each(?1) j CROSS JOIN postings p ON p.id = j.value",
    )
    .bind(texts(ids.iter().copied()))
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    for row in &rows {
        let id = PostingId::new(row.get::<&str, _>(0)).map_err(damaged)?;
        book.load_posting(id, row.get::<i64, _>(1) as u64, row.hash(2)?);
    }
    Ok(())
}

async fn load_targets(
    connection: &mut SqliteConnection,
    named: &Named<'_>,
    book: &mut Book,
) -> Result<impl Iterator<Item = AccountId> + use<>> {
    let rows = sqlx::query(
        "SELECT p.id, p.sequence, p.reverses IS NOT NULL,
                EXISTS (SELECT 1 FROM postings r WHERE r.reverses = p.sequence)
         FROM jsonb_each(?1) j CROSS JOIN postings p ON p.id = j.value",
    )
    .bind(texts(named.targets.iter().copied()))
    .fetch_all(&mut *connection)
    .await
    .map_err(from_sqlx)?;
    let sequences: Vec<u64> = rows.iter().map(|row| row.get::<i64, _>(1) as u64).collect();
    let mut receipts = recall(connection, &sequences).await?;
    let mut touched = Vec::new();
    for row in &rows {
        let id = PostingId::new(row.get::<&str, _>(0)).map_err(damaged)?;
        let sequence = row.get::<i64, _>(1) as u64;
        let entries = receipts.remove(&sequence).map(|receipt| receipt.entries).unwrap_or_default();
        touched.extend(entries.iter().map(|entry| entry.account.clone()));
        let legs = entries.into_iter().map(|entry| Leg::new(entry.account, entry.amount)).collect();
        book.load_target(id, Target { sequence, legs, is_reversal: row.get(2), reversed: row.get(3) });
    }
    // What is reversed in the group that posts it has its accounts named by the posting.
    Ok(touched.into_iter())
}

async fn load_changes(connection: &mut SqliteConnection, ids: &[&str], book: &mut Book) -> Result<()> {
    let rows = sqlx::query(
        "SELECT c.id, c.sequence, c.content FROM jsonb_each(?1) j CROSS JOIN changes c ON c.id = j.value",
    )
    .bind(texts(ids.iter().copied()))
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    for row in &rows {
        let id = ChangeId::new(row.get::<&str, _>(0)).map_err(damaged)?;
        book.load_change(id, row.get::<i64, _>(1) as u64, row.hash(2)?);
    }
    Ok(())
}

async fn load_refusals(
    connection: &mut SqliteConnection,
    commands: &[&Command],
    book: &mut Book,
) -> Result<()> {
    let ids: HashMap<String, CommandId> =
        commands.iter().map(|command| command.id()).map(|id| (id.to_string(), id)).collect();
    let rows = sqlx::query(
        "SELECT r.id, r.content, r.error FROM jsonb_each(?1) j CROSS JOIN refusals r ON r.id = j.value",
    )
    .bind(texts(ids.keys().map(String::as_str)))
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    for row in &rows {
        if let Some(id) = ids.get(row.get::<&str, _>(0)) {
            let error = refusal::from_text(row.get(2)).map_err(damaged)?;
            book.load_refusal(id.clone(), row.hash(1)?, error);
        }
    }
    Ok(())
}

/// Open holds whose deadline has come: all of these accounts', and some of the others'.
async fn due_holds(
    connection: &mut SqliteConnection,
    accounts: &HashSet<AccountId>,
    now: Timestamp,
) -> Result<Vec<crate::ledger::book::HeldHold>> {
    let sql = select_holds!(
        "jsonb_each(?1) j CROSS JOIN accounts o ON o.id = j.value CROSS JOIN holds h ON h.account = o.sequence",
        "WHERE h.status = 0 AND h.deadline <= ?2"
    );
    let mut rows = sqlx::query(sql)
        .bind(texts(accounts.iter().map(AccountId::as_str)))
        .bind(now.micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let sql =
        select_holds!("holds h", "WHERE h.status = 0 AND h.deadline <= ?1 ORDER BY h.deadline LIMIT ?2");
    let some = sqlx::query(sql).bind(now.micros()).bind(SWEEP as i64).fetch_all(connection).await;
    rows.extend(some.map_err(from_sqlx)?);
    rows.iter().map(hold).collect()
}

/// The receipts of postings that are stored, by sequence.
pub(super) async fn recall(
    connection: &mut SqliteConnection,
    sequences: &[u64],
) -> Result<HashMap<u64, Receipt>> {
    let wanted = numbers(sequences);
    let sql = select_entries!(
        "jsonb_each(?1) j CROSS JOIN entries e ON e.posting = (j.value->>0)",
        "ORDER BY e.posting, e.leg"
    );
    let rows = sqlx::query(sql).bind(&wanted).fetch_all(&mut *connection).await.map_err(from_sqlx)?;
    let mut receipts: HashMap<u64, Receipt> = HashMap::new();
    for row in &rows {
        let entry = entry(row)?;
        let sequence = row.get::<i64, _>(10) as u64;
        receipts
            .entry(sequence)
            .or_insert_with(|| Receipt::posted(entry.posting.clone(), sequence, entry.booked_at, Vec::new()))
            .entries
            .push(entry);
    }
    // The hold as each capture left it.
    let sql = select_holds!(
        ", p.sequence, p.captured, p.hold_status",
        "jsonb_each(?1) j CROSS JOIN postings p ON p.sequence = (j.value->>0) CROSS JOIN holds h ON h.sequence = p.hold",
        ""
    );
    let rows = sqlx::query(sql).bind(wanted).fetch_all(connection).await.map_err(from_sqlx)?;
    for row in &rows {
        let sequence = row.get::<i64, _>(12) as u64;
        if let Some(receipt) = receipts.remove(&sequence) {
            let then = hold(row)?.hold.with(row.get(13), HoldStatus::from_number(row.get(14)));
            receipts.insert(sequence, receipt.with_hold(then));
        }
    }
    Ok(receipts)
}

/// The receipts of changes that are stored, by sequence.
pub(super) async fn recall_changes(
    connection: &mut SqliteConnection,
    sequences: &[u64],
) -> Result<HashMap<u64, Receipt>> {
    let rows = sqlx::query(
        "SELECT c.sequence, c.id, c.booked_at, c.state FROM jsonb_each(?1) j
         CROSS JOIN changes c ON c.sequence = (j.value->>0)",
    )
    .bind(numbers(sequences))
    .fetch_all(connection)
    .await
    .map_err(from_sqlx)?;
    rows.iter()
        .map(|row| {
            let sequence = row.get::<i64, _>(0) as u64;
            let id = ChangeId::new(row.get::<&str, _>(1)).map_err(damaged)?;
            let account: Account = serde_json::from_str(row.get(3)).map_err(|source| {
                damaged(crate::Error::invalid("state", "not an account").with_source(source))
            })?;
            Ok((sequence, Receipt::changed(id, sequence, Timestamp::from_micros(row.get(2)), account)))
        })
        .collect()
}

fn texts<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut rows = Rows::new();
    ids.into_iter().for_each(|id| rows.value(id));
    rows.json()
}

fn numbers(sequences: &[u64]) -> String {
    let mut rows = Rows::new();
    for sequence in sequences.iter().collect::<HashSet<_>>() {
        rows.row().unsigned(*sequence);
    }
    rows.json()
}
