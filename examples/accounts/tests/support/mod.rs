//! An accounts service with an identity service beside it, and a network between them that can fail.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod meanwhile;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use accounts::wire::{
    Account, Deposit, Hold, NewAccount, NewDeposit, NewHold, NewPosting, NewWithdrawal, Posted, Withdrawal,
};
use accounts::{Accounts, endpoints};
use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::testing::{Harness, Transport};
use bank_sdk::{DerivationKey, IdempotencyKey, Principal};
use bank_stores::embedded::{MemoryCache, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::ledger::Command;
use bank_stores::{Currency, ManualClock, Money, SystemRandom, Timestamp};
use http::{Request, Response};
use identity::{Identity, NewUser, SigningKey};
use meanwhile::{After, Meanwhile};
use tower::{BoxError, Service, ServiceExt as _};

/// Calls from accounts to identity.
#[derive(Clone)]
struct Network {
    identity: Transport,
    down: Arc<AtomicBool>,
}

impl Service<Request<Body>> for Network {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (identity, down) = (self.identity.clone(), self.down.clone());
        Box::pin(async move {
            if down.load(Ordering::SeqCst) {
                return Err("the network is down".into());
            }
            Ok(identity.oneshot(request).await?)
        })
    }
}

pub struct Bank {
    pub harness: Harness,
    pub clock: ManualClock,
    pub ledger: Arc<SqliteLedger>,
    users: Arc<Identity>,
    down: Arc<AtomicBool>,
    _directory: tempfile::TempDir,
}

impl Bank {
    pub async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_893_456_000));
        let random = Arc::new(SystemRandom::new());
        let options = || SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(directory.path().join("key")).unwrap();
        let items = Arc::new(SqliteItems::open(options()).await.unwrap());
        let cache = Arc::new(MemoryCache::new());
        let users = Arc::new(Identity::new(items, cache, key, Arc::new(clock.clone()), random.clone()));
        let identity = Harness::shared(users.clone(), clock.clone()).unwrap();
        let down = Arc::<AtomicBool>::default();
        let network = Network {
            identity: identity.transport(Some(Principal::service("accounts"))),
            down: down.clone(),
        };
        let ledger = Arc::new(SqliteLedger::open(options()).await.unwrap());
        let derivation = DerivationKey::new(&[7; 32]);
        let accounts = Accounts::new(ledger.clone(), derivation, Arc::new(clock.clone()), random)
            .identity(Client::new(network));
        let harness = Harness::shared(Arc::new(accounts), clock.clone()).unwrap();
        Self { harness, clock, ledger, users, down, _directory: directory }
    }

    /// The service over the same ledger, in which these commands happen after the first such read.
    pub fn with_ledger_that_moves(&self, after: After, then: Vec<Command>) -> Harness {
        let (inner, clock) = (self.ledger.clone(), self.clock.clone());
        let ledger = Arc::new(Meanwhile { inner, clock, after, then: Mutex::new(then) });
        let (clock, random) = (Arc::new(self.clock.clone()), Arc::new(SystemRandom::new()));
        let accounts = Accounts::new(ledger, DerivationKey::new(&[7; 32]), clock, random);
        Harness::shared(Arc::new(accounts), self.clock.clone()).unwrap()
    }

    /// Whether identity cannot be reached.
    pub fn cut_off_identity(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    pub async fn user(&self, username: &str, name: &str) -> String {
        let email = format!("{username}@bank.example");
        let user = NewUser { username, password: "a long password", name, email: &email, roles: &[] };
        self.users.seed_user(user).await.unwrap().id
    }

    pub fn customer(&self, id: &str) -> Client {
        let principal = Principal::customer(id).with_scope("accounts:read").with_scope("accounts:write");
        self.harness.client(principal)
    }

    pub fn staff(&self, role: &str) -> Client {
        self.harness.client(Principal::customer(format!("cus_{role}")).with_role(role))
    }

    pub fn transactions(&self) -> Client {
        self.harness.client(Principal::service("transactions"))
    }

    pub async fn account(&self, owner: &str, cents: i64) -> String {
        let new = NewAccount::new(Currency::EUR);
        let account: Account = self.customer(owner).call(endpoints::OPEN, &new).send().await.unwrap();
        if cents > 0 {
            self.deposit(&account.id, cents, "Welcome").await.unwrap();
        }
        account.id
    }

    pub async fn deposit(&self, account: &str, cents: i64, reference: &str) -> Result<Deposit, CallError> {
        let reference = Some(reference.to_owned());
        let new = NewDeposit { account: account.to_owned(), amount: eur(cents), reference };
        self.staff("teller").call(endpoints::DEPOSIT, &new).key(&fresh_key()).send().await
    }

    pub async fn withdraw(&self, account: &str, cents: i64, token: &str) -> Result<Withdrawal, CallError> {
        let new = NewWithdrawal {
            account: account.to_owned(),
            amount: eur(cents),
            reference: Some("counter".to_owned()),
        };
        self.staff("teller").call(endpoints::WITHDRAW, &new).key(&key(token)).send().await
    }

    pub async fn hold(&self, owner: &str, account: &str, cents: i64) -> Hold {
        let new = NewHold { account: account.to_owned(), amount: eur(cents), expires_in: Some(3_600) };
        self.customer(owner).call(endpoints::PLACE_HOLD, &new).key(&fresh_key()).send().await.unwrap()
    }

    /// Moves money as the transactions service does; gives the posting's id.
    pub async fn pay(&self, customer: &str, from: &str, to: &str, cents: i64, reference: &str) -> String {
        let id = fresh_key().as_str().replace("key", "trf");
        let posting = NewPosting {
            id: id.clone(),
            customer: customer.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            amount: eur(cents),
            reference: Some(reference.to_owned()),
        };
        let posted = self.transactions().call(endpoints::POST, &posting).send().await.unwrap();
        assert!(matches!(posted, Posted::Posted { .. }), "{posted:?}");
        id
    }
}

pub fn eur(cents: i64) -> Money {
    Money::from_minor(cents, Currency::EUR)
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn fresh_key() -> IdempotencyKey {
    key(&bank_stores::random::id(&SystemRandom::new(), "key_"))
}

pub fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> (u16, String) {
    let error = outcome.unwrap_err();
    let problem = error.problem().unwrap();
    (problem.status().as_u16(), problem.code().unwrap_or_default().to_owned())
}
