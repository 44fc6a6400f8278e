//! How Redis is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

use crate::connect::requires_tls;
use crate::{Error, Result};

/// How Redis is reached.
#[derive(Clone)]
#[must_use]
pub struct RedisOptions {
    pub(super) servers: Vec<ConnectionInfo>,
    pub(super) cluster: bool,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) prefix: String,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) pause: Duration,
}

impl RedisOptions {
    /// The server at `redis://[user][:password]@host[:port][/database]`: of a primary with replicas, the primary's endpoint.
    ///
    /// Off this machine the connection is always encrypted and the server verified, also where the URL says `redis:`.
    ///
    /// # Errors
    /// `Invalid`, field `url`, for what is no such address; the message does not repeat it.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self::of(vec![parse(url)?], false))
    }

    /// The cluster that some of its nodes, or its configuration endpoint, tell of.
    ///
    /// # Errors
    /// As [`RedisOptions::new`]; also for no node, nodes with different users, and a database, of which a cluster has one.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let servers = urls.into_iter().map(parse).collect::<Result<Vec<_>>>()?;
        let Some(first) = servers.first() else {
            return Err(Error::invalid("url", "a cluster has a node at least"));
        };
        let user = |server: &ConnectionInfo| {
            let settings = server.redis_settings();
            (settings.username().map(ToOwned::to_owned), settings.password().map(ToOwned::to_owned))
        };
        let encrypted = |server: &ConnectionInfo| matches!(server.addr(), ConnectionAddr::TcpTls { .. });
        if servers.iter().any(|server| user(server) != user(first) || encrypted(server) != encrypted(first)) {
            return Err(Error::invalid("url", "all nodes of a cluster have the same user, and TLS or not"));
        }
        if servers.iter().any(|server| server.redis_settings().db() != 0) {
            return Err(Error::invalid("url", "a cluster has no databases"));
        }
        Ok(Self::of(servers, true))
    }

    /// A server at `redis://…` or `rediss://…`, or a cluster at `redis-cluster://[user][:password]@host[:port][,host[:port]…]` or
    /// `rediss-cluster://…`.
    ///
    /// # Errors
    /// As [`RedisOptions::new`] and [`RedisOptions::cluster`].
    pub fn at(url: &str) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("-cluster://") else { return Self::new(url) };
        let (user, nodes) =
            rest.rsplit_once('@').map_or((String::new(), rest), |(user, nodes)| (format!("{user}@"), nodes));
        let nodes: Vec<String> = nodes.split(',').map(|node| format!("{scheme}://{user}{node}")).collect();
        Self::cluster(nodes.iter().map(String::as_str))
    }

    fn of(servers: Vec<ConnectionInfo>, cluster: bool) -> Self {
        Self {
            servers,
            cluster,
            root_certificates: None,
            prefix: "bank".to_owned(),
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_millis(500),
            pause: Duration::from_millis(200),
        }
    }

    /// The password, instead of one in the URL: read it from a file or the environment.
    pub fn password(mut self, password: impl AsRef<str>) -> Self {
        for server in &mut self.servers {
            let settings = server.redis_settings().clone().set_password(password.as_ref());
            *server = server.clone().set_redis_settings(settings);
        }
        self
    }

    /// Authorities that have signed the servers' certificates, as a PEM file, instead of those that the system trusts.
    pub fn root_certificates(mut self, path: impl AsRef<Path>) -> Self {
        self.root_certificates = Some(path.as_ref().to_owned());
        self
    }

    /// What all keys and channels begin with, so that several banks may share a server: `bank` otherwise.
    ///
    /// # Errors
    /// `Invalid`, field `prefix`: 1 to 32 characters of `a-z A-Z 0-9 _ -`.
    pub fn prefix(mut self, prefix: &str) -> Result<Self> {
        let plain = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if !plain || !(1..=32).contains(&prefix.len()) {
            return Err(Error::invalid("prefix", "1 to 32 characters of a-z A-Z 0-9 _ -"));
        }
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// How long a connection may take; 500 ms otherwise.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take; 500 ms otherwise. What may have had an effect is `Indeterminate` then.
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How often it is looked whether a server that is away is back; 200 ms otherwise. In between, calls are `Unavailable` at once.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The key of this name for this purpose, outside of a group.
    pub(super) fn key(&self, purpose: char, name: &str) -> String {
        format!("{}:{purpose}:{name}", self.prefix)
    }
}

/// Reads an address, and sees to it that what leaves this machine is encrypted to a server that is who it should be.
fn parse(url: &str) -> Result<ConnectionInfo> {
    let wrong =
        || Error::invalid("url", "no address of the form redis://[user][:password]@host[:port][/database]");
    let info = url.into_connection_info().map_err(|_| wrong())?;
    let address = match info.addr().clone() {
        ConnectionAddr::Tcp(host, port) if requires_tls(&host) => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        ConnectionAddr::TcpTls { host, port, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        other => other,
    };
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_addr(address).set_redis_settings(settings).set_tcp_settings(super::connection::tcp()))
}

impl fmt::Debug for RedisOptions {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(|server| server.addr().to_string()).collect();
        f.debug_struct("RedisOptions")
            .field("servers", &servers)
            .field("cluster", &self.cluster)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_what_leaves_this_machine_is_encrypted_and_verified_whatever_the_url_says() {
        for (url, encrypted) in [
            ("redis://cache.example", true),
            ("redis://10.0.0.1:6380/2", true),
            ("rediss://cache.example/#insecure", true),
            ("redis://127.0.0.1", false),
            ("redis://localhost:7000", false),
            ("rediss://localhost/#insecure", true),
        ] {
            let options = RedisOptions::new(url).unwrap();
            let verified =
                matches!(options.servers[0].addr(), ConnectionAddr::TcpTls { insecure: false, .. });
            assert_eq!(verified, encrypted, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for bad in ["", "cache:6379", "http://cache", "redis://u:s3cret@cache:port"] {
            let error = RedisOptions::new(bad).unwrap_err();
            assert_eq!(error.field(), Some("url"), "{bad}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        for bad in
            [&[][..], &["redis://a/1"], &["redis://u@a", "redis://v@b"], &["redis://127.0.0.1", "redis://a"]]
        {
            assert_eq!(
                RedisOptions::cluster(bad.iter().copied()).unwrap_err().field(),
                Some("url"),
                "{bad:?}"
            );
        }
        let cluster = RedisOptions::at("redis-cluster://u:s3cret@a:7000,b").unwrap();
        assert!(cluster.cluster && cluster.servers.len() == 2);
        assert_eq!(cluster.servers[1].redis_settings().password(), Some("s3cret"));
        assert!(!RedisOptions::at("rediss://a").unwrap().cluster);
        assert_eq!(RedisOptions::at("redis-cluster://").unwrap_err().field(), Some("url"));
        let options = RedisOptions::new("redis://user:s3cret@cache.example").unwrap().password("an0ther");
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("an0ther") && !shown.contains("user"),
            "{shown}"
        );
        for bad in ["", "a:b", "{a}", &"a".repeat(33)] {
            assert_eq!(options.clone().prefix(bad).unwrap_err().field(), Some("prefix"), "{bad}");
        }
    }
}
