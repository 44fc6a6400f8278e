//! Brings a transfer from `pending` to its end, in a task of its own: a caller who goes away stops nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use accounts::wire::{NewPosting, Posted};
use bank_sdk::{Outage, Principal, Problem};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::rows::Stored;
use crate::service::Transactions;

/// For one call of accounts.
const CALL: Duration = Duration::from_secs(5);
/// A task gives up after this; what is left to do is found by whoever resumes.
const GIVE_UP: Duration = Duration::from_secs(15);

/// What the log says while transfers have to wait.
static TRANSFERS: Outage = Outage::new("carrying out transfers");

/// A transfer that was read or begun, with the versions that its next change builds on.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) stored: Stored,
    pub(crate) version: u64,
    /// The version of the key's row, while that holds no answer.
    pub(crate) unanswered: Option<u64>,
}

/// What the key was answered, once that is known.
#[derive(Clone, Debug)]
pub(crate) struct Outcome(pub(crate) watch::Receiver<Option<Answer>>);

/// The transfers that a task of this process drives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Outcome>>>);

impl Running {
    pub(crate) fn find(&self, id: &str) -> Option<Outcome> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Outcome>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a transfer off the list, however its task ends.
struct Entered {
    running: Running,
    id: String,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.running.lock().remove(&self.id);
    }
}

impl Transactions {
    /// Drives the transfer, unless a task does already; the task keeps what it was permitted with until it ends.
    pub(crate) fn drive(&self, begun: Begun, permit: Option<OwnedSemaphorePermit>) -> Outcome {
        let (sender, receiver) = watch::channel(None);
        let outcome = Outcome(receiver);
        let id = begun.stored.id.clone();
        {
            let mut running = self.running.lock();
            if let Some(already) = running.get(&id) {
                return already.clone();
            }
            running.insert(id.clone(), outcome.clone());
        }
        let entered = Entered { running: self.running.clone(), id };
        let transactions = self.clone();
        tokio::spawn(async move {
            let _held = (entered, permit);
            if let Some(answer) = transactions.to_its_end(begun).await {
                sender.send_replace(Some(answer));
            }
        });
        outcome
    }

    async fn to_its_end(&self, mut begun: Begun) -> Option<Answer> {
        let give_up = Instant::now() + GIVE_UP;
        let mut pause = Duration::from_millis(25);
        loop {
            match self.try_once(&mut begun).await {
                Ok(answer) => {
                    TRANSFERS.recovered();
                    return Some(answer);
                }
                Err(problem) => {
                    tracing::debug!(transfer = %begun.stored.id, %problem, "a transfer has to wait");
                    TRANSFERS.failed(&problem);
                }
            }
            if Instant::now() + pause > give_up {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Both steps, each of which may be repeated.
    async fn try_once(&self, begun: &mut Begun) -> Result<Answer, Problem> {
        let posted = self.post(&begun.stored).await?;
        self.settle(begun, &posted).await
    }

    /// Asks accounts for the posting whose id is the transfer's. No token of the customer is needed: the service acts
    /// in its own name for the customer who was recorded.
    async fn post(&self, stored: &Stored) -> Result<Posted, Problem> {
        let posting = NewPosting {
            id: stored.id.clone(),
            customer: stored.owner.clone(),
            from: stored.from.clone(),
            to: stored.to.clone(),
            amount: stored.amount,
            reference: stored.reference.clone(),
        };
        let call = self
            .client
            .call(accounts::endpoints::POST, &posting)
            .on_behalf_of(Arc::new(Principal::customer(&*stored.owner)))
            .timeout(CALL);
        Ok(call.send().await?)
    }
}
