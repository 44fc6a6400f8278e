//! Which scheme a request's credential is of, and whose it is.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::Clock;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Request, StatusCode};

use super::scheme::{Checked, Ownership, Scheme};
use crate::exchange::Exchange;
use crate::inbound::is_reserved;
use crate::problem::refused_credential;
use crate::step::{Flow, Refusal, Step, Waiting};
use bank_sdk::openapi::SecurityScheme;

/// How soon a stream notices that its session has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Fields that carry credentials by custom: one of them beside the credential of a scheme that does not read it makes two, also
/// where no scheme here reads it at all (S16). The fields of a scheme of your own come from [`Scheme::credential_fields`].
const CUSTOMARY_FIELDS: [&str; 1] = ["x-api-key"];

/// Finds out who calls, by whichever scheme the request's credential is of.
///
/// It leaves [`Facts::principal`](crate::Facts::principal), and lets a request without credential pass as nobody:
/// [`Authorize`](crate::Authorize) decides what nobody may do.
#[derive(Clone, Debug, Default)]
pub struct Authenticate {
    schemes: Arc<[Arc<dyn Scheme>]>,
    required: bool,
}

impl Authenticate {
    /// Accepts these schemes. Where several read the same credential, the order is that in which they are asked.
    pub fn new(schemes: impl IntoIterator<Item = Arc<dyn Scheme>>) -> Self {
        Self { schemes: schemes.into_iter().collect(), required: false }
    }

    /// The same, each scheme that was given no clock by this one.
    #[must_use]
    pub fn by_clock(self, clock: &Arc<dyn Clock>) -> Self {
        let on = |scheme: &Arc<dyn Scheme>| scheme.by_clock(clock).unwrap_or_else(|| scheme.clone());
        Self { schemes: self.schemes.iter().map(on).collect(), ..self }
    }

    /// Refuses at once who carries no credential, with what each scheme offers.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Whether no scheme is accepted.
    pub(crate) fn is_empty(&self) -> bool {
        self.schemes.is_empty()
    }

