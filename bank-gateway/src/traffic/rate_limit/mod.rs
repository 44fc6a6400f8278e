//! How often may they? Quotas by class and caller, counted in bounded memory, told in the `RateLimit` fields
//! (draft-ietf-httpapi-ratelimit-headers).

mod quota;
mod shared;
mod store;
mod total;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bank_sdk::Principal;
use bank_stores::limit::{
    Charge, Decision, LimitKey, LimitScope, LimitTable, MAX_CHARGES, NamedCharge, Rate, Verdict, check,
};
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

pub use quota::Quota;
#[cfg(feature = "passwords")]
pub(crate) use shared::hashed;
pub use shared::{SharedLimits, WhenAway};
#[cfg(feature = "passwords")]
pub(crate) use store::LimitStore;
pub use total::TotalLimit;

use crate::BuildError;
use crate::exchange::{Exchange, Facts};
use crate::field_text::field_text;
use crate::inbound::{Peer, address_key, subject_of};
use crate::problem::too_many;
use crate::step::{Flow, Refusal, Step, Waiting};

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

    /// Takes for a request that came then. To ask for the time once more would cost more than the rest.
    fn take(&self, came: Instant, charges: &[Charge]) -> Decision {
        self.table.take(self.nanos(came), charges)
    }

    fn take_one(&self, came: Instant, charge: &Charge) -> Verdict {
        self.table.take_one(self.nanos(came), charge)
    }

    fn nanos(&self, came: Instant) -> u64 {
        u64::try_from(came.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// A quota with the class that it counts.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    class: Arc<str>,
    scope: LimitScope,
    rate: Rate,
    policy: HeaderValue,
    /// How the other field begins.
    standing: Box<str>,
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
        let standing = format!("\"{class}\";r=").into_boxed_str();
        Ok(Self { class: class.into(), scope: LimitScope::new(class), rate, policy, standing })
    }

    /// The fields that tell a caller how it stands.
    fn tell(&self, verdict: &Verdict, facts: &Facts) {
        let value = field_text(|text| {
            for part in [
                &*self.standing,
                itoa::Buffer::new().format(verdict.remaining),
                ";t=",
                itoa::Buffer::new().format(ceil_seconds(verdict.reset_after)),
            ] {
                text.extend_from_slice(part.as_bytes());
            }
        });
        if let Some(value) = value {
            facts.add_field(RATE_LIMIT, value);
        }
        facts.add_field(RATE_LIMIT_POLICY, self.policy.clone());
    }
}

fn ceil_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A key, where there is one.
pub type KeyOf<T> = Arc<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// Who a request is counted for.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum LimitBy {
    /// The principal, by kind, tenant and subject; the address where nobody is known.
    #[default]
    Caller,
    /// The address; of IPv6 the network, since one subscriber has a whole /64 to choose from.
    Address,
    /// What the principal says, such as its tenant. Who is not known, or says nothing, is not counted.
    Principal(KeyOf<Principal>),
    /// Any key of the request. One that has none is not counted.
    Request(KeyOf<Exchange>),
}

impl LimitBy {
    /// The tenant that the principal belongs to.
    #[must_use]
    pub fn tenant() -> Self {
        Self::Principal(Arc::new(|principal| principal.tenant.clone()))
    }

    /// The bucket in this process.
    fn key(&self, scope: &LimitScope, exchange: &Exchange) -> Option<LimitKey> {
        if let (Self::Caller, None) | (Self::Address, _) = (self, exchange.facts.principal()) {
            // Hashed once for all requests of a connection.
            let peer = Peer::of(&exchange.facts).map(|peer| peer.subject);
            return Some(scope.bucket(peer.unwrap_or_else(|| subject_of(exchange.facts.client_ip()))));
        }
        self.named(exchange, |parts| scope.key(parts))
    }

