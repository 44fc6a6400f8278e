//! What a ledger's writer is asked for, by callers and by the ledger itself.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::book::Outcome;
use super::chain::{ChainStore, next_blocks};
use super::{Command, ConsumerId, Receipt};
use crate::writer::{Group, Writer};
use crate::{Error, ErrorKind, Position, Result, Timestamp};

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Work {
    Command(Command),
    /// Ends some holds whose deadline has come.
    Expire,
    /// Adds blocks to the chain, behind the command `after`.
    Chain {
        after: u64,
        blocks: Vec<(u64, [u8; 32])>,
    },
    Consumed(ConsumerId, Position),
    Forget(Timestamp),
}

/// What it did.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub(crate) enum Done {
    Receipt(Receipt),
    /// So many rows.
    Count(u64),
}

impl Done {
    pub(crate) fn receipt(self) -> Result<Receipt> {
        match self {
            Self::Receipt(receipt) => Ok(receipt),
            Self::Count(_) => Err(Error::new(ErrorKind::Indeterminate, "the store gave no receipt")),
        }
    }

    pub(crate) fn count(self) -> Result<u64> {
        match self {
            Self::Count(count) => Ok(count),
            Self::Receipt(_) => Err(Error::new(ErrorKind::Indeterminate, "the store gave no count")),
        }
    }
}

/// The outcomes of commands, where `stored` has the receipts of those that took effect before.
pub(crate) fn receipts(outcomes: Vec<Outcome<'_>>, stored: &HashMap<u64, Receipt>) -> Vec<Result<Receipt>> {
    let receipt = |outcome| match outcome {
        Outcome::Fresh(receipt, _) | Outcome::Replayed(receipt) => Ok(receipt),
        Outcome::Refused(error) | Outcome::RefusedForGood(error) => Err(error),
        Outcome::RecallPosting(sequence) | Outcome::RecallChange(sequence) => match stored.get(&sequence) {
            Some(receipt) => Ok(receipt.clone().replay()),
            None => {
                let message = format!("command {sequence} has no rows any more");
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        },
    };
    outcomes.into_iter().map(receipt).collect()
}

/// So many holds whose deadline has come end in one group, beside those of the accounts that it is about.
pub(crate) const SWEEP: u64 = 512;
/// How often the keeper looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What the ledger does by itself, beside the callers' commands, until its writer is gone: it ends holds whose deadline has
/// come, and adds to the hash chain. Reading and hashing are done beside the writer, which only puts in the result.
pub(crate) async fn keep<S, G>(store: Arc<S>, writer: Weak<Writer<G>>)
where
    S: ChainStore,
    G: Group<Command = Work, Outcome = Done>,
{
    loop {
        let Some(strong) = writer.upgrade() else { return };
        let more = match keep_once(&*store, &strong).await {
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
async fn keep_once<S, G>(store: &S, writer: &Writer<G>) -> Result<bool>
where
    S: ChainStore,
    G: Group<Command = Work, Outcome = Done>,
{
    let due = store.due_holds(SWEEP + 1).await?;
    let mut works = Vec::new();
    if due > 0 {
        works.push(Work::Expire);
    }
    let (after, blocks, behind) = next_blocks(store).await?;
    if !blocks.is_empty() {
        works.push(Work::Chain { after, blocks });
    }
    if works.is_empty() {
        return Ok(false);
    }
    for done in writer.execute(works).await {
        done?;
    }
    Ok(behind || due > SWEEP)
}
