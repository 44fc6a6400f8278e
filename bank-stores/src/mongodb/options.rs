//! How MongoDB is reached.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::mongodb::options::{
    Acknowledgment, ClientOptions, ConnectionString, Credential, HostInfo, ReadConcern, ReadPreference,
    SelectionCriteria, ServerAddress, Tls, TlsOptions, WriteConcern,
};

use super::error::{Effect, from_driver};
use crate::connect::requires_tls;
use crate::{Clock, Error, Result, SystemClock};

/// How MongoDB is reached.
#[derive(Clone)]
#[must_use]
pub struct MongoOptions {
    connection: ConnectionString,
    pub(super) database: String,
    password: Option<String>,
    root_certificates: Option<PathBuf>,
    connect_timeout: Duration,
    response_timeout: Duration,
    pub(super) pause: Duration,
    pool_size: u32,
    pub(super) clock: Arc<dyn Clock>,
}

impl MongoOptions {
    /// The servers at `mongodb://[user[:password]@]host[:port][,host[:port]…][/database][?options]`, or those that the records of
    /// `mongodb+srv://host` name.
    ///
    /// Off this machine the connection is always encrypted and the server verified, whatever the URL says. Write and read concern,
    /// read preference and retries are the store's own, whatever the URL says.
    ///
    /// # Errors
    /// `Invalid`, field `url`, for what is no such address; the message does not repeat it.
    pub fn new(url: &str) -> Result<Self> {
        let form = "no address of the form mongodb://[user[:password]@]host[:port][/database]";
        // The driver's message may repeat parts of the URL, so it is not kept.
        let connection = ConnectionString::parse(url).map_err(|_| Error::invalid("url", form))?;
        #[allow(deprecated, reason = "an option that the driver refuses later")]
        if connection.socket_timeout.is_some() {
            return Err(Error::invalid("url", "`socketTimeoutMS` is set by `response_timeout`"));
        }
        if matches!(&connection.host_info, HostInfo::HostIdentifiers(hosts) if hosts.is_empty()) {
            return Err(Error::invalid("url", form));
        }
        let database = connection.default_database.clone().unwrap_or_else(|| "bank".to_owned());
        check_database("url", &database)?;
        Ok(Self {
            connection,
            database,
            password: None,
            root_certificates: None,
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            pause: Duration::from_millis(200),
            pool_size: 32,
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// The database, so that several banks may share servers; the URL's otherwise, or `bank`.
    ///
    /// # Errors
    /// `Invalid`, field `database`: 1 to 32 characters of `a-z A-Z 0-9 _ -`.
    pub fn database(mut self, name: &str) -> Result<Self> {
        check_database("database", name)?;
        name.clone_into(&mut self.database);
        Ok(self)
    }

    /// The password, instead of one in the URL: read it from a file or the environment.
    pub fn password(mut self, password: impl AsRef<str>) -> Self {
        self.password = Some(password.as_ref().to_owned());
        self
    }

    /// Authorities that have signed the servers' certificates, as a PEM file, instead of those that the driver trusts.
    pub fn root_certificates(mut self, path: impl AsRef<Path>) -> Self {
        self.root_certificates = Some(path.as_ref().to_owned());
        self
    }

    /// How long it may take to find a server and to connect to it; two seconds otherwise.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take once there is a connection; two seconds otherwise. A write without an answer is sent again, and is
    /// `Indeterminate` in the end.
    pub const fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How often it is looked whether servers that are away are back; 200 ms otherwise. In between, calls are `Unavailable` at once.
    pub const fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How many connections there are to a server at most, at least 1; 32 otherwise.
    pub fn pool_size(mut self, size: u32) -> Self {
        self.pool_size = size.max(1);
        self
    }

    /// Where the time comes from; the system's clock otherwise.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a call may take in all.
    pub(super) fn deadline(&self) -> Duration {
        self.connect_timeout.saturating_add(self.response_timeout)
    }

    /// What a write waits for: a majority of the servers, and their journals.
    pub(super) fn write_concern(&self) -> WriteConcern {
        WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .w_timeout(self.response_timeout)
            .build()
    }

    /// The options as the driver takes them; it looks up the records of `mongodb+srv`.
    pub(super) async fn to_driver(&self) -> Result<ClientOptions> {
        let parsed = ClientOptions::parse(self.connection.clone()).await;
        let mut options = parsed.map_err(|error| from_driver(error, Effect::None).with_field("url"))?;
        if let Some(password) = &self.password {
            let Some(credential) = &mut options.credential else {
                return Err(Error::invalid("password", "the URL names no user"));
            };
            credential.password = Some(password.clone());
        }
        self.encrypt(&mut options)?;
        options.app_name.get_or_insert_with(|| "bank-stores".to_owned());
        options.connect_timeout = Some(self.connect_timeout);
        options.server_selection_timeout = Some(self.connect_timeout);
        options.max_pool_size = Some(self.pool_size);
        options.min_pool_size = options.min_pool_size.map(|size| size.min(self.pool_size));
        options.max_connecting = Some(4);
        options.write_concern = Some(self.write_concern());
        options.read_concern = Some(ReadConcern::majority());
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.retry_reads = Some(true);
        options.retry_writes = Some(true);
        Ok(options)
    }

    /// Without encryption one server on this machine is talked to, and no other that it may name.
    fn encrypt(&self, options: &mut ClientOptions) -> Result<()> {
        let asked = match options.tls.take() {
            Some(Tls::Enabled(tls)) => Some(tls),
            Some(Tls::Disabled) | None => None,
        };
        let is_here = |address: &ServerAddress| match address {
            ServerAddress::Tcp { host, .. } => !requires_tls(host),
            // A socket of this machine.
            _ => true,
        };
        let is_alone = matches!(&*options.hosts, [only] if is_here(only));
        if asked.is_none() && is_alone {
            options.direct_connection = Some(true);
            options.tls = Some(Tls::Disabled);
            return Ok(());
        }
        let mut tls = TlsOptions::default();
        if let Some(asked) = asked {
            (tls.ca_file_path, tls.cert_key_file_path) = (asked.ca_file_path, asked.cert_key_file_path);
        }
        if let Some(path) = &self.root_certificates {
            // The driver says only later, and in words alone, that there is no such file.
            std::fs::metadata(path).map_err(|source| {
                let message = format!("{} cannot be read", path.display());
                Error::invalid("root_certificates", message).with_source(source)
            })?;
            tls.ca_file_path = Some(path.clone());
        }
        options.tls = Some(Tls::Enabled(tls));
        Ok(())
    }

    fn user(&self) -> Option<&Credential> {
        self.connection.credential.as_ref()
    }
}

fn check_database(field: &'static str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain && (1..=32).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::invalid(field, "a database's name has 1 to 32 characters of a-z A-Z 0-9 _ -"))
}

impl fmt::Debug for MongoOptions {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions")
            .field("servers", &self.connection.host_info)
            .field("database", &self.database)
            .field("has_user", &self.user().is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn driver(url: &str) -> ClientOptions {
        MongoOptions::new(url).unwrap().to_driver().await.unwrap()
    }

    #[tokio::test]
    async fn s24_what_leaves_this_machine_is_encrypted_and_verified_whatever_the_url_says() {
        for (url, encrypted) in [
            ("mongodb://db.example", true),
            ("mongodb://10.0.0.1:27018/?tls=false", true),
            ("mongodb://db.example/?tls=true&tlsInsecure=true", true),
            ("mongodb://db.example/?tls=true&tlsAllowInvalidCertificates=true", true),
            ("mongodb://127.0.0.1,db.example", true),
            ("mongodb://127.0.0.1", false),
            ("mongodb://localhost:7000", false),
            ("mongodb://localhost/?tls=true&tlsInsecure=true", true),
        ] {
            let options = driver(url).await;
            match options.tls {
                Some(Tls::Enabled(tls)) => {
                    assert!(encrypted, "{url}");
                    assert_ne!(tls.allow_invalid_certificates, Some(true), "{url}");
                }
                _ => {
                    assert!(!encrypted, "{url}");
                    // A server that it names elsewhere is not talked to.
                    assert_eq!(options.direct_connection, Some(true), "{url}");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_url_does_not_weaken_what_is_promised() {
        let url = "mongodb://db.example/?w=1&journal=false&readConcernLevel=local&readPreference=nearest&retryWrites=false";
        let options = driver(url).await;
        let concern = options.write_concern.unwrap();
        assert_eq!((concern.w, concern.journal), (Some(Acknowledgment::Majority), Some(true)));
        assert_eq!(options.read_concern, Some(ReadConcern::majority()));
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        assert_eq!(options.selection_criteria, Some(primary));
        assert_eq!((options.retry_writes, options.retry_reads), (Some(true), Some(true)));
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for bad in [
            "",
            "db:27017",
            "http://db",
            "mongodb://",
            "mongodb://u:s3cret@db:port",
            "mongodb://u:s3cret@db/a b",
            "mongodb://db/?socketTimeoutMS=5",
        ] {
            let error = MongoOptions::new(bad).unwrap_err();
            assert_eq!(error.field(), Some("url"), "{bad}");
            assert!(!format!("{error:?}").contains("s3cret"));
        }
        let options = MongoOptions::new("mongodb://user:s3cret@db.example/ledger").unwrap();
        assert_eq!(options.database, "ledger");
        let options = options.password("an0ther");
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("an0ther") && !shown.contains("\"user"),
            "{shown}"
        );
        let driver = options.to_driver().await.unwrap();
        assert_eq!(driver.credential.unwrap().password.as_deref(), Some("an0ther"));
        for bad in ["", "a b", "a.b", "$a", &"a".repeat(33)] {
            assert_eq!(options.clone().database(bad).unwrap_err().field(), Some("database"), "{bad}");
        }
        let nobody = MongoOptions::new("mongodb://db.example").unwrap().password("an0ther");
        assert_eq!(nobody.to_driver().await.unwrap_err().field(), Some("password"));
        let nowhere = MongoOptions::new("mongodb://db.example").unwrap().root_certificates("/nowhere.pem");
        assert_eq!(nowhere.to_driver().await.unwrap_err().field(), Some("root_certificates"));
    }
}
