//! A bank of three services in this process, with a network between them that can fail.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use accounts::Accounts;
use accounts::wire::{BalanceAt, NewAccount, NewDeposit};
use async_trait::async_trait;
use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::testing::{Harness, Transport};
use bank_sdk::{DerivationKey, IdempotencyKey, Principal};
use bank_stores::embedded::{MemoryCache, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::items::{Committed, Item, Key, Query, Settled, Transaction, WriteId};
use bank_stores::outbox::{Edge, Events, Position, ShardId};
use bank_stores::{
    Consistency, Currency, Error, ErrorKind, Items, ManualClock, Money, Outbox, Page, SystemRandom, Timestamp,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use identity::{Identity, NewUser, SigningKey};
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};
use transactions::wire::{NewTransfer, Transfer, TransferPath};
use transactions::{Transactions, endpoints};

/// What becomes of calls between services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Weather {
    /// They arrive.
    Fair,
    /// They do not arrive.
    Down,
    /// They arrive, but no answer comes back.
    RepliesLost,
    /// They arrive never, and nobody says so.
    Silent,
}

/// Calls between services, as service `transactions`.
#[derive(Clone)]
pub struct Network {
    accounts: Transport,
    identity: Transport,
    weather: Arc<AtomicU8>,
    pub postings: Arc<AtomicUsize>,
}

impl Network {
    pub fn set(&self, weather: Weather) {
        self.weather.store(weather as u8, Ordering::SeqCst);
    }
}

impl Service<Request<Body>> for Network {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let to_identity = path.starts_with("/internal/v1/customers") && !path.ends_with("/accounts");
        let target = if to_identity { self.identity.clone() } else { self.accounts.clone() };
        if path == "/internal/v1/postings" {
            self.postings.fetch_add(1, Ordering::SeqCst);
        }
        let weather = self.weather.clone();
        Box::pin(async move {
            let now = weather.load(Ordering::SeqCst);
            if now == Weather::Down as u8 {
                return Err("the network is down".into());
            }
            if now == Weather::Silent as u8 {
                std::future::pending::<()>().await;
            }
            let response = target.oneshot(request).await?;
            if now == Weather::RepliesLost as u8 {
                return Err("the reply was lost".into());
            }
            Ok(response)
        })
    }
}

pub struct Bank {
    pub clock: ManualClock,
    pub items: Arc<dyn Items>,
    pub accounts: Harness,
    pub identity: Harness,
    /// The identity service itself, for seeding.
    pub users: Arc<Identity>,
    _directory: tempfile::TempDir,
}

/// One copy of the transactions service.
pub struct Copy {
    pub service: Transactions,
    pub harness: Harness,
    pub network: Network,
}

impl Bank {
    pub async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_893_456_000));
        let random = Arc::new(SystemRandom::new());
        let options = || SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let ledger = Arc::new(SqliteLedger::open(options()).await.unwrap());
        let accounts =
            Accounts::new(ledger, DerivationKey::new(&[1; 32]), Arc::new(clock.clone()), random.clone());
        let directory = tempfile::tempdir().unwrap();
        let key = SigningKey::load_or_create(directory.path().join("key")).unwrap();
        let users = Arc::new(SqliteItems::open(options()).await.unwrap());
        let cache = Arc::new(MemoryCache::new());
        let users = Arc::new(Identity::new(users, cache, key, Arc::new(clock.clone()), random));
        Self {
            items: Arc::new(SqliteItems::open(options()).await.unwrap()),
            accounts: Harness::shared(Arc::new(accounts), clock.clone()).unwrap(),
            identity: Harness::shared(users.clone(), clock.clone()).unwrap(),
            users,
            clock,
            _directory: directory,
        }
    }

    /// A copy of the transactions service over the bank's one store, as a process of its own would be. It answers `pending` after
    /// a time that no outcome takes which comes at all, on however busy a machine.
    pub fn start(&self) -> Copy {
        self.start_with(Duration::from_secs(60))
    }

    /// A copy that answers `pending` before an outcome can come, for a network that lets none come.
    pub fn start_impatient(&self) -> Copy {
        self.start_with(Duration::from_millis(300))
    }

    fn start_with(&self, patience: Duration) -> Copy {
        let me = Principal::service("transactions");
        let network = Network {
            accounts: self.accounts.transport(Some(me.clone())),
            identity: self.identity.transport(Some(me)),
            weather: Arc::new(AtomicU8::new(Weather::Fair as u8)),
            postings: Arc::default(),
        };
        let client = Client::new(network.clone());
        let clock = Arc::new(self.clock.clone());
        let service = Transactions::new(self.items.clone(), client, DerivationKey::new(&[2; 32]), clock)
            .patience(patience);
        let harness = Harness::shared(Arc::new(service.clone()), self.clock.clone()).unwrap();
        Copy { service, harness, network }
    }

    pub async fn account(&self, owner: &str, currency: Currency, minor: i64) -> String {
        let principal = Principal::customer(owner).with_scope("accounts:write");
        let new = NewAccount::new(currency);
        let account =
            self.accounts.client(principal).call(accounts::endpoints::OPEN, &new).send().await.unwrap();
        if minor > 0 {
            let teller = self.accounts.client(Principal::customer("cus_teller").with_role("teller"));
            let amount = Money::from_minor(minor, currency);
            let deposit = NewDeposit { account: account.id.clone(), amount, reference: None };
            let key = key(&account.id);
            teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&key).send().await.unwrap();
        }
        account.id
    }

    pub async fn balance(&self, owner: &str, account: &str) -> i64 {
        let client = self.accounts.client(Principal::customer(owner).with_scope("accounts:read"));
        let path = BalanceAt::now(account);
        client.call(accounts::endpoints::BALANCE, &path).send().await.unwrap().balance.minor()
    }

    pub async fn user(&self, username: &str, name: &str) -> String {
        let email = format!("{username}@bank.example");
        let user = NewUser { username, password: "a long password", name, email: &email, roles: &[] };
        self.users.seed_user(user).await.unwrap().id
    }
}