    /// Whom it counts for, named by parts that are kept apart.
    fn named<T>(&self, exchange: &Exchange, name: impl FnOnce(&[&[u8]]) -> T) -> Option<T> {
        Some(match (self, exchange.facts.principal()) {
            (Self::Caller, Some(principal)) => {
                // The same in every gateway, so that a kind keeps its place in the list of them.
                let kind = [b'p', principal.kind as u8];
                let tenant = principal.tenant.as_deref().unwrap_or_default();
                name(&[&kind, tenant.as_bytes(), principal.subject.as_bytes()])
            }
            (Self::Caller, None) | (Self::Address, _) => name(&[&address_key(exchange.facts.client_ip())]),
            (Self::Principal(key), principal) => name(&[b"k", key(principal?)?.as_bytes()]),
            (Self::Request(key), _) => name(&[b"r", key(exchange)?.as_bytes()]),
        })
    }
}

/// One quota that requests are counted against, and for whom.
#[derive(Clone)]
pub(crate) struct Counted {
    limit: Limit,
    by: LimitBy,
    cost: u32,
}

impl Counted {
    pub(crate) fn new(class: &str, quota: Quota, by: LimitBy, cost: u32) -> Result<Self, String> {
        let limit = Limit::new(class, quota)?;
        if cost == 0 || cost > limit.rate.quota().get() {
            return Err(format!(
                "a request of the class `{class}` costs {cost}, but its quota never holds more than {}",
                limit.rate.quota()
            ));
        }
        // What a store that several gateways share can count: then a quota is good wherever it is counted.
        check("any", &[NamedCharge::new(class, limit.rate, cost)])
            .map_err(|error| format!("the quota `{class}`: {}", error.message()))?;
        Ok(Self { limit, by, cost })
    }

    pub(crate) fn class(&self) -> &str {
        &self.limit.class
    }
}

/// Counts a request against one quota or several: all are taken, or none. Where none says otherwise it is counted for its
/// principal, and for its address where nobody is known.
///
/// ```
/// use bank_gateway::{Buckets, LimitBy, Quota, RateLimit, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let limit = RateLimit::new("hello", Quota::per_minute(1), Buckets::new(10_000))?
///     .and("tenant", Quota::per_second(500), LimitBy::tenant())?;
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(limit))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// assert_eq!(service.clone().oneshot(Request::new(Body::empty())).await.unwrap().status(), 200);
/// assert_eq!(service.oneshot(Request::new(Body::empty())).await.unwrap().status(), 429);
/// # Ok::<(), bank_gateway::BuildError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct RateLimit {
    buckets: Buckets,
    strangers: Option<Buckets>,
    shared: Option<SharedLimits>,
    counted: Arc<[Counted]>,
    /// Whether callers are told how they stand.
    told: bool,
}

impl RateLimit {
    /// One quota for each caller, in these buckets.
    ///
    /// # Errors
    /// A quota that lets nothing pass.
    pub fn new(class: &str, quota: Quota, buckets: Buckets) -> Result<Self, BuildError> {
        let counted = Counted::new(class, quota, LimitBy::default(), 1).map_err(BuildError::one)?;
        Ok(Self::of(buckets, [counted]))
    }

    pub(crate) fn of(buckets: Buckets, counted: impl IntoIterator<Item = Counted>) -> Self {
        Self { buckets, strangers: None, shared: None, counted: counted.into_iter().collect(), told: true }
    }

    /// Counts requests of which nobody is known to call in buckets of their own, so that they take no room from those of
    /// callers who are known.
    #[must_use]
    pub fn strangers(mut self, buckets: Buckets) -> Self {
        self.strangers = Some(buckets);
        self
    }

    /// Counts in a store that several gateways share, and in this process only while that is away.
    ///
    /// All quotas of one caller, or of one address, are asked for in one call; where they are of several, there is a call for each,
    /// in their order, and what was taken by the first stays taken where the second has not enough.
    #[must_use]
    pub fn shared(mut self, shared: SharedLimits) -> Self {
        self.shared = Some(shared);
        self
    }

    /// Counts for somebody else.
    #[must_use]
    pub fn by(mut self, by: LimitBy) -> Self {
        self.counted = self.counted.iter().cloned().map(|one| Counted { by: by.clone(), ..one }).collect();
        self
    }

