//! Where a service runs, and how it is called.

use std::fmt;
use std::sync::Arc;

use bank_sdk::client::ConnectOptions;
use bank_sdk::identity::IdentityKeys;
use bank_sdk::{Principal, Service};
use bank_stores::Clock;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body as HttpBody;
use tokio::sync::watch;
use tower::BoxError;

use super::cluster::AnyTransport;
use super::endpoint::Endpoint;
use super::registry::{Reached, Registry};
use super::trust::Trust;
use super::{
    Balance, BreakerOptions, Cluster, Destination, InFlightLimit, Origin, Retry, RetryOptions, Tower,
};
use crate::identity::{ForwardPrincipal, PrincipalField, Tell};

/// Where a service runs, and how it is called.
///
/// ```
/// use bank_gateway::Upstream;
/// use bank_gateway::identity::PrincipalField;
///
/// // A service of the bank: it is told who calls by a signed token.
/// let keys = bank_sdk::identity::IdentityKeys::new([("1", [7; 32])])?;
/// let accounts = Upstream::at(["http://10.0.0.7:8081", "http://10.0.0.8:8081"]).identity_keys(keys);
/// // Something that a team has already: it is told by header fields that no client can set.
/// let reports = Upstream::at(["http://10.0.0.9:3000"])
///     .foreign()
///     .forward_principal([("x-user", PrincipalField::Subject), ("x-roles", PrincipalField::Roles)]);
/// # let _ = (accounts, reports);
/// # Ok::<(), bank_sdk::identity::InvalidKeys>(())
/// ```
#[derive(Clone, Debug)]
pub struct Upstream {
    place: Place,
    keys: Option<IdentityKeys>,
    pub(crate) audience: Option<Arc<str>>,
    trust: Trust,
    connect: ConnectOptions,
    is_bank_service: bool,
    exact_paths: bool,
    fields: Vec<(HeaderName, PrincipalField)>,
    pub(crate) credentials: Credentials,
    in_flight: usize,
    queue: usize,
    retry: RetryOptions,
    breaker: BreakerOptions,
    /// Whether the team set one of the three.
    is_tuned: bool,
    faults: Vec<String>,
    #[cfg(feature = "testing")]
    pub(crate) recorder: Option<crate::testing::Recorder>,
}

#[derive(Clone)]
enum Place {
    Local(Service),
    At(Vec<String>),
    Discovered(watch::Receiver<Vec<String>>),
    Tower(Arc<dyn Fn() -> Tower + Send + Sync>),
}

/// Fields in which nobody is told who calls.
const TAKEN: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "origin",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a service sees of the caller's own credential.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing: `Authorization`, `Cookie` and the fields of the gateway's schemes end at the gateway.
    #[default]
    Strip,
    /// What the caller sent, for an application with sessions of its own.
    Keep,
    /// This field in their place: the gateway's own account at a foreign service, say.
    Replace(HeaderName, HeaderValue),
}

impl Upstream {
    /// A service in this process: no socket between.
    #[must_use]
    pub fn local(service: Service) -> Self {
        Self::new(Place::Local(service))
    }

    /// Endpoints, as `http://host:port` or `https://host:port`.
    pub fn at<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Self {
        Self::new(Place::At(addresses.into_iter().map(Into::into).collect()))
    }

    /// Endpoints that come and go: whoever discovers them sends each new list. An address that is wrong is left out and
    /// logged; what is known of those that stay goes on.
    #[must_use]
    pub fn discovered(addresses: watch::Receiver<Vec<String>>) -> Self {
        Self::new(Place::Discovered(addresses))
    }

