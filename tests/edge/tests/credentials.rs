//! Who may come in, by which credential, and what remains of it behind the gateway: seen over a socket.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use bank_gateway::identity::password::{PasswordStore, StoredPassword};
use bank_gateway::identity::{
    ApiKeys, Checked, Jwt, KeySet, Ownership, Passwords, Scheme, refused_credential,
};
use bank_gateway::{GatewayBuilder, Quota, Upstream};
use bank_sdk::http::Body;
use bank_sdk::{Api, Empty, Endpoint, Principal, PrincipalKind};
use bank_stores::{Clock as _, Error, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edge_tests::{Client, Edge, OneKey, Recorder, Request, identity_keys, until};
use serde_json::{Value, json};

const READ: Endpoint<Empty, Empty> = Endpoint::get("/v1/things").authenticated();
const TELL: Endpoint<Empty, Empty> = Endpoint::get("/v1/teller").role("teller");
const LOGIN: Endpoint<Empty, Empty> = Endpoint::post("/v1/sessions").login();

fn before(upstream: &Recorder, builder: GatewayBuilder) -> GatewayBuilder {
    let api = Api::new("things").endpoint(READ.declare()).endpoint(TELL.declare()).endpoint(LOGIN.declare());
    builder
        .rate_limit("default", Quota::per_second(10_000))
        .passwords(passwords())
        .service(api, Upstream::at([upstream.url()]).identity_keys(identity_keys()))
}

/// Who called, as the upstream was told by the only request that reached it.
fn caller(upstream: &Recorder) -> Principal {
    let request = upstream.received().pop().unwrap();
    let identity = identity_keys().verify(request.header("bank-identity").unwrap()).unwrap();
    Principal::clone(&identity.principal.unwrap())
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

enum Signer {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// An issuer of tokens, with one key.
struct Issuer {
    name: &'static str,
    signer: Signer,
    jwk: Value,
}

impl Issuer {
    fn ec(name: &'static str, kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": encoded(x), "y": encoded(y) });
        Self { name, signer: Signer::Ec(pair), jwk }
    }

    fn rsa(name: &'static str, kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let n = encoded(public.modulus().big_endian_without_leading_zero());
        let e = encoded(public.exponent().big_endian_without_leading_zero());
        let jwk = json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": e });
        Self { name, signer: Signer::Rsa(pair), jwk }
    }

    fn token(&self, typ: &str, more: &Value) -> String {
        let now = SystemClock::new().now().seconds();
        let mut claims =
            json!({ "iss": self.name, "sub": "cus_1", "aud": "bank", "iat": now, "exp": now + 600 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let alg = if matches!(self.signer, Signer::Ec(_)) { "ES256" } else { "RS256" };
        let header = json!({ "alg": alg, "typ": typ, "kid": self.jwk["kid"] });
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match &self.signer {
            Signer::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", encoded(signature))
    }
}

fn set(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Tokens that say nothing by their looks, as of an introspection service.
#[derive(Debug)]
struct Opaque;

impl Scheme for Opaque {
    fn name(&self) -> &'static str {
        "opaque"
    }

    fn is_presented(&self, request: &http::Request<Body>) -> bool {
        bearer(request).is_some()
    }

    fn owns(&self, request: &http::Request<Body>) -> Ownership {
        let looks_opaque = bearer(request).is_some_and(|token| !token.contains('.'));
        if looks_opaque { Ownership::Possible } else { Ownership::Foreign }
    }

    fn check<'a>(&'a self, request: &'a mut http::Request<Body>) -> Checked<'a> {
        let principal =
            (bearer(request) == Some("opaque-of-ann")).then(|| Arc::new(Principal::customer("ann")));
        Box::pin(std::future::ready(principal.ok_or_else(refused_credential)))
    }
}

fn bearer(request: &http::Request<Body>) -> Option<&str> {
    request.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

#[test]
fn two_issuers_and_opaque_tokens_live_on_one_route() {
    let (bank, realm) =
        (Issuer::ec("https://bank.example", "1"), Issuer::rsa("https://id.example/realms/bank", "1"));
    let stranger = Issuer::rsa("https://stranger.example", "1");
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let own = Jwt::new(KeySet::json(&set(&[&bank.jwk])).unwrap()).issuer(bank.name).audience("bank");
        let other = Jwt::new(KeySet::json(&set(&[&realm.jwk])).unwrap())
            .issuer(realm.name)
            .audience("bank")
            .token_type("JWT")
            .claims(|claims, principal| {
                principal.roles = claims.texts("/realm_access/roles");
                principal.kind = PrincipalKind::Partner;
            });
        before(&upstream, builder).authenticate(own).authenticate(Opaque).authenticate(other)
    });
    let client = edge.client();
    let none = json!({});
    let roles = json!({ "realm_access": { "roles": ["teller"] } });
    for _ in 0..2 {
        client.send(Request::get(READ.path()).bearer(&bank.token("at+jwt", &none))).expect(200);
        assert_eq!(caller(&upstream).kind, PrincipalKind::Customer);
        client.send(Request::get(TELL.path()).bearer(&realm.token("JWT", &roles))).expect(200);
        assert_eq!(
            (caller(&upstream).kind, caller(&upstream).has_role("teller")),
            (PrincipalKind::Partner, true)
        );
        client.send(Request::get(READ.path()).bearer("opaque-of-ann")).expect(200);
        assert_eq!(caller(&upstream).subject, "ann");
    }
    let reached = upstream.count();
    let bad = [
        stranger.token("JWT", &none),
        // Each names the issuer of the other, or a type that is the other's.
        bank.token("JWT", &json!({ "iss": realm.name })),
        realm.token("at+jwt", &json!({ "iss": bank.name })),
        bank.token("JWT", &none),
        bank.token("at+jwt", &json!({ "aud": "elsewhere" })),
        "opaque-of-nobody".to_owned(),
        "a.b.c".to_owned(),
    ];
    for token in &bad {
        let refused = client.send(Request::get(READ.path()).bearer(token));
        assert_eq!(refused.problem(401), "invalid_token", "{token}");
    }
    let two = Request::get(READ.path()).bearer(&bank.token("at+jwt", &none)).header("x-api-key", "bk_1_2");
    assert_eq!(client.send(two).problem(400), "two_credentials");
    assert_eq!(upstream.count(), reached);
}

#[test]
fn a_key_taken_out_of_its_file_is_believed_no_longer_and_a_new_one_at_once() {
    let (first, second) = (Issuer::ec("https://bank.example", "1"), Issuer::ec("https://bank.example", "2"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    let write = |keys: &[&Value]| replace(&file, &set(keys));
    let foreign = json!({ "kty": "EC", "crv": "secp256k1", "kid": "9", "x": "AA", "y": "AA" });
    write(&[&foreign, &first.jwk]);
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        let jwt = Jwt::new(KeySet::file(&file).unwrap()).issuer(first.name).audience("bank");
        before(&upstream, builder).authenticate(jwt)
    });
    let client = edge.client();
    let none = json!({});
    let (old, new) = (first.token("at+jwt", &none), second.token("at+jwt", &none));
    let status = |token: &str| client.send(Request::get(READ.path()).bearer(token)).status;
    assert_eq!((status(&old), status(&old), status(&new)), (200, 200, 401));
    write(&[&first.jwk, &second.jwk]);
    until("the new key", || (status(&new) == 200).then_some(()));
    assert_eq!(status(&old), 200, "rotation costs nobody a request");
    write(&[&second.jwk]);
    until("the old key to be gone", || (status(&old) == 401).then_some(()));
    assert_eq!(status(&new), 200);
    std::fs::write(&file, "{").unwrap();
    assert_eq!(status(&new), 200);
    write(&[]);
    until("no key to be believed", || (status(&new) == 401).then_some(()));
}

/// Writes a file as a whole, as a deployment does.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

#[test]
fn a_key_that_a_program_issued_is_its_principal_s() {
    let upstream = Recorder::start();
    let keys = ApiKeys::in_memory(&[7; 32]);
    let key = keys.issue("rates", Principal::new("ptn_1", PrincipalKind::Partner).with_role("teller"));
    let edge = Edge::start(|builder| before(&upstream, builder).authenticate(keys.clone()));
    let client = edge.client();
    client.send(Request::get(TELL.path()).header("x-api-key", &*key)).expect(200);
    assert_eq!(caller(&upstream).subject, "ptn_1");
    client.send(Request::get(TELL.path()).header("x-api-key", format!("{key}x"))).problem(401);
    assert_eq!(upstream.only().header("x-api-key"), None);
    assert_eq!(keys.revoke("rates"), 1);
    client.send(Request::get(TELL.path()).header("x-api-key", &*key)).problem(401);
}

#[derive(Debug)]
struct Ann {
    password: StoredPassword,
    asked: AtomicUsize,
}

#[async_trait]
impl PasswordStore for Ann {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok((username == "ann").then(|| self.password.clone()))
    }
}

fn ann() -> Arc<Ann> {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = hasher.hash_password_with_salt(b"a long password", &[3; 16]).unwrap().to_string();
    let password = StoredPassword::new(hash, Arc::new(Principal::customer("cus_ann")));
    Arc::new(Ann { password, asked: AtomicUsize::new(0) })
}

fn passwords() -> Passwords {
    Passwords::new(ann())
}

/// A gateway that lets in by passwords.
fn with_logins(upstream: &Recorder) -> Edge {
    Edge::start(|builder| before(upstream, builder).authenticate(OneKey::of([])))
}

fn login(username: &str, password: &str) -> Request {
    Request::post(LOGIN.path()).json(&json!({ "username": username, "password": password, "remember": true }))
}

#[test]
fn a_login_s_password_never_reaches_the_service() {
    let upstream = Recorder::start();
    let edge = with_logins(&upstream);
    let client = edge.client();
    client.send(login("ann", "a long password")).expect(200);
    let received = upstream.only();
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body, json!({ "username": "ann", "remember": true }));
    assert!(received.whole && received.header("content-length") == Some(&*received.body.len().to_string()));
    let basic = format!("Basic {}", STANDARD.encode("ann:a long password"));
    let both = login("ann", "a long password").header("authorization", &*basic);
    assert_eq!(client.send(both).problem(400), "two_credentials");
    let twice = r#"{"username":"ann","password":"wrong","password":"a long password"}"#;
    client.send(Request::post(LOGIN.path()).body(twice)).problem(400);
    client.send(login("ann", "a long password").header("content-encoding", "gzip")).problem(415);
    client.send(Request::post(LOGIN.path()).header("authorization", &*basic)).expect(200);
    assert!(upstream.received().iter().all(|request| {
        request.all("authorization").is_empty()
            && !String::from_utf8_lossy(&request.body).contains("long password")
    }));
}

#[test]
fn a_wrong_password_opens_no_box_of_the_browser_s_own_over_a_page() {
    let upstream = Recorder::start();
    let edge = with_logins(&upstream);
    let challenge = |request: Request| {
        let refused = edge.client().send(request);
        assert_eq!(refused.problem(401), "invalid_credentials");
        refused.header("www-authenticate").unwrap().to_ascii_lowercase()
    };
    assert!(!challenge(login("ann", "wrong")).contains("basic"));
    assert!(!challenge(login("nobody", "wrong")).contains("basic"));
    let basic = || {
        let value = format!("Basic {}", STANDARD.encode("ann:wrong"));
        Request::post(LOGIN.path()).header("authorization", value)
    };
    assert!(challenge(basic()).contains("basic"));
    assert!(!challenge(basic().header("sec-fetch-mode", "cors")).contains("basic"));
}

/// Sends the same request so often at once, each over a connection of its own from one address.
fn at_once(client: &Client, count: usize, request: &Request) -> Vec<u16> {
    let sent: Vec<_> = (0..count)
        .map(|_| {
            let (client, request) = (client.clone(), request.clone());
            std::thread::spawn(move || client.send(request).status)
        })
        .collect();
    let mut statuses: Vec<_> = sent.into_iter().map(|thread| thread.join().unwrap()).collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn right_logins_at_once_all_hold_and_wrong_ones_at_once_are_bounded() {
    let upstream = Recorder::start();
    let edge = with_logins(&upstream);
    assert_eq!(at_once(&edge.client(), 12, &login("ann", "a long password")), [200; 12]);
    let statuses = at_once(&edge.client(), 20, &login("ann", "wrong"));
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 5, "{statuses:?}");
    assert!(statuses[5..].iter().all(|status| *status == 429), "{statuses:?}");
}

#[test]
fn a_name_that_looks_like_a_user_and_her_address_locks_nobody_out() {
    let upstream = Recorder::start();
    let edge = with_logins(&upstream);
    let at_home = edge.client();
    at_home.send(login("ann", "a long password")).expect(200);
    for address in ["127.0.0.1", "cus_ann"] {
        for _ in 0..7 {
            at_home.send(login(&format!("ann {address}"), "wrong"));
        }
    }
    at_home.send(login("ann", "a long password")).expect(200);
}

#[test]
fn guesses_from_one_address_do_not_keep_a_login_from_elsewhere_waiting() {
    let upstream = Recorder::start();
    let edge = with_logins(&upstream);
    let (answered, attacker) = (Arc::new(AtomicUsize::new(0)), edge.client());
    let guesses: Vec<_> = (0..100)
        .map(|number| {
            let (client, answered) = (attacker.clone(), answered.clone());
            std::thread::spawn(move || {
                let status = client.send(login(&format!("nobody{number}"), "wrong")).status;
                answered.fetch_add(usize::from(status == 401), Ordering::SeqCst);
                status
            })
        })
        .collect();
    // A made-up name costs a real hash: dozens of them are waiting when the first is done.
    until("the first guess to be hashed", || (answered.load(Ordering::SeqCst) > 0).then_some(()));
    let before = answered.load(Ordering::SeqCst);
    edge.client().send(login("ann", "a long password")).expect(200);
    let overtook = answered.load(Ordering::SeqCst) - before;
    let statuses: Vec<_> = guesses.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(overtook <= 12, "{overtook} guesses went first");
    assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
    // On a slow machine some have waited for too long: they were waiting as well.
    let waited = statuses.iter().filter(|status| matches!(status, 401 | 503)).count();
    assert!(waited > overtook + 12, "{statuses:?}");
}
