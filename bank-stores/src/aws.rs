//! How a service of AWS is reached: what the adapters for several of them have in common.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
#[cfg(feature = "dynamodb")]
use aws_sdk_dynamodb::config::Credentials;
#[cfg(not(feature = "dynamodb"))]
use aws_sdk_kms::config::Credentials;

use crate::connect::requires_tls;
use crate::{Error, Result};

/// Where a service is, and who calls it. Region and credentials are those of the environment (variables, profile, container or
/// instance) where nothing else is said.
#[derive(Clone)]
pub(crate) struct AwsOptions {
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

impl AwsOptions {
    pub(crate) const fn new() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: None,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
        }
    }

    /// `Invalid`, field `region`, for what is no region's name.
    pub(crate) fn region(&mut self, region: &str) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.bytes().all(plain) || !(1..=32).contains(&region.len()) {
            return Err(Error::invalid("region", "a region's name, such as eu-central-1"));
        }
        self.region = Some(region.to_owned());
        Ok(())
    }

    /// `Invalid`, field `endpoint`: no `https:` address, or `http:` to another machine.
    pub(crate) fn endpoint(&mut self, url: &str) -> Result<()> {
        let wrong = || Error::invalid("endpoint", "an address of the form https://HOST[:PORT]");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let authority = rest.trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(plain) {
            return Err(wrong());
        }
        match scheme {
            "https" => {}
            "http" if !requires_tls(host(authority)) => {}
            "http" => {
                let message =
                    "what leaves this machine is encrypted: an address of the form https://HOST[:PORT]";
                return Err(Error::invalid("endpoint", message));
            }
            _ => return Err(wrong()),
        }
        self.endpoint = Some(format!("{scheme}://{authority}"));
        Ok(())
    }

    /// Whether the service is on this machine, where no cloud tells credentials.
    fn is_local(&self) -> bool {
        self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http:"))
    }

    /// What a client is made from.
    pub(crate) async fn load(&self, retries: RetryConfig) -> SdkConfig {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.response_timeout)
            .build();
        let mut loader =
            aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).retry_config(retries);
        let region = match &self.region {
            None if self.is_local() => Some("local"),
            region => region.as_deref(),
        };
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let local = || ("local".to_owned(), "local".to_owned());
        if let Some((id, secret)) = self.credentials.clone().or_else(|| self.is_local().then(local)) {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "bank-stores"));
        }
        loader.load().await
    }
}

/// The host of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    }
}