    /// Any tower service, an `axum::Router` among them. It is no service of the bank: it finds who calls in the request
    /// extension [`Facts`](crate::Facts).
    pub fn tower<S, R>(service: S) -> Self
    where
        S: tower::Service<Request<bank_sdk::http::Body>, Response = Response<R>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError> + Send + Sync + 'static,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        Self::new(Place::Tower(Arc::new(move || Tower::new(service.clone())))).foreign()
    }

    fn new(place: Place) -> Self {
        Self {
            place,
            keys: None,
            audience: None,
            trust: Trust::default(),
            connect: ConnectOptions::default(),
            is_bank_service: true,
            exact_paths: false,
            fields: Vec::new(),
            credentials: Credentials::default(),
            in_flight: 4_096,
            queue: 1_024,
            retry: RetryOptions::default(),
            breaker: BreakerOptions::default(),
            is_tuned: false,
            faults: Vec::new(),
            #[cfg(feature = "testing")]
            recorder: None,
        }
    }

    /// The keys by which this service knows that a request came through the gateway: each request carries a token that is signed
    /// with the first of them, and says who calls. A service of the bank checks it by itself, a foreign one by
    /// [`VerifyIdentity`](bank_sdk::identity::VerifyIdentity).
    ///
    /// ```
    /// use bank_gateway::{Route, Upstream};
    /// use bank_sdk::Access;
    /// use bank_sdk::identity::{IdentityKeys, VerifyIdentity};
    ///
    /// let keys = IdentityKeys::new([("1", [7; 32])])?;
    /// // At the gateway:
    /// let route = Route::all("/reports/{*rest}").access(Access::Public);
    /// let upstream = Upstream::at(["http://10.0.0.9:3000"]).foreign().identity_keys(keys.clone()).audience("reports");
    /// // In the service, an axum one say: `router.layer(only_the_gateway)`.
    /// let only_the_gateway = VerifyIdentity::new("reports", keys);
    /// # let _ = (route, upstream, only_the_gateway);
    /// # Ok::<(), bank_sdk::identity::InvalidKeys>(())
    /// ```
    #[must_use]
    pub fn identity_keys(mut self, keys: IdentityKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The audience of its identity tokens, the one service that may believe them. Without this it is the name of the service
    /// that [`GatewayBuilder::service`](crate::GatewayBuilder::service) declares, or the operation of a
    /// [`Route`](crate::Route), such as `GET /reports/{id}` or `* /reports/{*rest}`. A service of the bank believes tokens for
    /// its own name only.
    #[must_use]
    pub fn audience(mut self, name: impl Into<Arc<str>>) -> Self {
        self.audience = Some(name.into());
        self
    }

    /// How `https` endpoints are verified; see [`client_config`](crate::tls::client_config).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.trust.config = Some(config);
        self
    }

    /// Times and bounds of connections.
    #[must_use]
    pub fn connect(mut self, options: ConnectOptions) -> Self {
        let http2 = self.connect.http2 || options.http2;
        self.connect = options;
        self.connect.http2 = http2;
        self
    }

    /// Speaks HTTP/2 to it: over `https` as agreed in the handshake, over `http` with prior knowledge (h2c). One connection to
    /// each endpoint carries all requests. gRPC needs it.
    #[must_use]
    pub const fn http2(mut self) -> Self {
        self.connect.http2 = true;
        self
    }

    /// The upstream is no service of the bank: it gets no identity token, unless [`identity_keys`](Self::identity_keys) are
    /// given too. Then its token is for its [`audience`](Self::audience).
    #[must_use]
    pub const fn foreign(mut self) -> Self {
        self.is_bank_service = false;
        self
    }

    /// The foreign upstream takes no two spellings of a path for one: `/V1/Admin` and `/v1/admin/` are not `/v1/admin` to it.
    /// Without this a route to it serves all spellings of its path, so that none of them passes by what the route asks for.
    #[must_use]
    pub const fn exact_paths(mut self) -> Self {
        self.exact_paths = true;
        self
    }

    /// Tells a foreign upstream who calls, in these header fields. Whatever a client sends under their names is removed, on
    /// every route of the gateway.
    #[must_use]
    pub fn forward_principal<'a>(
        mut self,
        fields: impl IntoIterator<Item = (&'a str, PrincipalField)>,
    ) -> Self {
        for (name, field) in fields {
            match HeaderName::try_from(name) {
                Ok(name) if TAKEN.contains(&name.as_str()) => self.faults.push(format!(
                    "`{name}` means something else to servers; tell who calls in a field such as `x-user`"
                )),
                Ok(name) => self.fields.push((name, field)),
                Err(_) => self.faults.push(format!("`{name}` is no name of a header field")),
            }
        }
        self
    }

    /// What the upstream sees of the caller's credential: nothing by default.
    #[must_use]
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// How many requests it has at once, 4,096 by default, and how many more wait for their turn, 1,024 by default. All others
    /// are refused with 503 (`overloaded`).
    #[must_use]
    pub const fn in_flight(mut self, limit: usize, queue: usize) -> Self {
        (self.in_flight, self.queue, self.is_tuned) = (limit, queue, true);
        self
    }

    /// What is sent again, and how often.
    #[must_use]
    pub const fn retry(mut self, options: RetryOptions) -> Self {
        (self.retry, self.is_tuned) = (options, true);
        self
    }

    /// When an endpoint's breaker opens.
    #[must_use]
    pub const fn breaker(mut self, options: BreakerOptions) -> Self {
        (self.breaker, self.is_tuned) = (options, true);
        self
    }

    /// Whether it is a service of the bank's own.
    pub(crate) const fn is_bank_service(&self) -> bool {
        self.is_bank_service
    }

    /// Which server it is, where that may take several spellings of a path for one.
    pub(crate) fn origin(&self) -> Option<Origin> {
        (!self.is_bank_service && !self.exact_paths).then(|| match &self.place {
            Place::At(addresses) => Origin::At(addresses.clone().into()),
            Place::Discovered(addresses) => Origin::Discovered(addresses.clone()),
            Place::Local(_) | Place::Tower(_) => Origin::InProcess,
        })
    }

    /// The names of the fields that tell it who calls.
    pub(crate) fn field_names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Whether it is spoken to by HTTP/2.
    pub(crate) const fn is_http2(&self) -> bool {
        self.connect.http2
    }

    /// How it is told who calls.
    pub(crate) fn tell(&self) -> Tell {
        match (&self.place, &self.keys) {
            (Place::Local(service), _) => service.local_key().map_or(Tell::Nothing, Tell::Local),
            (_, Some(keys)) => Tell::Signed(keys.clone()),
            _ => Tell::Nothing,
        }
    }

    /// The fields that tell it who calls.
    pub(crate) fn forwards(&self) -> Option<ForwardPrincipal> {
        (!self.fields.is_empty()).then(|| ForwardPrincipal::in_fields(self.fields.clone()))
    }

    /// The same, a service of this process by the gateway's clock: the identities that it judges are made by that.
    pub(crate) fn by_clock(mut self, clock: &Arc<dyn Clock>) -> Self {
        if let Place::Local(service) = self.place {
            self.place = Place::Local(service.clock(clock.clone()));
        }
        self
    }

    /// What stands behind a service's routes.
    pub(crate) fn destination(self, name: &str, registry: &Registry) -> Result<Destination, Vec<String>> {
        let mut faults: Vec<String> = self.faults.iter().map(|fault| format!("{name}: {fault}")).collect();
        let reached =
            Reached { connect: self.connect.clone(), trust: self.trust.clone(), breaker: self.breaker };
        if self.audience.as_ref().is_some_and(|name| name.is_empty()) {
            faults.push(format!("{name}: its tokens are for nobody; give .audience(…) a name"));
        }
        if self.in_flight == 0 {
            faults.push(format!("{name}: lets no request through; give .in_flight(…) more than 0"));
        }
        if self.breaker.failures == 0 {
            faults.push(format!("{name}: its breaker opens after 0 failures; give at least 1"));
        }
        if self.retry.tries == 0 || self.retry.tries > 8 {
            faults.push(format!("{name}: sends each request {} times; give 1 to 8 tries", self.retry.tries));
        }
        let is_told = self.keys.is_some() || !self.is_bank_service;
        if !is_told && matches!(self.place, Place::At(_) | Place::Discovered(_)) {
            faults.push(format!(
                "{name}: has no identity keys; add .identity_keys(…), or .foreign() where it is no service of the bank"
            ));
        }
        let mut endpoints: Vec<Arc<Endpoint<AnyTransport>>> = Vec::new();
        let mut follows = None;
        if self.is_tuned && matches!(self.place, Place::Local(_)) {
            faults.push(format!(
                "{name}: is called as a function in this process, past all endpoints; leave .in_flight(…), .retry(…) and .breaker(…) out"
            ));
        }
        match self.place {
            Place::Local(service) => match service.local_key() {
                Some(_) if faults.is_empty() => return Ok(Destination::Local(service)),
                Some(_) => {}
                None => faults.push(format!(
                    "{name}: the service was built with Service::signed; in this process use Service::local"
                )),
            },
            Place::At(addresses) => {
                if addresses.is_empty() {
                    faults.push(format!("{name}: has no endpoint; give at least one address"));
                }
                for address in addresses {
                    match registry.endpoint(name, &address, &reached) {
                        Ok(endpoint) => endpoints.push(endpoint),
                        Err(fault) => faults.push(format!("{name}: {fault}")),
                    }
                }
            }
            Place::Discovered(mut addresses) => {
                addresses.mark_changed();
                follows = Some(addresses);
            }
            Place::Tower(service) => endpoints.push(Arc::new(Endpoint::new(
                "in process".to_owned(),
                AnyTransport::Tower(service()),
                self.breaker,
            ))),
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let retry = Retry::with(Balance::of(endpoints), self.retry);
        let mut cluster = Cluster::new(InFlightLimit::around(retry, self.in_flight, self.queue));
        if let Some(addresses) = follows {
            let (registry, name) = (registry.clone(), name.to_owned());
            cluster =
                cluster.following(addresses, move |address| registry.endpoint(&name, address, &reached));
        }
        Ok(Destination::Cluster(Arc::new(cluster)))
    }
}

/// What a principal says to a foreign service.
impl PrincipalField {
    /// The value for a header field; nothing where the principal does not say it, or it cannot stand in one.
    pub(crate) fn of(self, principal: &Principal) -> Option<HeaderValue> {
        let text = match self {
            Self::Subject => principal.subject.clone(),
            Self::Kind => serde_json::to_value(principal.kind).ok()?.as_str()?.to_owned(),
            Self::Tenant => principal.tenant.clone()?,
            Self::Scopes => in_one_line(&principal.scopes),
            Self::Roles => in_one_line(&principal.roles),
            Self::Session => principal.session.clone()?,
        };
        HeaderValue::try_from(text).ok()
    }
}

/// Names with spaces between. A name with a space in it would be read as several, and is left out.
fn in_one_line(names: &[String]) -> String {
    let single = |name: &&str| !name.is_empty() && !name.contains(char::is_whitespace);
    names.iter().map(String::as_str).filter(single).collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(service) => service.fmt(f),
            Self::At(addresses) => addresses.fmt(f),
            Self::Discovered(_) => f.write_str("discovered"),
            Self::Tower(_) => f.write_str("tower"),
        }
    }
}
