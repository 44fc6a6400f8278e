//! The check of identity tokens as a `tower::Layer`, in front of any service behind the gateway: axum, hyper, tonic.
//!
//! ```
//! use std::convert::Infallible;
//! use std::sync::Arc;
//!
//! use bank_sdk::Principal;
//! use bank_sdk::http::Body;
//! use bank_sdk::identity::{Identity, IdentityKeys, VerifyIdentity};
//! use bank_sdk::stores::{Clock, SystemClock};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let keys = IdentityKeys::new([("2030-01", [7; 32])]).unwrap();
//! let notes = ServiceBuilder::new().layer(VerifyIdentity::new("notes", keys.clone())).service_fn(
//!     |request: Request<Body>| async move {
//!         let who = request.extensions().get::<Arc<Principal>>().map(|who| who.subject.clone());
//!         Ok::<_, Infallible>(Response::new(Body::from(who.unwrap_or_default())))
//!     },
//! );
//!
//! // As the gateway does it.
//! let now = SystemClock::new().now();
//! let identity = Identity::new("bank-gateway", "notes", "GET /notes", "req_1", now)
//!     .for_principal(Arc::new(Principal::customer("cus_1")));
//! let known = Request::get("/notes").header("bank-identity", keys.sign(&identity)).body(Body::empty()).unwrap();
//! let answer = notes.clone().oneshot(known).await.unwrap();
//! assert_eq!(answer.into_body().read(100).await.unwrap(), "cus_1");
//!
//! let past_the_gateway = Request::get("/notes").body(Body::empty()).unwrap();
//! assert_eq!(notes.oneshot(past_the_gateway).await.unwrap().status(), 401);
//! # });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bank_stores::{Clock, SystemClock};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Identity, IdentityError, IdentityKeys};
use crate::Principal;
use crate::http::{BANK_IDENTITY, RequestId};
use crate::problem::no_identity;

/// Lets only requests pass that carry an identity token of the gateway for this service.
///
/// What passes has lost the token and has these extensions: [`Identity`], [`RequestId`], and `Arc<Principal>` where the
/// request acts for somebody. Anything else is refused with 401 and a problem document, `no_identity`.
///
/// The gateway's policy is not repeated here: [`Access::permit`](crate::Access::permit) does that, with the principal.
#[derive(Clone)]
pub struct VerifyIdentity {
    shared: Arc<Expected>,
}

#[derive(Clone)]
struct Expected {
    audience: String,
    issuer: String,
    operation: Option<String>,
    keys: IdentityKeys,
    clock: Arc<dyn Clock>,
}

impl VerifyIdentity {
    /// For the service that is called `audience` at the gateway, with the keys that it shares with the gateway. The
    /// gateway's name is `bank-gateway`, as it is by default.
    pub fn new(audience: impl Into<String>, keys: IdentityKeys) -> Self {
        let (audience, issuer) = (audience.into(), "bank-gateway".to_owned());
        Self {
            shared: Arc::new(Expected {
                audience,
                issuer,
                operation: None,
                keys,
                clock: Arc::new(SystemClock::new()),
            }),
        }
    }

    /// The gateway's name.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.with(|expected| expected.issuer = issuer.into())
    }

    /// The one operation that is served behind this layer, such as `GET /v1/notes/{id}`. Without it, a handler compares
    /// [`Identity::operation`] itself: within its minute, a token that somebody caught would do for every operation.
    #[must_use]
    pub fn operation(self, operation: impl Into<String>) -> Self {
        self.with(|expected| expected.operation = Some(operation.into()))
    }

    /// The clock that tells whether a token has expired.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|expected| expected.clock = clock)
    }

    fn with(mut self, change: impl FnOnce(&mut Expected)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl Expected {
    fn verify(&self, headers: &HeaderMap) -> Result<(Identity, RequestId), IdentityError> {
        let mut tokens = headers.get_all(BANK_IDENTITY).iter();
        let token = tokens.next().ok_or(IdentityError::Missing)?;
        if tokens.next().is_some() {
            return Err(IdentityError::Forged);
        }
        let identity = self.keys.verify(token.to_str().map_err(|_| IdentityError::Forged)?)?;
        identity.check_issuer(&self.issuer)?;
        let operation = self.operation.as_deref().unwrap_or(&identity.operation);
        identity.check(&self.audience, operation, self.clock.now())?;
        let id = identity.request().ok_or(IdentityError::Forged)?;
        Ok((identity, id))
    }
}

impl<S> Layer<S> for VerifyIdentity {
    type Service = IdentityVerifier<S>;

    fn layer(&self, inner: S) -> IdentityVerifier<S> {
        IdentityVerifier { expected: self.shared.clone(), inner }
    }
}

/// A service behind [`VerifyIdentity`].
#[derive(Clone)]
pub struct IdentityVerifier<S> {
    expected: Arc<Expected>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for IdentityVerifier<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Verified<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let verified = self.expected.verify(request.headers());
        request.headers_mut().remove(BANK_IDENTITY);
        let extensions = request.extensions_mut();
        match verified {
            Ok((identity, id)) => {
                extensions.remove::<Arc<Principal>>();
                if let Some(principal) = &identity.principal {
                    extensions.insert(principal.clone());
                }
                extensions.insert(identity);
                extensions.insert(id);
                Verified { step: Step::Passed { answer: self.inner.call(request) } }
            }
            Err(error) => {
                tracing::warn!(%error, path = request.uri().path(), "a call without a valid identity was refused");
                Verified { step: Step::Refused { answer: Some(no_identity().into_bytes_response("")) } }
            }
        }
    }
}

