//! A connection to a server or to a cluster.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use redis::aio::{AsyncPushSender, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::io::AsyncDNSResolver;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    Client, Cmd, ConnectionAddr, FromRedisValue, ProtocolVersion, RedisError, RedisFuture, TlsCertificates,
    TlsMode, Value,
};
use redis::{ErrorKind as Kind, ServerErrorKind};
use tokio::time::Instant;

use super::RedisOptions;
use super::error::{Effect, after_retries, from_redis, from_value, is_away};
use crate::breaker::{Away, Breaker};
use crate::{Error, Result};

/// How often a cluster is asked again where a key is on its way, or its primary is not known yet.
const CLUSTER_RETRIES: u32 = 3;
/// A server that is there answers in less.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) enum Wire {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Wire {
    /// A connection for calls; it comes back by itself, when it is called.
    async fn for_calls(options: &RedisOptions) -> Result<Self> {
        if options.cluster {
            let client = cluster(options)?.build().map_err(opening)?;
            return client.get_async_connection().await.map(Self::Cluster).map_err(opening);
        }
        let config = config(options).set_number_of_retries(0);
        let manager = ConnectionManager::new_with_config(client(options)?, config).await.map_err(opening)?;
        Ok(Self::One(manager))
    }

    /// A connection that receives messages; it comes back by itself, with its subscriptions.
    pub(super) async fn for_messages(options: &RedisOptions, pushes: impl AsyncPushSender) -> Result<Self> {
        if options.cluster {
            let client = cluster(options)?.push_sender(pushes).build().map_err(opening)?;
            return client.get_async_connection().await.map(Self::Cluster).map_err(opening);
        }
        let config = config(options)
            .set_number_of_retries(usize::MAX)
            .set_max_delay(options.pause)
            .set_push_sender(pushes)
            .set_automatic_resubscription();
        let manager = ConnectionManager::new_with_config(client(options)?, config).await.map_err(opening)?;
        Ok(Self::One(manager))
    }

    pub(super) async fn subscribe(&mut self, channel: &str) -> Result<(), RedisError> {
        match self {
            Self::One(manager) => manager.subscribe(channel).await,
            // Within a slot: a message goes to one node, and a node that loses the slot says so.
            Self::Cluster(cluster) => cluster.ssubscribe(channel).await,
        }
    }

    pub(super) async fn unsubscribe(&mut self, channel: &str) -> Result<(), RedisError> {
        match self {
            Self::One(manager) => manager.unsubscribe(channel).await,
            Self::Cluster(cluster) => cluster.sunsubscribe(channel).await,
        }
    }
}

/// A connection for calls, shared by all tasks.
pub(super) struct Connection {
    options: RedisOptions,
    wire: RwLock<Wire>,
    /// When another wire was made last.
    replaced: Mutex<Option<Instant>>,
    breaker: Breaker,
}

impl Connection {
    pub(super) async fn open(options: &RedisOptions) -> Result<Self> {
        let wire = RwLock::new(Wire::for_calls(options).await?);
        let breaker = Breaker::new("Redis", options.pause, PATIENCE);
        let replaced = Mutex::default();
        Ok(Self { wire, replaced, breaker, options: options.clone() })
    }

    pub(super) const fn is_cluster(&self) -> bool {
        self.options.cluster
    }

    fn wire(&self) -> Wire {
        self.wire.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another connection in the place of one that does not notice by itself that it leads nowhere: to a machine that is gone, or to one
    /// that is the primary no more. A cluster's does. It is not made while the last one may still be on its way to the first answer.
    fn replace(&self) {
        let now = Instant::now();
        let patience = self.options.connect_timeout + self.options.response_timeout;
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cluster() || replaced.is_some_and(|last| now.duration_since(last) < patience) {
            return;
        }
        *replaced = Some(now);
        drop(replaced);
        let fresh = || {
            let config = config(&self.options).set_number_of_retries(0);
            ConnectionManager::new_lazy_with_config(client(&self.options)?, config).map_err(opening)
        };
        match fresh() {
            Ok(manager) => *self.wire.write().unwrap_or_else(PoisonError::into_inner) = Wire::One(manager),
            Err(error) => tracing::warn!(error = ?error, "no other connection to Redis can be made"),
        }
    }

    /// What an error means to who called.
    pub(super) fn meaning(&self, error: RedisError, effect: Effect) -> Error {
        if self.is_cluster() { after_retries(error, effect) } else { from_redis(error, effect) }
    }

    /// The answer to a command.
    pub(super) async fn call<T: FromRedisValue>(&self, command: &Cmd, effect: Effect) -> Result<T> {
        self.try_call(command).await?.map_err(|error| self.meaning(error, effect))
    }

    /// What each primary answers to a command that has no key.
    pub(super) async fn tell(&self, command: &Cmd) -> Result<Vec<String>> {
        match self.wire() {
            Wire::One(_) => Ok(vec![self.call(command, Effect::None).await?]),
            Wire::Cluster(mut cluster) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let told = cluster.route_command(command.clone(), all).await.map_err(opening)?;
                let told = HashMap::<String, String>::from_redis_value(told).map_err(from_value)?;
                Ok(told.into_values().collect())
            }
        }
    }

