//! Messages of channels, over a connection of their own.
//!
//! Whoever missed a message is told: a connection that breaks, one that has come back with its subscriptions (what was sent in between
//! went elsewhere), and a node of a cluster that lost the channel's slot.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::broadcast;

use super::RedisOptions;
use super::connection::Wire;
use super::error::{Effect, from_redis};
use crate::cache::{Message, Messages, Subscription};
use crate::{Error, ErrorKind, Result};

/// How many messages a subscriber may lag behind.
const CHANNEL: usize = 256;

/// Who listens to what.
pub(super) struct Hub {
    options: RedisOptions,
    /// The connection; its lock is held while a channel is subscribed or left, so that these do not overtake each other.
    wire: tokio::sync::Mutex<Option<Wire>>,
    channels: Arc<Channels>,
}

#[derive(Default)]
struct Channels(Mutex<HashMap<Vec<u8>, Channel>>);

struct Channel {
    sender: broadcast::Sender<Message>,
    /// Whether the server has confirmed the subscription before: another confirmation tells of one that was made anew.
    confirmed: bool,
}

impl Channels {
    fn all(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server, or the driver, says without being asked.
    fn told(&self, push: &PushInfo) {
        let text = |at: usize| match push.data.get(at) {
            Some(Value::BulkString(bytes)) => Some(&bytes[..]),
            Some(Value::SimpleString(text)) => Some(text.as_bytes()),
            _ => None,
        };
        let mut channels = self.all();
        let named = text(0).and_then(|name| channels.get_mut(name));
        // A send fails where nobody listens any more.
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                if let (Some(channel), Some(message)) = (named, text(1)) {
                    let _ = channel.sender.send(Message::Message(Bytes::copy_from_slice(message)));
                }
            }
            PushKind::Subscribe | PushKind::SSubscribe => {
                if let Some(channel) = named
                    && std::mem::replace(&mut channel.confirmed, true)
                {
                    let _ = channel.sender.send(Message::Lost);
                }
            }
            // Not asked for by us, who forget the channel first.
            PushKind::Unsubscribe | PushKind::SUnsubscribe => {
                if let Some(channel) = named {
                    let _ = channel.sender.send(Message::Lost);
                }
            }
            PushKind::Disconnection => {
                for channel in channels.values() {
                    let _ = channel.sender.send(Message::Lost);
                }
            }
            _ => {}
        }
    }
}

impl Hub {
    pub(super) fn new(options: RedisOptions) -> Self {
        Self { options, wire: tokio::sync::Mutex::default(), channels: Arc::default() }
    }

    pub(super) async fn subscribe(&self, name: &str) -> Result<Subscription> {
        let mut wire = self.wire.lock().await;
        let wire = match &mut *wire {
            Some(wire) => wire,
            none => {
                let channels = self.channels.clone();
                let pushes = move |push: PushInfo| {
                    channels.told(&push);
                    Ok::<(), std::convert::Infallible>(())
                };
                let connected =
                    tokio::time::timeout(self.patience(), Wire::for_messages(&self.options, pushes));
                none.insert(connected.await.map_err(|_| not_in_time())??)
            }
        };
        self.leave_the_deserted(wire).await;
        let (receiver, is_new) = match self.channels.all().entry(name.as_bytes().to_vec()) {
            Entry::Occupied(channel) => (channel.get().sender.subscribe(), false),
            Entry::Vacant(none) => {
                let (sender, receiver) = broadcast::channel(CHANNEL);
                none.insert(Channel { sender, confirmed: false });
                (receiver, true)
            }
        };
        if is_new && let Err(error) = self.in_time(wire.subscribe(name)).await {
            self.channels.all().remove(name.as_bytes());
            return Err(error);
        }
        Ok(Subscription::new(Shared(receiver)))
    }

    /// A connection that is away comes back some time, and is not waited for.
    async fn in_time(&self, asked: impl Future<Output = Result<(), RedisError>>) -> Result<()> {
        let answer = tokio::time::timeout(self.patience(), asked).await.map_err(|_| not_in_time())?;
        answer.map_err(|error| from_redis(error, Effect::None))
    }

    fn patience(&self) -> Duration {
        self.options.connect_timeout + self.options.response_timeout
    }

    /// Leaves the channels to which nobody listens any more.
    async fn leave_the_deserted(&self, wire: &mut Wire) {
        let is_deserted = |channel: &Channel| channel.sender.receiver_count() == 0;
        let deserted: Vec<Vec<u8>> = {
            let all = self.channels.all();
            all.iter().filter(|(_, channel)| is_deserted(channel)).map(|(name, _)| name.clone()).collect()
        };
        for name in deserted {
            // They are ours, and text. What cannot be left now is left another time.
            if let Ok(text) = std::str::from_utf8(&name)
                && let Err(error) = self.in_time(wire.unsubscribe(text)).await
            {
                tracing::debug!(error = ?error, "a channel could not be left");
                return;
            }
            self.channels.all().remove(&name);
        }
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("channels", &self.channels.all().len()).finish_non_exhaustive()
    }
}

fn not_in_time() -> Error {
    Error::new(ErrorKind::Unavailable, "Redis did not answer in time")
}

struct Shared(broadcast::Receiver<Message>);

#[async_trait]
impl Messages for Shared {
    async fn next(&mut self) -> Option<Message> {
        match self.0.recv().await {
            Ok(message) => Some(message),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Message::Lost),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
