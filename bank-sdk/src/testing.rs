//! Tests a service without a socket: with a principal and a clock of the test's choice.
//!
//! ```
//! # use std::sync::Arc;
//! # use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Principal, Problem};
//! # use bank_sdk::testing::Harness;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Debug, Serialize, Deserialize, schemars::JsonSchema)]
//! # struct Greeting { text: String }
//! # const GREET: Endpoint<Empty, Greeting> = Endpoint::get("/v1/greeting").scope("greet");
//! # struct Greeter;
//! # impl Greeter {
//! #     async fn greet(self: Arc<Self>, call: Call<Empty>) -> Result<Greeting, Problem> {
//! #         Ok(Greeting { text: format!("hello {}", call.subject()?) })
//! #     }
//! # }
//! # impl BankService for Greeter {
//! #     fn api() -> Api { Api::new("greeter").endpoint(GREET.declare()) }
//! #     fn endpoints() -> Endpoints<Self> { Endpoints::new().bind(GREET, Self::greet) }
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let harness = Harness::new(Greeter).unwrap();
//! let alice = harness.client(Principal::customer("cus_alice").with_scope("greet"));
//! assert_eq!(alice.call(GREET, &Empty {}).send().await.unwrap().text, "hello cus_alice");
//!
//! let bob = harness.client(Principal::customer("cus_bob"));
//! assert_eq!(bob.call(GREET, &Empty {}).send().await.unwrap_err().problem().unwrap().status(), 403);
//! # });
//! ```

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bank_stores::{Clock, ManualClock, Timestamp};
use http::{Request, Response};

use crate::Principal;
use crate::client::Client;
use crate::declaration::{Api, DeclarationError, Method};
use crate::http::{Body, RequestId};
use crate::identity::{Identity, LocalKey};
use crate::service::{BankService, Responding, Service};

/// A service under test.
#[derive(Clone, Debug)]
pub struct Harness {
    service: Service,
    key: LocalKey,
    clock: ManualClock,
}

impl Harness {
    /// Builds the service as a gateway would, with a clock that stands at 2030-01-01 until the test moves it.
    ///
    /// # Errors
    /// As [`Service::local`].
    pub fn new<S: BankService>(service: S) -> Result<Self, DeclarationError> {
        Self::shared(Arc::new(service), ManualClock::at(Timestamp::from_seconds(1_893_456_000)))
    }

    /// The same for a service that the test also holds, on the clock that the service was given.
    ///
    /// # Errors
    /// As [`Service::local`].
    pub fn shared<S: BankService>(service: Arc<S>, clock: ManualClock) -> Result<Self, DeclarationError> {
        let service = Service::local_with_clock(service, Arc::new(clock.clone()))?;
        let key = service.local_key().unwrap_or_else(LocalKey::new);
        Ok(Self { service, key, clock })
    }

    /// The clock.
    #[must_use]
    pub const fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// A client whose calls come from this principal.
    #[must_use]
    pub fn client(&self, principal: Principal) -> Client {
        Client::new(self.transport(Some(principal)))
    }

    /// A client whose calls come from nobody.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.transport(None))
    }

    /// The service as a `tower::Service` behind an edge that believes this principal, for raw requests.
    #[must_use]
    pub fn transport(&self, principal: Option<Principal>) -> Transport {
        Transport { harness: self.clone(), principal: principal.map(Arc::new) }
    }
}

/// A service behind an edge that believes one principal.
#[derive(Clone, Debug)]
pub struct Transport {
    harness: Harness,
    principal: Option<Arc<Principal>>,
}

impl tower::Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Responding {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let Harness { service, key, clock } = &self.harness;
        let name = format!("req_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let operation = operation(service.api(), &request);
        let identity = Identity::new("harness", &*service.api().name, operation, &*name, clock.now())
            .for_principal(self.principal.clone());
        if let Some(id) = RequestId::new(&name) {
            request.extensions_mut().insert(id);
        }
        request.extensions_mut().insert(key.state(identity));
        service.clone().call(request)
    }
}

/// The operation that a request is for, as the gateway's route table would find it.
fn operation(api: &Api, request: &Request<Body>) -> String {
    let mut router = matchit::Router::new();
    for endpoint in &api.endpoints {
        let _ = router.insert(&endpoint.path, endpoint.path.clone());
    }
    let path = router.at(request.uri().path()).map(|found| found.value.clone()).unwrap_or_default();
    Method::serving(request.method()).map(|method| format!("{method} {path}")).unwrap_or_default()
}
