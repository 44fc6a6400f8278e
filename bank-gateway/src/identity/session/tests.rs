use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::known::{ENDED, MAX_MARKS};
use super::*;

#[derive(Debug, Default)]
struct Store {
    ended: AtomicBool,
    asked: AtomicUsize,
    /// How often it was given another secret and another token.
    renewed: AtomicUsize,
}

/// What the session's secret and token are, after so many.
fn nth(what: &str, renewed: usize) -> String {
    if renewed == 0 { what.to_owned() } else { format!("{what} {renewed}") }
}

#[async_trait]
impl SessionStore for Store {
    async fn session(&self, id: &str) -> Result<Option<Session>, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if id != "ses_1" || self.ended.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (far, renewed) = (Timestamp::from_seconds(4_000_000_000), self.renewed.load(Ordering::Relaxed));
        Ok(Some(Session::new(
            Arc::new(Principal::customer("cus_1")),
            sha256(nth("secret", renewed).as_bytes()),
            sha256(nth("csrf", renewed).as_bytes()),
            far,
        )))
    }
}

fn request(method: http::Method, cookies: &[&str], csrf: Option<&str>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    for cookie in cookies {
        request.headers_mut().append(COOKIE, cookie.parse().unwrap());
    }
    if let Some(csrf) = csrf {
        request.headers_mut().insert(CSRF_TOKEN, csrf.parse().unwrap());
    }
    request
}

fn good() -> String {
    format!("theme=dark; {COOKIE_NAME}=ses_1.{}", URL_SAFE_NO_PAD.encode("secret"))
}

#[tokio::test]
async fn s17_a_cookie_needs_its_secret_and_on_unsafe_methods_its_csrf_token() {
    let sessions = Sessions::new(Arc::new(Store::default()));
    let (get, post) = (http::Method::GET, http::Method::POST);
    let status =
        async |mut request| sessions.check(&mut request).await.map_err(|problem| problem.status().as_u16());
    assert_eq!(status(request(get.clone(), &[&good()], None)).await.unwrap().subject, "cus_1");
    assert!(status(request(post.clone(), &[&good()], Some("csrf"))).await.is_ok());
    assert_eq!(status(request(post.clone(), &[&good()], None)).await.unwrap_err(), 403);
    assert_eq!(status(request(post, &[&good()], Some("other"))).await.unwrap_err(), 403);
    let other = format!("{COOKIE_NAME}=ses_1.{}", URL_SAFE_NO_PAD.encode("Secret"));
    for bad in [&other, "__Host-session=ses_2.c2VjcmV0", "__Host-session=ses_1", "__Host-session="] {
        assert_eq!(status(request(get.clone(), &[bad], None)).await.unwrap_err(), 401, "{bad}");
    }
    assert_eq!(status(request(get, &[&good(), &good()], None)).await.unwrap_err(), 401, "two cookies");
}

