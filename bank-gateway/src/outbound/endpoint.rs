//! One endpoint of a service, and how it does: what it has in flight, how long its answers take, and whether it is asked at
//! all. A request is in flight until its answer has been read to the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bank_sdk::http::{Body, End, Watch};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tower::BoxError;

use super::breaker::{Breaker, BreakerOptions, BreakerState, Change};
use super::load::Load;
use super::report::Report;
use super::{Abandoned, Failure, Outcome, Sending, Transport, Unsent, Why};
use crate::exchange::{Facts, Upload};
use crate::inbound::{judge_answer_trailers, receive, receive_switched};

/// An endpoint. Its health outlives a reload of the configuration.
#[derive(Debug)]
pub(crate) struct Endpoint<T> {
    id: u64,
    address: String,
    transport: T,
    health: Arc<Health>,
}

/// How an endpoint does.
#[derive(Debug, Default)]
pub(crate) struct Health {
    pub(crate) load: Load,
    pub(crate) breaker: Breaker,
    report: Report,
    /// What it is called in the log.
    name: String,
    options: BreakerOptions,
    /// Operations whose answers say that they cannot be served now, while the endpoint itself is sound.
    operations: Mutex<Vec<(Arc<str>, Arc<Operation>)>>,
    /// Whether there is any of those, so that nobody else looks for one.
    any_operation: AtomicBool,
    /// Whether the last failure was that it could not be reached.
    unreachable: AtomicBool,
}

/// One operation of an endpoint.
#[derive(Debug)]
struct Operation {
    breaker: Breaker,
    report: Report,
}

/// An answer that is left unread for so long has a slow reader.
const SLOW_READER: Duration = Duration::from_secs(1);

/// An operation's breakers are kept for so many operations of one endpoint; more are never many.
const MAX_OPERATIONS: usize = 1_024;

impl<T> Endpoint<T> {
    pub(crate) fn new(address: String, transport: T, options: BreakerOptions) -> Self {
        let health = Arc::new(Health::new(address.clone(), options));
        Self::with_health(address, transport, health)
    }

    pub(crate) fn with_health(address: String, transport: T, health: Arc<Health>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { id, address, transport, health }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) const fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl<T: Transport> Endpoint<T> {
    /// One try, which begins now. The breaker was asked already.
    pub(crate) async fn send(&self, sending: &mut Sending, now: Instant) -> Result<Response<Body>, Failure> {
        let facts = sending.facts.clone();
        facts.count_try();
        let mut flight = Flight::begin(self.health.clone(), facts, now);
        let sent = self.transport.send(sending).await;
        match sent {
            Ok(mut response) => match check(&mut response, sending) {
                Ok(()) => {
                    flight.answered(response.status());
                    response.body_mut().watch(flight);
                    Ok(response)
                }
                Err(failure) => {
                    flight.end(failure.outcome());
                    Err(failure)
                }
            },
            Err(failure) => {
                flight.end(failure.outcome());
                if failure.outcome().is_endpoints_failure() {
                    tracing::debug!(address = %self.address, error = &failure as &dyn std::error::Error, "an endpoint failed");
                }
                Err(failure)
            }
        }
    }
}

/// Whether what came can be passed on as an answer (S35). What held for its connection only is removed.
fn check(response: &mut Response<Body>, sending: &Sending) -> Result<(), Failure> {
    let received = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => receive_switched(response, &sending.facts),
        _ => receive(response, &sending.facts),
    };
    received.map_err(|invalid| Failure::caused(Outcome::Failed(Why::BadAnswer), invalid))
}

/// Whether an answer says that its operation cannot be served now, so that another endpoint might do better.
pub(crate) const fn is_worth_another(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
}

impl Health {
    /// `name` is what the log calls it.
    pub(crate) fn new(name: String, options: BreakerOptions) -> Self {
        let report = Report::of(name.clone());
        Self { options, breaker: Breaker::new(options), report, name, ..Self::default() }
    }

    fn succeeded(&self) {
        self.unreachable.store(false, Ordering::Relaxed);
        if self.breaker.succeeded() == Some(Change::Closed) {
            self.report.recovered();
        }
    }

    /// The endpoint failed, after so long.
    fn failed(&self, outcome: Outcome, took: Duration, now: Instant) {
        self.unreachable.store(outcome == Outcome::Unsent(Unsent::Unreachable), Ordering::Relaxed);
        self.load.failed(took, now);
        self.report.failed(self.breaker.failed(now), outcome, now);
    }

    /// Whether the endpoint itself may be asked.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.breaker.is_ready(now)
    }

    /// Whether this operation may be asked of it.
    pub(crate) fn serves(&self, now: Instant, sending: &Sending) -> bool {
        self.operation(&sending.facts, false).is_none_or(|operation| operation.breaker.is_ready(now))
    }

    /// Whether it is known to be out of reach.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed)
    }

    /// Takes the right to send one request.
    pub(crate) fn enter(&self, now: Instant, sending: &Sending) -> bool {
        self.breaker.enter(now)
            && self.operation(&sending.facts, false).is_none_or(|operation| operation.breaker.enter(now))
    }

    /// How the endpoint stands.
    pub(crate) fn state(&self) -> BreakerState {
        self.breaker.state()
    }

    /// The operations that it is not asked for now, or probed for.
    pub(crate) fn closed_operations(&self) -> Vec<(Arc<str>, BreakerState)> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let states = operations.iter().map(|(name, operation)| (name.clone(), operation.breaker.state()));
        states.filter(|(_, state)| *state != BreakerState::Closed).collect()
    }

    /// A request's operation; made where it is missing and wanted.
    fn operation(&self, facts: &Facts, make: bool) -> Option<Arc<Operation>> {
        if !make && !self.any_operation.load(Ordering::Relaxed) {
            return None;
        }
        let name = facts.route().map_or_else(|| Arc::from(""), |route| route.operation.clone());
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, operation)) = operations.iter().find(|(own, _)| *own == name) {
            return Some(operation.clone());
        }
        if !make || operations.len() >= MAX_OPERATIONS {
            return None;
        }
        self.any_operation.store(true, Ordering::Relaxed);
        let report = Report::of(format!("{} {name}", self.name));
        let operation = Arc::new(Operation { breaker: Breaker::new(self.options), report });
        operations.push((name, operation.clone()));
        Some(operation)
    }
}

