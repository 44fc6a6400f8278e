use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use bank_sdk::PrincipalKind;
use bank_stores::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_900_000_000;

enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// Somebody who makes tokens, with one key.
struct Issuer {
    signer: Signer,
    jwk: Value,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn new(kid: &str) -> Self {
        Self::ec(kid, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256")
    }

    fn ec(kid: &str, algorithm: &'static EcdsaSigningAlgorithm, curve: &str) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let point = &pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({ "kty": "EC", "crv": curve, "kid": kid, "x": encoded(x), "y": encoded(y) });
        Self { signer: Signer::Ec(pair), jwk }
    }

    fn ed(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encoded(pair.public_key()) });
        Self { signer: Signer::Ed(pair), jwk }
    }

    fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
        let e = e.big_endian_without_leading_zero();
        let jwk = json!({ "kty": "RSA", "kid": kid, "n": encoded(n), "e": encoded(e) });
        Self { signer: Signer::Rsa(pair), jwk }
    }

    fn keys(&self) -> KeySet {
        KeySet::json(&json!({ "keys": [self.jwk] }).to_string()).unwrap()
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let random = SystemRandom::new();
        let signature = match &self.signer {
            Signer::Ec(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Signer::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let is_pss = header.contains("PS256");
                let encoding: &'static dyn RsaEncoding =
                    if is_pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", encoded(signature))
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "at+jwt", "kid": "one" })
}

