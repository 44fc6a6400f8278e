//! Each service of the bank, made from its stores.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bank_gateway::Internal;
use bank_sdk::client::{Client, ConnectOptions, Connections};
use bank_sdk::declaration::DeclarationError;
use bank_sdk::http::Body;
use bank_sdk::stores::{Random, SystemClock, SystemRandom};
use bank_sdk::{BankService, DerivationKey, Service};
use bank_stores::aurora::{AuroraLedger, AuroraOptions};
use bank_stores::embedded::{MemoryCache, SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::redis::{RedisCache, RedisLimits, RedisOptions};
use bank_stores::{Cache, Clock, Documents, Items, Ledger, Limits};
use http::{Request, Response};
use identity::{Identity, NewUser, SigningKey};
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::Fatal;
use crate::config::{LedgerStore, Shared};
use crate::demo::DemoUsers;
use crate::files::{Files, replace};

/// The ledger's file in the data directory.
pub(crate) const LEDGER: &str = "accounts/ledger.db";
/// The name of the gateway, for which calls between services are meant.
pub(crate) const GATEWAY: &str = "bank-gateway";

/// A running part: what it serves, what runs beside it, and what is to be closed.
pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) background: Vec<JoinHandle<()>>,
    pub(crate) store: Store,
}

/// A store that is flushed when its part ends.
#[derive(Debug)]
pub(crate) enum Store {
    Ledger(Arc<SqliteLedger>),
    Aurora(Arc<AuroraLedger>),
    Items(Arc<SqliteItems>),
    Documents(Arc<SqliteDocuments>),
}

impl Store {
    pub(crate) async fn close(&self) {
        match self {
            Self::Ledger(ledger) => ledger.close().await,
            Self::Aurora(ledger) => ledger.close().await,
            Self::Items(items) => items.close().await,
            Self::Documents(documents) => documents.close().await,
        }
    }
}

/// How a part is mounted, and how it reaches the others.
pub(crate) struct Around {
    pub(crate) files: Files,
    pub(crate) reach: Reach,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// The way to the gateway's internal side.
#[derive(Clone)]
pub(crate) enum Reach {
    /// In this process; the gateway is built after the services that it serves.
    Here(LateGateway),
    /// In another process.
    There(Connections),
}

impl Around {
    pub(crate) fn here(files: Files, gateway: LateGateway) -> Self {
        Self::new(files, Reach::Here(gateway))
    }

    pub(crate) fn there(files: Files, internal: std::net::SocketAddr) -> Result<Self, Fatal> {
        let address = format!("http://{internal}").parse().map_err(Fatal::new)?;
        let connections = Connections::new(&address, ConnectOptions::default()).map_err(Fatal::new)?;
        Ok(Self::new(files, Reach::There(connections)))
    }

    fn new(files: Files, reach: Reach) -> Self {
        Self { files, reach, clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom::new()) }
    }

    /// A client with the service's own key.
    fn client(&self, service: &str) -> Result<Client, Fatal> {
        let client = match &self.reach {
            Reach::Here(gateway) => Client::new(gateway.clone()),
            Reach::There(connections) => Client::new(connections.clone()),
        };
        Ok(client.as_service(service, GATEWAY, self.files.caller_keys(service)?))
    }

    fn mount<S: BankService>(&self, service: S, name: &str) -> Result<Service, Fatal> {
        let mounted: Result<Service, DeclarationError> = match self.reach {
            Reach::Here(_) => Service::local(service),
            Reach::There(_) => Service::signed(service, self.files.identity_keys(name)?),
        };
        mounted.map_err(Fatal::new)
    }

    fn derivation(&self, service: &str) -> Result<DerivationKey, Fatal> {
        Ok(DerivationKey::new(&self.files.secret(&format!("derivation-{service}.key"))?))
    }

    fn sqlite(&self, name: &str) -> SqliteOptions {
        SqliteOptions::new(self.files.path(name))
    }
}

/// Over a ledger in the data directory, or in a PostgreSQL database, which any number of copies share.
pub(crate) async fn accounts(
    around: &Around,
    store: Option<&LedgerStore>,
    keep_events: Duration,
) -> Result<Running, Fatal> {
    let (role, store): (Arc<dyn Ledger>, Store) = match store {
        None => {
            let options = around.sqlite(LEDGER);
            let ledger = Arc::new(SqliteLedger::open(options).await.map_err(opening)?);
            (ledger.clone(), Store::Ledger(ledger))
        }
        Some(store) => {
            let ledger = Arc::new(AuroraLedger::open(aurora(store)?).await.map_err(opening)?);
            (ledger.clone(), Store::Aurora(ledger))
        }
    };
    let derivation = around.derivation("accounts")?;
    let accounts = accounts::Accounts::new(role, derivation, around.clock.clone(), around.random.clone());
    let background = vec![tokio::spawn(accounts.clone().forget_events(keep_events))];
    let service = around.mount(accounts, "accounts")?;
    Ok(Running { service, background, store })
}

fn aurora(store: &LedgerStore) -> Result<AuroraOptions, Fatal> {
    let mut options = AuroraOptions::new(&store.url).map_err(opening)?;
    if let Some(readers) = &store.readers {
        options = options.readers(readers).map_err(opening)?;
    }
    Ok(match &store.authorities {
        Some(authorities) => options.root_certificates(authorities),
        None => options,
    })
}

pub(crate) async fn transactions(around: &Around, keep_events: Duration) -> Result<Running, Fatal> {
    let items = Arc::new(SqliteItems::open(around.sqlite("transactions/items.db")).await.map_err(opening)?);
    let role: Arc<dyn Items> = items.clone();
    let (client, derivation) = (around.client("transactions")?, around.derivation("transactions")?);
    let transactions = transactions::Transactions::new(role, client, derivation, around.clock.clone());
    let background = vec![
        tokio::spawn(transactions.clone().resume()),
        tokio::spawn(transactions.clone().forget_events(keep_events)),
    ];
    let service = around.mount(transactions, "transactions")?;
    Ok(Running { service, background, store: Store::Items(items) })
}

