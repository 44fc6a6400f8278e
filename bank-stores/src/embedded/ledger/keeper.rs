//! What the ledger does by itself, beside the callers' commands: it ends holds whose deadline has come, and adds to the hash
//! chain. Reading and hashing are done beside the writer, which only puts in the result.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::Row;

use super::engine::{Done, LedgerEngine, Work};
use super::load::SWEEP;
use super::verify::{facts, head};
use crate::Result;
use crate::embedded::database::Database;
use crate::embedded::error::from_sqlx;
use crate::embedded::writer::Writer;
use crate::ledger::chain::{BLOCK, block_hash, stored_hash};

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(200);
/// So many blocks are added at once.
const BLOCKS: u64 = 16;

/// Works until the writer is gone.
pub(super) async fn keep(database: Arc<Database>, writer: Weak<Writer<LedgerEngine>>) {
    loop {
        let Some(strong) = writer.upgrade() else { return };
        let more = match once(&database, &strong).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(error = ?error, "the ledger's own work has to wait");
                false
            }
        };
        drop(strong);
        if !more {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Does what there is to do; says whether there is more.
async fn once(database: &Database, writer: &Writer<LedgerEngine>) -> Result<bool> {
    let due: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM holds WHERE status = 0 AND deadline <= ?1 LIMIT ?2)",
    )
    .bind(database.options().clock.now().micros())
    .bind(SWEEP + 1)
    .fetch_one(database.readers())
    .await
    .map_err(from_sqlx)?;
    let mut works = Vec::new();
    if due > 0 {
        works.push(Work::Expire);
    }
    let (chain, behind) = next_blocks(database).await?;
    works.extend(chain);
    if works.is_empty() {
        return Ok(false);
    }
    for done in writer.execute(works).await {
        if let Done::Receipt(receipt) = done? {
            tracing::error!(id = %receipt.id, "a receipt for the ledger's own work");
        }
    }
    Ok(behind || due > SWEEP)
}

/// The blocks that come next, and whether there are more behind them.
async fn next_blocks(database: &Database) -> Result<(Option<Work>, bool)> {
    let head = head(database).await?;
    if head.pending == 0 {
        return Ok((None, false));
    }
    let after = head.sequence;
    let mut hash = match after {
        0 => None,
        after => {
            let row = sqlx::query("SELECT hash FROM chain WHERE sequence = ?1")
                .bind(after as i64)
                .fetch_one(database.readers())
                .await
                .map_err(from_sqlx)?;
            Some(stored_hash(row.get(0))?)
        }
    };
    let (last, mut from, mut blocks) = (after + head.pending, after, Vec::new());
    while from < last && (blocks.len() as u64) < BLOCKS {
        let to = last.min(from + BLOCK);
        let facts = facts(database, from, to).await?;
        if facts.len() as u64 != to - from {
            tracing::error!(from, to, "the ledger lacks rows, or has too many: the chain is not continued");
            return Ok((None, false));
        }
        let next = block_hash(hash, &facts);
        blocks.push((to, next));
        (hash, from) = (Some(next), to);
    }
    Ok((Some(Work::Chain { after, blocks }), from < last))
}
