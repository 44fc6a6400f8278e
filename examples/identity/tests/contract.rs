//! What the identity service promises, without a socket.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::testing::Harness;
use bank_sdk::{Empty, Principal};
use bank_stores::cache::Message;
use bank_stores::embedded::{MemoryCache, SqliteItems, SqliteOptions};
use bank_stores::{Cache, Items, ManualClock, SystemRandom, Timestamp};
use http::{Request, Response, StatusCode};
use identity::wire::{
    CustomerPath, Named, NewCustomer, NewPassword, PageOf, Refresh, SessionPath, SessionTokens, SessionView,
    UsedSessions,
};
use identity::{
    CSRF_SCOPE, Identity, NewUser, SESSION_COOKIE, SESSIONS_ENDED, Sessions, SigningKey, SigningKeyError,
    Users, endpoints,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use tower::ServiceExt as _;

const NOW: i64 = 1_893_456_000;
const PASSWORD: &str = "correct horse battery";

struct Bank {
    harness: Harness,
    identity: Arc<Identity>,
    items: Arc<dyn Items>,
    cache: Arc<dyn Cache>,
    directory: tempfile::TempDir,
}

impl Bank {
    async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(NOW));
        let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let items: Arc<dyn Items> = Arc::new(SqliteItems::open(options).await.unwrap());
        let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new().clock(Arc::new(clock.clone())));
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(directory.path().join("key")).unwrap();
        let random = Arc::new(SystemRandom::new());
        let identity = Identity::new(items.clone(), cache.clone(), key, Arc::new(clock.clone()), random);
        let identity = Arc::new(identity);
        let harness = Harness::shared(identity.clone(), clock).unwrap();
        Self { harness, identity, items, cache, directory }
    }

    async fn register(&self, username: &str) -> Result<identity::wire::Customer, CallError> {
        let new = NewCustomer {
            username: username.to_owned(),
            password: PASSWORD.into(),
            name: "Alice Example".to_owned(),
            email: "alice@bank.example".to_owned(),
        };
        self.harness.anonymous().call(endpoints::REGISTER, &new).send().await
    }

    /// Signs in, as the gateway hands a login on: the cookie's session and secret, and the tokens.
    async fn sign_in(&self, customer: &str) -> (String, String, SessionTokens) {
        let response = self.hand_on(self.checked(customer).await).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let (session, secret) = cookie(&response);
        let body = response.into_body().read(10_000).await.unwrap();
        (session, secret, serde_json::from_slice(&body).unwrap())
    }

    /// Whom the gateway finds who has checked the password.
    async fn checked(&self, customer: &str) -> Principal {
        let user = Users::new(self.items.clone()).by_id(customer).await.unwrap().unwrap();
        let mut principal = Principal::customer(customer);
        principal.credential = Some(user.credential());
        principal
    }

    async fn hand_on(&self, checked: Principal) -> Response<Body> {
        let request = Request::post("/v1/sessions").body(Body::empty()).unwrap();
        self.harness.transport(Some(checked)).oneshot(request).await.unwrap()
    }

    /// Whether a gateway lets the session in.
    async fn goes_on(&self, session: &str) -> bool {
        Sessions::new(self.items.clone()).admitted(session).await.unwrap().is_some()
    }

    async fn refresh(&self, token: &str) -> Result<SessionTokens, CallError> {
        let refresh = Refresh { refresh_token: token.into() };
        self.harness.anonymous().call(endpoints::REFRESH, &refresh).send().await
    }

    /// A request of this customer's session, by its cookie or by a token.
    async fn ask(
        &self,
        request: Request<Body>,
        customer: &str,
        session: &str,
        by_cookie: bool,
    ) -> Response<Body> {
        let mut principal = Principal::customer(customer).with_scope("profile");
        principal.session = Some(session.to_owned());
        if by_cookie {
            principal = principal.with_scope(CSRF_SCOPE);
        }
        self.harness.transport(Some(principal)).oneshot(request).await.unwrap()
    }

    /// What a client of the endpoints would send, of this session.
    fn client(&self, customer: &str, session: &str) -> Client {
        let mut principal = Principal::customer(customer).with_scope("profile");
        principal.session = Some(session.to_owned());
        self.harness.client(principal)
    }

    async fn sessions(&self, customer: &str, session: &str) -> Vec<SessionView> {
        let client = self.client(customer, session);
        client.call(endpoints::SESSIONS, &PageOf::default()).send().await.unwrap().items
    }

    async fn change_password(
        &self,
        customer: &str,
        session: &str,
        current: &str,
        new: &str,
    ) -> (u16, String) {
        let passwords = NewPassword { current: current.into(), new: new.into() };
        let outcome =
            self.client(customer, session).call(endpoints::CHANGE_PASSWORD, &passwords).send().await;
        if outcome.is_ok() { (200, String::new()) } else { refused(outcome) }
    }

    async fn sign_out(&self, customer: &str, session: Option<&str>) -> Response<Body> {
        let mut principal = Principal::customer(customer);
        principal.session = session.map(ToOwned::to_owned);
        let request = Request::delete("/v1/sessions/current").body(Body::empty()).unwrap();
        self.harness.transport(Some(principal)).oneshot(request).await.unwrap()
    }

    /// The claims of a token, checked against the published keys.
    async fn claims(&self, token: &str) -> Value {
        let set = self.harness.anonymous().call(endpoints::JWKS, &Empty {}).send().await.unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::ES256));
        let key = set.keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref()).unwrap();
        let key = DecodingKey::from_ec_components(&key.x, &key.y).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["bank"]);
        validation.set_issuer(&["https://bank.example"]);
        // The clock of this test stands still.
        validation.validate_exp = false;
        jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
    }
}

