//! How a table is reached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;

use super::sent::Watch;
use crate::aws::AwsOptions;
use crate::{Clock, Error, Result, SystemClock};

/// The most shards that a store may have: all their counts are read at once.
const MAX_SHARDS: u16 = 256;

/// How a table is reached.
#[derive(Clone)]
#[must_use]
pub struct DynamoOptions {
    pub(super) table: String,
    aws: AwsOptions,
    pub(super) shards: u16,
    pub(super) create: bool,
    pub(super) deadline: Duration,
    pub(super) pause: Duration,
    pub(super) patience: Duration,
    pub(super) poll: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl DynamoOptions {
    /// The table of this name. Region and credentials are those of the environment (variables, profile, container or instance).
    ///
    /// # Errors
    /// `Invalid`, field `table`: 3 to 255 characters of `a-z A-Z 0-9 _ - .`.
    pub fn new(table: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(3..=255).contains(&table.len()) || !table.bytes().all(plain) {
            return Err(Error::invalid(
                "table",
                "a table's name is 3 to 255 characters of a-z A-Z 0-9 _ - .",
            ));
        }
        Ok(Self {
            table: table.to_owned(),
            aws: AwsOptions::new(),
            shards: 16,
            create: false,
            deadline: Duration::from_secs(5),
            pause: Duration::from_millis(200),
            patience: Duration::from_millis(250),
            poll: Duration::from_millis(100),
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// The table at `dynamodb:TABLE`, with options behind it: `dynamodb:TABLE?region=eu-central-1&endpoint=http://127.0.0.1:8000`,
    /// `shards=16`, and `create=true` for a table that is made where it is missing.
    ///
    /// # Errors
    /// `Invalid`; the field is `url`, or the option that is wrong.
    pub fn at(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("dynamodb:").unwrap_or_default();
        let (table, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Self::new(table)?;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            options = match name {
                "region" => options.region(value)?,
                "endpoint" => options.endpoint(value)?,
                "shards" => {
                    let wrong = || Error::invalid("shards", format!("a number from 1 to {MAX_SHARDS}"));
                    options.shards(value.parse().map_err(|_| wrong())?)?
                }
                "create" => match value {
                    "true" => options.create(true),
                    "false" => options.create(false),
                    _ => return Err(Error::invalid("create", "true or false")),
                },
                _ => {
                    let message = "`dynamodb:TABLE` takes the options region, endpoint, shards and create";
                    return Err(Error::invalid("url", message));
                }
            };
        }
        Ok(options)
    }

    /// The region, such as `eu-central-1`, instead of the environment's.
    ///
    /// # Errors
    /// `Invalid`, field `region`, for what is no region's name.
    pub fn region(mut self, region: &str) -> Result<Self> {
        self.aws.region(region)?;
        Ok(self)
    }

    /// Where the service is reached, instead of where the region's is: a VPC endpoint, or DynamoDB Local. `http:` is for this machine
    /// alone; there, credentials may be left out.
    ///
    /// # Errors
    /// `Invalid`, field `endpoint`: no `https:` address, or `http:` to another machine.
    pub fn endpoint(mut self, url: &str) -> Result<Self> {
        self.aws.endpoint(url)?;
        Ok(self)
    }

    /// An access key, instead of the environment's: read it from a file.
    pub fn credentials(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.aws.credentials = Some((id.into(), secret.into()));
        self
    }

    /// How many shards of events a new store has; 16 otherwise. An existing one keeps what it has.
    ///
    /// # Errors
    /// `Invalid`, field `shards`: 1 to 256.
    pub fn shards(mut self, shards: u16) -> Result<Self> {
        if !(1..=MAX_SHARDS).contains(&shards) {
            return Err(Error::invalid("shards", format!("1 to {MAX_SHARDS} shards")));
        }
        self.shards = shards;
        Ok(self)
    }

    /// Whether the table is made where it is missing, paid by request: for tests. Otherwise make it as `docs/stores.md` says.
    pub const fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How long a connection may take; 1 s otherwise.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.aws.connect_timeout = timeout;
        self
    }

    /// How long one answer may take before the same is sent again; 2 s otherwise.
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.aws.response_timeout = timeout;
        self
    }

    /// How long a call may take with all that is sent again in it; 5 s otherwise. What may have had an effect is `Indeterminate` then.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often it is looked whether a service that is away is back; 200 ms otherwise. In between, calls are `Unavailable` at once.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How long a reader waits for an event whose place was reserved, before it takes the place away; 250 ms otherwise.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How often it is looked whether another process has written events, while somebody waits for some; 100 ms otherwise.
    pub const fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Where the time comes from by which items expire; the system's clock otherwise.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) async fn client(&self) -> Client {
        // Sent again by this adapter, which knows what may be.
        client(&self.sdk_config().await)
    }

    pub(super) async fn sdk_config(&self) -> SdkConfig {
        self.aws.load(RetryConfig::disabled()).await
    }
}

/// A client whose calls tell whether they were sent.
pub(super) fn client(config: &SdkConfig) -> Client {
    Client::from_conf(Builder::from(config).interceptor(Watch).build())
}

impl fmt::Debug for DynamoOptions {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoOptions")
            .field("table", &self.table)
            .field("region", &self.aws.region)
            .field("endpoint", &self.aws.endpoint)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for (url, field) in [
            ("dynamodb:", "table"),
            ("dynamodb:ab", "table"),
            ("dynamodb:a/b/c", "table"),
            ("dynamodb:bank?region=EU", "region"),
            ("dynamodb:bank?endpoint=ftp://127.0.0.1", "endpoint"),
            ("dynamodb:bank?endpoint=127.0.0.1:8000", "endpoint"),
            ("dynamodb:bank?endpoint=http://user:secret@127.0.0.1", "endpoint"),
            ("dynamodb:bank?shards=0", "shards"),
            ("dynamodb:bank?shards=257", "shards"),
            ("dynamodb:bank?shards=many", "shards"),
            ("dynamodb:bank?create=maybe", "create"),
            ("dynamodb:bank?table=x", "url"),
        ] {
            assert_eq!(DynamoOptions::at(url).unwrap_err().field(), Some(field), "{url}");
        }
        let options = DynamoOptions::at("dynamodb:bank?region=eu-central-1&shards=4&create=true").unwrap();
        assert!(options.create && options.shards == 4);
        let shown = format!("{:?}", options.credentials("ID", "s3cret"));
        assert!(!shown.contains("s3cret") && !shown.contains("ID"), "{shown}");
    }

    #[test]
    fn s24_what_leaves_this_machine_is_encrypted() {
        let options = || DynamoOptions::new("bank").unwrap();
        for local in ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000/"] {
            assert!(options().endpoint(local).is_ok(), "{local}");
        }
        for remote in ["http://10.0.0.1:8000", "http://dynamodb.example", "http://127.0.0.1.nip.io"] {
            assert_eq!(options().endpoint(remote).unwrap_err().field(), Some("endpoint"), "{remote}");
        }
        assert!(options().endpoint("https://dynamodb.eu-central-1.amazonaws.com").is_ok());
    }
}
