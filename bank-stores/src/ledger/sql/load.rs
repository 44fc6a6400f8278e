//! What a group of commands needs to know: a fixed number of queries, whatever its size.

use std::collections::{HashMap, HashSet};

use super::columns::{select_accounts, select_entries, select_holds};
use super::rows::{Record, account, entry, hold, state};
use super::{Session, Value, reads};
use crate::error::damaged;
use crate::ledger::annotation::Addition;
use crate::ledger::book::{AddedTo, Book, HeldHold, Outcome, Target, Thing};
use crate::ledger::work::SWEEP;
use crate::ledger::{
    AccountId, ChangeId, Command, CommandId, HoldId, HoldStatus, Leg, PostingId, Receipt, refusal,
};
use crate::{Error, Result, Timestamp};

/// What commands name.
#[derive(Default)]
struct Named<'c> {
    postings: Vec<&'c str>,
    targets: HashSet<&'c str>,
    holds: HashSet<&'c str>,
    changes: Vec<&'c str>,
    added_to: HashSet<&'c str>,
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
                Command::Annotate(annotation) => named.add(annotation),
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
                    named.targets.insert(reversal.reverses.as_str());
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

    fn add(&mut self, addition: &'c impl Addition) {
        self.changes.push(addition.id().as_str());
        self.added_to.insert(addition.posting().as_str());
    }
}

/// Loads what the commands need, but for the accounts of which `remembered` says that the book has them. `refusals` says whether
/// there are any refusals that are remembered, `due` whether a hold's deadline may have come.
pub(crate) async fn load(
    session: &mut impl Session,
    commands: &[&Command],
    book: &mut Book,
    mut remembered: impl FnMut(&AccountId, &mut Book) -> bool,
    (refusals, due): (bool, bool),
) -> Result<()> {
    let mut named = Named::by(commands);
    if !named.postings.is_empty() {
        load_postings(session, &named.postings, book).await?;
    }
    if !named.targets.is_empty() {
        let touched = load_targets(session, &named, book).await?;
        named.accounts.extend(touched);
    }
    if !named.changes.is_empty() {
        load_changes(session, &named.changes, book).await?;
    }
    if !named.added_to.is_empty() {
        load_added_to(session, &named.added_to, book).await?;
    }
    if refusals {
        load_refusals(session, commands, book).await?;
    }
    let mut holds = HashMap::new();
    if !named.holds.is_empty() {
        let sql = select_holds!("{texts} {join} {holds} h ON h.id = j.value", "");
        for row in session.rows(sql, vec![named.holds.iter().copied().collect()]).await? {
            match hold(&row) {
                Ok(held) => drop(holds.insert(held.hold.id.clone(), held)),
                Err(error) => damaged_row(book, Thing::Hold(HoldId::new(row.text("id")?)?), error),
            }
        }
    }
    if due {
        for held in due_holds(session, &named.accounts, book.booked_at()).await? {
            holds.insert(held.hold.id.clone(), held);
        }
    }
    named.accounts.extend(holds.values().map(|held| held.hold.account.clone()));
    for held in holds.into_values() {
        book.load_hold(held.hold, held.sequence, held.content, held.ended);
    }
    named.accounts.retain(|id| !remembered(id, book));
    if named.accounts.is_empty() {
        return Ok(());
    }
    let sql = select_accounts!("{texts} {join} {accounts} a ON a.id = j.value", "");
    for row in session.rows(sql, vec![named.accounts.iter().map(AccountId::as_str).collect()]).await? {
        load_account(&row, book)?;
    }
    Ok(())
}

/// Loads an account of a row; one that cannot be read is the refusal of the commands that need it.
pub(crate) fn load_account(row: &impl Record, book: &mut Book) -> Result<()> {
    match account(row) {
        Ok(held) => book.load_account(held.account, held.sequence, held.content),
        Err(error) => damaged_row(book, Thing::Account(AccountId::new(row.text("id")?)?), error),
    }
    Ok(())
}

