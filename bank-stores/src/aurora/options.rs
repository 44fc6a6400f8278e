//! How a PostgreSQL store is opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::migrate::Step;
use crate::connect::requires_tls;
use crate::{Error, ErrorKind, Result};

/// Where the password comes from: IAM tokens of Aurora last fifteen minutes.
///
/// It is asked before each connection of the writer, and for the connections that read once at the start and then each time
/// two thirds of the lifetime are over. Where it fails then, it is asked again after a tenth of the lifetime, a minute at most.
#[async_trait]
pub trait PasswordProvider: fmt::Debug + Send + Sync + 'static {
    /// A password that is good for new connections now.
    async fn password(&self) -> Result<String>;

    /// How long a password may be used for new connections; for ever where it is not said.
    fn lifetime(&self) -> Option<Duration> {
        None
    }
}

/// One password for ever.
#[derive(Clone)]
pub struct FixedPassword(String);

impl FixedPassword {
    /// This one.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

#[async_trait]
impl PasswordProvider for FixedPassword {
    async fn password(&self) -> Result<String> {
        Ok(self.0.clone())
    }
}

impl fmt::Debug for FixedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FixedPassword")
    }
}

/// How a PostgreSQL store is opened.
#[derive(Clone)]
#[must_use]
pub struct AuroraOptions {
    pub(super) writer: PgConnectOptions,
    pub(super) readers: Option<PgConnectOptions>,
    pub(super) password: Option<Arc<dyn PasswordProvider>>,
    pub(super) root_certificates: Option<PathBuf>,
    pub(super) schema: String,
    pub(super) connections: u32,
    pub(super) group: usize,
    pub(super) connect_timeout: Duration,
    pub(super) statement_timeout: Duration,
    pub(super) lock_timeout: Duration,
    pub(super) idle_in_transaction_timeout: Duration,
    pub(super) migration_wait: Duration,
    /// Steps behind the ledger's own.
    pub(super) further: &'static [Step],
}

impl AuroraOptions {
    /// The database at `postgres://user[:password]@host[:port]/name`: the cluster's writer endpoint.
    ///
    /// What the URL does not say is taken from `PGUSER`, `PGPASSWORD`, `PGPORT`, `PGOPTIONS` and `~/.pgpass`, as by `psql`. A
    /// `sslmode` counts on this machine alone: elsewhere the server is always verified.
    ///
    /// # Errors
    /// `Invalid`, field `url`, for what is no such address; the message does not repeat it.
    pub fn new(url: &str) -> Result<Self> {
        Ok(Self {
            writer: parse(url)?,
            readers: None,
            password: None,
            root_certificates: None,
            schema: "bank_ledger".to_owned(),
            connections: 8,
            group: 1_024,
            connect_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(10),
            migration_wait: Duration::from_secs(300),
            further: &[],
        })
    }

    /// The cluster's reader endpoint, for reads that need not be current.
    ///
    /// # Errors
    /// As [`AuroraOptions::new`].
    pub fn readers(mut self, url: &str) -> Result<Self> {
        self.readers = Some(parse(url)?);
        Ok(self)
    }

    /// Where the password comes from, instead of the URL.
    pub fn password(mut self, provider: Arc<dyn PasswordProvider>) -> Self {
        self.password = Some(provider);
        self
    }

    /// Authorities that may have signed the servers' certificates, as a PEM file, beside the public ones that are compiled in
    /// (Mozilla's list, by webpki-roots). Amazon's own for RDS are not among those:
    /// [its bundle](https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem).
    pub fn root_certificates(mut self, path: impl AsRef<Path>) -> Self {
        self.root_certificates = Some(path.as_ref().to_owned());
        self
    }

    /// The schema that holds the tables, which is made where it is missing: `bank_ledger` otherwise.
    ///
    /// # Errors
    /// `Invalid`, field `schema`: 1 to 48 characters of `a-z 0-9 _`, a letter first, and not `pg_` as PostgreSQL's own.
    pub fn schema(mut self, name: &str) -> Result<Self> {
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !plain
            || name.len() > 48
            || !name.starts_with(|first: char| first.is_ascii_lowercase())
            || name.starts_with("pg_")
        {
            return Err(Error::invalid("schema", "1 to 48 characters of a-z 0-9 _, a letter first, not pg_"));
        }
        name.clone_into(&mut self.schema);
        Ok(self)
    }

