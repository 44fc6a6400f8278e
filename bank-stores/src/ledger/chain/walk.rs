//! Along the chain: what is added to it, and whether everything is as it was chained.

use super::facts::facts;
use super::verifier::{BLOCK, Verifier, block_hash};
use super::{Breach, ChainHead, Progress, Verified};
use crate::ledger::CurrencyTotal;
use crate::ledger::sql::rows::Record as _;
use crate::ledger::sql::totals::Moved;
use crate::ledger::sql::{OneConnection, Session, Store, totals};
use crate::{Error, ErrorKind, Result, Timestamp};

/// So many blocks are added at once.
const BLOCKS: usize = 16;
/// So many rows are read at once.
const ROWS: i64 = 10_000;
/// Asks for the sequence of the newest command.
const NEWEST: &str = "SELECT {newest} AS number";

/// The one number that a query gives.
async fn number(store: &impl Store, sql: &str, values: &[i64]) -> Result<Option<i64>> {
    store.rows(sql, values).await?.first().map_or(Ok(None), |row| row.optional_number("number"))
}

/// Where the chain stands.
pub(crate) async fn head<S: Store>(store: &S) -> Result<ChainHead> {
    // Before the newest command, so that this is not behind it.
    let last = store.rows("SELECT sequence, hash FROM {chain} ORDER BY sequence DESC LIMIT 1", &[]).await?;
    let last = last.first().map(|row| Ok((row.sequence("sequence")?, row.hash("hash")?))).transpose()?;
    let newest = number(store, NEWEST, &[]).await?.unwrap_or_default() as u64;
    let (sequence, hash) = last.unzip();
    let sequence = sequence.unwrap_or_default();
    Ok(ChainHead::new(sequence, hash, newest.saturating_sub(sequence)))
}

/// How many open holds are due, counted up to `most`. It also tells the store how late it is: the machine may have been suspended.
pub(crate) async fn due_holds(store: &impl Store, most: u64) -> Result<u64> {
    let sql = "SELECT count(*) AS number, {time} AS time
               FROM (SELECT 1 FROM {holds} WHERE status = 0 AND deadline <= $1 LIMIT $2) due";
    let rows = store.rows(sql, &[store.now().micros(), most as i64]).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    if let Some(time) = row.optional_number("time")? {
        store.learn(Timestamp::from_micros(time));
    }
    row.sequence("number")
}

/// Blocks that are to be added to the chain, and what has to be there still when they are.
#[derive(Debug)]
pub(crate) struct NextBlocks {
    /// The number and the nonce of a group that all the commands in them came up to, where groups have rows.
    pub(crate) seen: Option<(i64, i64)>,
    /// The last block: the command that it ends with, and its hash.
    pub(crate) after: (u64, Option<[u8; 32]>),
    pub(crate) blocks: Vec<(u64, [u8; 32])>,
    /// What the commands in them moved.
    pub(crate) moved: Vec<Moved>,
}

/// The blocks that are to be added, if any, and whether there are more behind them. `told` is where it was told last that rows are
/// missing.
///
/// The newest group is read first, and blocks end with its last command at the latest: where that group is, there are these
/// commands and no others before it, whatever a failover has lost of what came behind.
pub(crate) async fn next_blocks<S: Store>(
    store: &OneConnection<S>,
    told: &mut Option<u64>,
) -> Result<(Option<NextBlocks>, bool)> {
    let newest_group = match store.dialect().newest_group {
        Some(sql) => {
            let rows = store.rows(sql, &[]).await?;
            let Some(row) = rows.first() else { return Ok((None, false)) };
            Some(((row.number("number")?, row.number("nonce")?), row.sequence("sequence")?))
        }
        None => None,
    };
    let (seen, newest) = newest_group.unzip();
    let head = head(store).await?;
    let (after, last) = (head.sequence, newest.unwrap_or(head.sequence + head.pending));
    let chained = match after {
        0 => None,
        _ => block(store, after - 1).await?.map(|(_, hash)| hash),
    };
    let mut hash = chained;
    let (mut from, mut blocks) = (after, Vec::new());
    while from < last && blocks.len() < BLOCKS {
        let to = last.min(from + BLOCK);
        let facts = facts(store, from, to).await?;
        if !(from + 1..=to).eq(facts.iter().map(|fact| fact.sequence)) {
            if told.replace(from) != Some(from) {
                tracing::error!(
                    from,
                    to,
                    "the ledger lacks rows, or has too many: the chain is not continued"
                );
            }
            return Ok((None, false));
        }
        let next = block_hash(hash, &facts);
        blocks.push((to, next));
        (hash, from) = (Some(next), to);
    }
    if blocks.is_empty() {
        return Ok((None, false));
    }
    let moved = totals::moved(store, after, from).await?;
    Ok((Some(NextBlocks { seen, after: (after, chained), blocks, moved }), from < last))
}