fn damaged_row(book: &mut Book, thing: Thing, error: Error) {
    tracing::error!(?thing, error = ?error, "a row of the ledger cannot be read");
    book.load_damaged(thing, error);
}

async fn load_postings(session: &mut impl Session, ids: &[&str], book: &mut Book) -> Result<()> {
    let sql = "SELECT p.id, p.sequence, p.content FROM {texts} {join} {postings} p ON p.id = j.value";
    for row in session.rows(sql, vec![ids.iter().copied().collect()]).await? {
        let id = PostingId::new(row.text("id")?).map_err(damaged)?;
        match row.hash("content") {
            Ok(content) => book.load_posting(id, row.sequence("sequence")?, content),
            Err(error) => damaged_row(book, Thing::Command(CommandId::Posting(id)), error),
        }
    }
    Ok(())
}

async fn load_targets(
    session: &mut impl Session,
    named: &Named<'_>,
    book: &mut Book,
) -> Result<Vec<AccountId>> {
    let sql = "SELECT p.id, p.sequence, p.reverses,
                      (SELECT r.sequence FROM {postings} r WHERE r.reverses = p.sequence) AS reversed
               FROM {texts} {join} {postings} p ON p.id = j.value";
    let rows = session.rows(sql, vec![named.targets.iter().copied().collect()]).await?;
    let sequences = rows.iter().map(|row| row.sequence("sequence")).collect::<Result<Vec<_>>>()?;
    let (mut receipts, mut unreadable) = recall(session, &sequences).await?;
    let mut touched = Vec::new();
    for (row, sequence) in rows.iter().zip(sequences) {
        let id = PostingId::new(row.text("id")?).map_err(damaged)?;
        let entries = match (receipts.remove(&sequence), unreadable.remove(&sequence)) {
            (Some(receipt), None) => receipt.entries,
            (_, error) => {
                let error = error.unwrap_or_else(|| damaged(Error::invalid("posting", "it has no legs")));
                damaged_row(book, Thing::Target(id), error);
                continue;
            }
        };
        touched.extend(entries.iter().map(|entry| entry.account.clone()));
        let legs = entries.into_iter().map(|entry| Leg::new(entry.account, entry.amount)).collect();
        let is_reversal = row.optional_number("reverses")?.is_some();
        let reversed = row.optional_number("reversed")?.is_some();
        book.load_target(id, Target { sequence, legs, is_reversal, reversed });
    }
    // What is reversed in the group that posts it has its accounts named by the posting.
    Ok(touched)
}

async fn load_changes(session: &mut impl Session, ids: &[&str], book: &mut Book) -> Result<()> {
    let sql = "SELECT c.id, c.sequence, c.content FROM {texts} {join} {changes} c ON c.id = j.value";
    for row in session.rows(sql, vec![ids.iter().copied().collect()]).await? {
        let id = ChangeId::new(row.text("id")?).map_err(damaged)?;
        match row.hash("content") {
            Ok(content) => book.load_change(id, row.sequence("sequence")?, content),
            Err(error) => damaged_row(book, Thing::Command(CommandId::Change(id)), error),
        }
    }
    Ok(())
}

async fn load_added_to(session: &mut impl Session, ids: &HashSet<&str>, book: &mut Book) -> Result<()> {
    let sql =
        "SELECT p.id, p.sequence, (SELECT count(*) FROM {changes} c WHERE c.posting = p.sequence) AS additions
               FROM {texts} {join} {postings} p ON p.id = j.value";
    for row in session.rows(sql, vec![ids.iter().copied().collect()]).await? {
        let id = PostingId::new(row.text("id")?).map_err(damaged)?;
        book.load_added_to(
            id,
            AddedTo { posting: row.sequence("sequence")?, additions: row.sequence("additions")? },
        );
    }
    Ok(())
}