/// The session and the secret in the cookie that an answer sets.
fn cookie(response: &Response<Body>) -> (String, String) {
    let cookie = header(response, "set-cookie");
    let (name, rest) = cookie.split_once('=').unwrap();
    let (value, attributes) = rest.split_once("; ").unwrap();
    assert_eq!((name, attributes), (SESSION_COOKIE, "Path=/; Secure; HttpOnly; SameSite=Strict"));
    let (session, secret) = value.split_once('.').unwrap();
    (session.to_owned(), secret.to_owned())
}

fn header(response: &Response<Body>, name: &str) -> String {
    response.headers()[name].to_str().unwrap().to_owned()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> (u16, String) {
    let error = outcome.unwrap_err();
    let problem = error.problem().unwrap();
    (problem.status().as_u16(), problem.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_customer_registers_once_under_a_name() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    assert!(alice.id.starts_with("cus_"));
    assert_eq!((&*alice.username, &*alice.name), ("alice", "Alice Example"));
    assert_eq!(refused(bank.register("alice").await), (409, "username_taken".to_owned()));
    assert_eq!(refused(bank.register("Alice").await), (422, "invalid_customer".to_owned()));

    // Read-only eyes see the same user, with a password that only its hash is kept of.
    let user = Users::new(bank.items.clone()).by_username("alice").await.unwrap().unwrap();
    assert!(user.password_hash.starts_with("$argon2id$") && !user.password_hash.contains(PASSWORD));
    assert_eq!(Users::new(bank.items.clone()).by_id(&alice.id).await.unwrap().unwrap(), user);
    assert!(!format!("{user:?}").contains("argon2id"));
    let me = Principal::customer(&*alice.id).with_scope("profile");
    let me = bank.harness.client(me).call(endpoints::ME, &Empty {}).send().await.unwrap();
    assert_eq!((me.id, &*me.email, me.roles.len()), (alice.id, "alice@bank.example", 0));
}

#[tokio::test]
async fn of_many_who_want_one_name_one_gets_it() {
    let bank = Arc::new(Bank::open().await);
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let bank = bank.clone();
            tokio::spawn(async move { bank.register("alice").await.map_err(|error| error.to_string()) })
        })
        .collect();
    let mut winners = BTreeSet::new();
    for racer in racers {
        winners.extend(racer.await.unwrap().ok().map(|customer| customer.id));
    }
    assert_eq!(winners.len(), 1);
}

