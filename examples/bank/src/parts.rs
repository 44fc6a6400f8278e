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
use bank_stores::embedded::MemoryCache;
use bank_stores::{Cache, Clock, Documents, Items};
use http::{Request, Response};
use identity::{Identity, SigningKey, Users};
use tokio::sync::SetOnce;
use tokio::task::JoinHandle;

use crate::Fatal;
use crate::args::Part;
use crate::config::Place;
use crate::demo::DemoUsers;
use crate::files::{Files, replace};
use crate::seal::{self, Seal};
use crate::store_calls::StoreCalls;
use crate::stores::{self, Close, IDENTITY, Opened, PARTNERS, TRANSACTIONS};

/// The name of the gateway, for which calls between services are meant.
pub(crate) const GATEWAY: &str = "bank-gateway";

/// A running part: what it serves, what runs beside it, and what is to be closed.
pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) background: Vec<JoinHandle<()>>,
    pub(crate) stores: Vec<Arc<dyn Close>>,
}

/// How a part is mounted, and how it reaches the others.
pub(crate) struct Around {
    pub(crate) files: Files,
    pub(crate) reach: Reach,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) seal: Seal,
    pub(crate) calls: StoreCalls,
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
    pub(crate) fn here(files: Files, gateway: LateGateway, seal: Seal, calls: StoreCalls) -> Self {
        Self::new(files, Reach::Here(gateway), seal, calls)
    }

    pub(crate) fn there(
        files: Files,
        internal: std::net::SocketAddr,
        seal: Seal,
        calls: StoreCalls,
    ) -> Result<Self, Fatal> {
        let address = format!("http://{internal}").parse().map_err(Fatal::new)?;
        let connections = Connections::new(&address, ConnectOptions::default()).map_err(Fatal::new)?;
        Ok(Self::new(files, Reach::There(connections), seal, calls))
    }

    fn new(files: Files, reach: Reach, seal: Seal, calls: StoreCalls) -> Self {
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()));
        Self { files, reach, clock, random, seal, calls }
    }

    /// By another clock than the system's.
    pub(crate) fn by(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
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
}

pub(crate) async fn accounts(
    around: &Around,
    at: Option<&Place>,
    keep_events: Duration,
) -> Result<Running, Fatal> {
    let Opened { role, close } = stores::ledger(&around.files, at, &around.clock).await?;
    let role = around.calls.ledger(Part::Accounts.name(), role);
    let (keys, keys_close) = around.seal.keys_beside(Part::Accounts, at).await?;
    seal::ready(&keys).await?;
    let role = seal::ledger(role, &keys);
    let derivation = around.derivation("accounts")?;
    let accounts = accounts::Accounts::new(role, derivation, around.clock.clone(), around.random.clone())
        .identity(around.client("accounts")?);
    accounts.measure_caches(&around.calls.caches);
    let background = vec![
        tokio::spawn(accounts.clone().forget_events(keep_events)),
        tokio::spawn(seal::follow_rotation(keys)),
    ];
    let service = around.mount(accounts, "accounts")?;
    Ok(Running { service, background, stores: [Some(close), keys_close].into_iter().flatten().collect() })
}

pub(crate) async fn transactions(
    around: &Around,
    at: Option<&Place>,
    keep_events: Duration,
) -> Result<Running, Fatal> {
    let Opened { role, close } = stores::items_by(&around.files, TRANSACTIONS, at, &around.clock).await?;
    let role = around.calls.items(Part::Transactions.name(), role);
    let keys = around.seal.keys_in(Part::Transactions, role.clone());
    seal::ready(&keys).await?;
    let role: Arc<dyn Items> = Arc::new(seal::items(role, &keys, Part::Transactions));
    let (client, derivation) = (around.client("transactions")?, around.derivation("transactions")?);
    let transactions = transactions::Transactions::new(role, client, derivation, around.clock.clone());
    let background = vec![
        tokio::spawn(transactions.clone().resume()),
        tokio::spawn(transactions.clone().forget_events(keep_events)),
        tokio::spawn(seal::follow_rotation(keys)),
    ];
    let service = around.mount(transactions, "transactions")?;
    Ok(Running { service, background, stores: vec![close] })
}

/// Identity, and what the gateway of the same process needs of it.
pub(crate) struct IdentityParts {
    pub(crate) running: Running,
    pub(crate) service: Identity,
    pub(crate) items: Arc<dyn Items>,
    pub(crate) cache: Arc<dyn Cache>,
}

/// With the cache that all copies share, or one in memory.
pub(crate) async fn identity(
    around: &Around,
    at: Option<&Place>,
    shared: Option<Arc<dyn Cache>>,
    demo: Option<&DemoUsers>,
) -> Result<IdentityParts, Fatal> {
    let Opened { role, close } = stores::items(&around.files, IDENTITY, at).await?;
    let role = around.calls.items(Part::Identity.name(), role);
    let data_keys = around.seal.keys_in(Part::Identity, role.clone());
    seal::ready(&data_keys).await?;
    let role: Arc<dyn Items> = Arc::new(seal::items(role, &data_keys, Part::Identity));
    let cache: Arc<dyn Cache> = match shared {
        Some(shared) => seal::cache(around.calls.cache(Part::Identity.name(), shared), &data_keys),
        None => {
            let memory = Arc::new(MemoryCache::with_capacity(8 * 1024 * 1024));
            around.calls.cache(Part::Identity.name(), memory)
        }
    };
    let key = SigningKey::load_or_create(around.files.path("keys/signing.key"))
        .map_err(|error| Fatal::caused("identity", &error))?;
    // The gateway verifies tokens by this file, wherever it runs.
    let keys = serde_json::to_vec(&key.jwks()).map_err(Fatal::new)?;
    replace(&around.files.path("jwks.json"), &keys).map_err(Fatal::new)?;
    let identity =
        Identity::new(role.clone(), cache.clone(), key, around.clock.clone(), around.random.clone());
    identity.measure_caches(&around.calls.caches);
    if let Some(demo) = demo {
        demo.make(&identity, &Users::new(role.clone())).await?;
    }
    let service = around.mount(identity.clone(), "identity")?;
    let background = vec![tokio::spawn(seal::follow_rotation(data_keys))];
    let running = Running { service, background, stores: vec![close] };
    Ok(IdentityParts { running, service: identity, items: role, cache })
}

pub(crate) async fn partners(around: &Around, at: Option<&Place>) -> Result<Running, Fatal> {
    let Opened { role, close } = stores::documents(&around.files, PARTNERS, at).await?;
    let role = around.calls.documents(Part::Partners.name(), role);
    let (keys, keys_close) = around.seal.keys_beside(Part::Partners, at).await?;
    seal::ready(&keys).await?;
    let role: Arc<dyn Documents> = Arc::new(seal::documents(role, &keys));
    let partners = partners::Partners::new(role, around.client("partners")?)
        .await
        .map_err(|error| Fatal::caused("partners", &error))?;
    partners.measure_caches(&around.calls.caches);
    around.calls.follows(partners.lag());
    let background =
        vec![tokio::spawn(partners.clone().follow_events()), tokio::spawn(seal::follow_rotation(keys))];
    let service = around.mount(partners, "partners")?;
    Ok(Running { service, background, stores: [Some(close), keys_close].into_iter().flatten().collect() })
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
