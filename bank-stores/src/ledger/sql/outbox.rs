//! The outbox of a ledger: each command that took effect has one event, at its sequence, told from its own rows.
//!
//! There is one shard. Each connection of a writer begins an epoch, and the event with number n lies in the epoch that began last at
//! or before n: a position of a history that was lost names an epoch that does not. Events are forgotten by a number, up to which
//! they are not given any more.

use super::columns::{select_entries, select_holds, select_postings};
use super::rows::{
    Record, addition, changed, entry, hold, opening, owner, posting_record, state, with_terms,
};
use super::{Session, Store};
use crate::error::damaged;
use crate::ledger::event::{self, Party};
use crate::ledger::work::beyond_the_newest;
use crate::ledger::{ChangeId, ConsumerId, Entry, HoldStatus, OpenAccount, PostingId};
use crate::outbox::{
    Edge, Event, Events, NewEvent, Position, ShardId, check_limit, new_epoch, no_such_shard, not_in_history,
};
use crate::{Consistency, Error, ErrorKind, Result, Timestamp};

const SHARD: ShardId = ShardId::new(0);

pub(crate) fn shards() -> Vec<ShardId> {
    vec![SHARD]
}

/// Begins an epoch behind the newest event: what is written from now on is told from what a copy of the ledger writes.
pub(crate) async fn begin_epoch(session: &mut impl Session) -> Result<()> {
    // `WHERE` tells SQLite that `ON` does not belong to a join.
    let begin = "INSERT INTO {epochs} AS e (number, epoch) SELECT {newest} + 1, $1 WHERE true
                 ON CONFLICT (number) DO UPDATE SET epoch = excluded.epoch";
    session.execute(begin, vec![new_epoch().into()]).await.map(drop)
}

/// Where the outbox begins and ends, and the epoch that the number `at` lies in.
struct Bounds {
    newest: u64,
    forgotten: u64,
    epoch: u64,
}

impl Bounds {
    async fn read(session: &mut impl Session, at: u64) -> Result<Self> {
        let sql = "SELECT {newest} AS newest, coalesce((SELECT max(number) FROM {forgotten}), 0) AS forgotten,
                          coalesce((SELECT epoch FROM {epochs} WHERE number <= $1 ORDER BY number DESC LIMIT 1), 0) AS epoch";
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let Some(row) = session.row(sql, vec![at.into()]).await? else {
            return Err(Error::new(ErrorKind::Unavailable, "the store gave no row"));
        };
        Ok(Self {
            newest: row.sequence("newest")?,
            forgotten: row.sequence("forgotten")?,
            epoch: row.sequence("epoch")?,
        })
    }

    /// Those around a position; refuses one that is not in this ledger's history.
    async fn around(session: &mut impl Session, field: &'static str, position: Position) -> Result<Self> {
        if position.shard() != SHARD {
            return Err(no_such_shard(position.shard()).with_field(field));
        }
        let bounds = Self::read(session, position.number()).await?;
        if position.number() > bounds.newest {
            return Err(not_in_history(field, "the position lies beyond the newest event"));
        }
        if bounds.epoch != position.epoch() {
            return Err(not_in_history(field, "the position is of another epoch: the ledger was replaced"));
        }
        if position.number() < bounds.forgotten {
            return Err(not_in_history(field, "events behind the position were forgotten"));
        }
        Ok(bounds)
    }
}

pub(crate) async fn edge(store: &impl Store, shard: ShardId, edge: Edge) -> Result<Position> {
    if shard != SHARD {
        return Err(no_such_shard(shard));
    }
    let mut session = store.session(Consistency::Current).await?;
    let bounds = Bounds::read(&mut session, 0).await?;
    let number = match edge {
        Edge::Oldest => bounds.forgotten,
        Edge::Newest => bounds.newest,
    };
    Ok(Position::new(Bounds::read(&mut session, number).await?.epoch, SHARD, number))
}

/// Whether the position is in this ledger's history; for a consumer to keep.
pub(crate) async fn check_kept(store: &impl Store, position: Position) -> Result<()> {
    let mut session = store.session(Consistency::Current).await?;
    Bounds::around(&mut session, "position", position).await.map(drop)
}