#[tokio::test]
async fn a_login_opens_a_session_with_cookie_and_signed_token() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, secret, tokens) = bank.sign_in(&alice.id).await;
    let claims = bank.claims(tokens.access_token.expose()).await;
    assert_eq!((&claims["sub"], &claims["sid"]), (&Value::from(alice.id.clone()), &Value::from(id.clone())));
    assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(NOW), Some(NOW + 600)));
    assert_eq!(
        (&claims["auth_time"], &claims["amr"][0], &claims["client_id"]),
        (&NOW.into(), &"pwd".into(), &"bank-web".into())
    );
    assert!(claims["scope"].as_str().unwrap().split(' ').any(|scope| scope == "transfers:write"));
    assert_eq!((&*tokens.token_type, tokens.expires_in), ("Bearer", 600));

    let session = Sessions::new(bank.items.clone()).find(&id).await.unwrap().unwrap();
    let raw = decode(&secret);
    assert!(session.has_secret(&raw) && !session.has_secret(b"another"));
    assert!(session.has_csrf(tokens.csrf_token.expose()) && !session.has_csrf(""));
    assert!(session.is_live(Timestamp::from_seconds(NOW + 12 * 3600 - 1)));
    assert!(!session.is_live(Timestamp::from_seconds(NOW + 12 * 3600)));
    // S17: each login has a session of its own.
    assert_ne!(bank.sign_in(&alice.id).await.0, id);
    assert!(!format!("{tokens:?}").contains(tokens.access_token.expose()));
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

#[tokio::test]
async fn a_refresh_token_is_good_for_one_use_and_a_second_one_ends_the_session() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, _, first) = bank.sign_in(&alice.id).await;
    let second = bank.refresh(first.refresh_token.expose()).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.csrf_token, first.csrf_token);
    assert_eq!(bank.claims(second.access_token.expose()).await["sid"], Value::from(id.clone()));
    let third = bank.refresh(second.refresh_token.expose()).await.unwrap();

    assert_eq!(refused(bank.refresh(first.refresh_token.expose()).await), (401, "session_ended".to_owned()));
    // The newest one is worth nothing either.
    assert_eq!(refused(bank.refresh(third.refresh_token.expose()).await), (401, "session_ended".to_owned()));
    assert!(Sessions::new(bank.items.clone()).find(&id).await.unwrap().unwrap().ended);
}

#[tokio::test]
async fn who_only_knows_a_sessions_id_cannot_end_it() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, _, tokens) = bank.sign_in(&alice.id).await;
    let (_, _, another) = bank.sign_in(&alice.id).await;
    let swapped = another.refresh_token.expose().split_once('.').unwrap().1;
    let made_up = format!("{id}.{swapped}");
    for token in ["", "x", "ses_1.a.b", &id, &made_up] {
        assert_eq!(refused(bank.refresh(token).await), (401, "invalid_refresh_token".to_owned()), "{token}");
    }
    bank.refresh(tokens.refresh_token.expose()).await.unwrap();
}

#[tokio::test]
async fn of_two_who_refresh_at_once_the_session_ends() {
    let bank = Arc::new(Bank::open().await);
    let alice = bank.register("alice").await.unwrap();
    let (id, _, tokens) = bank.sign_in(&alice.id).await;
    let racers: Vec<_> = (0..2)
        .map(|_| {
            let (bank, token) = (bank.clone(), tokens.refresh_token.clone());
            tokio::spawn(async move { bank.refresh(token.expose()).await.is_ok() })
        })
        .collect();
    let mut winners = 0;
    for racer in racers {
        winners += usize::from(racer.await.unwrap());
    }
    assert!(winners <= 1);
    assert!(Sessions::new(bank.items.clone()).find(&id).await.unwrap().unwrap().ended);
}

#[tokio::test]
async fn a_session_that_is_ended_is_ended_everywhere_at_once() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, _, tokens) = bank.sign_in(&alice.id).await;
    let gateway = Sessions::new(bank.items.clone()).cached(bank.cache.clone());
    assert!(!gateway.find(&id).await.unwrap().unwrap().ended);
    let mut ended = bank.cache.subscribe(SESSIONS_ENDED).await.unwrap();

    let response = bank.sign_out(&alice.id, Some(&id)).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(header(&response, "set-cookie").ends_with("Max-Age=0"));
    let told = tokio::time::timeout(Duration::from_secs(60), ended.next()).await.unwrap();
    assert_eq!(told, Some(Message::Message(id.clone().into())));
    // Through the cache as well, although it held the session a moment ago.
    assert!(gateway.find(&id).await.unwrap().unwrap().ended);
    assert_eq!(refused(bank.refresh(tokens.refresh_token.expose()).await), (401, "session_ended".to_owned()));
    // Again, and without a session.
    assert_eq!(bank.sign_out(&alice.id, Some(&id)).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(bank.sign_out(&alice.id, None).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_session_ends_by_itself_after_twelve_hours() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, _, tokens) = bank.sign_in(&alice.id).await;
    bank.harness.clock().advance(Duration::from_secs(12 * 3600 - 60));
    let late = bank.refresh(tokens.refresh_token.expose()).await.unwrap();
    // A token does not outlive its session.
    assert_eq!(late.expires_in, 60);
    assert_eq!(bank.claims(late.access_token.expose()).await["exp"], Value::from(NOW + 12 * 3600));
    bank.harness.clock().advance(Duration::from_secs(60));
    assert_eq!(refused(bank.refresh(late.refresh_token.expose()).await).0, 401);
    let found = Sessions::new(bank.items.clone()).find(&id).await.unwrap();
    assert!(found.is_none_or(|session| !session.is_live(Timestamp::from_seconds(NOW + 12 * 3600))));
}