    /// The same as `call`, with what the driver says of an error; the outer one is that the server is known to be away, or that its answer
    /// has another form.
    pub(super) async fn try_call<T: FromRedisValue>(&self, command: &Cmd) -> Result<Result<T, RedisError>> {
        let replace = || self.replace();
        let mut attempt = self.breaker.enter().map_err(Away::into_error)?.when_dropped(&replace);
        let answer: Result<Value, RedisError> = match self.wire() {
            Wire::One(mut manager) => command.query_async(&mut manager).await,
            Wire::Cluster(mut cluster) => command.query_async(&mut cluster).await,
        };
        match &answer {
            Err(error) if is_away(error) => {
                let is_replica = error.kind() == Kind::Server(ServerErrorKind::ReadOnly);
                if attempt.failed(error) || is_replica {
                    self.replace();
                }
            }
            _ => attempt.answered(),
        }
        match answer {
            Ok(value) => T::from_redis_value(value).map(Ok).map_err(from_value),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("cluster", &self.is_cluster()).finish_non_exhaustive()
    }
}

fn config(options: &RedisOptions) -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(options.response_timeout))
        .set_min_delay(options.pause / 4)
        .set_pipeline_buffer_size(1_024)
}

/// The driver uses the process's provider of TLS: the one of all of this project's connections, also where a program has several.
fn prepare_tls() {
    // Somebody else has chosen before: then it is that.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn client(options: &RedisOptions) -> Result<Client> {
    let server = options.servers[0].clone();
    let encrypted = matches!(server.addr(), ConnectionAddr::TcpTls { .. });
    if encrypted {
        prepare_tls();
    }
    match &options.root_certificates {
        Some(path) if encrypted => Client::build_with_tls(server, certificates(path)?).map_err(opening),
        _ => Client::open(server).map_err(opening),
    }
}

fn cluster(options: &RedisOptions) -> Result<ClusterClientBuilder> {
    let encrypted = matches!(options.servers[0].addr(), ConnectionAddr::TcpTls { .. });
    let mut builder = ClusterClient::builder(options.servers.clone())
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(10)
        .max_retry_wait(100)
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.response_timeout)
        .tcp_settings(tcp())
        .use_protocol(ProtocolVersion::RESP3);
    if encrypted {
        prepare_tls();
        // Also to the nodes that these tell of.
        builder = builder.tls(TlsMode::Secure);
        if let Some(path) = &options.root_certificates {
            builder = builder.certs(certificates(path)?);
        }
        return Ok(builder);
    }
    Ok(builder.async_dns_resolver(OnThisMachine))
}

/// Addresses of this machine alone: nodes that a cluster tells of are not talked to in the clear elsewhere.
struct OnThisMachine;

impl AsyncDNSResolver for OnThisMachine {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            let found: Vec<_> = found.filter(|address| address.ip().to_canonical().is_loopback()).collect();
            if found.is_empty() {
                let message =
                    "a node elsewhere of a cluster whose first nodes are on this machine, without TLS";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message).into());
            }
            Ok(Box::new(found.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

/// A machine that vanished is noticed within seconds, also by a connection on which nothing is sent.
pub(super) fn tcp() -> TcpSettings {
    let probes = TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
    // Probes are not sent while something is unacknowledged.
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(Duration::from_secs(5));
    settings
}

fn certificates(path: &Path) -> Result<TlsCertificates> {
    let root = std::fs::read(path).map_err(|source| {
        let message = format!("{} cannot be read", path.display());
        Error::invalid("root_certificates", message).with_source(source)
    })?;
    Ok(TlsCertificates { client_tls: None, root_cert: Some(root) })
}

fn opening(error: RedisError) -> Error {
    from_redis(error, Effect::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s24_a_cluster_that_is_talked_to_in_the_clear_leads_nowhere_else() {
        assert!(OnThisMachine.resolve("127.0.0.1", 7_000).await.is_ok());
        assert!(OnThisMachine.resolve("192.0.2.1", 7_000).await.is_err());
    }
}