/// Items that can be read no longer after so many commits.
#[derive(Debug)]
pub struct Failing {
    pub inner: Arc<dyn Items>,
    pub reads_after: AtomicI64,
}

#[async_trait]
impl Items for Failing {
    async fn get(&self, key: &Key, read: Consistency) -> bank_stores::Result<Option<Item>> {
        match self.reads_after.load(Ordering::SeqCst) {
            ..=0 => Err(Error::new(ErrorKind::Unavailable, "away")),
            _ => self.inner.get(key, read).await,
        }
    }

    async fn commit(&self, transactions: Vec<Transaction>) -> Vec<bank_stores::Result<Committed>> {
        let outcomes = self.inner.commit(transactions).await;
        self.reads_after.fetch_sub(1, Ordering::SeqCst);
        outcomes
    }

    async fn committed(&self, id: &WriteId) -> bank_stores::Result<Option<Committed>> {
        self.inner.committed(id).await
    }

    async fn settle(&self, id: &WriteId) -> bank_stores::Result<Settled> {
        self.inner.settle(id).await
    }

    async fn query(&self, query: &Query) -> bank_stores::Result<Page<Item>> {
        self.inner.query(query).await
    }
}

#[async_trait]
impl Outbox for Failing {
    async fn shards(&self) -> bank_stores::Result<Vec<ShardId>> {
        self.inner.shards().await
    }

    async fn edge(&self, shard: ShardId, edge: Edge) -> bank_stores::Result<Position> {
        self.inner.edge(shard, edge).await
    }

    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> bank_stores::Result<Events> {
        self.inner.events(after, limit, wait).await
    }

    async fn consumed(&self, consumer: &str, position: &Position) -> bank_stores::Result<()> {
        self.inner.consumed(consumer, position).await
    }

    async fn positions(&self, consumer: &str) -> bank_stores::Result<Vec<Position>> {
        self.inner.positions(consumer).await
    }

    async fn forget_consumer(&self, consumer: &str) -> bank_stores::Result<()> {
        self.inner.forget_consumer(consumer).await
    }

    async fn forget_events(&self, before: Timestamp) -> bank_stores::Result<u64> {
        self.inner.forget_events(before).await
    }
}

/// An answer, as bytes go over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub status: StatusCode,
    pub content_type: String,
    pub replayed: bool,
    pub retry_after: Option<String>,
    pub body: Bytes,
}

impl Raw {
    pub fn transfer(&self) -> Transfer {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        document["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Copy {
    pub fn client(&self, customer: &str) -> Client {
        self.harness.client(principal(customer))
    }

    pub async fn raw(&self, customer: &str, token: &str, transfer: &NewTransfer) -> Raw {
        let body = serde_json::to_vec(transfer).unwrap();
        let request = Request::post("/v1/transfers")
            .header("content-type", "application/json")
            .header("idempotency-key", format!("\"{token}\""))
            .body(Body::from(body))
            .unwrap();
        let response = self.harness.transport(Some(principal(customer))).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        Raw {
            status: parts.status,
            content_type: text("content-type").unwrap_or_default(),
            replayed: text("idempotency-replayed").as_deref() == Some("true"),
            retry_after: text("retry-after"),
            body: body.read(100_000).await.unwrap(),
        }
    }

    /// Repeats the request for as long as the first one with its key is running, as the answer asks for.
    pub async fn answered(&self, customer: &str, token: &str, transfer: &NewTransfer) -> Raw {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.raw(customer, token, transfer).await;
            if answer.status != StatusCode::CONFLICT {
                return answer;
            }
            assert!(Instant::now() < deadline, "the first request goes on for ever: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn find(&self, customer: &str, id: &str) -> Result<Transfer, CallError> {
        let path = TransferPath { id: id.to_owned() };
        self.client(customer).call(endpoints::FIND, &path).send().await
    }

    /// Resumes what there is to resume and waits until it is done.
    pub async fn resume_until_settled(&self, customer: &str, id: &str) -> Transfer {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.service.resume_once().await.unwrap();
            let transfer = self.find(customer, id).await.unwrap();
            if transfer.status != transactions::wire::TransferStatus::Pending {
                return transfer;
            }
            assert!(Instant::now() < deadline, "the transfer stayed pending");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub fn principal(customer: &str) -> Principal {
    Principal::customer(customer)
        .with_scope("transfers:write")
        .with_scope("transfers:read")
        .with_scope("payees:read")
}

pub fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub fn transfer(from: &str, to: &str, minor: i64) -> NewTransfer {
    let amount = Money::from_minor(minor, Currency::EUR);
    NewTransfer { from: from.to_owned(), to: to.to_owned(), amount, reference: Some("rent".to_owned()) }
}

pub fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> (u16, String) {
    let error = outcome.unwrap_err();
    let problem = error.problem().unwrap();
    (problem.status().as_u16(), problem.code().unwrap_or_default().to_owned())
}