    /// How many connections read from each endpoint, 1 to 256; eight otherwise. Three more lead to the writer's endpoint:
    /// one that writes, one for reports, and one that says which process does the ledger's own work.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.clamp(1, 256);
        self
    }

    /// How many commands are committed together at most, 1 to 8,192; 1,024 otherwise.
    pub fn group(mut self, group: usize) -> Self {
        self.group = group.clamp(1, 8_192);
        self
    }

    /// Steps of the tables behind the ledger's own, as a later version would have them: to test how steps are taken.
    #[cfg(feature = "conformance")]
    pub const fn further_steps(mut self, steps: &'static [Step]) -> Self {
        self.further = steps;
        self
    }

    /// How long a connection may take, a database that wakes up from a pause included; 30 s otherwise. A read that need not be
    /// current waits for a reader two seconds at most, and is then served by the writer.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a statement may take, from a millisecond on; 30 s otherwise.
    pub const fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long a group waits for another process's group, from a millisecond on; 10 s otherwise.
    pub const fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// How long a group is waited for: longer than any of the server's own timeouts lets it take.
    pub(super) fn patience(&self) -> Duration {
        [self.lock_timeout, self.statement_timeout, Duration::from_secs(5)]
            .into_iter()
            .fold(self.connect_timeout, Duration::saturating_add)
    }

    /// After which silence of a process the server ends its transaction, so that the others go on, from a millisecond on; 10 s
    /// otherwise.
    pub const fn idle_in_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.idle_in_transaction_timeout = timeout;
        self
    }

    /// How long opening waits for another process that brings the tables to a newer version, without seeing any progress of it;
    /// five minutes otherwise. Then it is `Unavailable` and names the server's process to look for. It is no bound on the work
    /// itself: a process that builds an index goes on, whoever gives up waiting for it, and where its building moves on nobody does.
    pub const fn migration_wait(mut self, wait: Duration) -> Self {
        self.migration_wait = wait;
        self
    }

    /// What can be checked without the server; `Invalid`, with the option's name.
    pub(super) fn validate(&self) -> Result<()> {
        // Zero milliseconds mean no limit to the server, and its numbers have 31 bits.
        for (name, timeout) in [
            ("statement_timeout", self.statement_timeout),
            ("lock_timeout", self.lock_timeout),
            ("idle_in_transaction_timeout", self.idle_in_transaction_timeout),
        ] {
            if !(1..=i32::MAX as u128).contains(&timeout.as_millis()) {
                return Err(Error::invalid(name, "from a millisecond to 24 days"));
            }
        }
        match &self.root_certificates {
            Some(path) => std::fs::File::open(path).map(drop).map_err(|source| {
                let message = format!("{} cannot be read", path.display());
                Error::invalid("root_certificates", message).with_source(source)
            }),
            None => Ok(()),
        }
    }
}

/// Reads an address, and sees to it that what leaves this machine is encrypted to a server that is who it should be.
fn parse(url: &str) -> Result<PgConnectOptions> {
    let wrong = || Error::new(ErrorKind::Invalid, "no address of the form postgres://user@host/database");
    let options = PgConnectOptions::from_str(url).map_err(|_| wrong().with_field("url"))?;
    // A path is a Unix socket, which is on this machine.
    let local = options.get_socket().is_some() || options.get_host().starts_with('/');
    let mode = match !local && requires_tls(options.get_host()) {
        true => PgSslMode::VerifyFull,
        // What the URL asks for; nothing where it asks for nothing.
        false if url.contains("sslmode=") => options.get_ssl_mode(),
        false => PgSslMode::Disable,
    };
    Ok(options.ssl_mode(mode).application_name("bank-stores"))
}

impl fmt::Debug for AuroraOptions {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuroraOptions")
            .field("writer", &self.writer.get_host())
            .field("readers", &self.readers.as_ref().map(PgConnectOptions::get_host))
            .field("schema", &self.schema)
            .field("connections", &self.connections)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s24_what_leaves_this_machine_is_encrypted_and_verified_whatever_the_url_says() {
        for (url, verified) in [
            ("postgres://a@db.example/bank", true),
            ("postgres://a@db.example/bank?sslmode=disable", true),
            ("postgres://a@10.0.0.1/bank?sslmode=prefer", true),
            ("postgres://a@127.0.0.1/bank", false),
            ("postgres://a@localhost/bank", false),
        ] {
            let mode = AuroraOptions::new(url).unwrap().writer.get_ssl_mode();
            assert_eq!(matches!(mode, PgSslMode::VerifyFull), verified, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        let error = AuroraOptions::new("not an address with s3cret").unwrap_err();
        assert_eq!(error.field(), Some("url"));
        assert!(!format!("{error:?}").contains("s3cret"));
        let options = AuroraOptions::new("postgres://user:s3cret@db.example/bank").unwrap();
        assert!(!format!("{options:?} {:?}", FixedPassword::new("s3cret")).contains("s3cret"));
        for bad in ["", "Bank", "a-b", "1a", "a\"b", "pg_bank"] {
            assert_eq!(options.clone().schema(bad).unwrap_err().field(), Some("schema"), "{bad}");
        }
        let short = Duration::from_micros(999);
        for (wrong, field) in [
            (options.clone().statement_timeout(Duration::ZERO), "statement_timeout"),
            (options.clone().lock_timeout(short), "lock_timeout"),
            (options.clone().idle_in_transaction_timeout(Duration::MAX), "idle_in_transaction_timeout"),
            (options.clone().root_certificates("/nowhere/ca.pem"), "root_certificates"),
        ] {
            assert_eq!(wrong.validate().unwrap_err().field(), Some(field));
        }
        options.validate().unwrap();
    }
}