/// Identity, and what the gateway of the same process needs of it.
pub(crate) struct IdentityParts {
    pub(crate) running: Running,
    pub(crate) items: Arc<dyn Items>,
    pub(crate) cache: Arc<dyn Cache>,
}

/// With the cache that all copies share, or one in memory.
pub(crate) async fn identity(
    around: &Around,
    shared: Option<Arc<dyn Cache>>,
    demo: Option<&DemoUsers>,
) -> Result<IdentityParts, Fatal> {
    let items = Arc::new(SqliteItems::open(around.sqlite("identity/items.db")).await.map_err(opening)?);
    let role: Arc<dyn Items> = items.clone();
    let cache = shared.unwrap_or_else(|| Arc::new(MemoryCache::with_capacity(8 * 1024 * 1024)));
    let key = SigningKey::load_or_create(around.files.path("keys/signing.key"))
        .map_err(|error| Fatal::caused("identity", &error))?;
    // The gateway verifies tokens by this file, wherever it runs.
    let keys = serde_json::to_vec(&key.jwks()).map_err(Fatal::new)?;
    replace(&around.files.path("jwks.json"), &keys).map_err(Fatal::new)?;
    let identity =
        Identity::new(role.clone(), cache.clone(), key, around.clock.clone(), around.random.clone());
    for user in demo.map(DemoUsers::users).into_iter().flatten() {
        let roles: &[&str] = user.role.as_slice();
        let email = format!("{}@bank.example", user.username);
        let new = NewUser {
            username: user.username,
            password: &user.password,
            name: user.name,
            email: &email,
            roles,
        };
        identity.seed_user(new).await.map_err(Fatal::new)?;
    }
    let service = around.mount(identity, "identity")?;
    Ok(IdentityParts {
        running: Running { service, background: Vec::new(), store: Store::Items(items) },
        items: role,
        cache,
    })
}

/// The cache that all copies of the parts share, where there is one.
pub(crate) async fn shared_cache(shared: &Shared) -> Result<Option<Arc<dyn Cache>>, Fatal> {
    let Some(url) = &shared.cache else { return Ok(None) };
    let options = redis(url, shared)?;
    let open = async || unless_away(RedisCache::open(options.clone()).await);
    let cache = waiting("the shared cache cannot be reached", open).await?;
    Ok(Some(Arc::new(cache.map_err(opening)?)))
}

/// The limits that all gateways share, where they do.
pub(crate) async fn shared_limits(shared: &Shared) -> Result<Option<Arc<dyn Limits>>, Fatal> {
    let Some(url) = &shared.limits else { return Ok(None) };
    let options = redis(url, shared)?;
    let open = async || unless_away(RedisLimits::open(options.clone()).await);
    let limits = waiting("the shared limits cannot be reached", open).await?;
    Ok(Some(Arc::new(limits.map_err(opening)?)))
}

/// A server that is away may come; one that refuses, a wrong password say, goes on refusing.
fn unless_away<T>(opened: bank_stores::Result<T>) -> Result<bank_stores::Result<T>, bank_stores::Error> {
    match opened {
        Err(error) if error.is_retryable() => Err(error),
        opened => Ok(opened),
    }
}

fn redis(url: &str, shared: &Shared) -> Result<RedisOptions, Fatal> {
    let options =
        RedisOptions::at(url).and_then(|options| options.prefix(&shared.prefix)).map_err(opening)?;
    // Whoever waits for it is a customer.
    let options = options.response_timeout(Duration::from_millis(250));
    Ok(match &shared.authorities {
        Some(authorities) => options.root_certificates(authorities),
        None => options,
    })
}

/// What a gateway reads of identity's data while identity runs as a process of its own.
pub(crate) async fn identity_readers(files: &Files) -> Result<Arc<dyn Items>, Fatal> {
    let options = || SqliteOptions::new(files.path("identity/items.db")).read_only();
    let items = waiting("identity has not made its data yet", || SqliteItems::open(options())).await?;
    Ok(Arc::new(items))
}

/// Tries again for half a minute: parts start in any order.
pub(crate) async fn waiting<T, E, F>(reason: &str, mut attempt: impl FnMut() -> F) -> Result<T, Fatal>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() >= deadline => return Err(Fatal::new(format!("{reason}: {error}"))),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

pub(crate) async fn partners(around: &Around) -> Result<Running, Fatal> {
    let documents =
        Arc::new(SqliteDocuments::open(around.sqlite("partners/documents.db")).await.map_err(opening)?);
    let role: Arc<dyn Documents> = documents.clone();
    let partners = partners::Partners::new(role, around.client("partners")?)
        .await
        .map_err(|error| Fatal::caused("partners", &error))?;
    let background = vec![tokio::spawn(partners.clone().follow_events())];
    let service = around.mount(partners, "partners")?;
    Ok(Running { service, background, store: Store::Documents(documents) })
}

fn opening(error: bank_stores::Error) -> Fatal {
    Fatal::caused("the data cannot be opened", &error)
}

/// The gateway's internal side. Calls wait until it is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateGateway(Arc<SetOnce<Internal>>);

impl LateGateway {
    pub(crate) fn arrive(&self, gateway: Internal) {
        // It arrives once.
        let _ = self.0.set(gateway);
    }
}

impl tower::Service<Request<Body>> for LateGateway {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gateway = self.0.clone();
        Box::pin(async move { gateway.wait().await.clone().call(request).await })
    }
}
