//! What a way to prove who calls has to do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bank_sdk::http::Body;
use bank_sdk::openapi::SecurityScheme;
use bank_sdk::{Principal, Problem};
use bank_stores::Clock;
use http::{HeaderValue, Request};

/// What a scheme's check returns: `Box::pin(async move { … })`, or `Box::pin(std::future::ready(…))` where nothing is
/// waited for.
pub type Checked<'a> = Pin<Box<dyn Future<Output = Result<Arc<Principal>, Problem>> + Send + 'a>>;

/// Whose a credential is, of several schemes that read the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// This scheme's: it names an issuer that the scheme is for, say. Where there is one, others are not asked.
    Own,
    /// It cannot be told by its looks. Such schemes are asked in the order in which they were added.
    Possible,
    /// Not this scheme's.
    Foreign,
}

/// A way to prove who calls.
pub trait Scheme: fmt::Debug + Send + Sync + 'static {
    /// Its name, for people: in the faults that `build()` finds, say.
    fn name(&self) -> &'static str;

    /// How its credential is sent, for an OpenAPI document; `None` leaves it out there.
    fn describe(&self) -> Option<SecurityScheme> {
        None
    }

    /// Whether the request carries a credential of this scheme's form, right or wrong.
    fn is_presented(&self, request: &Request<Body>) -> bool;

    /// Whose the presented credential is. It is asked only where several schemes read the same credential, and before anything
    /// about it is known to be true.
    fn owns(&self, _request: &Request<Body>) -> Ownership {
        Ownership::Possible
    }

    /// The header fields that carry it, beside `Authorization` and `Cookie`: they are for the gateway, not for services.
    /// Names that only the gateway may set, such as `x-user-…`, do not build: they are removed before anybody reads them.
    fn credential_fields(&self) -> &[&'static str] {
        &[]
    }

    /// Who a credential belongs to that was checked lately and needs no wait: the fast path.
    fn recall(&self, _request: &Request<Body>) -> Option<Arc<Principal>> {
        None
    }

    /// Checks the credential. It may read the body within a bound, and leaves for the service what is not a credential in it.
    ///
    /// # Errors
    /// [`refused_credential`](super::refused_credential) for one that does not hold, the same whatever is wrong with it; 503
    /// where it cannot be checked now.
    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a>;

    /// A session has ended: nothing that was remembered of it holds any longer.
    fn forget_session(&self, _id: &str) {}

    /// Whether this scheme can tell when a session ends. It is asked when a stream begins; schemes that know nothing of the
    /// session are not asked again.
    fn knows_session(&self, _id: &str) -> bool {
        true
    }

    /// Whether a session goes on, as far as this scheme knows. It ends streams that would outlive their session.
    fn is_session_live<'a>(&'a self, _id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    /// What to offer in `WWW-Authenticate`.
    fn challenge(&self) -> Option<HeaderValue> {
        None
    }

    /// What to say in `WWW-Authenticate` when the credential did not hold.
    fn refusal_challenge(&self) -> Option<HeaderValue> {
        self.challenge()
    }

    /// What is missing for the scheme to be safe; the gateway does not build then.
    fn fault(&self) -> Option<String> {
        None
    }

    /// The same scheme by the gateway's clock, where it was given none of its own, so that a test decides the time in one
    /// place: [`GatewayBuilder::clock`](crate::GatewayBuilder::clock). It shares all that the scheme remembers. `None` where
    /// the scheme looks at no clock.
    fn by_clock(&self, _clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        None
    }
}

impl<S: Scheme + ?Sized> Scheme for Arc<S> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn describe(&self) -> Option<SecurityScheme> {
        (**self).describe()
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        (**self).is_presented(request)
    }

    fn owns(&self, request: &Request<Body>) -> Ownership {
        (**self).owns(request)
    }

    fn credential_fields(&self) -> &[&'static str] {
        (**self).credential_fields()
    }

    fn recall(&self, request: &Request<Body>) -> Option<Arc<Principal>> {
        (**self).recall(request)
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        (**self).check(request)
    }

    fn forget_session(&self, id: &str) {
        (**self).forget_session(id);
    }

    fn knows_session(&self, id: &str) -> bool {
        (**self).knows_session(id)
    }

    fn is_session_live<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        (**self).is_session_live(id)
    }

    fn challenge(&self) -> Option<HeaderValue> {
        (**self).challenge()
    }

    fn refusal_challenge(&self) -> Option<HeaderValue> {
        (**self).refusal_challenge()
    }

    fn fault(&self) -> Option<String> {
        (**self).fault()
    }

    fn by_clock(&self, clock: &Arc<dyn Clock>) -> Option<Arc<dyn Scheme>> {
        (**self).by_clock(clock)
    }
}
