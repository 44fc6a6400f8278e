//! What a ledger's writer does that is no command.

use super::rows::Record as _;
use super::{Session, Value, outbox, totals};
use crate::ledger::chain::NextBlocks;
use crate::ledger::work::{Done, Work};
use crate::ledger::{Command, Receipt};
use crate::{Error, Result};

/// The commands among the works.
pub(crate) fn commands(works: &[Work]) -> Vec<&Command> {
    fn command(work: &Work) -> Option<&Command> {
        match work {
            Work::Command(command) => Some(command),
            _ => None,
        }
    }
    works.iter().filter_map(command).collect()
}

/// The outcomes of works, of which the commands have these.
pub(crate) async fn outcomes(
    session: &mut impl Session,
    works: &[Work],
    receipts: Vec<Result<Receipt>>,
) -> Result<Vec<Result<Done>>> {
    let mut receipts = receipts.into_iter();
    let mut outcomes = Vec::with_capacity(works.len());
    for work in works {
        outcomes.push(match work {
            Work::Command(_) => match receipts.next() {
                Some(receipt) => receipt.map(Done::Receipt),
                None => Err(Error::invalid("command", "has no outcome")),
            },
            Work::Expire | Work::Fence => Ok(Done::Count(0)),
            Work::Chain(next) => {
                let added = chain(session, next).await?;
                if added > 0 {
                    totals::add(session, &next.moved).await?;
                }
                Ok(Done::Count(added))
            }
            Work::Consumed(consumer, position) => {
                outbox::keep(session, consumer, *position).await.map(Done::Count)
            }
            Work::Leave(consumer) => {
                let sql = "DELETE FROM {consumers} WHERE id = $1";
                Ok(Done::Count(session.execute(sql, vec![consumer.as_str().into()]).await?))
            }
            Work::Forget(before) => outbox::forget(session, *before).await.map(Done::Count),
        });
    }
    Ok(outcomes)
}

/// Adds blocks to the chain, unless somebody else was faster or the commands in them are not in the ledger any more: they were read
/// before this transaction, perhaps from a server that has failed since.
async fn chain(session: &mut impl Session, next: &NextBlocks) -> Result<u64> {
    if let Some((number, nonce)) = next.seen {
        let seen = "SELECT number FROM {groups} WHERE number = $1 AND nonce = $2";
        if session.number(seen, vec![number.into(), nonce.into()]).await?.is_none() {
            tracing::debug!(number, "a group has gone that was to be chained");
            return Ok(0);
        }
    }
    let last = session.row("SELECT sequence, hash FROM {chain} ORDER BY sequence DESC LIMIT 1", Vec::new());
    let last = last.await?.map(|row| Ok((row.sequence("sequence")?, row.hash("hash")?))).transpose()?;
    let (sequence, hash) = last.unzip();
    if (sequence.unwrap_or_default(), hash) != next.after || next.blocks.is_empty() {
        return Ok(0);
    }
    let rows = (0..next.blocks.len()).map(|at| format!("(${}, ${})", 2 * at + 1, 2 * at + 2));
    let sql =
        format!("INSERT INTO {{chain}} (sequence, hash) VALUES {}", rows.collect::<Vec<_>>().join(", "));
    let values =
        next.blocks.iter().flat_map(|(sequence, hash)| [(*sequence as i64).into(), Value::Bytes(hash)]);
    session.execute(&sql, values.collect()).await
}