/// A request that an endpoint has, until its answer has been read to the end. Dropped before that, it was abandoned.
struct Flight {
    health: Arc<Health>,
    facts: Facts,
    begun: Instant,
    /// Whether the head of the answer came.
    headed: bool,
    /// When a piece of the answer was read last.
    read: Instant,
    /// Whether the answer's reader waits for the endpoint.
    waited_for: bool,
    /// Whether the reader left the answer alone for long.
    slow_reader: bool,
    /// Whether the connection speaks another protocol now.
    switched: bool,
    over: bool,
    /// Its place among those that the service may have at once.
    permit: Option<OwnedSemaphorePermit>,
}

impl Flight {
    fn begin(health: Arc<Health>, facts: Facts, now: Instant) -> Self {
        health.load.enter();
        Self {
            health,
            facts,
            begun: now,
            headed: false,
            read: now,
            waited_for: false,
            slow_reader: false,
            switched: false,
            over: false,
            permit: None,
        }
    }

    /// The head of the answer came.
    fn answered(&mut self, status: StatusCode) {
        self.headed = true;
        let now = Instant::now();
        self.read = now;
        let operation_fails = is_worth_another(status) || status == StatusCode::GATEWAY_TIMEOUT;
        if let Some(operation) = self.health.operation(&self.facts, operation_fails) {
            if operation_fails {
                operation.report.failed(operation.breaker.failed(now), Outcome::Answered, now);
            } else if operation.breaker.succeeded() == Some(Change::Closed) {
                operation.report.recovered();
            }
        }
        // The time in which the caller was still sending is not the endpoint's.
        let took = now.saturating_duration_since(self.waited_since());
        if operation_fails {
            self.health.load.failed(took, now);
        } else if self.facts.route().is_none_or(|route| !route.long_poll)
            && self.facts.upload() == Upload::Done
        {
            self.health.load.answered(took, now);
        }
        self.switched = status == StatusCode::SWITCHING_PROTOCOLS;
        if self.switched || self.facts.route().is_some_and(|route| route.stream) {
            // Its end may be hours away, and says nothing.
            self.health.succeeded();
        }
    }

    /// Since when the endpoint alone is waited for.
    fn waited_since(&self) -> Instant {
        self.begun.max(self.facts.uploaded_at())
    }

    fn end(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        self.permit = None;
        self.health.load.leave();
        if self.switched {
            return;
        }
        if outcome == Outcome::Answered {
            return self.health.succeeded();
        }
        let now = Instant::now();
        match outcome {
            // It may have been closed for its age, which says nothing of the endpoint.
            Outcome::Failed(Why::Stale) => {}
            // How long a body takes is its reader's affair too.
            Outcome::Failed(Why::BodyBroke) => self.health.failed(outcome, Duration::ZERO, now),
            Outcome::Failed(_) | Outcome::Unsent(Unsent::Unreachable) => {
                let took = now.saturating_duration_since(self.waited_since());
                self.health.failed(outcome, took, now);
            }
            Outcome::Answered | Outcome::Unsent(_) | Outcome::Abandoned(_) | Outcome::CallerBroke => {}
        }
    }

    /// Why it was dropped.
    fn abandoned(&self) -> Outcome {
        let late = self.facts.deadline().is_some_and(|deadline| Instant::now() >= deadline);
        match late {
            true if !self.headed => self.facts.why_too_late(Some(self.waited_since())),
            _ => Outcome::Abandoned(Abandoned::ByCaller),
        }
    }
}

impl Flight {
    /// The reader wants more of the answer.
    fn look(&mut self, now: Instant) {
        self.slow_reader |= !self.waited_for && now.saturating_duration_since(self.read) > SLOW_READER;
    }
}

impl Watch for Flight {
    fn passed(&mut self, _: usize) -> Result<(), BoxError> {
        let now = Instant::now();
        self.look(now);
        (self.waited_for, self.read) = (false, now);
        Ok(())
    }

    fn waits(&mut self) {
        self.look(Instant::now());
        self.waited_for = true;
    }

    fn trailers(&mut self, fields: &mut HeaderMap) {
        judge_answer_trailers(fields);
    }

    fn ended(&mut self, end: End) {
        if end == End::Broken {
            self.look(Instant::now());
        }
        let outcome = match end {
            End::Whole => Outcome::Answered,
            // Who keeps an endpoint waiting until it gives up has broken the answer off himself.
            End::Broken if self.slow_reader => Outcome::Abandoned(Abandoned::SlowReader),
            End::Broken => Outcome::Failed(Why::BodyBroke),
            End::TooLate => Outcome::Abandoned(Abandoned::TooLate),
            _ => Outcome::Abandoned(Abandoned::ByCaller),
        };
        self.facts.set_outcome(outcome);
        self.end(outcome);
    }

    fn hold(&mut self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        self.permit.replace(permit)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.over {
            let outcome = self.abandoned();
            self.facts.set_outcome(outcome);
            self.end(outcome);
        }
    }
}