/// The events behind a position that there are now.
pub(crate) async fn events_now(store: &impl Store, after: Position, limit: u32) -> Result<Events> {
    check_limit(limit)?;
    let mut session = store.session(Consistency::Current).await?;
    let bounds = Bounds::around(&mut session, "after", after).await?;
    let (from, to) = (after.number(), bounds.newest.min(after.number() + u64::from(limit)));
    if from == to {
        return Ok(Events::new(Vec::new(), after));
    }
    let told = told(&mut session, from, to).await?;
    if !(from + 1..=to).eq(told.iter().map(|told| told.number)) {
        let message = format!("commands {} to {to} lack rows, or have too many", from + 1);
        return Err(damaged(Error::invalid("events", message)));
    }
    let sql = "SELECT number, epoch FROM {epochs} WHERE number > $1 AND number <= $2 ORDER BY number";
    let mut epochs = Vec::new();
    for row in session.rows(sql, vec![(from as i64).into(), (to as i64).into()]).await? {
        epochs.push((row.sequence("number")?, row.sequence("epoch")?));
    }
    let place = |number| {
        let begun = epochs.iter().rev().find(|(first, _)| *first <= number);
        Position::new(begun.map_or(bounds.epoch, |(_, epoch)| *epoch), SHARD, number)
    };
    let events = told.into_iter().map(|told| Event::new(place(told.number), told.at, told.event));
    Ok(Events::new(events.collect(), place(to)))
}

/// The positions that a consumer keeps.
pub(crate) async fn positions(store: &impl Store, consumer: &ConsumerId) -> Result<Vec<Position>> {
    let mut session = store.session(Consistency::Current).await?;
    let sql = "SELECT position AS number FROM {consumers} WHERE id = $1";
    let Some(number) = session.number(sql, vec![consumer.as_str().into()]).await? else {
        return Ok(Vec::new());
    };
    let bounds = Bounds::read(&mut session, number as u64).await?;
    Ok(vec![Position::new(bounds.epoch, SHARD, number as u64)])
}

/// Keeps a consumer's position, which never goes back.
pub(crate) async fn keep(session: &mut impl Session, consumer: &ConsumerId, number: i64) -> Result<u64> {
    // `WHERE` tells SQLite that `ON` does not belong to a join.
    let sql = "INSERT INTO {consumers} AS c (id, position) SELECT $1, $2 WHERE $2 <= {newest}
               ON CONFLICT (id) DO UPDATE SET position = {greatest}c.position, excluded.position)";
    match session.execute(sql, vec![consumer.as_str().into(), number.into()]).await? {
        0 => Err(beyond_the_newest()),
        kept => Ok(kept),
    }
}

/// Forgets the events from before this time that no consumer waits for; gives how many. The newest stays.
pub(crate) async fn forget(session: &mut impl Session, before: Timestamp) -> Result<u64> {
    let sql = "SELECT coalesce((SELECT max(number) FROM {forgotten}), 0) AS forgotten, {newest} AS newest,
                      (SELECT min(position) FROM {consumers}) AS awaited";
    let Some(row) = session.row(sql, Vec::new()).await? else { return Ok(0) };
    let forgotten = row.number("forgotten")?;
    let newest = row.number("newest")?;
    let mut high = row.optional_number("awaited")?.unwrap_or(i64::MAX).min(newest - 1);
    // Times never go back from one command to the next.
    let mut low = forgotten;
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if booked_at(session, middle).await?.is_some_and(|at| at < before) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if low > forgotten {
        session.execute("DELETE FROM {forgotten}", Vec::new()).await?;
        session.execute("INSERT INTO {forgotten} (number) VALUES ($1)", vec![low.into()]).await?;
    }
    Ok((low - forgotten) as u64)
}

/// When the command with this sequence was booked.
pub(crate) async fn booked_at(session: &mut impl Session, sequence: i64) -> Result<Option<Timestamp>> {
    let sql = "SELECT coalesce((SELECT booked_at FROM {postings} WHERE sequence = $1),
                               (SELECT placed_at FROM {holds} WHERE sequence = $1),
                               (SELECT max(ended_at) FROM {holds} WHERE ended_by = $1),
                               (SELECT opened_at FROM {accounts} WHERE sequence = $1),
                               (SELECT booked_at FROM {changes} WHERE sequence = $1)) AS number";
    Ok(session.number(sql, vec![sequence.into()]).await?.map(Timestamp::from_micros))
}