#[tokio::test]
async fn seeding_a_user_again_changes_nothing() {
    let bank = Bank::open().await;
    let user = NewUser {
        username: "teller",
        password: PASSWORD,
        name: "Teller",
        email: "t@bank.example",
        roles: &["teller"],
    };
    let first = bank.identity.seed_user(user).await.unwrap();
    let again = bank.identity.seed_user(NewUser { password: "another password", ..user }).await.unwrap();
    assert_eq!(first, again);
    let (_, _, tokens) = bank.sign_in(&first.id).await;
    let claims = bank.claims(tokens.access_token.expose()).await;
    assert_eq!(claims["roles"], Value::from(vec!["teller"]));
}

#[tokio::test]
async fn s30_other_services_learn_a_name_and_nothing_else() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (named, path) = (Named { username: "alice".to_owned() }, CustomerPath { id: alice.id.clone() });
    let partners = bank.harness.client(Principal::service("partners"));
    assert_eq!(partners.call(endpoints::BY_USERNAME, &named).send().await.unwrap(), alice);
    assert_eq!(partners.call(endpoints::BY_ID, &path).send().await.unwrap(), alice);
    for nobody in ["bob", "", "../x"] {
        let (named, path) =
            (Named { username: nobody.to_owned() }, CustomerPath { id: format!("cus_{nobody}") });
        assert_eq!(refused(partners.call(endpoints::BY_USERNAME, &named).send().await).0, 404);
        assert_eq!(refused(partners.call(endpoints::BY_ID, &path).send().await).0, 404);
    }
    let customer = bank.harness.client(Principal::customer(&*alice.id).with_scope("profile"));
    assert_eq!(refused(customer.call(endpoints::BY_ID, &path).send().await).0, 403);
}

#[tokio::test]
async fn a_profile_is_shared_without_a_secret_and_nobody_is_remembered_as_nobody() {
    let bank = Bank::open().await;
    let partners = bank.harness.client(Principal::service("partners"));
    let named = Named { username: "alice".to_owned() };
    assert_eq!(refused(partners.call(endpoints::BY_USERNAME, &named).send().await).0, 404);
    let alice = bank.register("alice").await.unwrap();
    assert_eq!(partners.call(endpoints::BY_USERNAME, &named).send().await.unwrap(), alice);
    // What other copies find of her.
    let shared = bank.cache.get(&format!("profiles/{}", alice.id)).await.unwrap().unwrap();
    let shared = String::from_utf8(shared.value.to_vec()).unwrap();
    assert!(shared.contains("Alice Example") && !shared.contains("argon2id"), "{shared}");
}

#[tokio::test]
async fn the_signing_key_lasts_and_is_its_owners_only() {
    let bank = Bank::open().await;
    let path = bank.directory.path().join("key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let set = bank.harness.anonymous().call(endpoints::JWKS, &Empty {}).send().await.unwrap();
    assert_eq!(SigningKey::load_or_create(&path).unwrap().jwks(), set);
    // Nothing but the key itself is left behind.
    assert_eq!(std::fs::read_dir(bank.directory.path()).unwrap().count(), 1);
    let request = Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
    let response = bank.harness.transport(None).oneshot(request).await.unwrap();
    assert_eq!(header(&response, "cache-control"), "public, max-age=300");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(SigningKey::load_or_create(&path), Err(SigningKeyError::Exposed { .. })));
    std::fs::write(bank.directory.path().join("other"), "not a key").unwrap();
    let other = bank.directory.path().join("other");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(SigningKey::load_or_create(&other), Err(SigningKeyError::Invalid)));
}

