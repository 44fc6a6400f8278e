//! A service behind a complete gateway on this machine, in one line, while it is being written.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use bank_sdk::declaration::EndpointDeclaration;
use bank_sdk::{Access, Principal, Service};
use bank_stores::{Random as _, SystemRandom};
use tokio::net::TcpListener;

use crate::identity::ApiKeys;
use crate::{BuildError, Gateway, GatewayBuilder, Upstream};

/// Serves a service, or a gateway that is described already, for development: on loopback only, behind a complete gateway,
/// with an API key that is made for this start and printed.
///
/// The key belongs to a principal who holds every scope and role that the routes ask for. Nothing else is different from a
/// gateway in production: what has no policy does not build, what the policy forbids is refused.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Problem};
/// # const GREET: Endpoint<Empty, Empty> = Endpoint::get("/v1/greeting").scope("greet");
/// # struct Greeter;
/// # impl Greeter {
/// #     async fn greet(self: Arc<Self>, _: Call<Empty>) -> Result<Empty, Problem> { Ok(Empty {}) }
/// # }
/// # impl BankService for Greeter {
/// #     fn api() -> Api { Api::new("greeter").endpoint(GREET.declare()) }
/// #     fn endpoints() -> Endpoints<Self> { Endpoints::new().bind(GREET, Self::greet) }
/// # }
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     Ok(bank_gateway::dev(bank_sdk::Service::local(Greeter)?).await?)
/// }
/// ```
///
/// It prints what a shell needs:
///
/// ```text
/// listening on http://127.0.0.1:8080, for development: the key holds until this program ends
///
///   export URL=http://127.0.0.1:8080 KEY=bk_…
///   curl -H "x-api-key: $KEY" $URL/openapi.json
///
///   GET /v1/greeting
/// ```
pub fn dev(what: impl Into<Dev>) -> Dev {
    what.into()
}

/// A gateway for development that is not started yet; made by [`dev`] of a [`Service`] or a [`GatewayBuilder`].
#[derive(Debug)]
#[must_use = "nothing is served until it is awaited"]
pub struct Dev {
    builder: GatewayBuilder,
    address: String,
    principal: Option<Principal>,
}

impl Dev {
    /// Listens there instead of `127.0.0.1:8080`; with port 0, at a port that is free. Anything but loopback is refused.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// The key belongs to this principal, instead of one who may do everything.
    pub fn principal(mut self, principal: Principal) -> Self {
        self.principal = Some(principal);
        self
    }

    /// Builds the gateway, makes the key and listens; awaiting the server serves. It prints nothing.
    ///
    /// # Errors
    /// An address that is not loopback or cannot be had; or as [`GatewayBuilder::build`].
    pub async fn bind(self) -> Result<DevServer, DevError> {
        let Self { mut builder, address, principal } = self;
        let found: Vec<SocketAddr> = tokio::net::lookup_host(&address)
            .await
            .map_err(|error| DevError::listen(&address, error))?
            .collect();
        // The name is not asked again: what was found to be loopback is what is bound.
        if found.iter().any(|found| !found.ip().to_canonical().is_loopback()) {
            return Err(DevError::not_loopback(&address));
        }
        let operations = operations(&builder);
        let principal = principal.unwrap_or_else(|| who_may_do_all(&builder));
        let mut pepper = [0; 32];
        SystemRandom::new().fill(&mut pepper);
        let keys = ApiKeys::in_memory(&pepper);
        let key = keys.issue("development", principal);
        if builder.openapi.is_none() {
            builder = builder.openapi("Development", "0");
        }
        let gateway = builder.authenticate(keys).build().map_err(DevError::build)?;
        let listener = TcpListener::bind(&*found).await.map_err(|error| DevError::listen(&address, error))?;
        let address = listener.local_addr().map_err(|error| DevError::listen(&address, error))?;
        Ok(DevServer { listener, gateway, address, key, operations })
    }
}