    /// Counts each request as so many.
    ///
    /// # Errors
    /// A cost of nothing, or of more than a quota ever holds.
    pub fn cost(mut self, cost: u32) -> Result<Self, BuildError> {
        if let Some(one) = self.counted.iter().find(|one| cost == 0 || cost > one.limit.rate.quota().get()) {
            let class = &one.limit.class;
            return Err(BuildError::one(format!(
                "a request of the class `{class}` cannot cost {cost}: give 1 to {}",
                one.limit.rate.quota()
            )));
        }
        self.counted = self.counted.iter().cloned().map(|one| Counted { cost, ..one }).collect();
        Ok(self)
    }

    /// Counts against another quota too.
    ///
    /// # Errors
    /// A quota that lets nothing pass, or a class that is counted already.
    pub fn and(mut self, class: &str, quota: Quota, by: LimitBy) -> Result<Self, BuildError> {
        let counted = Counted::new(class, quota, by, 1).map_err(BuildError::one)?;
        if self.counted.iter().any(|other| other.class() == class) {
            return Err(BuildError::one(format!(
                "the class `{class}` is counted already; give this one another name"
            )));
        }
        if self.counted.len() == MAX_CHARGES {
            return Err(BuildError::one(format!(
                "a request is counted against {MAX_CHARGES} quotas at most; leave `{class}` out"
            )));
        }
        self.counted = self.counted.iter().cloned().chain([counted]).collect();
        Ok(self)
    }

    /// Tells callers nothing in the `RateLimit` fields.
    #[must_use]
    pub const fn quietly(mut self) -> Self {
        self.told = false;
        self
    }
}

impl Step for RateLimit {
    type Held = Waiting;

    fn before(&self, exchange: &mut Exchange, held: &mut Waiting) -> Result<Flow, Refusal> {
        match &self.shared {
            Some(shared) => Ok(shared.count(self, exchange, held)),
            None => self.count_here(self.counted.iter(), exchange, |one| one.limit.rate).map(|()| Flow::Pass),
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

impl RateLimit {
    /// Counts these in the buckets of this process, at these rates.
    fn count_here<'c>(
        &self,
        counted: impl ExactSizeIterator<Item = &'c Counted> + Clone,
        exchange: &Exchange,
        rate: impl Fn(&Counted) -> Rate,
    ) -> Result<(), Refusal> {
        let charge = |one: &Counted| {
            let key = one.by.key(&one.limit.scope, exchange)?;
            Some(Charge { key, rate: rate(one), cost: one.cost })
        };
        let came = exchange.facts.start();
        let buckets = match (&self.strangers, exchange.facts.principal()) {
            (Some(strangers), None) => strangers,
            _ => &self.buckets,
        };
        if counted.len() == 1
            && let Some(one) = counted.clone().next()
        {
            let Some(charge) = charge(one) else { return Ok(()) };
            let verdict = buckets.take_one(came, &charge);
            return self.told([(one, verdict)], &exchange.facts);
        }
        let charges: Vec<Charge> = counted.clone().filter_map(charge).collect();
        if charges.is_empty() {
            return Ok(());
        }
        let decision = buckets.take(came, &charges);
        let counted = counted.filter(|one| charge(one).is_some());
        self.told(counted.zip(decision.verdicts().iter().copied()), &exchange.facts)
    }

    /// Tells the caller how it stands, and refuses it where one quota has not enough.
    fn told<'c>(
        &self,
        verdicts: impl IntoIterator<Item = (&'c Counted, Verdict)>,
        facts: &Facts,
    ) -> Result<(), Refusal> {
        let mut longest: Option<Verdict> = None;
        for (one, verdict) in verdicts {
            if self.told {
                one.limit.tell(&verdict, facts);
            }
            // The longest wait is the one after which all have enough.
            let longer = |longest: Verdict| verdict.retry_after >= longest.retry_after;
            if !verdict.allowed && longest.is_none_or(longer) {
                longest = Some(verdict);
            }
        }
        longest.map_or(Ok(()), |verdict| Err(too_many(verdict).into()))
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.counted.iter().map(|one| &one.limit)).finish()
    }
}

impl fmt::Debug for LimitBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller",
            Self::Address => "address",
            Self::Principal(_) => "principal",
            Self::Request(_) => "request",
        })
    }
}