#[tokio::test]
async fn many_who_make_the_signing_key_at_once_get_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || SigningKey::load_or_create(path).unwrap().jwks().keys[0].kid.clone())
        })
        .collect();
    let kids: BTreeSet<_> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    assert_eq!(kids.len(), 1);
}

#[tokio::test]
async fn the_session_is_told_and_its_csrf_token_to_the_cookie_s_own_pages_only() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (id, _, tokens) = bank.sign_in(&alice.id).await;
    let ask = async |by_cookie: bool, site: Option<&str>| {
        let mut request = Request::get("/v1/sessions/current");
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = bank.ask(request, &alice.id, &id, by_cookie).await;
        assert_eq!((response.status(), &*header(&response, "cache-control")), (StatusCode::OK, "no-store"));
        let body = response.into_body().read(10_000).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let current = ask(true, Some("same-origin")).await;
    assert_eq!(
        current,
        serde_json::json!({
            "id": id, "username": "alice", "name": "Alice Example", "customer": alice.id,
            "csrf_token": tokens.csrf_token, "created_at": "2030-01-01T00:00:00Z",
            "expires_at": "2030-01-01T12:00:00Z"
        })
    );
    for (by_cookie, site) in [(true, Some("cross-site")), (false, Some("same-origin")), (false, None)] {
        assert_eq!(ask(by_cookie, site).await.get("csrf_token"), None, "{by_cookie} {site:?}");
    }
    bank.sign_out(&alice.id, Some(&id)).await;
    let request = Request::get("/v1/sessions/current").body(Body::empty()).unwrap();
    assert_eq!(bank.ask(request, &alice.id, &id, true).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_list_has_the_sessions_that_go_on_and_no_others() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.register("alice").await.unwrap(), bank.register("bob").await.unwrap());
    let mut opened = Vec::new();
    for _ in 0..3 {
        opened.push(bank.sign_in(&alice.id).await.0);
        bank.harness.clock().advance(Duration::from_secs(60));
    }
    let other = bank.sign_in(&bob.id).await.0;
    let ids = async || {
        let listed = bank.sessions(&alice.id, &opened[1]).await;
        assert!(listed.iter().all(|session| session.current == (session.id == opened[1])));
        listed.into_iter().map(|session| session.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [&*opened[2], &opened[1], &opened[0]]);
    // Another customer's is one that does not exist.
    let end = async |id: &str| {
        let path = SessionPath { id: id.to_owned() };
        bank.client(&alice.id, &opened[1]).call(endpoints::END_SESSION, &path).send().await
    };
    for nobody in [&*other, "ses_nobody", "no session"] {
        assert_eq!(refused(end(nobody).await).0, 404, "{nobody}");
    }
    end(&opened[2]).await.unwrap();
    end(&opened[2]).await.unwrap();
    assert_eq!(ids().await, [&*opened[1], &opened[0]]);
    assert_eq!(bank.sessions(&bob.id, &other).await.len(), 1);
    // The oldest ends by itself first.
    bank.harness.clock().advance(Duration::from_secs(12 * 3600 - 180));
    assert_eq!(ids().await, [&*opened[1]]);
}

#[tokio::test]
async fn all_others_end_with_one_write_and_gateways_are_told_at_once() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let own = bank.sign_in(&alice.id).await.0;
    let mut others = BTreeSet::new();
    for _ in 0..99 {
        others.insert(bank.sign_in(&alice.id).await.0);
    }
    let mut ended = bank.cache.subscribe(SESSIONS_ENDED).await.unwrap();
    let end = async |session: &str| {
        let request = Request::delete("/v1/sessions").body(Body::empty()).unwrap();
        bank.ask(request, &alice.id, session, true).await
    };
    let response = end(&own).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers().get("set-cookie"), None);
    // The gateway that passes the answer on is told of them, and the others in a few messages.
    assert_eq!(header(&response, "bank-session-ended").split(',').count(), 99);
    let (mut told, mut messages) = (BTreeSet::new(), 0);
    while told.len() < others.len() {
        let next = tokio::time::timeout(Duration::from_secs(60), ended.next()).await.unwrap();
        let Some(Message::Message(ids)) = next else { panic!("{next:?}") };
        told.extend(String::from_utf8(ids.to_vec()).unwrap().split(',').map(ToOwned::to_owned));
        messages += 1;
    }
    assert!(told == others && messages <= 2, "{messages} messages");
    let left = bank.sessions(&alice.id, &own).await;
    assert_eq!(left.into_iter().map(|session| session.id).collect::<Vec<_>>(), std::slice::from_ref(&own));
    // One that has ended, which a gateway may still believe in, ends none.
    let other = others.first().unwrap();
    assert!(bank.goes_on(&own).await && !bank.goes_on(other).await);
    assert_eq!(end(other).await.status(), StatusCode::UNAUTHORIZED);
    assert!(bank.goes_on(&own).await && !bank.goes_on(other).await);
    // Others end by another one, and so does this one.
    let next = bank.sign_in(&alice.id).await.0;
    assert_eq!(end(&next).await.status(), StatusCode::NO_CONTENT);
    assert!(bank.goes_on(&next).await && !bank.goes_on(&own).await);
}