/// What is told of one command.
struct Told {
    number: u64,
    at: Timestamp,
    event: NewEvent,
}

/// What is told of the commands behind `from` and up to `to`, in order.
async fn told(session: &mut impl Session, from: u64, to: u64) -> Result<Vec<Told>> {
    let between = || vec![(from as i64).into(), (to as i64).into()];
    let mut told = Vec::with_capacity((to - from) as usize);
    let accounts = "SELECT sequence, id, owner, currency, terms, opened_at FROM {accounts}
                    WHERE sequence > $1 AND sequence <= $2";
    for row in session.rows(accounts, between()).await? {
        let at = row.time("opened_at")?;
        told.push(Told { number: row.sequence("sequence")?, at, event: event::opened(&opening(&row)?, at) });
    }
    let changes =
        "SELECT c.sequence, c.id, c.booked_at, c.kind, c.state, p.id AS posting
         FROM {changes} c LEFT JOIN {postings} p ON p.sequence = c.posting WHERE c.sequence > $1 AND c.sequence <= $2";
    for row in session.rows(changes, between()).await? {
        let (id, at) = (ChangeId::new(row.text("id")?).map_err(damaged)?, row.time("booked_at")?);
        let event = match row.optional_text("posting")?.map(PostingId::new).transpose().map_err(damaged)? {
            Some(posting) => event::added(&id, &posting, row.text("kind")?, addition(&row)?, at),
            None => event::changed(&id, &state(&row)?, at),
        };
        told.push(Told { number: row.sequence("sequence")?, at, event });
    }
    let placed = select_holds!(", a.owner", "{holds} h", "WHERE h.sequence > $1 AND h.sequence <= $2");
    for row in session.rows(placed, between()).await? {
        let held = hold(&row)?;
        let placed = held.hold.with(0, HoldStatus::Open);
        let at = placed.placed_at;
        told.push(Told { number: held.sequence, at, event: event::hold(&placed, owner(&row)?.as_ref(), at) });
    }
    let ended = select_holds!(", a.owner", "{holds} h", "WHERE h.ended_by > $1 AND h.ended_by <= $2");
    for row in session.rows(ended, between()).await? {
        let held = hold(&row)?;
        match held.ended {
            // The capture that ends a hold is a posting.
            Some((number, at)) if held.hold.status != HoldStatus::Captured => {
                told.push(Told { number, at, event: event::hold(&held.hold, owner(&row)?.as_ref(), at) });
            }
            _ => {}
        }
    }
    let entries = select_entries!(
        ", a.owner, a.terms, (SELECT c.state FROM {changes} c WHERE c.account = a.sequence AND c.sequence < e.posting
                              ORDER BY c.sequence DESC LIMIT 1) AS state",
        "{entries} e",
        "WHERE e.posting > $1 AND e.posting <= $2 ORDER BY e.posting, e.leg"
    );
    let mut entries = read_entries(&session.rows(entries, between()).await?)?.into_iter().peekable();
    let postings = select_postings!("", "WHERE p.sequence > $1 AND p.sequence <= $2 ORDER BY p.sequence");
    for row in session.rows(postings, between()).await? {
        let number = row.sequence("sequence")?;
        let mut own = (Vec::new(), Vec::new());
        while let Some((_, entry, party)) = entries.next_if(|(posting, ..)| *posting <= number) {
            own.0.push(entry);
            own.1.push(party);
        }
        let posting = posting_record(&row, own.0)?;
        told.push(Told { number, at: posting.booked_at, event: event::posted(&posting, &own.1) });
    }
    told.sort_by_key(|told| told.number);
    Ok(told)
}

/// Entries of postings, with these postings' sequences, and whose they are.
fn read_entries(rows: &[impl Record]) -> Result<Vec<(u64, Entry, Party)>> {
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let entry = entry(row)?;
        let opened = || OpenAccount::new(entry.account.clone(), entry.amount.currency());
        let name = match changed(row)? {
            Some(state) => state.name,
            None => with_terms(row, opened())?.name,
        };
        entries.push((row.sequence("sequence")?, entry, Party { owner: owner(row)?, name }));
    }
    Ok(entries)
}