async fn load_refusals(session: &mut impl Session, commands: &[&Command], book: &mut Book) -> Result<()> {
    let ids: HashMap<String, CommandId> =
        commands.iter().map(|command| command.id()).map(|id| (id.to_string(), id)).collect();
    let sql = "SELECT r.id, r.content, r.error FROM {texts} {join} {refusals} r ON r.id = j.value";
    for row in session.rows(sql, vec![ids.keys().map(String::as_str).collect()]).await? {
        if let Some(id) = ids.get(row.text("id")?) {
            let read =
                || Ok((row.hash("content")?, refusal::from_text(row.text("error")?).map_err(damaged)?));
            match read() {
                Ok((content, error)) => book.load_refusal(id.clone(), content, error),
                Err(error) => damaged_row(book, Thing::Command(id.clone()), error),
            }
        }
    }
    Ok(())
}

/// Open holds whose deadline has come: all of these accounts', and some of the others'.
async fn due_holds(
    session: &mut impl Session,
    accounts: &HashSet<AccountId>,
    now: Timestamp,
) -> Result<Vec<HeldHold>> {
    let sql = select_holds!(
        "{texts} {join} {accounts} o ON o.id = j.value {join} {holds} h ON h.account = o.sequence",
        "WHERE h.status = 0 AND h.deadline <= $2"
    );
    let named = accounts.iter().map(AccountId::as_str).collect();
    let mut rows = session.rows(sql, vec![named, now.into()]).await?;
    let sql =
        select_holds!("{holds} h", "WHERE h.status = 0 AND h.deadline <= $1 ORDER BY h.deadline LIMIT $2");
    rows.extend(session.rows(sql, vec![now.into(), (SWEEP as i64).into()]).await?);
    let readable =
        |row| hold(row).inspect_err(|error| tracing::error!(error = ?error, "a hold cannot be read"));
    Ok(rows.iter().filter_map(|row| readable(row).ok()).collect())
}

/// The earliest deadline of an open hold.
#[cfg(feature = "embedded")]
pub(crate) async fn earliest_deadline(session: &mut impl Session) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(deadline) AS number FROM {holds} WHERE status = 0 AND deadline IS NOT NULL";
    Ok(session.number(sql, Vec::new()).await?.map(Timestamp::from_micros))
}

/// What is stored of commands, by sequence: receipts, and why one cannot be read.
type Stored = (HashMap<u64, Receipt>, HashMap<u64, Error>);