#[tokio::test]
async fn of_a_hundred_sessions_the_oldest_ends_when_another_opens() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let mut opened = Vec::new();
    for _ in 0..102 {
        opened.push(bank.sign_in(&alice.id).await.0);
        bank.harness.clock().advance(Duration::from_secs(1));
    }
    for (index, session) in opened.iter().enumerate().filter(|(index, _)| *index < 4) {
        assert_eq!(bank.goes_on(session).await, index >= 2, "{index}");
    }
    let client = bank.client(&alice.id, &opened[101]);
    let page = PageOf { limit: Some(200.try_into().unwrap()), after: None };
    let listed = client.call(endpoints::SESSIONS, &page).send().await.unwrap();
    assert_eq!((listed.items.len(), listed.next), (100, None));
}

#[tokio::test]
async fn a_login_that_was_checked_before_a_change_of_its_user_opens_no_session() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let own = bank.sign_in(&alice.id).await.0;
    let new = "another long password";
    // Each time a gateway has checked the password, and the login waits there while something happens.
    let late = bank.checked(&alice.id).await;
    assert_eq!(bank.change_password(&alice.id, &own, PASSWORD, new).await.0, 200);
    assert_eq!(bank.hand_on(late).await.status(), StatusCode::UNAUTHORIZED);

    let late = bank.checked(&alice.id).await;
    let request = Request::delete("/v1/sessions").body(Body::empty()).unwrap();
    assert_eq!(bank.ask(request, &alice.id, &own, true).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(bank.hand_on(late).await.status(), StatusCode::UNAUTHORIZED);

    for change in 0..4 {
        let late = bank.checked(&alice.id).await;
        let changed = match change {
            0 => bank.identity.set_roles("alice", &["teller"]).await,
            1 => bank.identity.set_password("alice", "yet another password").await,
            2 => bank.identity.set_disabled("alice", true).await,
            _ => bank.identity.set_disabled("alice", false).await,
        };
        changed.unwrap();
        let refused = bank.hand_on(late).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{change}");
        assert!(refused.headers().contains_key("www-authenticate"));
    }
    assert_eq!(bank.hand_on(Principal::customer(&*alice.id)).await.status(), StatusCode::UNAUTHORIZED);
    assert!(!bank.goes_on(&own).await);
    // Nobody of them all is in, and who signs in now has what she is now.
    let (next, _, tokens) = bank.sign_in(&alice.id).await;
    assert_eq!(bank.sessions(&alice.id, &next).await.len(), 1);
    assert_eq!(bank.claims(tokens.access_token.expose()).await["roles"], Value::from(vec!["teller"]));
}