    /// How the credentials that are accepted here are sent, each way once: the `securitySchemes` of an OpenAPI document.
    #[must_use]
    pub fn describe(&self) -> Vec<SecurityScheme> {
        let mut described: Vec<SecurityScheme> = Vec::new();
        for scheme in self.schemes.iter().filter_map(|scheme| scheme.describe()) {
            let name = scheme.name().to_owned();
            let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}{number}")));
            let mut named = names.map(|name| scheme.clone().named(name));
            // Another way under the same name is numbered.
            let free =
                named.find(|one| described.iter().all(|other| other.name() != one.name() || other == one));
            described.extend(free.filter(|one| !described.contains(one)));
        }
        described
    }

    /// Tells every scheme that a session has ended.
    pub(crate) fn forget_session(&self, id: &str) {
        self.schemes.iter().for_each(|scheme| scheme.forget_session(id));
    }

    /// Completes when a session has ended. Only schemes that know the session now are asked: what another issuer calls a
    /// session is unknown to the others, and never ends for them.
    pub(crate) fn session_ended(self, id: String) -> impl Future<Output = ()> + Send + 'static {
        let asked: Vec<_> = self.schemes.iter().filter(|scheme| scheme.knows_session(&id)).cloned().collect();
        async move {
            if asked.is_empty() {
                std::future::pending::<()>().await;
            }
            loop {
                for scheme in &asked {
                    if !scheme.is_session_live(&id).await {
                        return;
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Removes every scheme's credential.
    pub(crate) fn strip(&self, headers: &mut HeaderMap, has_cookie: bool) {
        headers.remove(http::header::AUTHORIZATION);
        if has_cookie {
            headers.remove(http::header::COOKIE);
        }
        for name in self.credential_fields() {
            headers.remove(name);
        }
        // Servers behind may fold `_` into `-`.
        if headers.keys().any(|name| name.as_str().contains('_')) {
            let is_credential = |name: &str| self.credential_fields().any(|field| field == name);
            let folded: Vec<_> = headers
                .keys()
                .filter(|name| name.as_str().contains('_') && is_credential(&name.as_str().replace('_', "-")))
                .cloned()
                .collect();
            for name in folded {
                headers.remove(name);
            }
        }
    }

    /// The fields that carry credentials of any scheme.
    fn credential_fields(&self) -> impl Iterator<Item = &'static str> {
        self.schemes.iter().flat_map(|scheme| scheme.credential_fields()).copied()
    }

    /// What keeps these schemes from working, or from being safe.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        self.schemes.iter().flat_map(|scheme| {
            let fields = scheme.credential_fields().iter().filter(|field| is_reserved(field));
            let reserved = fields.map(|field| {
                let name = scheme.name();
                format!(
                    "the scheme `{name}` reads `{field}`, which only the gateway may set; use another name"
                )
            });
            scheme.fault().into_iter().chain(reserved)
        })
    }

    /// Which scheme tells who calls, and whether anybody must be waited for to know it.
    pub(crate) fn choose(&self, request: &mut Request<Body>) -> Result<Chosen, Problem> {
        let (first, several) = {
            let mut presented = self.schemes.iter().filter(|scheme| scheme.is_presented(request));
            (presented.next(), presented.next().is_some())
        };
        let Some(first) = first else {
            if request.headers().contains_key(http::header::AUTHORIZATION) {
                return Err(self.refuse("this scheme of `Authorization` is not known here"));
            }
            return Ok(Chosen::Nobody);
        };
        if self.has_two_credentials(&**first, several, request) {
            let problem = Problem::bad_request("the request carries two credentials; send one");
            return Err(problem.with_code("two_credentials"));
        }
        if several { Ok(self.choose_owner(request)) } else { Ok(recall_or(first.clone(), request)) }
    }

    /// Of several schemes that read the request's one credential, the one whose it is.
    fn choose_owner(&self, request: &Request<Body>) -> Chosen {
        let presented = || self.schemes.iter().filter(|scheme| scheme.is_presented(request));
        if let Some(principal) = presented().find_map(|scheme| scheme.recall(request)) {
            return Chosen::Known(principal);
        }
        let of = |ownership| presented().filter(move |scheme| scheme.owns(request) == ownership).cloned();
        let mut owners: Vec<_> = of(Ownership::Own).collect();
        if owners.is_empty() {
            owners = of(Ownership::Possible).collect();
        }
        // One that is nobody's is refused by those that read it.
        let challenge = presented().find_map(|scheme| scheme.refusal_challenge());
        match owners.len() {
            1 => Chosen::Unchecked(owners.remove(0)),
            _ => Chosen::Unchecked(Arc::new(AnyOf { schemes: owners, challenge })),
        }
    }

    /// Whether the request carries more than one credential, be it one that nobody here knows (S16). `first` is the first
    /// scheme whose credential it carries; `several` says whether there are others, which then have to read the same one.
    fn has_two_credentials(&self, first: &dyn Scheme, several: bool, request: &mut Request<Body>) -> bool {
        let mut has_field = false;
        {
            let presented = || self.schemes.iter().filter(|scheme| !several || scheme.is_presented(request));
            let is_read_by_all = |field: &&str| {
                if several {
                    presented().all(|scheme| scheme.credential_fields().contains(field))
                } else {
                    first.credential_fields().contains(field)
                }
            };
            let others = presented().filter(|_| several).flat_map(|scheme| scheme.credential_fields());
            for field in others.chain(first.credential_fields()).chain(&CUSTOMARY_FIELDS) {
                if request.headers().contains_key(*field) {
                    has_field = true;
                    if !is_read_by_all(field) {
                        return true;
                    }
                }
            }
        }
        let Some(value) = request.headers_mut().remove(http::header::AUTHORIZATION) else {
            // Beside fields there are cookies, or what a scheme of a team's own finds elsewhere.
            let place = first.describe();
            return several
                && !has_field
                && self.schemes.iter().any(|scheme| {
                    scheme.is_presented(request) && (place.is_none() || scheme.describe() != place)
                });
        };
        // A scheme that finds its credential without `Authorization` has no use for what stands there.
        let elsewhere = if several {
            self.schemes.iter().any(|scheme| scheme.is_presented(request))
        } else {
            first.is_presented(request)
        };
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
        elsewhere
    }

    /// 401, with what each scheme offers.
    fn refuse(&self, detail: &'static str) -> Problem {
        let problem = Problem::new(StatusCode::UNAUTHORIZED, detail).with_code("unauthenticated");
        let mut challenges: Vec<HeaderValue> = Vec::new();
        for challenge in self.schemes.iter().filter_map(|scheme| scheme.challenge()) {
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        if challenges.is_empty() {
            // RFC 9110 §15.5.2 wants one; a session begins with a cookie.
            challenges.push(HeaderValue::from_static("Cookie"));
        }
        challenges
            .into_iter()
            .fold(problem, |problem, challenge| problem.with_header(WWW_AUTHENTICATE, challenge))
    }

    /// Refuses nobody where somebody is needed.
    pub(crate) fn challenge(&self) -> Problem {
        self.refuse("this needs a credential: sign in first")
    }
}

