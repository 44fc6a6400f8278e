//! What is known of a request.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bank_sdk::Principal;
use bank_sdk::http::{Body, RequestId, Timer, preferred};
use bank_sdk::serve::Connection;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use tokio::time::Instant;

use crate::field_text::{field_copy, remove_rare};
use crate::inbound::{ClientAddr, ClientOrigin, UpgradeRequest};
use crate::observe::TraceId;
use crate::outbound::{Abandoned, Outcome, Why};
use crate::route::{Render, RouteInfo};

use super::Sought;
use super::answer_fields::AnswerFields;

/// What is known of a request. Clones share it.
#[derive(Clone)]
pub struct Facts(Arc<Known>);

struct Known {
    start: Instant,
    method: Method,
    connection: Option<Arc<Connection>>,
    id: OnceLock<RequestId>,
    own_id: OnceLock<RequestId>,
    client: OnceLock<ClientAddr>,
    route: OnceLock<Arc<RouteInfo>>,
    principal: OnceLock<Arc<Principal>>,
    render: OnceLock<Arc<dyn Render>>,
    /// What the client accepts, where somebody renders its refusal.
    accept: OnceLock<Vec<HeaderValue>>,
    origin: OnceLock<ClientOrigin>,
    trace: OnceLock<TraceId>,
    refusal: OnceLock<Cow<'static, str>>,
    upgrade: OnceLock<Box<UpgradeRequest>>,
    outcome: Mutex<Option<Outcome>>,
    fields: Mutex<AnswerFields>,
    /// The name as the value of a field, made once.
    id_field: OnceLock<Option<HeaderValue>>,
    /// The [`Sought`] fields that the request is known to lack.
    lacking: AtomicU8,
    /// Nanoseconds after the start at which the head of the answer is no longer wanted.
    deadline: AtomicU64,
    /// Whether the caller asked for less time than the route gives.
    shortened: AtomicBool,
    upload: AtomicU8,
    /// Nanoseconds after the start at which the caller's body had come to its end, or was read last.
    uploaded: AtomicU64,
    tries: AtomicU8,
    panicked: AtomicBool,
    takes_trailers: AtomicBool,
}

/// How far the caller's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Upload {
    /// There is none, or it has been read to its end.
    Done = 0,
    /// More of it is to come, and is waited for.
    Open = 1,
    /// The caller broke it off.
    Broken = 2,
    /// It was larger than it may be.
    TooLarge = 3,
    /// More of it is to come, or has come, and nobody asks for it.
    Unread = 4,
}

impl Facts {
    /// Nothing is known yet but the connection.
    pub(crate) fn begin(request: &Request<Body>) -> Self {
        Self(Arc::new(Known {
            start: Instant::now(),
            method: request.method().clone(),
            connection: request.extensions().get().cloned(),
            id: OnceLock::new(),
            own_id: OnceLock::new(),
            client: OnceLock::new(),
            route: OnceLock::new(),
            principal: OnceLock::new(),
            render: OnceLock::new(),
            accept: OnceLock::new(),
            origin: OnceLock::new(),
            trace: OnceLock::new(),
            refusal: OnceLock::new(),
            upgrade: OnceLock::new(),
            outcome: Mutex::default(),
            fields: Mutex::default(),
            id_field: OnceLock::new(),
            lacking: AtomicU8::new(0),
            deadline: AtomicU64::new(u64::MAX),
            shortened: AtomicBool::new(false),
            upload: AtomicU8::new(Upload::Done as u8),
            uploaded: AtomicU64::new(0),
            tries: AtomicU8::new(0),
            panicked: AtomicBool::new(false),
            takes_trailers: AtomicBool::new(false),
        }))
    }

    /// What code of the same process found out before any step of ours.
    pub(super) fn adopt(&self, request: &Request<Body>) {
        let extensions = request.extensions();
        if let Some(id) = extensions.get::<RequestId>() {
            self.set_id(*id);
        }
        if let Some(client) = extensions.get::<ClientAddr>() {
            self.set_client(*client);
        }
        if let Some(principal) = extensions.get::<Arc<Principal>>() {
            self.set_principal(principal.clone());
        }
    }