fn claims() -> Value {
    json!({ "iss": "https://bank.example", "sub": "cus_1", "aud": "bank", "iat": NOW, "exp": NOW + 600, "scope": "a b" })
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

fn without(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().remove(name);
    base
}

fn scheme(issuer: &Issuer) -> (Jwt, ManualClock) {
    let clock = ManualClock::at(Timestamp::from_seconds(NOW));
    let jwt = Jwt::new(issuer.keys())
        .issuer("https://bank.example")
        .audience("bank")
        .clock(Arc::new(clock.clone()));
    (jwt, clock)
}

fn request(token: &str) -> Request<Body> {
    Request::get("/").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap()
}

async fn verify(jwt: &Jwt, token: &str) -> Result<Arc<Principal>, Problem> {
    jwt.verify(token, Network::default()).await
}

#[tokio::test]
async fn a_good_token_gives_its_principal() {
    let issuer = Issuer::new("one");
    let (jwt, _) = scheme(&issuer);
    let principal = verify(&jwt, &issuer.sign(&header(), &claims())).await.unwrap();
    assert_eq!((&*principal.subject, principal.scopes.len()), ("cus_1", 2));
    let several = with(claims(), "aud", json!(["other", "bank"]));
    assert!(verify(&jwt, &issuer.sign(&header(), &several)).await.is_ok());
}

#[tokio::test]
async fn s9_each_kind_of_key_verifies_its_own_algorithms_and_no_other() {
    let all =
        ["RS256", "RS384", "PS256", "PS512", "ES256", "ES384", "EdDSA", "Ed25519", "HS256", "none", "rs256"];
    let kinds = [
        (Issuer::rsa("one"), ["RS256", "PS256"]),
        (Issuer::new("one"), ["ES256", "ES256"]),
        (Issuer::ec("one", &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"), ["ES384", "ES384"]),
        (Issuer::ed("one"), ["EdDSA", "Ed25519"]),
    ];
    for (issuer, accepted) in kinds {
        let (jwt, _) = scheme(&issuer);
        for alg in all {
            let token = issuer.sign(&with(header(), "alg", json!(alg)), &claims());
            assert_eq!(
                verify(&jwt, &token).await.is_ok(),
                accepted.contains(&alg),
                "{alg} by {}",
                issuer.jwk
            );
        }
    }
    // A key that says which one it is for is for no other, and a scheme may accept fewer than its keys.
    let mut issuer = Issuer::rsa("one");
    issuer.jwk["alg"] = json!("RS256");
    let (jwt, _) = scheme(&issuer);
    let [rs, ps] = ["RS256", "PS256"].map(|alg| issuer.sign(&with(header(), "alg", json!(alg)), &claims()));
    assert!(verify(&jwt, &rs).await.is_ok() && verify(&jwt, &ps).await.is_err());
    assert!(verify(&jwt.algorithms(["PS256", "ES256"]), &rs).await.is_err());
}

#[tokio::test]
async fn s9_a_public_key_is_never_taken_for_a_secret() {
    let issuer = Issuer::rsa("one");
    let (jwt, _) = scheme(&issuer);
    for secret in [issuer.jwk["n"].as_str().unwrap().to_owned(), issuer.jwk.to_string()] {
        let signed = format!(
            "{}.{}",
            encoded(with(header(), "alg", json!("HS256")).to_string()),
            encoded(claims().to_string())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        assert!(verify(&jwt, &format!("{signed}.{}", encoded(tag))).await.is_err());
    }
}

#[tokio::test]
async fn s9_a_header_that_asks_for_more_or_is_of_another_type_is_refused() {
    let issuer = Issuer::new("one");
    let (jwt, _) = scheme(&issuer);
    let mut bad = vec![
        without(header(), "typ"),
        with(header(), "typ", json!("JWT")),
        with(header(), "typ", Value::Null),
        without(header(), "kid"),
        with(header(), "kid", json!("two")),
        with(header(), "kid", json!(1)),
        with(header(), "crit", json!(["exp"])),
        with(header(), "jku", json!("https://evil.example")),
        with(header(), "x5u", json!("https://evil.example")),
        with(header(), "jwk", json!({})),
        with(header(), "zip", json!("DEF")),
        with(header(), "b64", json!(false)),
        with(header(), "alg", json!("none")),
        with(header(), "alg", json!(["ES256"])),
    ];
    bad.extend(
        ["crit", "jku", "x5u", "x5c", "jwk", "zip", "b64"].map(|name| with(header(), name, Value::Null)),
    );
    for header in bad {
        assert!(verify(&jwt, &issuer.sign(&header, &claims())).await.is_err(), "{header}");
    }
    let twice = r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"one"}"#;
    assert!(verify(&jwt, &issuer.sign_text(twice, &claims().to_string())).await.is_err());
    for typ in ["AT+JWT", "application/at+jwt", "Application/AT+JWT"] {
        assert!(
            verify(&jwt, &issuer.sign(&with(header(), "typ", json!(typ)), &claims())).await.is_ok(),
            "{typ}"
        );
    }
}

#[tokio::test]
async fn s9_a_claim_that_is_missing_or_of_another_type_is_refused() {
    let issuer = Issuer::new("one");
    let (jwt, _) = scheme(&issuer);
    let mut bad: Vec<Value> = ["iss", "sub", "aud", "exp", "iat"].map(|name| without(claims(), name)).into();
    bad.extend([
        with(claims(), "iss", json!(["https://bank.example"])),
        with(claims(), "iss", json!("https://other.example")),
        with(claims(), "iss", json!(1)),
        with(claims(), "aud", json!({})),
        with(claims(), "aud", json!("other")),
        with(claims(), "aud", json!([])),
        with(claims(), "aud", json!(["bank", 1])),
        with(claims(), "exp", json!((NOW + 600).to_string())),
        with(claims(), "exp", json!(NOW - 11)),
        with(claims(), "exp", json!(1.0e300)),
        with(claims(), "iat", json!(NOW + 60)),
        with(claims(), "nbf", json!(NOW + 60)),
        with(claims(), "nbf", json!("x")),
        with(claims(), "nbf", Value::Null),
        with(claims(), "sub", json!("")),
        with(claims(), "sub", json!(7)),
        with(claims(), "exp", json!(-1)),
        with(claims(), "cnf", json!({ "jkt": "x" })),
        with(claims(), "cnf", Value::Null),
        with(claims(), "scope", json!(["a"])),
        with(claims(), "roles", json!("teller")),
    ]);
    for claims in bad {
        assert!(verify(&jwt, &issuer.sign(&header(), &claims)).await.is_err(), "{claims}");
    }
    let twice = claims().to_string().replacen('{', r#"{"sub":"cus_2","#, 1);
    assert!(verify(&jwt, &issuer.sign_text(&header().to_string(), &twice)).await.is_err());
}

#[tokio::test]
async fn s9_forged_altered_and_oversized_tokens_are_refused() {
    let (issuer, forger) = (Issuer::new("one"), Issuer::new("one"));
    let (jwt, _) = scheme(&issuer);
    assert!(verify(&jwt, &forger.sign(&header(), &claims())).await.is_err());
    let token = issuer.sign(&header(), &claims());
    for bad in [
        format!("{token}="),
        format!("{token}.x"),
        format!(".{token}"),
        token.replace('.', ""),
        token[..token.len() - 2].to_owned(),
        String::new(),
        "..".to_owned(),
    ] {
        assert!(verify(&jwt, &bad).await.is_err(), "{bad}");
    }
    let large = with(claims(), "scope", json!("x".repeat(9_000)));
    assert!(verify(&jwt, &issuer.sign(&header(), &large)).await.is_err());
}

#[tokio::test]
async fn s11_a_remembered_token_ends_with_its_expiry() {
    let issuer = Issuer::new("one");
    let (jwt, clock) = scheme(&issuer);
    let token = issuer.sign(&header(), &claims());
    assert!(jwt.recall(&request(&token)).is_none());
    verify(&jwt, &token).await.unwrap();
    assert!(jwt.recall(&request(&token)).is_some());
    clock.set(Timestamp::from_seconds(NOW + 611));
    assert!(jwt.recall(&request(&token)).is_none() && verify(&jwt, &token).await.is_err());
}

#[tokio::test]
async fn s11_what_one_scheme_verified_says_nothing_about_what_another_accepts() {
    let issuer = Issuer::new("one");
    let (base, _) = scheme(&issuer);
    let token = issuer.sign(&header(), &claims());
    verify(&base, &token).await.unwrap();
    assert!(
        base.clone().recall(&request(&token)).is_some(),
        "a clone that is told nothing shares what is known"
    );
    let other: [(&str, Jwt); 6] = [
        ("audience", base.clone().audience("partners")),
        ("issuer", base.clone().issuer("https://other.example")),
        ("type", base.clone().token_type("JWT")),
        ("algorithms", base.clone().algorithms(["PS256"])),
        ("requirement", base.clone().require(|_| false)),
        ("audience claim", base.clone().audience_claim("client_id")),
    ];
    for (what, other) in other {
        assert!(other.recall(&request(&token)).is_none(), "{what}");
        assert!(verify(&other, &token).await.is_err(), "{what}");
    }
    let mapped = base.clone().claims(|_, principal| principal.roles = vec!["teller".to_owned()]);
    assert!(verify(&mapped, &token).await.unwrap().has_role("teller"));
    assert!(!verify(&base, &token).await.unwrap().has_role("teller"));
}

#[tokio::test]
async fn tokens_of_other_makes_are_accepted_as_configured_and_their_claims_mapped() {
    let issuer = Issuer::rsa("one");
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": "one" });
    let foreign = json!({
        "iss": "https://bank.example", "sub": "u1", "aud": ["account", "bank"], "iat": NOW, "exp": NOW + 60,
        "realm_access": { "roles": ["teller", "offline_access"] }, "scp": ["read", "write"], "azp": "partner",
        "https://bank.example/tenant": "north", "roles": { "not": "a list" }, "tenant": null, "amr": "pwd",
    });
    let (jwt, _) = scheme(&issuer);
    assert!(verify(&jwt, &issuer.sign(&header, &foreign)).await.is_err(), "not without being told to");
    let jwt = jwt.token_type("JWT").claims(|claims, principal| {
        principal.roles = claims.texts("/realm_access/roles");
        principal.scopes = claims.texts("/scp");
        principal.tenant = claims.text("/https:~1~1bank.example~1tenant").map(ToOwned::to_owned);
        if claims.text("/azp") == Some("partner") {
            principal.kind = PrincipalKind::Partner;
        }
    });
    let principal = verify(&jwt, &issuer.sign(&header, &foreign)).await.unwrap();
    assert_eq!(principal.roles, ["teller", "offline_access"]);
    assert_eq!(principal.scopes, ["read", "write"]);
    assert_eq!((principal.tenant.as_deref(), principal.kind), (Some("north"), PrincipalKind::Partner));
    assert!(
        verify(&jwt, &issuer.sign(&with(header.clone(), "typ", json!("at+jwt")), &foreign)).await.is_err()
    );
    let both = jwt.clone().token_type("application/at+jwt");
    assert!(
        verify(&both, &issuer.sign(&with(header.clone(), "typ", json!("at+jwt")), &foreign)).await.is_ok()
    );

    // As Cognito's are: no `typ`, no `aud`.
    let cognito =
        with(with(without(foreign, "aud"), "client_id", json!("bank")), "token_use", json!("access"));
    let jwt = jwt.any_token_type().audience_claim("client_id");
    let jwt = jwt.require(|claims| claims.text("/token_use") == Some("access"));
    let header = without(header, "typ");
    assert!(verify(&jwt, &issuer.sign(&header, &cognito)).await.is_ok());
    assert!(verify(&jwt, &issuer.sign(&header, &with(cognito, "token_use", json!("id")))).await.is_err());
}

#[tokio::test]
async fn tokens_that_do_not_hold_cost_a_bounded_number_of_signature_checks() {
    let (issuer, forger) = (Issuer::new("one"), Issuer::new("one"));
    let (jwt, _) = scheme(&issuer);
    let jwt = jwt.failure_limit(Quota::per_hour(5));
    let (here, elsewhere) = (Network::test(1), Network::test(2));
    let known = issuer.sign(&header(), &claims());
    jwt.verify(&known, here).await.unwrap();
    let mut statuses = Vec::new();
    for number in 0..7 {
        let forged = forger.sign(&header(), &with(claims(), "jti", json!(number)));
        statuses.push(jwt.verify(&forged, here).await.unwrap_err().status().as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429]);
    let fresh = issuer.sign(&header(), &with(claims(), "jti", json!("fresh")));
    assert!(jwt.verify(&known, here).await.is_ok() && jwt.verify(&fresh, elsewhere).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn s10_a_key_that_is_taken_out_of_its_file_is_not_believed_any_more_nor_are_tokens_that_are_known() {
    let (one, two) = (Issuer::new("one"), Issuer::new("two"));
    let set = |issuers: &[&Issuer]| {
        json!({ "keys": issuers.iter().map(|issuer| &issuer.jwk).collect::<Vec<_>>() }).to_string()
    };
    let path = std::env::temp_dir().join(format!("bank-gateway-keys-{}.json", std::process::id()));
    std::fs::write(&path, set(&[&one, &two])).unwrap();
    let clock = ManualClock::at(Timestamp::from_seconds(NOW));
    let keys = KeySet::file(&path).unwrap();
    let jwt = Jwt::new(keys.clone()).issuer("https://bank.example").audience("bank").clock(Arc::new(clock));
    let first = one.sign(&header(), &claims());
    let second = two.sign(&with(header(), "kid", json!("two")), &claims());
    assert!(verify(&jwt, &first).await.is_ok() && verify(&jwt, &second).await.is_ok());

    std::fs::write(&path, set(&[&two])).unwrap();
    tokio::time::advance(std::time::Duration::from_secs(3)).await;
    assert!(
        jwt.recall(&request(&first)).is_none(),
        "what is known is not believed before the file was looked at"
    );
    assert!(verify(&jwt, &first).await.is_err());
    assert!(jwt.recall(&request(&second)).is_some(), "a key that stays takes nothing with it");
    assert_eq!(keys.status().ids, ["two"]);

    std::fs::write(&path, "{ half a").unwrap();
    tokio::time::advance(std::time::Duration::from_secs(3)).await;
    assert!(verify(&jwt, &second).await.is_ok() && keys.status().error.is_some());

    let three = Issuer::new("three");
    std::fs::write(&path, set(&[&two, &three])).unwrap();
    let third = three.sign(&with(header(), "kid", json!("three")), &claims());
    assert!(verify(&jwt, &third).await.is_ok(), "an unknown key is looked for at once");

    for emptied in [r#"{"keys":[]}"#, ""] {
        std::fs::write(&path, set(&[&two])).unwrap();
        tokio::time::advance(std::time::Duration::from_secs(3)).await;
        assert!(verify(&jwt, &second).await.is_ok());
        std::fs::write(&path, emptied).unwrap();
        for _ in 0..2 {
            tokio::time::advance(std::time::Duration::from_secs(3)).await;
            let _ = verify(&jwt, &second).await;
        }
        assert!(verify(&jwt, &second).await.is_err(), "{emptied:?}");
    }
    std::fs::remove_file(path).unwrap();
}