impl From<GatewayBuilder> for Dev {
    fn from(builder: GatewayBuilder) -> Self {
        Self { builder, address: "127.0.0.1:8080".to_owned(), principal: None }
    }
}

impl From<Service> for Dev {
    fn from(service: Service) -> Self {
        Gateway::builder().service(service.api().clone(), Upstream::local(service)).into()
    }
}

impl IntoFuture for Dev {
    type Output = Result<(), DevError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    #[allow(clippy::print_stdout, reason = "a developer sees the key there and nowhere else")]
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let server = self.bind().await?;
            println!("{server}");
            let address = server.address.to_string();
            server.await.map_err(|error| DevError::listen(&address, error))
        })
    }
}

/// What the routes of a gateway declare.
fn declarations(builder: &GatewayBuilder) -> impl Iterator<Item = &EndpointDeclaration> {
    let services = builder.services.iter().flat_map(|(api, ..)| &api.endpoints);
    services.chain(builder.routes.iter().map(|(route, _)| &route.declaration))
}

/// What can be called from outside.
fn operations(builder: &GatewayBuilder) -> Vec<String> {
    let services = builder.services.iter().flat_map(|(api, ..)| &api.endpoints);
    let outside = services.filter(|endpoint| !endpoint.access.as_ref().is_some_and(Access::is_internal));
    let routes = builder.routes.iter().map(|(route, _)| route.operation());
    outside.map(EndpointDeclaration::operation).chain(routes).collect()
}

/// Somebody with every scope and role that is asked for.
fn who_may_do_all(builder: &GatewayBuilder) -> Principal {
    let mut principal = Principal::customer("developer");
    for endpoint in declarations(builder) {
        let Some(Access::Authenticated { scopes, roles }) = &endpoint.access else { continue };
        principal.scopes.extend(scopes.iter().cloned());
        principal.roles.extend(roles.iter().cloned());
    }
    for list in [&mut principal.scopes, &mut principal.roles] {
        list.sort();
        list.dedup();
    }
    principal
}

/// A gateway for development that listens. Its `Display` is what a developer has to know; its `Debug` hides the key.
#[must_use = "nothing is served until it is awaited"]
pub struct DevServer {
    listener: TcpListener,
    gateway: Gateway,
    address: SocketAddr,
    key: String,
    operations: Vec<String>,
}

impl DevServer {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key, for `X-API-Key`.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.key
    }
}

impl IntoFuture for DevServer {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        crate::serve(self.listener, self.gateway).into_future()
    }
}

impl fmt::Display for DevServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, key, .. } = self;
        writeln!(
            f,
            "listening on http://{address}, for development: the key holds until this program ends\n"
        )?;
        writeln!(f, "  export URL=http://{address} KEY={key}")?;
        writeln!(f, "  curl -H \"x-api-key: $KEY\" $URL/openapi.json\n")?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "  {operation}"))
    }
}

impl fmt::Debug for DevServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why a gateway for development does not start. Its `Debug` is in words too, as `main` shows what it returns.
pub struct DevError {
    kind: DevErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`DevError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DevErrorKind {
    /// The address can be reached from other machines.
    NotLoopback,
    /// The address cannot be had, or the server failed.
    Listen,
    /// The gateway cannot be built.
    Build,
}

impl DevError {
    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> DevErrorKind {
        self.kind
    }

    fn not_loopback(address: &str) -> Self {
        let text = format!(
            "`{address}` is not a loopback address: other machines could reach a gateway for development; \
             listen on 127.0.0.1, or build a gateway with your own credentials and `bank_gateway::serve` it"
        );
        Self { kind: DevErrorKind::NotLoopback, text, source: None }
    }

    fn listen(address: &str, error: io::Error) -> Self {
        let text = format!("cannot listen on `{address}`: {error}");
        Self { kind: DevErrorKind::Listen, text, source: Some(error.into()) }
    }

    fn build(error: BuildError) -> Self {
        Self { kind: DevErrorKind::Build, text: error.to_string(), source: Some(error.into()) }
    }
}

impl fmt::Display for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DevError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}
