//! A gateway in the test's own process, behind a real socket, as any team would embed it.

use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bank_gateway::identity::ApiKeys;
use bank_gateway::identity::api_key::{ApiKeyStore, StoredKey};
use bank_gateway::{Gateway, GatewayBuilder, Tls};
use bank_sdk::Principal;
use bank_sdk::identity::IdentityKeys;
use bank_sdk::serve::Limits;
use bank_stores::Error;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::rebuilt::rebuilt;
use crate::wire::{Wire, certificates};

/// A gateway that is served until this value goes.
#[derive(Debug)]
pub struct Edge {
    runtime: Option<Runtime>,
    address: SocketAddr,
    wire: Wire,
    gateway: Gateway,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Edge {
    /// Serves the gateway that `describe` describes, with these limits.
    ///
    /// # Panics
    /// Where it cannot be built.
    #[must_use]
    #[track_caller]
    pub fn start_with(limits: Limits, describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::serve(limits, None, describe)
    }

    /// Serves the gateway that `describe` describes.
    #[must_use]
    #[track_caller]
    pub fn start(describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::serve(Limits::default(), None, describe)
    }

    /// Serves it over TLS, with the development certificate in this directory.
    #[must_use]
    #[track_caller]
    pub fn start_tls(directory: &Path, describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        Self::serve(Limits::default(), Some(Tls::development(directory).unwrap()), describe)
    }

    #[track_caller]
    fn serve(
        limits: Limits,
        tls: Option<Tls>,
        describe: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Self {
        // What is served over TLS on purpose, a test asks by itself.
        let wire = if tls.is_some() { Wire::Http1 } else { Wire::of_this_program() };
        let tls = tls.or_else(|| wire.is_tls().then(|| Tls::development(certificates()).unwrap()));
        let runtime = Runtime::new().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (gateway, listener) = {
            let _inside = runtime.enter();
            let gateway = describe(Gateway::builder()).build().unwrap_or_else(|error| panic!("{error}"));
            (gateway, runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap())
        };
        let address = listener.local_addr().unwrap();
        let stopped = async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        };
        let serving = if is_rebuilt() {
            spawn(&runtime, bank_sdk::serve::serve(listener, rebuilt(gateway.parts())), limits, tls, stopped)
        } else {
            spawn(&runtime, bank_gateway::serve(listener, gateway.clone()), limits, tls, stopped)
        };
        Self { runtime: Some(runtime), address, wire, gateway, stop: Some(stop), serving: Some(serving) }
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(vec![self.address]).over(self.wire)
    }

    /// The gateway itself.
    #[must_use]
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Where its work is done.
    ///
    /// # Panics
    /// Never while it is served.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// Serves another service beside it, such as its admin pages, and returns a client of that.
    ///
    /// # Panics
    /// Where no port can be had.
    pub fn beside<S, B>(&self, service: S) -> Client
    where
        S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        let listener = self.runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let client = Client::new(vec![listener.local_addr().unwrap()]).over(self.wire.plain());
        drop(self.runtime().spawn(bank_sdk::serve::serve(listener, service).into_future()));
        client
    }

    /// Tells the server to drain.
    pub fn drain(&mut self) {
        self.stop.take();
    }

    /// Waits until the server has ended.
    pub fn drained(&mut self) {
        let serving = self.serving.take().unwrap();
        self.runtime().block_on(serving).unwrap().unwrap();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

fn spawn<S, B>(
    runtime: &Runtime,
    server: bank_sdk::serve::Serve<S>,
    limits: Limits,
    tls: Option<Tls>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<std::io::Result<()>>
where
    S: tower::Service<http::Request<Incoming>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<tower::BoxError>,
{
    let server = server.limits(limits);
    match tls {
        Some(tls) => runtime.spawn(server.acceptor(tls).shutdown(stopped).into_future()),
        None => runtime.spawn(server.shutdown(stopped).into_future()),
    }
}

/// Whether this program tests the gateway that a team builds of the public layers. It is told by the program's name, since a
/// program is one form of the gateway.
#[must_use]
pub fn is_rebuilt() -> bool {
    let program = std::env::current_exe().unwrap();
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rebuilt"))
}

/// An API key for each name: `bk_NAME_secret` belongs to the principal of that name.
#[derive(Clone, Debug)]
pub struct OneKey {
    principals: Vec<Arc<Principal>>,
}

impl OneKey {
    /// Keys of these principals, as a scheme.
    #[must_use]
    pub fn of(principals: impl IntoIterator<Item = Principal>) -> ApiKeys {
        let store = Self { principals: principals.into_iter().map(Arc::new).collect() };
        ApiKeys::new(Arc::new(store), &[7; 32])
    }
}

#[async_trait]
impl ApiKeyStore for OneKey {
    async fn api_key(&self, id: &str) -> Result<Option<StoredKey>, Error> {
        let found = self.principals.iter().find(|principal| principal.subject == id);
        let hasher = ApiKeys::new(Arc::new(self.clone()), &[7; 32]);
        Ok(found.map(|principal| StoredKey::new(hasher.hash(&format!("bk_{id}_secret")), principal.clone())))
    }
}

/// Keys by which a service would know the gateway of a test.
///
/// # Panics
/// Never.
#[must_use]
pub fn identity_keys() -> IdentityKeys {
    IdentityKeys::new([("test", [9_u8; 32])]).unwrap()
}