/// The first block that ends behind the command `after`.
async fn block(store: &impl Store, after: u64) -> Result<Option<(u64, [u8; 32])>> {
    let sql = "SELECT sequence, hash FROM {chain} WHERE sequence > $1 ORDER BY sequence LIMIT 1";
    let rows = store.rows(sql, &[after as i64]).await?;
    rows.first().map(|row| Ok((row.sequence("sequence")?, row.hash("hash")?))).transpose()
}

/// What ends a verification early.
enum Stop {
    Failed(Error),
    Found(Breach),
}

impl Stop {
    /// These commands' rows could not be read: one that is there, and not as it should be, is a breach.
    fn reading(error: Error, from: u64, to: u64) -> Self {
        match error.kind() {
            ErrorKind::Damaged => Self::Found(Breach::new(from, to, "a row cannot be read")),
            _ => Self::Failed(error),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Breach> for Stop {
    fn from(breach: Breach) -> Self {
        Self::Found(breach)
    }
}

fn found(from: u64, to: u64, what: &str) -> Result<(), Stop> {
    Err(Breach::new(from, to, what).into())
}

/// Checks everything against the chain, the chain against a head of it that was kept, and what is kept beside the commands
/// against them.
pub(crate) async fn verify(
    store: &impl Store,
    kept: Option<&ChainHead>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Verified> {
    let no_outliers = outliers(store).await;
    // Before the head, so that they are of no later command.
    let kept_totals = totals::kept(store).await;
    // What is committed while it reads is left for the next time.
    let head = head(store).await?;
    let checked = async {
        no_outliers?;
        let verifier =
            commands(store, &head, kept.filter(|kept| kept.sequence > 0), kept_totals?, progress).await?;
        beside(store, verifier, head.sequence + head.pending).await
    };
    match checked.await {
        Ok(()) => Ok(Verified::new(head, None)),
        Err(Stop::Found(breach)) => Ok(Verified::new(head, Some(breach))),
        Err(Stop::Failed(error)) => match Stop::reading(error, 1, head.sequence + head.pending) {
            Stop::Found(breach) => Ok(Verified::new(head, Some(breach))),
            Stop::Failed(error) => Err(error),
        },
    }
}

/// Looks for rows of commands that never were.
async fn outliers<S: Store>(store: &S) -> Result<(), Stop> {
    let sql = "SELECT min(sequence) AS first, max(sequence) AS last FROM (
                   SELECT min(sequence) AS sequence FROM {accounts} UNION ALL SELECT max(sequence) FROM {accounts}
                   UNION ALL SELECT min(sequence) FROM {changes} UNION ALL SELECT max(sequence) FROM {changes}
                   UNION ALL SELECT min(sequence) FROM {holds} UNION ALL SELECT max(sequence) FROM {holds}
                   UNION ALL SELECT min(ended_by) FROM {holds} UNION ALL SELECT max(ended_by) FROM {holds}
                   UNION ALL SELECT min(sequence) FROM {postings} UNION ALL SELECT max(sequence) FROM {postings}
                   UNION ALL SELECT min(posting) FROM {entries} UNION ALL SELECT max(posting) FROM {entries}
               ) AS ends";
    let ends = store.rows(sql, &[]).await?;
    // After them, so that this is not behind them.
    let newest = number(store, NEWEST, &[]).await?.unwrap_or_default();
    let Some(ends) = ends.first() else { return Ok(()) };
    if ends.optional_number("first")?.is_some_and(|first| first < 1) {
        return found(0, 0, "a row is of no command");
    }
    match ends.optional_number("last")? {
        Some(last) if last > newest => {
            found(newest as u64 + 1, last as u64, "a row is of a command behind the newest")
        }
        _ => Ok(()),
    }
}

/// Checks what each command did.
async fn commands(
    store: &impl Store,
    head: &ChainHead,
    kept: Option<&ChainHead>,
    (chained, totals): (u64, Vec<CurrencyTotal>),
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Verifier, Stop> {
    let last = head.sequence + head.pending;
    let mut verifier = Verifier::default();
    while verifier.sequence() < last {
        let from = verifier.sequence();
        let block = if from < head.sequence { block(store, from).await? } else { None };
        let (to, expected) = match block {
            Some((to, hash)) => (to, Some(hash)),
            // Not in the chain yet.
            None => (last.min(from + BLOCK), None),
        };
        let facts = facts(store, from, to.min(from + 2 * BLOCK)).await;
        let facts = facts.map_err(|error| Stop::reading(error, from + 1, to))?;
        verifier.block(to, &facts, expected)?;
        if to == chained {
            verifier.totals(&totals)?;
        }
        match kept {
            Some(kept) if from < kept.sequence && kept.sequence <= to => verifier.kept(kept)?,
            _ => {}
        }
        progress(Progress::new(to.min(last), last));
    }
    match kept {
        Some(kept) if kept.sequence > last => {
            found(last + 1, kept.sequence, "the ledger ends before the command whose head was kept")?;
        }
        _ => {}
    }
    Ok(verifier)
}

/// Checks what is kept beside the commands, as far as it has not moved behind the command `last`.
async fn beside(store: &impl Store, mut verifier: Verifier, last: u64) -> Result<(), Stop> {
    let held =
        "SELECT a.sequence, coalesce((SELECT k.held FROM {held} k WHERE k.account = a.sequence), 0) AS held,
                       CAST((SELECT sum(h.amount - h.captured) FROM {holds} h
                             WHERE h.account = a.sequence AND h.status = 0) AS bigint) AS kept
                FROM {accounts} a WHERE a.sequence > $1 AND a.sequence <= $2 ORDER BY a.sequence LIMIT $3";
    each(store, held, last, |row, account| {
        // Both of one moment.
        if row.number("held")? != row.optional_number("kept")?.unwrap_or_default() {
            let what = "what is held on an account is not what its open holds keep";
            return Err(Breach::new(account, account, what).into());
        }
        Ok(())
    })
    .await?;
    let of_nothing = "SELECT k.account AS number FROM {held} k WHERE k.account NOT IN (SELECT sequence FROM {accounts}) LIMIT 1";
    if let Some(account) = number(store, of_nothing, &[]).await? {
        found(account as u64, account as u64, "something is held on no account")?;
    }
    let lost = "SELECT min(c.sequence) AS number FROM {changes} c
                WHERE c.posting IS NOT NULL AND c.posting NOT IN (SELECT sequence FROM {postings})";
    if let Some(change) = number(store, lost, &[]).await? {
        found(change as u64, change as u64, "what was added to a posting is of none")?;
    }
    // Those that ended since were open then.
    let holds = "SELECT h.sequence, h.captured, CASE WHEN h.status = 0 THEN coalesce(h.ended_by, h.ended_at) END AS ended,
                        CASE WHEN h.status <> 0
                               OR h.sequence IN (SELECT p.hold FROM {postings} p
                                                 WHERE p.sequence > $2 AND p.hold IS NOT NULL)
                             THEN h.sequence END AS moved
                 FROM {holds} h WHERE h.sequence > $1 AND h.sequence <= $2 AND (h.status = 0 OR h.ended_by > $2)
                 ORDER BY h.sequence LIMIT $3";
    each(store, holds, last, |row, hold| {
        if row.optional_number("ended")?.is_some() {
            return found(hold, hold, "a hold is open and says how it ended");
        }
        let moved = row.optional_number("moved")?.is_some();
        let captured = row.number("captured")?;
        Ok(verifier.hold(hold, (!moved).then_some(captured))?)
    })
    .await?;
    Ok(verifier.all_seen()?)
}

/// Reads the rows of a query that come in the order of their `sequence`.
async fn each<S: Store>(
    store: &S,
    sql: &str,
    last: u64,
    mut check: impl FnMut(&<S::Session as Session>::Row, u64) -> Result<(), Stop> + Send,
) -> Result<(), Stop> {
    let mut after = i64::MIN;
    loop {
        let rows = store.rows(sql, &[after, last as i64, ROWS]).await?;
        for row in &rows {
            after = row.number("sequence")?;
            check(row, after as u64)?;
        }
        if rows.len() < ROWS as usize {
            return Ok(());
        }
    }
}