    /// When the request came.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.0.start
    }

    /// The method that the client asked for.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The connection that it came by, where its server says.
    #[must_use]
    pub fn connection(&self) -> Option<&Arc<Connection>> {
        self.0.connection.as_ref()
    }

    /// The name of the request, once [`NameRequests`](crate::NameRequests) has given it one.
    #[must_use]
    pub fn id(&self) -> Option<&RequestId> {
        self.0.id.get().or_else(|| self.0.own_id.get())
    }

    /// The same as text; empty where it has no name.
    #[must_use]
    pub fn id_text(&self) -> &str {
        self.id().map_or("", RequestId::as_str)
    }

    /// The same as the value of a header field.
    pub(crate) fn id_field(&self) -> Option<HeaderValue> {
        let id = self.id()?;
        self.0.id_field.get_or_init(|| field_copy(id.as_bytes())).clone()
    }

    /// The name that it has until somebody who is believed gives it another.
    pub(crate) fn set_own_id(&self, id: RequestId) {
        let _ = self.0.own_id.set(id);
    }

    pub(crate) fn set_id(&self, id: RequestId) {
        let _ = self.0.id.set(id);
    }

    /// The client's address, behind [`ClientAddress`](crate::ClientAddress).
    #[must_use]
    pub fn client(&self) -> Option<ClientAddr> {
        self.0.client.get().copied()
    }

    pub(crate) fn client_ip(&self) -> Option<IpAddr> {
        self.client().map(|client| client.0)
    }

    pub(crate) fn set_client(&self, client: ClientAddr) {
        let _ = self.0.client.set(client);
    }

    /// The route that serves the request, once one was matched.
    #[must_use]
    pub fn route(&self) -> Option<&Arc<RouteInfo>> {
        self.0.route.get()
    }

    pub(crate) fn set_route(&self, route: Arc<RouteInfo>) {
        let _ = self.0.route.set(route);
    }

    /// Who calls, once that is known.
    #[must_use]
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        self.0.principal.get()
    }

    /// Says who calls. The first word counts: who was found to call stays the caller.
    pub fn set_principal(&self, principal: Arc<Principal>) {
        let _ = self.0.principal.set(principal);
    }

    /// The trace that the request belongs to, once it goes on.
    #[must_use]
    pub fn trace(&self) -> Option<TraceId> {
        self.0.trace.get().copied()
    }

    pub(crate) fn set_trace(&self, trace: TraceId) {
        let _ = self.0.trace.set(trace);
    }

    /// What a trusted proxy says of how it was asked.
    #[must_use]
    pub fn origin(&self) -> Option<&ClientOrigin> {
        self.0.origin.get()
    }

    pub(crate) fn set_origin(&self, origin: ClientOrigin) {
        let _ = self.0.origin.set(origin);
    }

    /// The protocols that the client would change its connection to, such as `websocket`, as its `Upgrade` names them.
    #[must_use]
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.asked_upgrade().map(UpgradeRequest::protocols)
    }

    pub(crate) fn asked_upgrade(&self) -> Option<&UpgradeRequest> {
        self.0.upgrade.get().map(|asked| &**asked)
    }

    pub(crate) fn set_upgrade(&self, asked: UpgradeRequest) {
        let _ = self.0.upgrade.set(Box::new(asked));
    }

    /// What makes the answers of refusals; the route's own comes first.
    pub(crate) fn render(&self) -> Option<&Arc<dyn Render>> {
        self.route().and_then(|route| route.render.as_ref()).or_else(|| self.0.render.get())
    }

    pub(crate) fn set_render(&self, render: Arc<dyn Render>) {
        let _ = self.0.render.set(render);
    }

    /// Which of these media types the client wants, as [`bank_sdk::http::preferred`] chooses among them. It is for a
    /// [`Render`](crate::Render): where none makes the answers of refusals, what the client accepts is not kept, and the first
    /// offer is the answer.
    #[must_use]
    pub fn preferred<'o>(&self, offers: &[&'o str]) -> Option<&'o str> {
        let accept = self.0.accept.get().map(Vec::as_slice).unwrap_or_default();
        let headers: HeaderMap = accept.iter().map(|value| (ACCEPT, value.clone())).collect();
        preferred(&headers, offers)
    }

    /// Keeps what the client accepts: the request will be gone when it is refused.
    pub(crate) fn keep_accept(&self, headers: &HeaderMap) {
        self.0.accept.get_or_init(|| headers.get_all(ACCEPT).iter().cloned().collect());
    }

    /// The code of the problem that the request was refused with.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.0.refusal.get().map(|code| &**code)
    }

    pub(crate) fn set_refusal(&self, code: &str) {
        self.0.refusal.get_or_init(|| Cow::Owned(code.to_owned()));
    }

    /// What became of it at the service, once that is known.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last word counts: a retry may do better, and a body may break off after its head came.
    pub(crate) fn set_outcome(&self, outcome: Outcome) {
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    /// Adds a header field to the answer, whatever it will be, beside those of the same name.
    pub fn add_field(&self, name: HeaderName, value: HeaderValue) {
        self.fields().push(name, value);
    }

    fn fields(&self) -> std::sync::MutexGuard<'_, AnswerFields> {
        self.0.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the fields for the answer into it, beside what it says itself.
    pub(crate) fn append_fields(&self, headers: &mut HeaderMap) {
        self.fields().append_to(headers);
    }

    /// Removes from an answer what this request's own fields will say.
    pub(crate) fn make_room_for_fields(&self, headers: &mut HeaderMap) {
        for name in self.fields().names() {
            remove_rare(headers, name);
        }
    }

    /// Says which of the [`Sought`] fields the request has.
    pub(crate) fn set_found(&self, found: u8) {
        self.0.lacking.store(!found, Ordering::Relaxed);
    }

    /// It is no longer known: what is not ours has had the request.
    pub(crate) fn forget_found(&self) {
        self.set_found(u8::MAX);
    }

    /// Whether the request is known to lack a field.
    pub(crate) fn lacks(&self, field: Sought) -> bool {
        self.0.lacking.load(Ordering::Relaxed) & field.bit() != 0
    }

    /// When the head of the answer is no longer wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let after = self.0.deadline.load(Ordering::Relaxed);
        (after != u64::MAX).then(|| self.0.start + Duration::from_nanos(after))
    }

    /// The time that is left for the head of the answer.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Gives the request so much time from now; a time that is over earlier stays. `asked` is what the caller wants to wait at
    /// most.
    pub(crate) fn limit_time(&self, time: Duration, asked: Option<Duration>) {
        let shortest = asked.map_or(time, |asked| asked.min(time));
        let after = self.0.start.elapsed().checked_add(shortest);
        let nanos = after.and_then(|after| u64::try_from(after.as_nanos()).ok()).unwrap_or(u64::MAX - 1);
        if nanos < self.0.deadline.fetch_min(nanos, Ordering::Relaxed) {
            self.0.shortened.store(shortest < time, Ordering::Relaxed);
        }
    }

    /// Whether the time that is over is one that the caller asked for.
    pub(crate) fn caller_shortened_it(&self) -> bool {
        self.0.shortened.load(Ordering::Relaxed)
    }

    pub(crate) fn upload(&self) -> Upload {
        match self.0.upload.load(Ordering::Relaxed) {
            1 => Upload::Open,
            2 => Upload::Broken,
            3 => Upload::TooLarge,
            4 => Upload::Unread,
            _ => Upload::Done,
        }
    }

    pub(crate) fn set_upload(&self, upload: Upload) {
        if matches!(upload, Upload::Done | Upload::Unread) {
            let nanos = u64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.0.uploaded.store(nanos, Ordering::Relaxed);
        }
        self.0.upload.store(upload as u8, Ordering::Relaxed);
    }

    /// When the caller's body had come to its end, or to where the service stopped reading; the start, where there was none.
    pub(crate) fn uploaded_at(&self) -> Instant {
        self.0.start + Duration::from_nanos(self.0.uploaded.load(Ordering::Relaxed))
    }

    /// Why the answer is no longer wanted, at its deadline. `waited_since` is since when a
    /// service alone was waited for, where that is known.
    pub(crate) fn why_too_late(&self, waited_since: Option<Instant>) -> Outcome {
        match self.upload() {
            Upload::Open => return Outcome::Abandoned(Abandoned::SlowUpload),
            Upload::Broken | Upload::TooLarge => return Outcome::CallerBroke,
            Upload::Done | Upload::Unread if self.caller_shortened_it() => {
                return Outcome::Abandoned(Abandoned::ByItsDeadline);
            }
            Upload::Done | Upload::Unread => {}
        }
        // A service that was given the last moments only, after a long upload or a long wait, has not failed.
        let given = Duration::from_nanos(self.0.deadline.load(Ordering::Relaxed));
        match waited_since.map(|since| since.elapsed()) {
            Some(had) if had < given / 2 => Outcome::Abandoned(Abandoned::TooLate),
            _ => Outcome::Failed(Why::TimedOut),
        }
    }

    /// How often the request was sent to a service.
    #[must_use]
    pub fn tries(&self) -> u8 {
        self.0.tries.load(Ordering::Relaxed)
    }

    pub(crate) fn count_try(&self) {
        self.0.tries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn discount_try(&self) {
        self.0.tries.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the client said in `TE` that it takes trailers.
    pub(crate) fn takes_trailers(&self) -> bool {
        self.0.takes_trailers.load(Ordering::Relaxed)
    }

    pub(crate) fn set_takes_trailers(&self) {
        self.0.takes_trailers.store(true, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) -> bool {
        self.0.panicked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_panicked(&self) {
        self.0.panicked.store(true, Ordering::Relaxed);
    }

    /// The timer of this request: its connection's, where that is known.
    pub(crate) fn timer(&self, until: Instant) -> Timer {
        match self.connection() {
            Some(connection) => connection.timer(until),
            None => Timer::until(until),
        }
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("id", &self.id())
            .field("route", &self.route().map(|route| &route.operation))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_shortest_time_counts_and_it_is_known_whose_it_was() {
        let facts = Facts::begin(&Request::default());
        let seconds = Duration::from_secs;
        assert_eq!(facts.time_left(), None);
        facts.limit_time(seconds(10), Some(seconds(20)));
        assert_eq!((facts.time_left(), facts.caller_shortened_it()), (Some(seconds(10)), false));
        facts.limit_time(seconds(5), Some(seconds(2)));
        assert_eq!((facts.time_left(), facts.caller_shortened_it()), (Some(seconds(2)), true));
        facts.limit_time(Duration::MAX, Some(Duration::MAX));
        assert_eq!((facts.time_left(), facts.caller_shortened_it()), (Some(seconds(2)), true));
        facts.limit_time(seconds(1), None);
        assert_eq!((facts.time_left(), facts.caller_shortened_it()), (Some(seconds(1)), false));
    }

    #[test]
    fn what_the_client_accepts_is_known_once_it_is_kept() {
        let facts = Facts::begin(&Request::default());
        let offers = ["application/json", "text/html"];
        assert_eq!(facts.preferred(&offers), Some("application/json"));
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, HeaderValue::from_static("application/json;q=0.2"));
        headers.append(ACCEPT, HeaderValue::from_static("text/html;q=0.3"));
        facts.keep_accept(&headers);
        facts.keep_accept(&HeaderMap::new());
        assert_eq!(facts.preferred(&offers), Some("text/html"));
    }

    #[test]
    fn what_was_found_out_first_stays() {
        let facts = Facts::begin(&Request::default());
        facts.set_principal(Arc::new(Principal::customer("ann")));
        facts.set_principal(Arc::new(Principal::customer("bea")));
        assert_eq!(facts.principal().unwrap().subject, "ann");
    }
}
