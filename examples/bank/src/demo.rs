//! `--demo`: users to try the bank with, and some money for two of them. Made once.

use std::time::Duration;

use bank_gateway::Gateway;
use bank_sdk::client::{CallError, Client};
use bank_sdk::stores::{Currency, Money, Random as _, SystemRandom};
use bank_sdk::{Empty, IdempotencyKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::Fatal;
use crate::files::{Files, read_or_create, replace};

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
struct Kept(std::collections::BTreeMap<String, String>);

impl DemoUsers {
    pub(crate) fn load_or_create(files: &Files) -> Result<Self, Fatal> {
        let new = USERS.map(|(username, ..)| (username.to_owned(), password()));
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

    /// One line a user.
    #[allow(clippy::print_stdout, reason = "the program's contract")]
    pub(crate) fn print(&self) {
        for user in &self.users {
            println!("demo {} {}", user.username, user.password);
        }
    }

    /// Gives alice and bob an account and some money, through the gateway like everybody; once.
    pub(crate) async fn fund(&self, gateway: &Gateway) -> Result<(), Fatal> {
        let done = self.files.path("demo-funded");
        if done.exists() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            match self.try_fund(gateway).await {
                Ok(()) => return replace(&done, b"").map_err(Fatal::new),
                // In many processes the services may still be starting.
                Err(error) if tries >= 60 => return Err(Fatal::caused("the demo's accounts", &error)),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
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
        let client = Client::new(gateway.clone());
        let tokens = client.call(identity::endpoints::SIGN_IN, &credentials).send().await?;
        client.call(identity::endpoints::JWKS, &Empty {}).send().await?;
        // A token is base64url.
        Ok(client.clone().bearer(tokens.access_token.expose()).unwrap_or(client))
    }
}

/// 96 random bits in 16 characters.
fn password() -> String {
    let mut bytes = [0; 12];
    SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
