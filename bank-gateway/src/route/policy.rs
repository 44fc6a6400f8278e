//! What a team gives to one route, or to all routes of one service, beside what their declaration says.

use std::fmt;
use std::sync::Arc;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::{HeaderName, HeaderValue, Response};

use super::{ChangeFields, Rewrite};
use crate::exchange::Facts;
use crate::identity::{Decide, NoCredentialInQuery, Scheme};
use crate::outbound::Credentials;
use crate::step::{AnyStep, Step};
use crate::traffic::{LimitBy, Quota, Times};

/// Makes the answer of a refusal: another form of problem document, a page for browsers as [`ErrorPages`](crate::ErrorPages)
/// makes. `X-Request-Id`, the security fields and those of limits are added to it. Which form the client wants,
/// [`Facts::preferred`] says; an answer that goes by it names `Accept` in `Vary`.
pub trait Render: fmt::Debug + Send + Sync + 'static {
    /// The answer; its status should be the problem's.
    fn render(&self, problem: Problem, facts: &Facts) -> Response<Body>;
}

/// The policy of one route or one service. What it does not say stays as the declaration, or the gateway, says.
///
/// ```
/// use std::time::Duration;
/// use bank_gateway::{Gateway, LimitBy, Policy, Quota, Rewrite, Route, Upstream};
/// use bank_sdk::Access;
///
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # let _inside = runtime.enter();
/// let reports = Policy::new()
///     .limit("reports", Quota::per_minute(10), LimitBy::tenant())
///     .rewrite(Rewrite::strip_prefix("/reports"))
///     .answer_field("cache-control", "private, max-age=60");
/// let route = Route::all("/reports/{*rest}").access(Access::Optional).policy(reports);
/// let gateway = Gateway::builder().route(route, Upstream::at(["http://127.0.0.1:9000"]).foreign()).build()?;
/// # Ok::<(), bank_gateway::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Policy {
    pub(crate) front: Vec<Arc<dyn AnyStep>>,
    pub(crate) steps: Vec<Arc<dyn AnyStep>>,
    pub(crate) schemes: Option<Vec<Arc<dyn Scheme>>>,
    pub(crate) decisions: Vec<Arc<dyn Decide>>,
    pub(crate) limits: Vec<(String, Quota, LimitBy, u32)>,
    pub(crate) times: Option<Times>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) fields: ChangeFields,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) query: NoCredentialInQuery,
    query_names: usize,
    pub(crate) render: Option<Arc<dyn Render>>,
    pub(crate) faults: Vec<String>,
}

impl Policy {
    /// Nothing beside the declaration.
    pub fn new() -> Self {
        Self::default()
    }

    /// A step of the team's own, for callers who are known and allowed; before anything is sent on.
    pub fn step(mut self, step: impl Step) -> Self {
        self.steps.push(Arc::new(Arc::new(step)));
        self
    }

    /// A step of the team's own in front of authentication: nobody is known there.
    pub fn front_step(mut self, step: impl Step) -> Self {
        self.front.push(Arc::new(Arc::new(step)));
        self
    }

    /// Accepts this scheme, and only those that are named so, in the place of the gateway's.
    pub fn scheme(mut self, scheme: impl Scheme) -> Self {
        self.schemes.get_or_insert_default().push(Arc::new(scheme));
        self
    }

    /// Asks for this decision too.
    pub fn decide(mut self, decision: impl Decide) -> Self {
        self.decisions.push(Arc::new(decision));
        self
    }

    /// Counts against a quota of its own, beside that of its class: all are taken, or none.
    pub fn limit(self, class: impl Into<String>, quota: Quota, by: LimitBy) -> Self {
        self.limit_with_cost(class, quota, by, 1)
    }

    /// The same; each request counts as `cost`.
    pub fn limit_with_cost(mut self, class: impl Into<String>, quota: Quota, by: LimitBy, cost: u32) -> Self {
        self.limits.push((class.into(), quota, by, cost));
        self
    }

    /// These times, in the place of the declaration's.
    pub const fn times(mut self, times: Times) -> Self {
        self.times = Some(times);
        self
    }

    /// Sends requests on under another path.
    pub fn rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    /// Sets a field of the request that goes on; an empty value removes it.
    pub fn request_field(mut self, name: &str, value: &str) -> Self {
        match field(name, value) {
            Ok(field) => self.fields.request.push(field),
            Err(fault) => self.faults.push(fault),
        }
        self
    }

    /// Sets a field of the answer; an empty value removes it.
    pub fn answer_field(mut self, name: &str, value: &str) -> Self {
        match field(name, value) {
            Ok(field) => self.fields.answer.push(field),
            Err(fault) => self.faults.push(fault),
        }
        self
    }

    /// What the service sees of the caller's credential, in the place of what its upstream says.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Lets a query parameter of this name pass, though it looks like a credential: the `token` of a link in a mail, or of an
    /// application that one did not write. It ends up in logs.
    pub fn allow_query(mut self, name: impl Into<String>) -> Self {
        self.query = self.query.but(name);
        self.query_names += 1;
        self
    }

    /// Makes the answers of refusals.
    pub fn render(mut self, render: impl Render) -> Self {
        self.render = Some(Arc::new(render));
        self
    }

    /// What this says over what `other` says.
    pub(crate) fn over(self, other: &Self) -> Self {
        let both = |first: &[Arc<dyn AnyStep>], then: Vec<Arc<dyn AnyStep>>| {
            first.iter().cloned().chain(then).collect()
        };
        Self {
            front: both(&other.front, self.front),
            steps: both(&other.steps, self.steps),
            schemes: self.schemes.or_else(|| other.schemes.clone()),
            decisions: other.decisions.iter().cloned().chain(self.decisions).collect(),
            limits: other.limits.iter().cloned().chain(self.limits).collect(),
            times: self.times.or(other.times),
            rewrite: self.rewrite.or_else(|| other.rewrite.clone()),
            fields: self.fields.over(&other.fields),
            credentials: self.credentials.or_else(|| other.credentials.clone()),
            query: if self.query_names > 0 { self.query } else { other.query.clone() },
            query_names: self.query_names.max(other.query_names),
            render: self.render.or_else(|| other.render.clone()),
            faults: other.faults.iter().cloned().chain(self.faults).collect(),
        }
    }
}

fn field(name: &str, value: &str) -> Result<(HeaderName, Option<HeaderValue>), String> {
    let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no name of a header field"))?;
    if value.is_empty() {
        return Ok((name, None));
    }
    match HeaderValue::from_str(value) {
        Ok(value) => Ok((name, Some(value))),
        Err(_) => Err(format!("the value of `{name}` cannot stand in a header field")),
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("schemes", &self.schemes)
            .field("decisions", &self.decisions)
            .field("times", &self.times)
            .field("rewrite", &self.rewrite)
            .finish_non_exhaustive()
    }
}
