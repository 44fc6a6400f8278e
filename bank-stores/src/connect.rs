//! From a URL to a store, and when a connection has to be encrypted.
//!
//! | URL | Ledger | Items | Documents | Cache, limits | Claims |
//! | --- | --- | --- | --- | --- | --- |
//! | `sqlite:PATH` | yes | yes | yes | | yes, as items |
//! | `memory:` | yes, in a temporary file | the same | the same | yes | yes |
//! | `postgres://USER@HOST/DATABASE` | yes, with the feature `aurora` | | | | |
//! | `redis://HOST`, `redis-cluster://HOST,HOST` | | | | yes, with the feature `redis` | the same |
//! | `dynamodb:TABLE` | | yes, with the feature `dynamodb` | | | yes, as items |
//! | `mongodb://HOST/DATABASE` | | | yes, with the feature `mongodb` | | |
//!
//! Behind `?` stand options, such as `dynamodb:TABLE?region=eu-central-1`; the stores' options tell which there are.

#![allow(unreachable_patterns, reason = "which patterns there are depends on the features")]

use std::net::IpAddr;
use std::sync::Arc;

use crate::{Cache, Documents, Error, ErrorKind, Items, Ledger, Limits, Once, Result};

/// Connects to a ledger.
pub async fn ledger(url: &str) -> Result<Arc<dyn Ledger>> {
    match Target::parse(url, Role::Ledger)? {
        #[cfg(feature = "embedded")]
        Target::Sqlite(options) => Ok(Arc::new(crate::embedded::SqliteLedger::open(options).await?)),
        #[cfg(feature = "aurora")]
        Target::Aurora(options) => Ok(Arc::new(crate::aurora::AuroraLedger::open(*options).await?)),
        _ => Err(unfit(url, Role::Ledger)),
    }
}

/// Connects to a store of items.
pub async fn items(url: &str) -> Result<Arc<dyn Items>> {
    match Target::parse(url, Role::Items)? {
        #[cfg(feature = "embedded")]
        Target::Sqlite(options) => Ok(Arc::new(crate::embedded::SqliteItems::open(options).await?)),
        #[cfg(feature = "dynamodb")]
        Target::Dynamo(options) => Ok(Arc::new(crate::dynamodb::DynamoItems::open(*options).await?)),
        _ => Err(unfit(url, Role::Items)),
    }
}

/// Connects to a store of documents.
pub async fn documents(url: &str) -> Result<Arc<dyn Documents>> {
    match Target::parse(url, Role::Documents)? {
        #[cfg(feature = "embedded")]
        Target::Sqlite(options) => Ok(Arc::new(crate::embedded::SqliteDocuments::open(options).await?)),
        #[cfg(feature = "mongodb")]
        Target::Mongo(options) => Ok(Arc::new(crate::mongodb::MongoDocuments::open(*options).await?)),
        _ => Err(unfit(url, Role::Documents)),
    }
}

/// Connects to a cache.
pub async fn cache(url: &str) -> Result<Arc<dyn Cache>> {
    match Target::parse(url, Role::Cache)? {
        #[cfg(feature = "embedded")]
        Target::Memory => Ok(Arc::new(crate::embedded::MemoryCache::new())),
        #[cfg(feature = "redis")]
        Target::Redis(options) => Ok(Arc::new(crate::redis::RedisCache::open(*options).await?)),
        _ => Err(unfit(url, Role::Cache)),
    }
}

/// Connects to limits.
pub async fn limits(url: &str) -> Result<Arc<dyn Limits>> {
    match Target::parse(url, Role::Limits)? {
        #[cfg(feature = "embedded")]
        Target::Memory => Ok(Arc::new(crate::embedded::MemoryLimits::new())),
        #[cfg(feature = "redis")]
        Target::Redis(options) => Ok(Arc::new(crate::redis::RedisLimits::open(*options).await?)),
        _ => Err(unfit(url, Role::Limits)),
    }
}

/// Connects to claims: in memory, on Redis, or as items of a store, which is as strong as they come.
pub async fn once(url: &str) -> Result<Arc<dyn Once>> {
    match Target::parse(url, Role::Once)? {
        #[cfg(feature = "embedded")]
        Target::Memory => Ok(Arc::new(crate::embedded::MemoryOnce::new())),
        #[cfg(feature = "redis")]
        Target::Redis(options) => Ok(Arc::new(crate::redis::RedisOnce::open(*options).await?)),
        #[cfg(feature = "embedded")]
        Target::Sqlite(_) => Ok(Arc::new(crate::once::ItemsOnce::new(items(url).await?, "once"))),
        #[cfg(feature = "dynamodb")]
        Target::Dynamo(_) => Ok(Arc::new(crate::once::ItemsOnce::new(items(url).await?, "once"))),
        _ => Err(unfit(url, Role::Once)),
    }
}

/// Whether a connection to `host` has to be encrypted: always, unless it stays on this machine.
///
/// `localhost` counts as this machine, other names do not, wherever they lead: what a name resolves to can change.
pub fn requires_tls(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => !address.to_canonical().is_loopback(),
        Err(_) => !bare.eq_ignore_ascii_case("localhost"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ledger,
    Items,
    Documents,
    Cache,
    Limits,
    Once,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Items => "items",
            Self::Documents => "documents",
            Self::Cache => "cache",
            Self::Limits => "limits",
            Self::Once => "claims",
        }
    }
}

