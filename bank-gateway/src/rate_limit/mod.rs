//! How often may they? Quotas by class and caller, counted in bounded memory, told in the `RateLimit` fields
//! (draft-ietf-httpapi-ratelimit-headers).

mod quota;
mod total;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::http::Body;
use bank_sdk::{Principal, Problem};
use bank_stores::limit::{Charge, LimitKey, LimitTable, Rate, Verdict};
use http::{HeaderName, HeaderValue, Request};
use tokio::time::Instant;

pub use quota::Quota;
pub use total::TotalLimit;

use crate::client_addr::{ClientAddr, text};
use crate::problem::too_many;
use crate::step::{AnswerHeaders, Gate};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The buckets of all callers. Clones share them.
#[derive(Clone, Debug)]
pub struct Buckets {
    table: Arc<LimitTable>,
    start: Instant,
}

impl Buckets {
    /// At most so many buckets at once, of 64 bytes each. When they are all in use, callers that are new share one:
    /// a crowd of strangers resets nobody's quota.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { table: Arc::new(LimitTable::new(capacity)), start: Instant::now() }
    }

    /// How many buckets are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(crate) fn take(&self, limit: &Limit, subject: &str) -> Verdict {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let charge = [Charge::one(LimitKey::of(&limit.class, subject), limit.rate)];
        self.table.take(now, &charge).verdicts()[0]
    }
}

/// A quota with the class that it counts.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    class: Arc<str>,
    rate: Rate,
    policy: HeaderValue,
}

impl Limit {
    pub(crate) fn new(class: &str, quota: Quota) -> Result<Self, String> {
        let rate =
            quota.rate().ok_or_else(|| format!("the quota `{class}` must let at least one request pass"))?;
        let (burst, period, limit) = (rate.quota().get(), rate.period(), rate.limit().get());
        // The window in which a caller may use its whole quota, and after which it is whole again.
        let window = period.as_nanos().saturating_mul(u128::from(burst)) / u128::from(limit);
        let seconds = window.div_ceil(1_000_000_000).max(1);
        let policy = HeaderValue::from_str(&format!("\"{class}\";q={burst};w={seconds}"))
            .map_err(|_| format!("the quota's name `{class}` must be visible ASCII"))?;
        Ok(Self { class: class.into(), rate, policy })
    }

    /// The fields that tell a caller how it stands.
    pub(crate) fn tell(&self, verdict: &Verdict, request: &mut Request<Body>) {
        let mut text = String::with_capacity(self.class.len() + 32);
        for part in [
            "\"",
            &self.class,
            "\";r=",
            itoa::Buffer::new().format(verdict.remaining),
            ";t=",
            itoa::Buffer::new().format(ceil_seconds(verdict.reset_after)),
        ] {
            text.push_str(part);
        }
        if let Ok(value) = HeaderValue::try_from(text) {
            AnswerHeaders::add(request, RATE_LIMIT, value);
        }
        AnswerHeaders::add(request, RATE_LIMIT_POLICY, self.policy.clone());
    }
}

fn ceil_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// The quotas of a gateway, by class.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) buckets: Buckets,
    classes: HashMap<String, Limit>,
}

impl Limits {
    pub(crate) fn new(buckets: Buckets, quotas: &HashMap<String, Quota>) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut classes = HashMap::new();
        for (class, quota) in quotas {
            match Limit::new(class, *quota) {
                Ok(limit) => drop(classes.insert(class.clone(), limit)),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self { buckets, classes }) } else { Err(faults) }
    }

    pub(crate) fn class(&self, name: &str) -> Option<&Limit> {
        self.classes.get(name)
    }

    pub(crate) fn has(&self, class: &str) -> bool {
        self.classes.contains_key(class)
    }
}

/// Counts a request against its caller's quota: the principal's, the address's where nobody is known, or of whatever key a
/// team chooses.
#[derive(Clone)]
pub struct RateLimit {
    buckets: Buckets,
    limit: Limit,
    key: Option<Arc<KeyOf>>,
}

type KeyOf = dyn Fn(&Request<Body>) -> Option<String> + Send + Sync;

impl RateLimit {
    /// One quota for each caller, in these buckets.
    ///
    /// # Errors
    /// A quota that lets nothing pass.
    pub fn new(name: &str, quota: Quota, buckets: Buckets) -> Result<Self, crate::BuildError> {
        let limit = Limit::new(name, quota).map_err(|fault| crate::BuildError::new(vec![fault]))?;
        Ok(Self { buckets, limit, key: None })
    }

    /// Counts by what the principal says, such as its tenant; who is not known, or says nothing, is not counted. It must
    /// stand behind authentication, as it does in [`GatewayBuilder::gate`](crate::GatewayBuilder::gate).
    ///
    /// ```
    /// # use bank_gateway::{Buckets, Quota, RateLimit};
    /// # let runtime = tokio::runtime::Runtime::new().unwrap();
    /// # let _inside = runtime.enter();
    /// let by_tenant = RateLimit::new("tenant", Quota::per_second(500), Buckets::new(10_000))?
    ///     .keyed_by_principal(|principal| principal.tenant.clone());
    /// let builder = bank_gateway::Gateway::builder().gate(by_tenant);
    /// # Ok::<(), bank_gateway::BuildError>(())
    /// ```
    #[must_use]
    pub fn keyed_by_principal(
        self,
        key: impl Fn(&Principal) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.keyed_by(move |request| key(request.extensions().get::<Arc<Principal>>()?))
    }

    /// Counts by another key of the request; one that has none is not counted.
    #[must_use]
    pub fn keyed_by(
        mut self,
        key: impl Fn(&Request<Body>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.key = Some(Arc::new(key));
        self
    }
}

impl Gate for RateLimit {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        let verdict = match (&self.key, request.extensions().get::<Arc<Principal>>()) {
            (Some(key), _) => match key(request) {
                Some(key) => self.buckets.take(&self.limit, &key),
                None => return Ok(()),
            },
            (None, Some(principal)) => self.buckets.take(&self.limit, &principal.subject),
            (None, None) => self.buckets.take(&self.limit, &address(request)),
        };
        self.limit.tell(&verdict, request);
        if verdict.allowed { Ok(()) } else { Err(too_many(&verdict)) }
    }
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The caller's address as a key. Of IPv6 the network counts: one subscriber has a whole /64 to choose from.
pub(crate) fn address(request: &Request<Body>) -> String {
    match request.extensions().get::<ClientAddr>() {
        Some(ClientAddr(std::net::IpAddr::V6(address))) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Some(ClientAddr(address)) => text(*address),
        None => String::new(),
    }
}
