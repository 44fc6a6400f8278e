//! `--demo`: users to try the bank with, and some money for two of them. Made once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bank_gateway::Gateway;
use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::serve::Connection;
use bank_sdk::stores::{Currency, Money, Random as _, SystemRandom};
use bank_sdk::{Empty, IdempotencyKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use identity::{Identity, NewUser, Passwords, Users};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

use crate::Fatal;
use crate::files::{Files, read_or_create, replace};
use crate::stores::waiting;
use crate::terminal::print;

const USERS: [(&str, &str, Option<&str>); 5] = [
    ("alice", "Alice Ahrens", None),
    ("bob", "Bob Brandt", None),
    ("teller", "Tilda Teller", Some("teller")),
    ("auditor", "Ada Auditor", Some("auditor")),
    ("operator", "Otto Operator", Some("operator")),
];

/// The users and their passwords, as the data directory keeps them for its owner.
#[derive(Debug)]
pub(crate) struct DemoUsers {
    users: Vec<DemoUser>,
    files: Files,
}

#[derive(Clone, Debug)]
pub(crate) struct DemoUser {
    pub(crate) username: &'static str,
    pub(crate) name: &'static str,
    pub(crate) role: Option<&'static str>,
    pub(crate) password: String,
}

#[derive(Serialize, Deserialize)]
struct Kept(BTreeMap<String, String>);

impl DemoUsers {
    pub(crate) fn load_or_create(files: &Files) -> Result<Self, Fatal> {
        let new = USERS.map(|(username, ..)| (username.to_owned(), new_password()));
        let path = files.path("keys/demo.json");
        let kept = serde_json::to_vec(&Kept(new.into())).map_err(Fatal::new)?;
        let kept = read_or_create(&path, &kept)
            .map_err(|error| Fatal::new(format!("{}: {error}", path.display())))?;
        let Kept(passwords) = serde_json::from_slice(&kept)
            .map_err(|error| Fatal::new(format!("{}: {error}", path.display())))?;
        let users = USERS
            .into_iter()
            .filter_map(|(username, name, role)| {
                let password = passwords.get(username)?.clone();
                Some(DemoUser { username, name, role, password })
            })
            .collect();
        Ok(Self { users, files: files.clone() })
    }

    pub(crate) fn users(&self) -> &[DemoUser] {
        &self.users
    }

    /// Makes those that there are not yet. A customer who has one of these names is left alone: then none is made.
    pub(crate) async fn make(&self, identity: &Identity, users: &Users) -> Result<(), Fatal> {
        let path = self.files.path("keys/demo-ids.json");
        let failed = |error: &dyn std::fmt::Display| Fatal::new(format!("{}: {error}", path.display()));
        let Kept(mut ids) = match std::fs::read(&path) {
            Ok(kept) => serde_json::from_slice(&kept).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept(BTreeMap::new()),
            Err(error) => return Err(failed(&error)),
        };
        let passwords = Passwords::new(Arc::new(SystemRandom::new()));
        for user in &self.users {
            let there = users.by_username(user.username).await;
            let Some(there) = there.map_err(|error| Fatal::caused("the demo's users", &error))? else {
                continue;
            };
            if ids.get(user.username) == Some(&there.id) {
                continue;
            }
            // Who was made by an earlier version is known by the password.
            let hash = Some(there.password_hash.as_str());
            if !passwords.verify(&user.password, hash).await.map_err(Fatal::new)? {
                return Err(foreign(user.username));
            }
        }
        let before = ids.clone();
        for user in &self.users {
            let roles: &[&str] = user.role.as_slice();
            let email = format!("{}@bank.example", user.username);
            let new = NewUser {
                username: user.username,
                password: &user.password,
                name: user.name,
                email: &email,
                roles,
            };
            let made = identity.seed_user(new).await.map_err(Fatal::new)?;
            ids.insert(user.username.to_owned(), made.id);
        }
        if ids != before {
            let kept = serde_json::to_vec(&Kept(ids)).map_err(Fatal::new)?;
            replace(&path, &kept).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// One line a user.
    pub(crate) fn print(&self) {
        for user in &self.users {
            print(&format!("demo {} {}", user.username, user.password));
        }
    }

    /// Gives alice and bob an account and some money, through the gateway like everybody; once.
    pub(crate) async fn fund(&self, gateway: &Gateway, users: &Users) -> Result<(), Fatal> {
        let done = self.files.path("demo-funded");
        if done.exists() {
            return Ok(());
        }
        // In many processes identity may still be starting.
        let reason = "identity has not made the demo's users; start `bank identity --demo`";
        waiting(reason, || async move {
            match users.by_username("operator").await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("there are none".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        // And so may the other services. What is refused stays refused.
        let unless_away = || async {
            match self.try_fund(gateway).await {
                Ok(()) => Ok(Ok(())),
                Err(error) if is_refused(&error) => Ok(Err(error)),
                Err(error) => Err(error),
            }
        };
        match waiting("the services of the demo's accounts do not answer yet", unless_away).await? {
            Ok(()) => replace(&done, b"").map_err(Fatal::new),
            Err(error)
                if error.problem().is_some_and(|problem| problem.status() == StatusCode::UNAUTHORIZED) =>
            {
                Err(Fatal::new(
                    "the demo's users do not have the passwords of keys/demo.json in the data directory; \
                     start without --demo, or with other data",
                ))
            }
            Err(error) => Err(Fatal::caused("the demo's accounts", &error)),
        }
    }

    async fn try_fund(&self, gateway: &Gateway) -> Result<(), CallError> {
        let teller = self.sign_in(gateway, "teller").await?;
        for username in ["alice", "bob"] {
            let customer = self.sign_in(gateway, username).await?;
            let key = |what: &str| {
                IdempotencyKey::parse(&format!("demo-{what}-{username}")).map_err(CallError::Refused)
            };
            let new = accounts::wire::NewAccount::new(Currency::EUR).name("Everyday");
            let account = customer.call(accounts::endpoints::OPEN, &new).key(&key("account")?).send().await?;
            let deposit = accounts::wire::NewDeposit {
                account: account.id,
                amount: Money::from_minor(100_000, Currency::EUR),
                reference: Some("Welcome".to_owned()),
            };
            teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&key("deposit")?).send().await?;
        }
        Ok(())
    }

    async fn sign_in(&self, gateway: &Gateway, username: &str) -> Result<Client, CallError> {
        let password = self.users.iter().find(|user| user.username == username).map(|user| &*user.password);
        let credentials = identity::wire::Credentials {
            username: Some(username.to_owned()),
            password: Some(password.unwrap_or_default().into()),
        };
        // The gateway is called in this process; it has to know from where all the same.
        let here = Arc::new(Connection::new(SocketAddr::from(([127, 0, 0, 1], 0))));
        let client = Client::new(gateway.clone().map_request(move |mut request: Request<Body>| {
            request.extensions_mut().insert(here.clone());
            request
        }));
        let tokens = client.call(identity::endpoints::SIGN_IN, &credentials).send().await?;
        client.call(identity::endpoints::JWKS, &Empty {}).send().await?;
        // A token is base64url.
        Ok(client.clone().bearer(tokens.access_token.expose()).unwrap_or(client))
    }
}

/// Asked again, it would be answered as before, and count against the user.
fn is_refused(error: &CallError) -> bool {
    error.problem().is_some_and(|problem| problem.status().is_client_error())
}

fn foreign(username: &str) -> Fatal {
    Fatal::new(format!(
        "`{username}` exists and is not the demo's; start without --demo, or with other data (--data DIR)"
    ))
}

/// 96 random bits in 16 characters.
pub(crate) fn new_password() -> String {
    let mut bytes = [0; 12];
    SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