/// What a URL stands for, among what was compiled in.
#[non_exhaustive]
enum Target {
    #[cfg(feature = "aurora")]
    Aurora(Box<crate::aurora::AuroraOptions>),
    #[cfg(feature = "dynamodb")]
    Dynamo(Box<crate::dynamodb::DynamoOptions>),
    #[cfg(feature = "mongodb")]
    Mongo(Box<crate::mongodb::MongoOptions>),
    #[cfg(feature = "redis")]
    Redis(Box<crate::redis::RedisOptions>),
    #[cfg(feature = "embedded")]
    Sqlite(crate::embedded::SqliteOptions),
    #[cfg(feature = "embedded")]
    Memory,
}

impl Target {
    fn parse(url: &str, role: Role) -> Result<Self> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let feature = match scheme {
            "sqlite" | "memory" => return Self::embedded(url, scheme, role),
            #[cfg(feature = "aurora")]
            "postgres" | "postgresql" => {
                return crate::aurora::AuroraOptions::new(url).map(Box::new).map(Self::Aurora);
            }
            #[cfg(feature = "dynamodb")]
            "dynamodb" => return crate::dynamodb::DynamoOptions::at(url).map(Box::new).map(Self::Dynamo),
            #[cfg(feature = "mongodb")]
            "mongodb" | "mongodb+srv" => {
                return crate::mongodb::MongoOptions::new(url).map(Box::new).map(Self::Mongo);
            }
            #[cfg(feature = "redis")]
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => {
                return crate::redis::RedisOptions::at(url).map(Box::new).map(Self::Redis);
            }
            "postgres" | "postgresql" => "aurora",
            "dynamodb" => "dynamodb",
            "mongodb" | "mongodb+srv" => "mongodb",
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => "redis",
            _ => {
                let message = "a store's URL is `sqlite:PATH`, `memory:`, `postgres://USER@HOST/DATABASE`, `dynamodb:TABLE`, \
                               `mongodb://HOST/DATABASE` or `redis://HOST`";
                return Err(Error::invalid("url", message));
            }
        };
        Err(Error::invalid("url", format!("`{scheme}:` needs the feature `{feature}` of bank-stores")))
    }

    #[cfg(feature = "embedded")]
    fn embedded(url: &str, scheme: &str, role: Role) -> Result<Self> {
        let path = &url[scheme.len() + 1..];
        match (scheme, role) {
            ("memory", _) if !path.is_empty() => Err(Error::invalid("url", "`memory:` takes no path")),
            ("memory", Role::Cache | Role::Limits | Role::Once) => Ok(Self::Memory),
            ("memory", _) => crate::embedded::SqliteOptions::temporary().map(Self::Sqlite),
            (_, Role::Cache | Role::Limits) => Err(unfit(url, role)),
            _ => {
                // `sqlite:///a/b` and `sqlite:/a/b` are the same file.
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() {
                    return Err(Error::invalid("url", "`sqlite:` needs a path: sqlite:data/ledger.db"));
                }
                // Elsewhere what is behind it are options, which there are none of here.
                if path.contains('?') {
                    return Err(Error::invalid("url", "`sqlite:` takes a path as it stands, without `?`"));
                }
                Ok(Self::Sqlite(crate::embedded::SqliteOptions::new(path)))
            }
        }
    }

    #[cfg(not(feature = "embedded"))]
    fn embedded(_url: &str, scheme: &str, _role: Role) -> Result<Self> {
        let message = format!("`{scheme}:` needs the feature `embedded` of bank-stores");
        Err(Error::new(ErrorKind::Invalid, message).with_field("url"))
    }
}

/// The path is left out: it may say more than a log should.
fn unfit(url: &str, role: Role) -> Error {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let message = format!("`{scheme}:` is not a store for {}", role.name());
    Error::new(ErrorKind::Invalid, message).with_field("url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_encryption() {
        for local in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"]
        {
            assert!(!requires_tls(local), "{local}");
        }
        for remote in
            ["10.0.0.1", "db.internal", "localhost.example.com", "0.0.0.0", "::", "", "127.0.0.1.nip.io"]
        {
            assert!(requires_tls(remote), "{remote}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_served_says_why() {
        let message = |url: &str| Target::parse(url, Role::Ledger).err().map(|error| error.to_string());
        for (url, feature, compiled) in [
            ("postgres://db/bank", "aurora", cfg!(feature = "aurora")),
            ("dynamodb:bank", "dynamodb", cfg!(feature = "dynamodb")),
            ("mongodb://db/bank", "mongodb", cfg!(feature = "mongodb")),
            ("redis-cluster://a,b", "redis", cfg!(feature = "redis")),
        ] {
            match message(url) {
                None => assert!(compiled, "{url}"),
                Some(message) => {
                    assert!(!compiled && message.contains(&format!("feature `{feature}`")), "{message}")
                }
            }
        }
        assert!(message("data.db").unwrap().contains("sqlite:PATH"));
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn roles_and_schemes_have_to_fit() {
        assert!(Target::parse("sqlite:", Role::Items).is_err());
        assert!(Target::parse("sqlite:data.db?mode=ro", Role::Ledger).is_err());
        assert!(Target::parse("sqlite:cache.db", Role::Cache).is_err());
        assert!(Target::parse("memory:x", Role::Cache).is_err());
        assert!(Target::parse("sqlite:a.db", Role::Items).is_ok());
    }
}
