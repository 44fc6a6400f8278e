//! The test vectors in `docs/identity-vectors.json`, for those who verify identity tokens in another language: they are what
//! this crate does. `BANK_WRITE_VECTORS=1` writes the file anew.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use bank_sdk::Principal;
use bank_sdk::identity::{Identity, IdentityError, IdentityKeys};
use bank_sdk::stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const NOW: i64 = 1_900_000_000;
const ISSUER: &str = "bank-gateway";
const AUDIENCE: &str = "notes";
const OPERATION: &str = "GET /v1/notes/{id}";
/// Secrets are 32 times this byte.
const KEYS: [(&str, u8); 2] = [("2030-02", 0x22), ("2030-01", 0x11)];

fn header(alg: &str, kid: &str, typ: &str) -> String {
    format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#)
}

/// A token of these parts, signed with a secret of 32 times this byte.
fn token(header: &str, payload: &str, secret: u8) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[secret; 32]), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn usual(payload: &Value) -> String {
    token(&header("HS256", KEYS[0].0, "bank-identity+jwt"), &payload.to_string(), KEYS[0].1)
}

fn whole() -> Value {
    let principal = Principal::customer("cus_1")
        .with_scope("notes:read")
        .with_scope("profile")
        .with_role("teller")
        .with_tenant("north")
        .with_actor("web")
        .with_actor("transactions");
    let identity = Identity::new(
        ISSUER,
        AUDIENCE,
        OPERATION,
        "req_5m0000000000000000000000000",
        Timestamp::from_seconds(NOW),
    );
    serde_json::to_value(identity.for_principal(Arc::new(principal))).unwrap()
}

fn with(member: &str, value: Value) -> Value {
    let mut payload = whole();
    payload[member] = value;
    payload
}

fn without(member: &str) -> Value {
    let mut payload = whole();
    payload.as_object_mut().unwrap().remove(member);
    payload
}

