//! The part of a gateway's configuration that stands in a TOML file. Unknown keys and contradictions are errors with the
//! line and the reason.
//!
//! ```
//! let config: bank_gateway::config::Config = bank_gateway::config::parse(r#"
//!     trusted_proxies = ["10.0.0.0/8"]
//!     address_limit = { per_second = 5000, burst = 10000 }
//!
//!     [limits.default]
//!     per_second = 100
//!     burst = 200
//!
//!     [upstreams.accounts]
//!     endpoints = ["http://127.0.0.1:8081"]
//! "#).unwrap();
//! assert_eq!(config.upstreams["accounts"].endpoints.len(), 1);
//!
//! let error = bank_gateway::config::parse::<bank_gateway::config::Config>("trusted = []").unwrap_err();
//! assert!(error.to_string().contains("line 1"));
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{ClientAddress, GatewayBuilder, Quota};

/// What a file can say about a gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// Proxies whose forwarding information is believed.
    pub trusted_proxies: Vec<String>,
    /// The quota of each address, taken before any expensive work.
    pub address_limit: Option<Quota>,
    /// The quota of each class.
    pub limits: BTreeMap<String, Quota>,
    /// Where services run, by their names.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
}

/// Where one service runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UpstreamConfig {
    /// `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// The authorities by which `https` endpoints are verified.
    pub authorities: Option<PathBuf>,
}

impl Config {
    /// Says to a builder what this file says about limits and proxies.
    ///
    /// # Errors
    /// A network that is none.
    pub fn apply(&self, builder: GatewayBuilder) -> Result<GatewayBuilder, ConfigError> {
        let proxies = ClientAddress::behind(self.trusted_proxies.iter().map(String::as_str))
            .map_err(|error| ConfigError(format!("trusted_proxies: {error}")))?;
        let mut builder = builder.client_address(proxies);
        if let Some(quota) = self.address_limit {
            builder = builder.address_limit(quota);
        }
        Ok(self.limits.iter().fold(builder, |builder, (class, quota)| builder.rate_limit(class, *quota)))
    }
}

/// Reads a configuration from a file.
///
/// # Errors
/// A file that cannot be read, and whatever is wrong in it with its line.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
    parse(&text).map_err(|ConfigError(reason)| ConfigError(format!("{}: {reason}", path.display())))
}

/// Reads a configuration from text.
///
/// # Errors
/// Whatever is wrong in it, with its line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        match line {
            Some(line) => ConfigError(format!("line {line}: {}", error.message())),
            None => ConfigError(error.message().to_owned()),
        }
    })
}

/// What is wrong with a configuration, on one line.
#[derive(Clone, Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
