//! What a group of commands needs to know: a fixed number of queries, whatever its size.

use std::collections::{HashMap, HashSet};

use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::columns::{select_accounts, select_entries, select_holds};
use crate::aurora::error::{damaged, from_sqlx};
use crate::ledger::book::{Book, Target};
use crate::ledger::refusal;
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

/// Loads what the commands need. `refusals` says whether there are any that are remembered, `due` whether a hold's deadline may
/// have come.
pub(super) async fn load(
    connection: &mut PgConnection,
    commands: &[&Command],
    book: &mut Book,
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
        let sql = select_holds!("holds h", "WHERE h.id = ANY($1)");
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
    let sql = select_accounts!("accounts a", "WHERE a.id = ANY($1)");
    let ids = texts(named.accounts.iter().map(AccountId::as_str));
    let rows = sqlx::query(sql).bind(ids).fetch_all(connection).await.map_err(from_sqlx)?;
    for row in &rows {
        let held = account(row)?;
        book.load_account(held.account, held.sequence, held.content);
    }
    Ok(())
}

async fn load_postings(connection: &mut PgConnection, ids: &[&str], book: &mut Book) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query("SELECT p.id, p.sequence, p.content FROM postings p WHERE p.id = ANY($1)")
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
    connection: &mut PgConnection,
    named: &Named<'_>,
    book: &mut Book,
) -> Result<impl Iterator<Item = AccountId> + use<>> {
    let rows = sqlx::query(
        "SELECT p.id, p.sequence, p.reverses IS NOT NULL,
                EXISTS (SELECT 1 FROM postings r WHERE r.reverses = p.sequence)
         FROM postings p WHERE p.id = ANY($1)",
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

async fn load_changes(connection: &mut PgConnection, ids: &[&str], book: &mut Book) -> Result<()> {
    let rows = sqlx::query("SELECT c.id, c.sequence, c.content FROM changes c WHERE c.id = ANY($1)")
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

async fn load_refusals(connection: &mut PgConnection, commands: &[&Command], book: &mut Book) -> Result<()> {
    let ids: HashMap<String, CommandId> =
        commands.iter().map(|command| command.id()).map(|id| (id.to_string(), id)).collect();
    let rows = sqlx::query("SELECT r.id, r.content, r.error FROM refusals r WHERE r.id = ANY($1)")
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
    connection: &mut PgConnection,
    accounts: &HashSet<AccountId>,
    now: Timestamp,
) -> Result<Vec<crate::ledger::book::HeldHold>> {
    let sql = select_holds!(
        "accounts o JOIN holds h ON h.account = o.sequence",
        "WHERE o.id = ANY($1) AND h.status = 0 AND h.deadline <= $2"
    );
    let mut rows = sqlx::query(sql)
        .bind(texts(accounts.iter().map(AccountId::as_str)))
        .bind(now.micros())
        .fetch_all(&mut *connection)
        .await
        .map_err(from_sqlx)?;
    let sql =
        select_holds!("holds h", "WHERE h.status = 0 AND h.deadline <= $1 ORDER BY h.deadline LIMIT $2");
    let some = sqlx::query(sql).bind(now.micros()).bind(SWEEP as i64).fetch_all(connection).await;
    rows.extend(some.map_err(from_sqlx)?);
    rows.iter().map(hold).collect()
}

/// The receipts of postings that are stored, by sequence.
pub(super) async fn recall(
    connection: &mut PgConnection,
    sequences: &[u64],
) -> Result<HashMap<u64, Receipt>> {
    let wanted = numbers(sequences);
    let sql = select_entries!("entries e", "WHERE e.posting = ANY($1) ORDER BY e.posting, e.leg");
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
        ", p.sequence, p.captured, p.hold_status::bigint",
        "postings p JOIN holds h ON h.sequence = p.hold",
        "WHERE p.sequence = ANY($1)"
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
    connection: &mut PgConnection,
    sequences: &[u64],
) -> Result<HashMap<u64, Receipt>> {
    let rows = sqlx::query(
        "SELECT c.sequence, c.id, c.booked_at, c.state FROM changes c
         WHERE c.sequence = ANY($1)",
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

fn texts<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ids.into_iter().map(ToOwned::to_owned).collect()
}

fn numbers(sequences: &[u64]) -> Vec<i64> {
    sequences.iter().map(|sequence| *sequence as i64).collect()
}