/// Name, token, the verifier's clock, and whether it holds.
fn cases() -> Vec<(&'static str, String, i64, bool)> {
    let good = usual(&whole());
    let (signed, tag) = good.rsplit_once('.').unwrap();
    let (head, payload) = signed.split_once('.').unwrap();
    let raw_tag = URL_SAFE_NO_PAD.decode(tag).unwrap();
    let changed = |text: &str| {
        let (first, rest) = text.split_at(1);
        format!("{}{rest}", if first == "A" { "B" } else { "A" })
    };
    let kind = "bank-identity+jwt";
    let (kid, secret) = KEYS[0];
    let text = whole().to_string();
    vec![
        ("a customer, by two actors", good.clone(), NOW, true),
        ("nobody, on a public operation", usual(&without("prn")), NOW, true),
        ("the key before the newest", token(&header("HS256", KEYS[1].0, kind), &text, KEYS[1].1), NOW, true),
        (
            "spaces between members",
            token(&header("HS256", kid, kind), &text.replace(',', " , "), secret),
            NOW,
            true,
        ),
        ("members that nobody knows yet", usual(&with("new", json!({ "a": 1 }))), NOW, true),
        ("in its last second", good.clone(), NOW + 59, true),
        ("expired within the skew", good.clone(), NOW + 64, true),
        ("issued ahead of our clock, within the skew", good.clone(), NOW - 5, true),
        ("expired beyond the skew", good.clone(), NOW + 65, false),
        ("issued ahead of our clock, beyond the skew", good.clone(), NOW - 6, false),
        ("made to last longer than a minute", usual(&with("exp", json!(NOW + 61))), NOW, false),
        ("of another issuer", usual(&with("iss", json!("friend"))), NOW, false),
        ("for another audience", usual(&with("aud", json!("accounts"))), NOW, false),
        ("for several audiences", usual(&with("aud", json!([AUDIENCE]))), NOW, false),
        ("for another operation", usual(&with("op", json!("PUT /v1/notes/{id}"))), NOW, false),
        ("without an issuer", usual(&without("iss")), NOW, false),
        ("without an audience", usual(&without("aud")), NOW, false),
        ("without an operation", usual(&without("op")), NOW, false),
        ("without a request's id", usual(&without("rid")), NOW, false),
        ("without the time of issue", usual(&without("iat")), NOW, false),
        ("without an expiry", usual(&without("exp")), NOW, false),
        ("with an expiry that is a text", usual(&with("exp", json!((NOW + 60).to_string()))), NOW, false),
        (
            "with a principal without a subject",
            usual(&with("prn", json!({ "kind": "customer" }))),
            NOW,
            false,
        ),
        (
            "with a member twice",
            token(&header("HS256", kid, kind), &text.replacen('{', r#"{"aud":"notes","#, 1), secret),
            NOW,
            false,
        ),
        ("of a key that is not known", token(&header("HS256", "2029-12", kind), &text, secret), NOW, false),
        ("signed with another secret", token(&header("HS256", kid, kind), &text, 0x33), NOW, false),
        (
            "signed with the other key's secret",
            token(&header("HS256", kid, kind), &text, KEYS[1].1),
            NOW,
            false,
        ),
        ("of another algorithm", token(&header("HS512", kid, kind), &text, secret), NOW, false),
        ("of the algorithm `none`", token(&header("none", kid, kind), &text, secret), NOW, false),
        ("of another type", token(&header("HS256", kid, "JWT"), &text, secret), NOW, false),
        (
            "with the header's members in another order",
            token(&format!(r#"{{"kid":"{kid}","alg":"HS256","typ":"{kind}"}}"#), &text, secret),
            NOW,
            false,
        ),
        (
            "with one more member in the header",
            token(
                &format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"{kind}","crit":["exp"]}}"#),
                &text,
                secret,
            ),
            NOW,
            false,
        ),
        ("with a changed payload", format!("{head}.{}.{tag}", changed(payload)), NOW, false),
        ("with a changed signature", format!("{signed}.{}", changed(tag)), NOW, false),
        ("without a signature", format!("{signed}."), NOW, false),
        ("of two parts", signed.to_owned(), NOW, false),
        ("of four parts", format!("{good}.AAAA"), NOW, false),
        ("with a padded signature", format!("{signed}.{}", URL_SAFE.encode(&raw_tag)), NOW, false),
        ("with a signature in plain base64", format!("{signed}.{}", STANDARD.encode(&raw_tag)), NOW, false),
        (
            "with a signature that was cut",
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&raw_tag[..16])),
            NOW,
            false,
        ),
        ("with a payload that is no JSON", token(&header("HS256", kid, kind), "notes", secret), NOW, false),
        ("with a payload that is a list", token(&header("HS256", kid, kind), "[]", secret), NOW, false),
        ("empty", String::new(), NOW, false),
    ]
}

fn verify(keys: &IdentityKeys, token: &str, now: i64) -> Result<Identity, IdentityError> {
    let identity = keys.verify(token)?;
    identity.check_issuer(ISSUER)?;
    identity.check(AUDIENCE, OPERATION, Timestamp::from_seconds(now))?;
    Ok(identity)
}

#[test]
fn the_vectors_are_what_this_crate_does_and_what_the_file_says() {
    let keys = IdentityKeys::new(KEYS.map(|(id, byte)| (id, [byte; 32]))).unwrap();
    let mut told = Vec::new();
    for (name, token, now, holds) in cases() {
        let verified = verify(&keys, &token, now);
        assert_eq!(verified.is_ok(), holds, "{name}: {verified:?}");
        let mut case = json!({ "name": name, "token": token, "now": now, "holds": holds });
        if let Ok(identity) = verified {
            case["payload"] = serde_json::to_value(identity).unwrap();
        }
        told.push(case);
    }
    let document = json!({
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "operation": OPERATION,
        "keys": KEYS.map(|(id, byte)| json!({ "kid": id, "secret_hex": format!("{byte:02x}").repeat(32) })),
        "cases": told,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap();
    text.push('\n');
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/identity-vectors.json");
    if std::env::var_os("BANK_WRITE_VECTORS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept == text, "docs/identity-vectors.json is old; write it anew with BANK_WRITE_VECTORS=1");
}
