//! Somebody with an account at the bank, or who works there.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use edge_tests::{Client, Request, Response, until, until_ok};

/// A user who has signed in.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The client that calls are made with; it has an address of its own.
    pub client: Client,
    /// `cus_…`
    pub id: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// For the next pair of tokens.
    pub refresh_token: String,
    /// For `X-CSRF-Token`.
    pub csrf_token: String,
    /// The session cookie as `name=value`.
    pub cookie: String,
}

impl Customer {
    /// Registers somebody new and signs in.
    #[must_use]
    #[track_caller]
    pub fn register(client: &Client) -> Self {
        let (username, password) = (fresh("c"), fresh("a long password "));
        let body = json!({ "username": username, "password": password, "name": "Test Customer", "email": "test@bank.example" });
        let _ = client.send_patiently(&Request::post("/v1/customers").json(&body)).expect(201);
        Self::sign_in(client, &username, &password)
    }

    /// Signs in.
    #[must_use]
    #[track_caller]
    pub fn sign_in(client: &Client, username: &str, password: &str) -> Self {
        let body = json!({ "username": username, "password": password });
        let response = client.send_patiently(&Request::post("/v1/sessions").json(&body));
        let cookie = response.header("set-cookie").unwrap_or_default();
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let tokens = response.expect(201);
        let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("no `{name}`")).to_owned();
        let mut customer = Self {
            client: client.clone(),
            id: String::new(),
            username: username.to_owned(),
            password: password.to_owned(),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            csrf_token: text("csrf_token"),
            cookie,
        };
        customer.id = customer.get("/v1/me").expect(200)["id"].as_str().unwrap().to_owned();
        customer
    }

    /// The same customer at other gateways.
    #[must_use]
    pub fn at(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }

    /// Sends any request with the access token.
    #[track_caller]
    pub fn send(&self, request: Request) -> Response {
        self.client.send_patiently(&request.bearer(&self.access_token))
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(Request::get(target))
    }

    /// `POST` without idempotency key.
    #[track_caller]
    pub fn post(&self, target: &str, body: &Value) -> Response {
        self.send(Request::post(target).json(body))
    }

    /// `POST` with idempotency key.
    #[track_caller]
    pub fn post_keyed(&self, target: &str, key: &str, body: &Value) -> Response {
        self.send(Request::post(target).key(key).json(body))
    }

    /// Opens an account and returns its id.
    #[must_use]
    #[track_caller]
    pub fn open_account(&self, currency: &str) -> String {
        self.post("/v1/accounts", &json!({ "currency": currency })).expect(201)["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What is on an account, in cents.
    #[must_use]
    #[track_caller]
    pub fn balance(&self, account: &str) -> i64 {
        cents(&self.get(&format!("/v1/accounts/{account}/balance")).expect(200)["balance"])
    }

    /// Sends money under a new key and returns the transfer, whatever became of it in the end.
    #[track_caller]
    pub fn transfer(&self, from: &str, to: &str, amount: i64) -> Value {
        let body = json!({ "from": from, "to": to, "amount": euros(amount) });
        let key = fresh("transfer");
        // A busy bank says "repeat it with the same key".
        let sent = until("an answer to a transfer", || {
            let answer = self.post_keyed("/v1/transfers", &key, &body);
            let is_busy = [(409, "request_in_progress"), (504, "deadline_exceeded")]
                .into_iter()
                .any(|(status, code)| answer.status == status && answer.text().contains(code));
            (!is_busy).then_some(answer)
        });
        self.ended(sent.expect(201))
    }

    /// How a transfer ended that may have been pending when it was told. A busy bank takes its time.
    #[must_use]
    #[track_caller]
    pub fn ended(&self, transfer: Value) -> Value {
        if transfer["status"] != "pending" {
            return transfer;
        }
        let path = format!("/v1/transfers/{}", transfer["id"].as_str().unwrap());
        until_ok("a pending transfer to end", || {
            let now = self.try_get(&path)?;
            if now["status"] == "pending" { Err(now.to_string()) } else { Ok(now) }
        })
    }

    /// `GET`; what was answered instead where that is not 200, as while a service is away.
    ///
    /// # Errors
    /// See above.
    pub fn try_get(&self, target: &str) -> Result<Value, String> {
        let request = Request::get(target).bearer(&self.access_token);
        let answer = self.client.try_send(request).map_err(|error| format!("{target}: {error}"))?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(format!("{target}: {}", answer.text())) }
    }

    /// Every item of a list, page by page.
    #[must_use]
    #[track_caller]
    pub fn all(&self, path: &str) -> Vec<Value> {
        let pages = pages(path, |target| Ok::<_, std::convert::Infallible>(self.get(target).expect(200)));
        let Ok(items) = pages;
        items
    }

    /// Every item of a list; what was answered instead where that is not 200, as while a service is away.
    ///
    /// # Errors
    /// See above.
    pub fn try_all(&self, path: &str) -> Result<Vec<Value>, String> {
        pages(path, |target| self.try_get(target))
    }

    /// The notifications of one transfer, once there is any.
    #[must_use]
    #[track_caller]
    pub fn notifications_of(&self, transfer: &str) -> Vec<Value> {
        until("a notification", || {
            let all = self.all("/v1/notifications");
            let found: Vec<Value> = all.into_iter().filter(|item| names_transfer(item, transfer)).collect();
            (!found.is_empty()).then_some(found)
        })
    }
}

fn pages<E>(path: &str, get: impl Fn(&str) -> Result<Value, E>) -> Result<Vec<Value>, E> {
    let mut items = Vec::new();
    let mut target = format!("{path}?limit=200");
    loop {
        let page = get(&target)?;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => target = format!("{path}?limit=200&after={next}"),
            None => return Ok(items),
        }
    }
}

/// Whether a notification is about this transfer.
fn names_transfer(notification: &Value, transfer: &str) -> bool {
    notification["transfer"] == transfer || notification["transfer"]["id"] == transfer
}

/// A text that no other test uses.
pub(crate) fn fresh(start: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0; 5];
    bank_stores::Random::fill(&bank_stores::SystemRandom::new(), &mut bytes);
    let random = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{start}{random:010x}{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Money in euros, as it stands on the wire.
#[must_use]
pub fn euros(cents: i64) -> Value {
    let sign = if cents < 0 { "-" } else { "" };
    json!({ "amount": format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100), "currency": "EUR" })
}

/// The cents of money on the wire.
///
/// # Panics
/// Where it is no money with two decimals.
#[must_use]
#[track_caller]
pub fn cents(money: &Value) -> i64 {
    let text = money["amount"].as_str().unwrap_or_else(|| panic!("no money: {money}"));
    let (whole, part) = text.split_once('.').unwrap_or_else(|| panic!("no decimals: {money}"));
    assert_eq!(part.len(), 2, "{money}");
    format!("{whole}{part}").parse().unwrap()
}