/// How a request's caller becomes known.
pub(crate) enum Chosen {
    /// It carries no credential.
    Nobody,
    /// It was checked lately.
    Known(Arc<Principal>),
    /// This scheme has to check it.
    Unchecked(Arc<dyn Scheme>),
}

fn recall_or(scheme: Arc<dyn Scheme>, request: &Request<Body>) -> Chosen {
    match scheme.recall(request) {
        Some(principal) => Chosen::Known(principal),
        None => Chosen::Unchecked(scheme),
    }
}

/// Schemes that may all be the one whose a credential is: they are asked in turn. None of them means that it is nobody's.
#[derive(Debug)]
struct AnyOf {
    schemes: Vec<Arc<dyn Scheme>>,
    challenge: Option<HeaderValue>,
}

impl Scheme for AnyOf {
    fn name(&self) -> &'static str {
        "any-of"
    }

    fn is_presented(&self, request: &Request<Body>) -> bool {
        self.schemes.iter().any(|scheme| scheme.is_presented(request))
    }

    fn check<'a>(&'a self, request: &'a mut Request<Body>) -> Checked<'a> {
        Box::pin(async move {
            let mut refused = refused_credential();
            for scheme in &self.schemes {
                match scheme.check(request).await {
                    // It may be another's.
                    Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => refused = problem,
                    checked => return checked,
                }
            }
            Err(refused)
        })
    }

    fn refusal_challenge(&self) -> Option<HeaderValue> {
        self.challenge.clone()
    }
}

/// Checks a credential; a refusal says what the scheme wants.
pub(crate) async fn check(
    scheme: &dyn Scheme,
    request: &mut Request<Body>,
) -> Result<Arc<Principal>, Problem> {
    scheme.check(request).await.map_err(|problem| match scheme.refusal_challenge() {
        Some(challenge) if problem.status() == StatusCode::UNAUTHORIZED => {
            problem.with_header(WWW_AUTHENTICATE, challenge)
        }
        _ => problem,
    })
}

impl Step for Authenticate {
    type Held = Waiting;

    fn before(&self, exchange: &mut Exchange, held: &mut Waiting) -> Result<Flow, Refusal> {
        match self.choose(&mut exchange.request)? {
            Chosen::Nobody if self.required => Err(self.challenge().into()),
            Chosen::Nobody => Ok(Flow::Pass),
            Chosen::Known(principal) => {
                exchange.facts.set_principal(principal);
                Ok(Flow::Pass)
            }
            Chosen::Unchecked(scheme) => {
                let mut own = exchange.take();
                own.facts.forget_found();
                // Schemes bound the failures of each network.
                own.facts.client().map(|client| own.request.extensions_mut().insert(client));
                Ok(held.start(async move {
                    let checked = check(&*scheme, &mut own.request).await;
                    let checked = checked.map(|principal| own.facts.set_principal(principal));
                    (own, checked.map_err(Refusal::from))
                }))
            }
        }
    }

    fn poll_wait(
        &self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        held: &mut Waiting,
    ) -> Poll<Result<(), Refusal>> {
        held.poll(cx, exchange)
    }
}

#[cfg(test)]
mod tests;
