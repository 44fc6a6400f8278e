//! Which sessions are used, as far as this gateway sees it: told to identity now and then, so that customers see in their list
//! when each was used last.
//!
//! No request waits for it. A session is told of once in five minutes at most; what cannot be told now is told of five minutes
//! later.

use std::time::Duration;

use bank_sdk::client::Client;
use identity::endpoints::SESSIONS_USED;
use identity::wire::UsedSessions;
use moka::sync::Cache;
use tokio::sync::mpsc;

/// A session is told of so often.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// Sessions that were told of lately; about 100 bytes each.
const REMEMBERED: u64 = 100_000;
/// Sessions that wait to be told of; beyond that they wait for their next use.
const WAITING: usize = 1_024;
/// So long others are waited for, which are told of in the same call.
const GATHER: Duration = Duration::from_secs(1);
/// So many are told at once.
const AT_ONCE: usize = 100;

/// Hears of uses.
#[derive(Clone, Debug)]
pub(crate) struct UsedNow {
    told: Cache<String, ()>,
    waiting: mpsc::Sender<String>,
}

/// Tells of them.
#[derive(Debug)]
pub(crate) struct Teller(mpsc::Receiver<String>);

/// Both ends.
pub(crate) fn used_sessions() -> (UsedNow, Teller) {
    let told = Cache::builder().max_capacity(REMEMBERED).time_to_live(EVERY).build();
    let (waiting, told_next) = mpsc::channel(WAITING);
    (UsedNow { told, waiting }, Teller(told_next))
}

impl UsedNow {
    /// A session is used now.
    pub(crate) fn note(&self, id: &str) {
        if !self.told.contains_key(id) {
            self.told.insert(id.to_owned(), ());
            // Where there is no room nobody waits for it.
            let _ = self.waiting.try_send(id.to_owned());
        }
    }
}

impl Teller {
    /// Tells identity, for ever.
    pub(crate) async fn tell(mut self, client: Client) {
        loop {
            let mut ids = Vec::new();
            if self.0.recv_many(&mut ids, AT_ONCE).await == 0 {
                return;
            }
            tokio::time::sleep(GATHER).await;
            while ids.len() < AT_ONCE
                && let Ok(id) = self.0.try_recv()
            {
                ids.push(id);
            }
            if let Err(error) = client.call(SESSIONS_USED, &UsedSessions { ids }).send().await {
                tracing::debug!(%error, "the uses of sessions could not be told");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_session_is_told_of_once_in_a_while_and_nobody_waits() {
        let (used, mut teller) = used_sessions();
        for _ in 0..1_000 {
            used.note("ses_1");
        }
        used.note("ses_2");
        let mut told = Vec::new();
        assert_eq!(teller.0.recv_many(&mut told, 10).await, 2);
        assert_eq!(told, ["ses_1", "ses_2"]);
        for number in 0..2 * WAITING {
            used.note(&format!("ses_more{number}"));
        }
    }
}
