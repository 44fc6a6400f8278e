//! Logins, and who fails too often.

use super::*;

#[derive(Debug)]
struct OneUser(StoredPassword);

#[async_trait]
impl PasswordStore for OneUser {
    async fn password(&self, username: &str) -> Result<Option<StoredPassword>, Error> {
        Ok((username == "ann").then(|| self.0.clone()))
    }
}

fn passwords() -> Passwords {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(64, 1, 1, None).unwrap();
    let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = hasher.hash_password_with_salt(b"a long password", &[3; 16]).unwrap().to_string();
    Passwords::new(Arc::new(OneUser(StoredPassword::new(hash, Arc::new(Principal::customer("cus_ann"))))))
}

#[test]
fn a_login_refused_at_the_gateway_never_reaches_identity() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(OneKey::of([]))
            .passwords(passwords())
            .rate_limit("login", Quota::per_second(1_000))
            .rate_limit("registration", Quota::per_second(1_000))
            .service(identity::api(), Upstream::at([upstream.url()]).identity_keys(identity_keys()))
    });
    let client = edge.client();
    let login = |username: &str, password: &str| {
        Request::post("/v1/sessions").json(&json!({ "username": username, "password": password }))
    };
    let basic = |pair: &str| {
        Request::post("/v1/sessions").header("authorization", format!("Basic {}", STANDARD.encode(pair)))
    };
    let wrong = client.send(login("ann", "a wrong password"));
    assert_eq!(wrong.problem(401), "invalid_credentials");
    let unknown = client.send(login("nobody", "a wrong password"));
    assert_eq!(unknown.problem(401), "invalid_credentials");
    assert_eq!(
        wrong.json()["detail"],
        unknown.json()["detail"],
        "an unknown user answers as a wrong password does"
    );
    client.send(basic("ann:a wrong password")).problem(401);
    client.send(basic("no colon")).problem(401);
    client.send(Request::post("/v1/sessions").header("authorization", "Basic ***")).problem(401);
    client.send(Request::post("/v1/sessions").bearer("x")).problem(401);
    client.send(Request::post("/v1/sessions")).problem(400);
    client.send(Request::post("/v1/sessions").body("{\"username\":\"ann\"")).problem(400);
    assert_eq!(upstream.count(), 0);

    client.send(login("ann", "a long password")).expect(200);
    client.send(basic("ann:a long password")).expect(200);
    let received = upstream.received();
    assert_eq!(received.len(), 2);
    for request in received {
        let identity = identity_keys().verify(request.header("bank-identity").unwrap()).unwrap();
        assert_eq!((&*identity.audience, &*identity.operation), ("identity", "POST /v1/sessions"));
        assert_eq!(identity.principal.unwrap().subject, "cus_ann");
        assert_eq!(request.header("authorization"), None, "a password goes no further than it must");
    }
}

#[test]
fn after_five_failures_a_user_waits_but_not_where_its_owner_signed_in() {
    let upstream = Recorder::start();
    let edge = Edge::start(|builder| {
        builder
            .authenticate(OneKey::of([]))
            .passwords(passwords())
            .rate_limit("login", Quota::per_second(1_000))
            .rate_limit("registration", Quota::per_second(1_000))
            .service(identity::api(), Upstream::at([upstream.url()]).identity_keys(identity_keys()))
    });
    let login = |password: &str| {
        Request::post("/v1/sessions").json(&json!({ "username": "ann", "password": password }))
    };
    let at_home = edge.client();
    at_home.send(login("a long password")).expect(200);
    for _ in 0..5 {
        edge.client().send(login("wrong")).problem(401);
    }
    at_home.send(login("a long password")).expect(200);
    // From another address, and with the right password: the account waits, not the guesser alone, and what its owner does at
    // home forgives nobody elsewhere.
    let refused = until("a login to be refused", || {
        // Each wrong one counts, so that the wait begins again where this machine was slower than the wait.
        let answer = edge.client().send(login("wrong"));
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.problem(429), "too_many_failures");
    assert!(refused.header("retry-after").is_some());
    until("the wait to end", || (edge.client().send(login("a long password")).status == 200).then_some(()));
}