#[tokio::test]
async fn other_roles_show_with_the_next_login_and_end_the_sessions_before() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (before, _, tokens) = bank.sign_in(&alice.id).await;
    let me = async |roles: &[String]| {
        let mut principal = Principal::customer(&*alice.id).with_scope("profile");
        principal.roles = roles.to_vec();
        bank.harness.client(principal).call(endpoints::ME, &Empty {}).send().await.unwrap().roles
    };
    assert_eq!(me(&[]).await, Vec::<String>::new());
    let mut ended = bank.cache.subscribe(SESSIONS_ENDED).await.unwrap();
    bank.identity.set_roles("alice", &["teller"]).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(60), ended.next()).await.unwrap();
    assert_eq!(told, Some(Message::Message(before.clone().into())));
    assert!(!bank.goes_on(&before).await);
    assert_eq!(refused(bank.refresh(tokens.refresh_token.expose()).await), (401, "session_ended".to_owned()));
    let next = bank.sign_in(&alice.id).await.0;
    let session = Sessions::new(bank.items.clone()).admitted(&next).await.unwrap().unwrap();
    assert_eq!(me(&session.roles).await, ["teller"]);
}

#[tokio::test]
async fn the_last_use_is_noted_to_a_few_minutes_and_brings_no_ended_session_back() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (first, second) = (bank.sign_in(&alice.id).await.0, bank.sign_in(&alice.id).await.0);
    let note = async |ids: &[&str]| {
        let used = UsedSessions { ids: ids.iter().map(ToString::to_string).collect() };
        bank.harness.client(Principal::service("gateway")).call(endpoints::SESSIONS_USED, &used).send().await
    };
    let last_used = async || {
        let listed = bank.sessions(&alice.id, &first).await;
        listed.into_iter().find(|session| session.id == first).unwrap().last_used_at.seconds() - NOW
    };
    bank.harness.clock().advance(Duration::from_secs(60));
    note(&[&first]).await.unwrap();
    assert_eq!(last_used().await, 0, "a minute is nothing");
    bank.harness.clock().advance(Duration::from_secs(240));
    for _ in 0..2 {
        note(&[&first, "ses_nobody", "no session"]).await.unwrap();
        assert_eq!(last_used().await, 300);
    }
    bank.sign_out(&alice.id, Some(&second)).await;
    bank.harness.clock().advance(Duration::from_secs(600));
    note(&[&second, &first]).await.unwrap();
    assert_eq!(bank.sessions(&alice.id, &first).await.len(), 1);
    assert_eq!(last_used().await, 900);
    let customer = bank.client(&alice.id, &first);
    let used = UsedSessions { ids: vec![first.clone()] };
    assert_eq!(refused(customer.call(endpoints::SESSIONS_USED, &used).send().await).0, 403);
}

#[tokio::test]
async fn a_password_is_changed_by_whoever_knows_it_and_guessing_waits_as_at_a_login() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (own, other) = (bank.sign_in(&alice.id).await.0, bank.sign_in(&alice.id).await.0);
    let change = async |current: &str, new: &str| bank.change_password(&alice.id, &own, current, new).await;
    let new = "another long password";
    assert_eq!(change(PASSWORD, "short").await, (422, "invalid_password".to_owned()));
    for _ in 0..5 {
        assert_eq!(change("a wrong password", new).await, (403, "wrong_password".to_owned()));
    }
    assert_eq!(change(PASSWORD, new).await, (429, "too_many_failures".to_owned()), "the right one waits too");
    bank.harness.clock().advance(Duration::from_secs(1));
    assert_eq!(change("a wrong password", new).await, (403, "wrong_password".to_owned()));
    bank.harness.clock().advance(Duration::from_secs(1));
    assert_eq!(change(PASSWORD, new).await.0, 429, "the wait doubles");
    bank.harness.clock().advance(Duration::from_secs(1));
    assert_eq!(change(PASSWORD, new).await.0, 200);
    // All is forgiven.
    assert_eq!(change("a wrong password", "yet another password").await.0, 403);
    let left = bank.sessions(&alice.id, &own).await;
    assert_eq!(left.into_iter().map(|session| session.id).collect::<Vec<_>>(), std::slice::from_ref(&own));
    assert!(bank.goes_on(&own).await && !bank.goes_on(&other).await);
    // A quarter of an hour after the wait everything is forgiven.
    for _ in 0..4 {
        assert_eq!(change("a wrong password", "yet another password").await.0, 403);
    }
    assert_eq!(change(new, "yet another password").await.0, 429);
    bank.harness.clock().advance(Duration::from_secs(15 * 60 + 1));
    for _ in 0..5 {
        assert_eq!(change("a wrong password", "yet another password").await.0, 403);
    }
}