pin_project! {
    /// The answer of a service behind [`VerifyIdentity`].
    pub struct Verified<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Passed { #[pin] answer: F },
        Refused { answer: Option<Response<Bytes>> },
    }
}

impl<F, R, E> Future for Verified<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepProjection::Passed { answer } => Poll::Ready(ready!(answer.poll(cx))),
            // Nobody polls a future that has ended.
            StepProjection::Refused { answer } => {
                Poll::Ready(Ok(answer.take().unwrap_or_default().map(R::from)))
            }
        }
    }
}

impl fmt::Debug for VerifyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyIdentity")
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("operation", &self.operation)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for IdentityVerifier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityVerifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Verified<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified")
    }
}

#[cfg(test)]
mod tests {
    use bank_stores::{ManualClock, Timestamp};
    use http_body_util::Full;
    use tower::ServiceExt as _;

    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn keys() -> IdentityKeys {
        IdentityKeys::new([("k", [7; 32])]).unwrap()
    }

    fn stated(issuer: &str, audience: &str, operation: &str) -> String {
        let identity = Identity::new(issuer, audience, operation, "req_1", Timestamp::from_seconds(NOW));
        keys().sign(&identity.for_principal(Arc::new(Principal::customer("cus_1"))))
    }

    /// The status of a request with these tokens, and what the service behind has seen.
    async fn ask(layer: &VerifyIdentity, tokens: &[&str]) -> (u16, String) {
        // A body type that is not ours: the layer asks for no more than `From<Bytes>`.
        let service = layer.layer(tower::service_fn(|request: Request<()>| async move {
            assert!(!request.headers().contains_key(BANK_IDENTITY), "a token goes no further than it must");
            let principal = request.extensions().get::<Arc<Principal>>().map(|known| known.subject.clone());
            let operation = &request.extensions().get::<Identity>().unwrap().operation;
            let id = request.extensions().get::<RequestId>().unwrap();
            let seen = format!("{} {operation} {id}", principal.unwrap_or_default());
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(seen))))
        }));
        let mut request = Request::get("/notes").body(()).unwrap();
        request.extensions_mut().insert(Arc::new(Principal::customer("somebody else")));
        for token in tokens {
            request.headers_mut().append(BANK_IDENTITY, token.parse().unwrap());
        }
        let answer = service.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = crate::http::Body::new(answer.into_body()).read(1_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn s18_only_the_gateway_s_token_for_this_service_passes() {
        let clock = ManualClock::at(Timestamp::from_seconds(NOW));
        let layer = VerifyIdentity::new("notes", keys()).clock(Arc::new(clock.clone()));
        let good = stated("bank-gateway", "notes", "GET /notes");
        assert_eq!(ask(&layer, &[&good]).await, (200, "cus_1 GET /notes req_1".to_owned()));
        let nobody =
            Identity::new("bank-gateway", "notes", "GET /notes", "req_2", Timestamp::from_seconds(NOW));
        assert_eq!(ask(&layer, &[&keys().sign(&nobody)]).await.1, " GET /notes req_2");
        let odd_id =
            Identity::new("bank-gateway", "notes", "GET /notes", "a b", Timestamp::from_seconds(NOW));
        for tokens in [
            &[][..],
            &[&*good, &*good],
            &[&*stated("friend", "notes", "GET /notes")],
            &[&*stated("bank-gateway", "accounts", "GET /notes")],
            &[&*keys().sign(&odd_id)],
            &["x.y.z"],
            &["\u{fffd}"],
        ] {
            let (status, body) = ask(&layer, tokens).await;
            assert_eq!(status, 401, "{tokens:?}");
            assert!(body.contains("\"no_identity\""), "{body}");
        }
        let one = layer.clone().operation("GET /notes");
        assert_eq!(ask(&one, &[&good]).await.0, 200);
        assert_eq!(ask(&layer.clone().operation("POST /notes"), &[&good]).await.0, 401);
        assert_eq!(ask(&layer.clone().issuer("edge"), &[&good]).await.0, 401);
        clock.advance(std::time::Duration::from_secs(66));
        assert_eq!(ask(&layer, &[&good]).await.0, 401);
    }
}
