use std::sync::atomic::{AtomicBool, Ordering};

use argon2::PasswordHasher as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::ClientAddr;

#[derive(Debug)]
struct One {
    hash: String,
    is_away: AtomicBool,
}

#[async_trait]
impl PasswordStore for One {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::new(bank_stores::ErrorKind::Unavailable, "away"));
        }
        let stored = || StoredPassword::new(self.hash.clone(), Arc::new(Principal::customer("cus_1")));
        Ok(username.eq_ignore_ascii_case("alice").then(stored))
    }
}

fn store() -> Arc<One> {
    // Cheap parameters: what is tested here is what is done with the outcome.
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = argon.hash_password_with_salt(b"right", b"0123456789abcdef").unwrap();
    Arc::new(One { hash: hash.to_string(), is_away: AtomicBool::new(false) })
}

fn passwords() -> Passwords {
    Passwords::new(store())
}

fn json(username: &str, password: &str) -> Request<Body> {
    Request::new(Body::from(format!(r#"{{"username":"{username}","password":"{password}"}}"#)))
}

fn from(network: u32, password: &str) -> Request<Body> {
    let mut request = json("alice", password);
    request.extensions_mut().insert(ClientAddr(network.to_be_bytes().into()));
    request
}

async fn status(passwords: &Passwords, mut request: Request<Body>) -> u16 {
    passwords.identify(&mut request).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
}

/// The statuses of many at once, and how many of each there are.
async fn at_once(passwords: &Passwords, count: usize, password: &'static str) -> Vec<u16> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let passwords = passwords.clone();
            tokio::spawn(async move { status(&passwords, from(1, password)).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses
}

#[tokio::test]
async fn s13_json_and_basic_prove_the_same() {
    let passwords = passwords();
    assert_eq!(status(&passwords, json("alice", "right")).await, 200);
    let basic = |text: &str| {
        let value = format!("Basic {}", STANDARD.encode(text));
        Request::get("/").header("authorization", value).body(Body::empty()).unwrap()
    };
    assert_eq!(status(&passwords, basic("alice:right")).await, 200);
    assert_eq!(status(&passwords, basic("alice:wrong")).await, 401);
    assert_eq!(status(&passwords, basic("alice")).await, 401);
    assert_eq!(status(&passwords, Request::new(Body::from("[]"))).await, 400);
    let twice = r#"{"username":"alice","password":"wrong","password":"right"}"#;
    assert_eq!(status(&passwords, Request::new(Body::from(twice))).await, 400);
    let coded = |name: &str, value: &str| {
        let mut request = json("alice", "right");
        request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        request
    };
    assert_eq!(status(&passwords, coded("content-encoding", "gzip")).await, 415);
    assert_eq!(status(&passwords, coded("content-type", "text/plain")).await, 415);
    assert_eq!(status(&passwords, coded("content-type", "application/json; charset=utf-8")).await, 200);
    let mut both = basic("alice:right");
    *both.body_mut() = Body::from(r#"{"password":"right"}"#);
    assert_eq!(status(&passwords, both).await, 400);
}

#[tokio::test]
async fn a_password_goes_no_further_than_the_gateway() {
    let body_after = async |passwords: Passwords, body: &'static str| {
        let mut request = Request::builder()
            .header("content-length", body.len())
            .header("content-digest", "sha-256=:AAAA:")
            .body(Body::from(body))
            .unwrap();
        passwords.identify(&mut request).await.unwrap();
        let length = request.headers().get("content-length").cloned();
        let bytes = std::mem::take(request.body_mut()).read(1_000).await.unwrap();
        assert_eq!(length.unwrap(), bytes.len().to_string());
        (String::from_utf8(bytes.to_vec()).unwrap(), request.headers().contains_key("content-digest"))
    };
    let body = r#"{"remember":[1,null],"username":"alice","password":"right"}"#;
    assert_eq!(
        body_after(passwords(), body).await,
        (r#"{"remember":[1,null],"username":"alice"}"#.to_owned(), false)
    );
    let kept = body_after(passwords().dangerous_pass_password_on(), body).await;
    assert_eq!(kept, (body.to_owned(), true));
}

#[tokio::test]
async fn only_a_request_with_basic_is_offered_basic() {
    let passwords = passwords();
    let challenge = async |mut request: Request<Body>| {
        let problem = passwords.identify(&mut request).await.unwrap_err();
        let response = problem.into_response("");
        assert_eq!(response.status(), 401);
        response.headers()["www-authenticate"].to_str().unwrap().to_owned()
    };
    let basic = |mode: Option<&str>| {
        let value = format!("Basic {}", STANDARD.encode("alice:wrong"));
        let mut request = Request::post("/").header("authorization", value).body(Body::empty()).unwrap();
        if let Some(mode) = mode {
            request.headers_mut().insert("sec-fetch-mode", mode.parse().unwrap());
        }
        request
    };
    assert!(challenge(basic(None)).await.starts_with("Basic "));
    assert!(challenge(basic(Some("navigate"))).await.starts_with("Basic "));
    let bearer = Request::post("/").header("authorization", "Bearer x").body(Body::empty()).unwrap();
    for request in [json("alice", "wrong"), json("nobody", "wrong"), basic(Some("cors")), bearer] {
        let offered = challenge(request).await;
        assert!(!offered.to_ascii_lowercase().contains("basic"), "{offered}");
    }
}

#[tokio::test]
async fn s13_an_unknown_user_is_answered_like_a_wrong_password() {
    let passwords = passwords();
    let mut answers = Vec::new();
    for username in ["alice", "nobody"] {
        let mut answer = Vec::new();
        for _ in 0..7 {
            let problem = passwords.identify(&mut json(username, "wrong")).await.unwrap_err();
            answer.push((
                problem.status(),
                problem.code().map(ToOwned::to_owned),
                problem.detail().to_owned(),
            ));
        }
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!((answers[0][4].0.as_u16(), answers[0][5].0.as_u16()), (401, 429));
    assert!(PasswordHash::new(NOBODY).is_ok(), "the stand-in must cost a real check");
}

#[tokio::test(start_paused = true)]
async fn s13_after_five_failures_an_account_waits_longer_each_time_and_success_forgives() {
    let passwords = passwords();
    for name in ["alice", "ALICE", "Alice", "alicE", "aLice"] {
        assert_eq!(status(&passwords, json(name, "wrong")).await, 401);
    }
    assert_eq!(status(&passwords, json("alice", "right")).await, 429, "however the name is written");
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert_eq!(status(&passwords, json("alice", "wrong")).await, 401);
    tokio::time::advance(Duration::from_millis(1_500)).await;
    assert_eq!(status(&passwords, json("alice", "right")).await, 429, "the wait doubles");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(status(&passwords, json("alice", "right")).await, 200);
    assert_eq!(status(&passwords, json("alice", "wrong")).await, 401);
}

#[tokio::test]
async fn right_logins_at_once_all_hold_and_wrong_ones_at_once_are_bounded() {
    let statuses = at_once(&passwords(), 12, "right").await;
    assert_eq!(statuses, [200; 12]);
    let mut statuses = at_once(&passwords(), 20, "wrong").await;
    statuses.sort_unstable();
    assert_eq!((&statuses[..5], &statuses[5..]), (&[401; 5][..], &[429; 15][..]));
}

#[tokio::test]
async fn an_outage_is_nobody_s_failure() {
    let store = store();
    let passwords = Passwords::new(store.clone());
    store.is_away.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(status(&passwords, from(1, "right")).await, 503);
    }
    store.is_away.store(false, Ordering::SeqCst);
    // Neither is a caller who hangs up.
    for _ in 0..20 {
        let mut request = from(1, "right");
        let mut hung_up = Box::pin(passwords.identify(&mut request));
        std::future::poll_fn(|cx| {
            let _ = hung_up.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(status(&passwords, from(1, "right")).await, 200);
}

#[tokio::test(start_paused = true)]
async fn failed_logins_of_one_network_ask_the_store_a_bounded_number_of_times() {
    let passwords = passwords().failure_limit(Quota::per_second(1).burst(3));
    for name in 0..3 {
        let mut request = json(&format!("nobody{name}"), "wrong");
        request.extensions_mut().insert(ClientAddr([10, 0, 0, 1].into()));
        assert_eq!(status(&passwords, request).await, 401);
    }
    assert_eq!(status(&passwords, from(0x0a00_0001, "right")).await, 429);
    assert_eq!(status(&passwords, from(0x0a00_0002, "right")).await, 200);
    let passwords = passwords.known_device(|_, _| Some("laptop".to_owned()));
    assert_eq!(status(&passwords, from(0x0a00_0001, "right")).await, 200, "a device that is known");
}

#[tokio::test]
async fn a_password_typed_on_another_system_is_the_same_and_old_hashes_hold() {
    let hashed = |password: &str| {
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = argon.hash_password_with_salt(password.as_bytes(), b"0123456789abcdef").unwrap();
        Passwords::new(Arc::new(One { hash: hash.to_string(), is_away: AtomicBool::new(false) }))
    };
    let (composed, apart) = ("p\u{e4}ssw\u{f6}rd-\u{fc}ber-12", "pa\u{308}sswo\u{308}rd-u\u{308}ber-12");
    for typed in [composed, apart] {
        assert_eq!(status(&hashed(composed), json("alice", typed)).await, 200, "{typed:?}");
    }
    // Hashed as it was typed, before passwords had one spelling.
    assert_eq!(status(&hashed(apart), json("alice", apart)).await, 200);
    assert_eq!(status(&hashed(apart), json("alice", composed)).await, 401);
    assert_eq!(status(&hashed(composed), json("alice", "passwort-uber-12")).await, 401);
    let longest = "\u{1112}\u{1161}\u{11ab}".repeat(128);
    let syllables = "\u{d55c}".repeat(128);
    assert_eq!(status(&hashed(&syllables), json("alice", &longest)).await, 200);
    assert_eq!(status(&hashed(&syllables), json("alice", &"x".repeat(2_049))).await, 401);
}