#[tokio::test]
async fn a_new_password_gives_the_own_session_other_secrets_and_those_before_are_worth_nothing() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (own, secret, tokens) = bank.sign_in(&alice.id).await;
    let passwords = serde_json::json!({ "current": PASSWORD, "new": "another long password" });
    let request = Request::put("/v1/me/password")
        .header("content-type", "application/json")
        .body(Body::from(passwords.to_string()))
        .unwrap();
    let response = bank.ask(request, &alice.id, &own, true).await;
    assert_eq!((response.status(), &*header(&response, "cache-control")), (StatusCode::OK, "no-store"));
    let (same, other_secret) = cookie(&response);
    assert_eq!(same, own, "its access tokens hold, and what it began goes on");
    let body = response.into_body().read(10_000).await.unwrap();
    let renewed: SessionTokens = serde_json::from_slice(&body).unwrap();
    let session = Sessions::new(bank.items.clone()).admitted(&own).await.unwrap().unwrap();
    assert!(session.has_secret(&decode(&other_secret)) && !session.has_secret(&decode(&secret)));
    assert!(session.has_csrf(renewed.csrf_token.expose()) && !session.has_csrf(tokens.csrf_token.expose()));
    let request = Request::get("/v1/sessions/current").body(Body::empty()).unwrap();
    let body = bank.ask(request, &alice.id, &own, true).await.into_body().read(10_000).await.unwrap();
    let current: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(current["csrf_token"], Value::from(renewed.csrf_token.expose()));
    // An old refresh token is nobody's: it ends nothing either.
    let old = bank.refresh(tokens.refresh_token.expose()).await;
    assert_eq!(refused(old), (401, "invalid_refresh_token".to_owned()));
    bank.refresh(renewed.refresh_token.expose()).await.unwrap();
}

#[tokio::test]
async fn a_change_that_was_made_may_be_sent_again_and_any_other_wrong_password_is_a_guess() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let own = bank.sign_in(&alice.id).await.0;
    let change = async |session: &str, current: &str, new: &str| {
        bank.change_password(&alice.id, session, current, new).await.0
    };
    let new = "another long password";
    // Whoever tries the right one as the new one is guessing.
    for _ in 0..5 {
        assert_eq!(change(&own, "a wrong password", PASSWORD).await, 403);
    }
    assert_eq!(change(&own, "a wrong password", PASSWORD).await, 429, "nothing was forgiven");
    bank.harness.clock().advance(Duration::from_secs(16 * 60));
    for _ in 0..2 {
        assert_eq!(change(&own, PASSWORD, new).await, 200);
    }
    assert_eq!(change(&own, "a wrong password", new).await, 403);
    let other = bank.sign_in(&alice.id).await.0;
    assert_eq!(change(&other, PASSWORD, new).await, 403, "another session has not changed it");
    assert_eq!(bank.sessions(&alice.id, &own).await.len(), 2);
    bank.harness.clock().advance(Duration::from_secs(11 * 60));
    assert_eq!(change(&own, PASSWORD, new).await, 403, "that was long ago");
}

#[tokio::test]
async fn a_session_that_has_ended_changes_no_password() {
    let bank = Bank::open().await;
    let alice = bank.register("alice").await.unwrap();
    let (own, other) = (bank.sign_in(&alice.id).await.0, bank.sign_in(&alice.id).await.0);
    let new = "another long password";
    assert_eq!(bank.change_password(&alice.id, &own, PASSWORD, new).await.0, 200);
    // A gateway may let it through for a moment.
    let late = bank.change_password(&alice.id, &other, new, "yet another password").await;
    assert_eq!(late, (401, "session_ended".to_owned()));
    assert!(bank.goes_on(&own).await && !bank.goes_on(&other).await);
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_checked_than_one_after_the_other() {
    let bank = Arc::new(Bank::open().await);
    let alice = bank.register("alice").await.unwrap();
    let own = bank.sign_in(&alice.id).await.0;
    let guesses: Vec<_> = (0..20)
        .map(|_| {
            let (bank, alice, own) = (bank.clone(), alice.id.clone(), own.clone());
            tokio::spawn(async move {
                bank.change_password(&alice, &own, "a wrong password", "another long password").await.0
            })
        })
        .collect();
    let mut checked = 0;
    for guess in guesses {
        checked += usize::from(guess.await.unwrap() == 403);
    }
    assert!(checked <= 5, "{checked} of 20 were checked");
}
