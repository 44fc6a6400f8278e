//! What a ledger's writer is asked for, by callers and by the ledger itself.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::book::Outcome;
use super::chain::{NextBlocks, due_holds, next_blocks};
use super::sql::{OneConnection, Store};
use super::{Command, ConsumerId, MAX_LINKED, Receipt};
use crate::writer::{Group, Writer};
use crate::{Error, ErrorKind, Result, Timestamp};

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Work {
    Command(Command),
    /// Ends some holds whose deadline has come.
    Expire,
    /// Adds blocks to the chain.
    Chain(NextBlocks),
    /// That a consumer has seen the events up to this position.
    Consumed(ConsumerId, i64),
    /// That a consumer will not come again.
    Leave(ConsumerId),
    /// Nothing, behind everything that was handed over before and may still be on its way.
    Fence,
    /// Forgets the events from before this time that nobody waits for.
    Forget(Timestamp),
}

/// The refusal of a consumer's position that no event has yet.
pub(crate) fn beyond_the_newest() -> Error {
    crate::outbox::not_in_history("position", "the position lies beyond the newest event")
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

/// Executes the commands of one call. What is wrong with their form is said here: the writer gets nothing that is too large
/// for its store, and no chain that would go on into another caller's commands.
pub(crate) async fn execute<G>(writer: &Writer<G>, commands: Vec<Command>) -> Vec<Result<Receipt>>
where
    G: Group<Command = Work, Outcome = Done>,
{
    let mut faults = faults(&commands);
    let mut works = Vec::with_capacity(commands.len());
    for (command, fault) in commands.into_iter().zip(&faults) {
        if fault.is_none() {
            works.push(Work::Command(command));
        }
    }
    let mut done = writer.execute(works).await.into_iter();
    let lost = || Error::new(ErrorKind::Indeterminate, "the store gave no outcome");
    let outcome = |fault: &mut Option<Error>| match fault.take() {
        Some(fault) => Err(fault),
        None => done.next().unwrap_or_else(|| Err(lost())).and_then(Done::receipt),
    };
    faults.iter_mut().map(outcome).collect()
}

/// Has the writer do something that is no command; gives of how many rows.
pub(crate) async fn one<G>(writer: &Writer<G>, work: Work) -> Result<u64>
where
    G: Group<Command = Work, Outcome = Done>,
{
    let missing = || Error::new(ErrorKind::Indeterminate, "the store gave no outcome");
    writer.execute(vec![work]).await.pop().ok_or_else(missing)??.count()
}

/// What is wrong with the form of each.
fn faults(commands: &[Command]) -> Vec<Option<Error>> {
    let mut faults = Vec::with_capacity(commands.len());
    while faults.len() < commands.len() {
        let rest = &commands[faults.len()..];
        let linked = rest.iter().take_while(|command| command.is_linked()).count();
        let chain = &rest[..rest.len().min(linked + 1)];
        let of_chain = if linked >= MAX_LINKED {
            Some(Error::invalid("linked", format!("at most {MAX_LINKED} commands are linked")))
        } else if chain.len() == linked {
            Some(Error::invalid("linked", "the last command of a call has none to be linked to"))
        } else {
            None
        };
        if let Some(fault) = of_chain {
            faults.extend(chain.iter().map(|_| Some(fault.clone())));
            continue;
        }
        let first = chain.iter().enumerate().find_map(|(at, command)| Some((at, command.validate().err()?)));
        faults.extend((0..chain.len()).map(|at| match &first {
            Some((wrong, fault)) if at == *wrong => Some(fault.clone()),
            Some(_) => Some(linked_to_refused()),
            None => None,
        }));
    }
    faults
}

pub(super) fn linked_to_refused() -> Error {
    Error::new(ErrorKind::Rejected, "linked to a command that was refused").with_field("linked")
}

/// About how many bytes a work carries.
pub(crate) fn size(work: &Work) -> usize {
    match work {
        Work::Command(command) => command.size(),
        Work::Expire
        | Work::Chain(_)
        | Work::Consumed(..)
        | Work::Leave(_)
        | Work::Fence
        | Work::Forget(_) => 0,
    }
}

/// The outcomes of commands, where `stored` has the receipts of those that took effect before.
pub(crate) fn receipts(
    outcomes: Vec<Outcome<'_>>,
    stored: &HashMap<u64, Result<Receipt>>,
) -> Vec<Result<Receipt>> {
    let receipt = |outcome| match outcome {
        Outcome::Fresh(receipt, _) | Outcome::Replayed(receipt) => Ok(receipt),
        Outcome::Refused(error) | Outcome::RefusedForGood(error) => Err(error),
        Outcome::RecallPosting(sequence) | Outcome::RecallChange(sequence) => match stored.get(&sequence) {
            Some(Ok(receipt)) => Ok(receipt.clone().replay()),
            Some(Err(error)) => Err(error.clone()),
            None => {
                let message = format!("command {sequence} has no rows any more");
                Err(Error::new(ErrorKind::Damaged, message))
            }
        },
    };
    outcomes.into_iter().map(receipt).collect()
}

/// So many holds whose deadline has come end in one group, beside those of the accounts that it is about.
pub(crate) const SWEEP: u64 = 512;
/// How often the keeper looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How often a process that stands by asks for the lease.
const STANDBY: Duration = Duration::from_secs(1);

/// Which of the processes that have a ledger open does its own work.
pub(crate) trait Lease: Send {
    /// Whether it is this one; takes the lease where nobody has it. Nothing becomes wrong where two believe so for a while: the
    /// writer does everything under its own lock, and what has been done already once.
    fn is_held(&mut self) -> impl Future<Output = Result<bool>> + Send;
}

/// The lease of an engine that lets one process write.
#[cfg(feature = "embedded")]
#[derive(Debug)]
pub(crate) struct OnlyWriter;

#[cfg(feature = "embedded")]
impl Lease for OnlyWriter {
    async fn is_held(&mut self) -> Result<bool> {
        Ok(true)
    }
}

/// What the ledger does by itself, beside the callers' commands, until its writer is gone: it ends holds whose deadline has
/// come, and adds to the hash chain. Reading and hashing are done beside the writer, which only puts in the result. A process
/// without the lease does nothing of it.
pub(crate) async fn keep<S, G>(store: Arc<S>, writer: Weak<Writer<G>>, mut lease: impl Lease)
where
    S: Store,
    G: Group<Command = Work, Outcome = Done>,
{
    let mut told = None;
    loop {
        let held = lease.is_held().await;
        let Some(strong) = writer.upgrade() else { return };
        let done = match held {
            Ok(true) => keep_once(&store, &strong, &mut told).await.map(|more| (!more).then_some(PAUSE)),
            Ok(false) => Ok(Some(STANDBY)),
            Err(error) => Err(error),
        };
        let pause = done.unwrap_or_else(|error| {
            tracing::warn!(error = ?error, "the ledger's own work has to wait");
            Some(PAUSE)
        });
        drop(strong);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Does what there is to do; says whether there is more.
async fn keep_once<S, G>(store: &Arc<S>, writer: &Writer<G>, told: &mut Option<u64>) -> Result<bool>
where
    S: Store,
    G: Group<Command = Work, Outcome = Done>,
{
    // First, and apart: holds end in time whatever is wrong with the chain.
    let due = due_holds(&**store, SWEEP + 1).await?;
    if due > 0 {
        one(writer, Work::Expire).await?;
    }
    let reading = OneConnection::to(store.clone()).await?;
    let (next, behind) = next_blocks(&reading, told).await?;
    // Nobody waits for it while the writer is waited for.
    drop(reading);
    if let Some(next) = next {
        one(writer, Work::Chain(next)).await?;
    }
    Ok(behind || due > SWEEP)
}