#[tokio::test(start_paused = true)]
async fn s17_a_new_secret_and_token_are_good_at_once_and_the_old_ones_no_longer_than_a_second() {
    let store = Arc::new(Store::default());
    let sessions = Sessions::new(store.clone()).failure_limit(Quota::per_second(1).burst(10));
    let send = async |renewed: usize, csrf: usize| {
        let secret = URL_SAFE_NO_PAD.encode(nth("secret", renewed));
        let cookie = format!("{COOKIE_NAME}=ses_1.{secret}");
        let mut request = request(http::Method::POST, &[&cookie], Some(&nth("csrf", csrf)));
        request.extensions_mut().insert(crate::ClientAddr([10, 0, 0, 1].into()));
        sessions.check(&mut request).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
    };
    assert_eq!(send(0, 0).await, 200);
    store.renewed.store(1, Ordering::Relaxed);
    assert_eq!([send(1, 1).await, send(0, 0).await, send(1, 0).await], [200, 401, 403]);
    store.renewed.store(2, Ordering::Relaxed);
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!([send(1, 1).await, send(2, 2).await], [401, 200]);
    // Guesses at the secret ask the store no more often than made-up ids.
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(send(2, 2).await, 200);
    let asked = store.asked.load(Ordering::Relaxed);
    for _ in 0..100 {
        assert_eq!(send(9, 9).await, 401);
    }
    assert!(store.asked.load(Ordering::Relaxed) - asked <= 10);
    assert_eq!(send(2, 2).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_elsewhere_is_refused_within_a_second_and_one_that_ended_here_at_once() {
    let store = Arc::new(Store::default());
    let sessions = Sessions::new(store.clone());
    assert!(sessions.is_live("ses_1").await.unwrap() && sessions.is_live("ses_1").await.unwrap());
    assert_eq!(store.asked.load(Ordering::Relaxed), 1);
    store.ended.store(true, Ordering::Relaxed);
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(!sessions.is_live("ses_1").await.unwrap());

    let store = Arc::new(Store::default());
    let sessions = Sessions::new(store);
    assert!(sessions.is_live("ses_1").await.unwrap());
    sessions.forget_session("ses_1");
    assert!(!sessions.known_live("ses_1"));
    assert!(!sessions.is_live("ses_1").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn s33_nobody_can_make_a_gateway_forget_that_a_session_ended() {
    let store = Arc::new(Store::default());
    // The store itself would go on saying that it is live.
    let sessions = Sessions::new(store).cache_bytes(1 << 20);
    assert!(sessions.is_live("ses_1").await.unwrap());
    sessions.forget_session("ses_1");
    for number in 0..100_000 {
        sessions.known.mark_unknown(&format!("made up {number}"));
        let session = Session::new(
            Arc::new(Principal::customer("x")),
            [0; 32],
            [0; 32],
            Timestamp::from_seconds(4_000_000_000),
        );
        let live = LiveSession { session, asked: sessions.known.now() };
        sessions.known.live.insert(format!("another {number}"), live, 300);
    }
    assert!(!sessions.is_live("ses_1").await.unwrap());
    // More sessions end than there is room to note: those that are not noted are asked for.
    for number in 0..MAX_MARKS {
        sessions.forget_session(&format!("other {number}"));
    }
    assert!(sessions.is_live("ses_1b").await.is_ok_and(|live| !live));
    assert!(!sessions.is_live("ses_1").await.unwrap());
    tokio::time::advance(ENDED).await;
    assert!(sessions.is_live("ses_1").await.unwrap(), "the store has the last word");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_on_its_way_when_the_session_ended_does_not_count() {
    let sessions = Sessions::new(Arc::new(Store::default()));
    assert!(sessions.is_live("ses_1").await.unwrap());
    sessions.known.doubt();
    assert!(!sessions.known_live("ses_1"), "what was asked before a message was lost is asked again");
    assert!(sessions.knows_session("ses_1"));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(sessions.is_live("ses_1").await.unwrap() && sessions.known_live("ses_1"));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_nobody_has_asks_the_store_once_a_second_and_a_network_a_bounded_number_of_times() {
    let store = Arc::new(Store::default());
    let sessions = Sessions::new(store.clone()).failure_limit(Quota::per_second(1).burst(10));
    let send = async |id: &str| {
        let cookie = format!("{COOKIE_NAME}={id}.{}", URL_SAFE_NO_PAD.encode("secret"));
        let mut request = request(http::Method::GET, &[&cookie], None);
        request.extensions_mut().insert(crate::ClientAddr([10, 0, 0, 1].into()));
        sessions.check(&mut request).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
    };
    assert_eq!(send("ses_1").await, 200);
    for _ in 0..100 {
        assert_eq!(send("made-up").await, 401);
    }
    assert_eq!(store.asked.load(Ordering::Relaxed), 2);
    for number in 0..100 {
        let status = send(&format!("made-up-{number}")).await;
        assert_eq!(status, if number < 9 { 401 } else { 429 }, "{number}");
    }
    assert_eq!(store.asked.load(Ordering::Relaxed), 11);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(send("ses_1").await, 200, "whose session is known is let in from the same network");
    let asked = store.asked.load(Ordering::Relaxed);
    send("made-up").await;
    assert_eq!(store.asked.load(Ordering::Relaxed), asked + 1, "made up no longer than a second");
}

#[tokio::test]
async fn s17_without_tls_this_machine_has_a_cookie_of_its_own_that_counts_nowhere_else() {
    let sessions = Sessions::new(Arc::new(Store::default())).plain_cookie_on_loopback();
    let secret = URL_SAFE_NO_PAD.encode("secret");
    let (plain, strict) = (format!("{LOOPBACK_COOKIE_NAME}=ses_1.{secret}"), good());
    let asked = |host: &'static str, cookie: &str, tls: bool, origin: Option<ClientOrigin>| {
        let mut request = request(http::Method::GET, &[cookie], None);
        request.headers_mut().insert(HOST, host.parse().unwrap());
        let mut connection = Connection::new("127.0.0.1:9".parse().unwrap());
        connection.tls = tls.then(bank_sdk::serve::TlsFacts::default);
        request.extensions_mut().insert(Arc::new(connection));
        if let Some(origin) = origin {
            request.extensions_mut().insert(origin);
        }
        sessions.is_presented(&request)
    };
    let proxied = |secure: Option<bool>, host: Option<&'static str>| {
        Some(ClientOrigin { is_secure: secure, host: host.map(http::HeaderValue::from_static) })
    };
    for (host, tls, origin, is_plain) in [
        ("localhost:8080", false, None, true),
        ("127.0.0.1", false, None, true),
        ("localhost:8443", true, None, false),
        ("bank.example", false, None, false),
        ("localhost", false, proxied(Some(true), None), false),
        ("localhost", false, proxied(None, Some("bank.example")), false),
    ] {
        assert_eq!(asked(host, &plain, tls, origin.clone()), is_plain, "{host} {tls} {origin:?}");
        assert_eq!(asked(host, &strict, tls, origin.clone()), !is_plain, "{host} {tls} {origin:?}");
    }
    // Nothing of it where it was not asked for.
    let sessions = Sessions::new(Arc::new(Store::default()));
    assert!(!sessions.is_presented(&request(http::Method::GET, &[&plain], None)));
}