/// The receipts of the commands that took effect before this group, by sequence.
pub(crate) async fn recalled(
    session: &mut impl Session,
    outcomes: &[Outcome<'_>],
) -> Result<HashMap<u64, Result<Receipt>>> {
    let (postings, changes) = Outcome::recalled(outcomes);
    let mut stored = HashMap::new();
    let mut keep = |(receipts, unreadable): Stored| {
        stored.extend(receipts.into_iter().map(|(sequence, receipt)| (sequence, Ok(receipt))));
        stored.extend(unreadable.into_iter().map(|(sequence, error)| (sequence, Err(error))));
    };
    if !postings.is_empty() {
        keep(recall(session, &postings).await?);
    }
    if !changes.is_empty() {
        keep(recall_changes(session, &changes).await?);
    }
    Ok(stored)
}

/// The receipts of postings that are stored.
async fn recall(session: &mut impl Session, sequences: &[u64]) -> Result<Stored> {
    let wanted = numbers(sequences);
    let sql =
        select_entries!("{numbers} {join} {entries} e ON e.posting = j.value", "ORDER BY e.posting, e.leg");
    let (mut receipts, mut unreadable) = Stored::default();
    for row in &session.rows(sql, vec![wanted.clone()]).await? {
        let sequence = row.sequence("sequence")?;
        match entry(row) {
            Ok(entry) => receipts
                .entry(sequence)
                .or_insert_with(|| {
                    Receipt::posted(entry.posting.clone(), sequence, entry.booked_at, Vec::new())
                })
                .entries
                .push(entry),
            Err(error) => drop(unreadable.insert(sequence, error)),
        }
    }
    // The hold as each capture left it.
    let sql = select_holds!(
        ", p.sequence AS posting, p.captured AS captured_then, CAST(p.hold_status AS bigint) AS status_then",
        "{numbers} {join} {postings} p ON p.sequence = j.value {join} {holds} h ON h.sequence = p.hold",
        ""
    );
    for row in &session.rows(sql, vec![wanted]).await? {
        let sequence = row.sequence("posting")?;
        let read = || {
            let status = HoldStatus::from_number(row.number("status_then")?);
            Ok(hold(row)?.hold.with(row.number("captured_then")?, status))
        };
        match (read(), receipts.remove(&sequence)) {
            (Ok(then), Some(receipt)) => drop(receipts.insert(sequence, receipt.with_hold(then))),
            (Ok(_), None) => {}
            (Err(error), _) => drop(unreadable.insert(sequence, error)),
        }
    }
    receipts.retain(|sequence, _| !unreadable.contains_key(sequence));
    Ok((receipts, unreadable))
}

/// The receipts of changes that are stored.
async fn recall_changes(session: &mut impl Session, sequences: &[u64]) -> Result<Stored> {
    let sql = "SELECT c.sequence, c.id, c.account, c.booked_at, c.state
               FROM {numbers} {join} {changes} c ON c.sequence = j.value";
    let (mut receipts, mut unreadable) = Stored::default();
    for row in &session.rows(sql, vec![numbers(sequences)]).await? {
        let sequence = row.sequence("sequence")?;
        let read = || {
            let id = ChangeId::new(row.text("id")?).map_err(damaged)?;
            let at = row.time("booked_at")?;
            Ok(match row.optional_number("account")? {
                Some(_) => Receipt::changed(id, sequence, at, state(row)?),
                None => Receipt::added(id, sequence, at),
            })
        };
        match read() {
            Ok(receipt) => drop(receipts.insert(sequence, receipt)),
            Err(error) => drop(unreadable.insert(sequence, error)),
        }
    }
    Ok((receipts, unreadable))
}

/// The one receipt among what is stored.
fn only((mut receipts, mut unreadable): Stored, sequence: i64) -> Result<Option<Receipt>> {
    match unreadable.remove(&(sequence as u64)) {
        Some(error) => Err(error),
        None => Ok(receipts.remove(&(sequence as u64))),
    }
}

/// The outcome of a command as it stands; a refusal that is remembered is given as that error.
pub(crate) async fn find(session: &mut impl Session, id: &CommandId) -> Result<Option<Receipt>> {
    let found = match id {
        CommandId::Account(id) => {
            let sql = select_accounts!("{accounts} a", "WHERE a.id = $1");
            session.row(sql, vec![id.as_str().into()]).await?.as_ref().map(super::rows::opened).transpose()?
        }
        CommandId::Posting(id) => {
            let sql = "SELECT sequence AS number FROM {postings} WHERE id = $1";
            match session.number(sql, vec![id.as_str().into()]).await? {
                Some(found) => only(recall(session, &[found as u64]).await?, found)?,
                None => None,
            }
        }
        CommandId::Change(id) => {
            let sql = "SELECT sequence AS number FROM {changes} WHERE id = $1";
            match session.number(sql, vec![id.as_str().into()]).await? {
                Some(found) => only(recall_changes(session, &[found as u64]).await?, found)?,
                None => None,
            }
        }
        CommandId::Hold(hold) | CommandId::Void(hold) => {
            reads::held(session, hold).await?.and_then(|held| held.receipt(id))
        }
    };
    if found.is_some() {
        return Ok(found);
    }
    let id = id.to_string();
    let refused = session.row("SELECT error FROM {refusals} WHERE id = $1", vec![id.as_str().into()]).await?;
    match refused {
        Some(row) => Err(refusal::from_text(row.text("error")?).map_err(damaged)?),
        None => Ok(None),
    }
}

fn numbers(sequences: &[u64]) -> Value<'static> {
    let once: HashSet<u64> = sequences.iter().copied().collect();
    Value::Numbers(once.into_iter().map(|sequence| sequence as i64).collect())
}
