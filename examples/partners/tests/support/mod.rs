//! A bank around the partners service, whose stores and services may be replaced.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses its part, and a test that fails may panic"
)]

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use accounts::Accounts;
use accounts::wire::{NewAccount, NewDeposit};
use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::testing::{Harness, Transport};
use bank_sdk::{DerivationKey, Empty, IdempotencyKey, Limit, Principal};
use bank_stores::embedded::{MemoryCache, SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, Posting, PostingId};
use bank_stores::{Currency, Documents, LedgerExt as _, ManualClock, Money, SystemRandom, Timestamp};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use identity::{Identity, NewUser, SigningKey};
use partners::wire::{Inbox, Notification, PageOf, ReadBefore};
use partners::{Partners, endpoints};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};
use transactions::Transactions;
use transactions::wire::{NewTransfer, Transfer};

/// How long anything is waited for before it counts as missing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Calls between services, each to the service whose path it is.
#[derive(Clone)]
pub(crate) struct Network {
    accounts: Swapped,
    identity: Swapped,
    transactions: Option<Transport>,
}

/// A service that may be away, or be started anew over another store, while others call it.
pub(crate) type Swapped = Arc<Mutex<Option<Transport>>>;

impl Service<Request<Body>> for Network {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let target = if path.starts_with("/internal/v1/transactions") {
            self.transactions.clone()
        } else if path.starts_with("/internal/v1/customers") && !path.ends_with("/accounts") {
            self.identity.lock().unwrap().clone()
        } else {
            self.accounts.lock().unwrap().clone()
        };
        Box::pin(async move {
            let target = target.ok_or("there is no such service")?;
            Ok(target.oneshot(request).await?)
        })
    }
}

pub(crate) struct Bank {
    pub(crate) clock: ManualClock,
    pub(crate) accounts: Harness,
    pub(crate) ledger: Arc<SqliteLedger>,
    /// The services whose events partners follows, and the second one's store.
    pub(crate) accounts_service: Accounts,
    pub(crate) transactions_service: Transactions,
    pub(crate) items: Arc<SqliteItems>,
    /// How partners reaches accounts and identity.
    pub(crate) accounts_of_partners: Swapped,
    pub(crate) identity_of_partners: Swapped,
    identity: Harness,
    users: Arc<Identity>,
    transactions: Harness,
    pub(crate) documents: Arc<dyn Documents>,
    pub(crate) directory: tempfile::TempDir,
}

/// One copy of the partners service, following.
pub(crate) struct Copy {
    pub(crate) harness: Harness,
    following: JoinHandle<()>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Bank {
    pub(crate) async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_893_456_000));
        let random = Arc::new(SystemRandom::new());
        let options = || SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let directory = tempfile::tempdir().unwrap();
        let (ledger, accounts_service, accounts) =
            accounts_over(&directory.path().join("ledger.db"), &clock).await;
        let key = SigningKey::load_or_create(directory.path().join("key")).unwrap();
        let users = Arc::new(SqliteItems::open(options()).await.unwrap());
        let users = Arc::new(Identity::new(
            users,
            Arc::new(MemoryCache::new()),
            key,
            Arc::new(clock.clone()),
            random,
        ));
        let identity = Harness::shared(users.clone(), clock.clone()).unwrap();
        let me = Principal::service("transactions");
        let network = Network {
            accounts: Arc::new(Mutex::new(Some(accounts.transport(Some(me.clone()))))),
            identity: Arc::new(Mutex::new(Some(identity.transport(Some(me))))),
            transactions: None,
        };
        let items = Arc::new(SqliteItems::open(options()).await.unwrap());
        let transactions_service = Transactions::new(
            items.clone(),
            Client::new(network),
            DerivationKey::new(&[2; 32]),
            Arc::new(clock.clone()),
        );
        Self {
            transactions: Harness::shared(Arc::new(transactions_service.clone()), clock.clone()).unwrap(),
            documents: Arc::new(SqliteDocuments::open(options()).await.unwrap()),
            accounts_of_partners: Arc::new(Mutex::new(Some(accounts.transport(Some(partners()))))),
            identity_of_partners: Arc::new(Mutex::new(Some(identity.transport(Some(partners()))))),
            accounts,
            ledger,
            accounts_service,
            transactions_service,
            items,
            identity,
            users,
            clock,
            directory,
        }
    }

    pub(crate) async fn start(&self) -> Copy {
        let network = Network {
            accounts: self.accounts_of_partners.clone(),
            identity: self.identity_of_partners.clone(),
            transactions: Some(self.transactions.transport(Some(partners()))),
        };
        let partners = Partners::new(self.documents.clone(), Client::new(network)).await.unwrap();
        let following = tokio::spawn(partners.clone().follow_events());
        Copy { harness: Harness::shared(Arc::new(partners), self.clock.clone()).unwrap(), following }
    }

    /// Accounts starts anew over the ledger in this file; transactions goes on with the old one.
    pub(crate) async fn replace_ledger(&mut self, path: &Path) {
        (self.ledger, self.accounts_service, self.accounts) = accounts_over(path, &self.clock).await;
        let transport = self.accounts.transport(Some(partners()));
        *self.accounts_of_partners.lock().unwrap() = Some(transport);
    }

    /// Identity comes back to partners.
    pub(crate) fn identity_is_back(&self) {
        *self.identity_of_partners.lock().unwrap() = Some(self.identity.transport(Some(partners())));
    }

    pub(crate) async fn deposit(&self, account: &str, minor: i64, token: &str) {
        let teller = self.accounts.client(Principal::customer("cus_teller").with_role("teller"));
        let deposit = NewDeposit { account: account.to_owned(), amount: eur(minor), reference: None };
        teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&key(token)).send().await.unwrap();
    }

    /// Pays cash out, as the ledger books it.
    pub(crate) async fn pay_out(&self, account: &str, minor: i64) {
        let id = |id: &str| AccountId::new(id).unwrap();
        let posting = Posting::new(PostingId::new(format!("wdr_{minor}")).unwrap(), "withdrawal")
            .transfer(id(account), id("acc_house_cash_EUR"), eur(minor))
            .reference("counter");
        self.ledger.post(posting).await.unwrap();
    }

    pub(crate) async fn user(&self, username: &str, name: &str) -> String {
        let email = format!("{username}@bank.example");
        let user = NewUser { username, password: "a long password", name, email: &email, roles: &[] };
        self.users.seed_user(user).await.unwrap().id
    }

    pub(crate) async fn account(&self, owner: &str, minor: i64) -> String {
        let principal = Principal::customer(owner).with_scope("accounts:write");
        let new = NewAccount::new(Currency::EUR);
        let account =
            self.accounts.client(principal).call(accounts::endpoints::OPEN, &new).send().await.unwrap().id;
        if minor > 0 {
            let teller = self.accounts.client(Principal::customer("cus_teller").with_role("teller"));
            let deposit =
                NewDeposit { account: account.clone(), amount: eur(minor), reference: Some("cash".into()) };
            teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&key(&account)).send().await.unwrap();
        }
        account
    }

    pub(crate) async fn send(&self, who: &str, from: &str, to: &str, minor: i64, token: &str) -> Transfer {
        let client = self.transactions.client(Principal::customer(who).with_scope("transfers:write"));
        let reference = Some("rent".to_owned());
        let new = NewTransfer { from: from.to_owned(), to: to.to_owned(), amount: eur(minor), reference };
        client.call(transactions::endpoints::CREATE, &new).key(&key(token)).send().await.unwrap()
    }
}

impl Copy {
    pub(crate) fn client(&self, customer: &str) -> Client {
        self.harness.client(reader(customer))
    }

    pub(crate) async fn list(&self, customer: &str) -> Vec<Notification> {
        self.inbox(customer, 200).await.items
    }

    /// The first page.
    pub(crate) async fn inbox(&self, customer: &str, limit: u32) -> Inbox {
        let page = PageOf { limit: Some(Limit::try_from(limit).unwrap()), after: None };
        self.client(customer).call(endpoints::LIST, &page).send().await.unwrap()
    }

    /// Marks everything up to this one.
    pub(crate) async fn read_before(&self, customer: &str, before: &str) -> Result<Empty, CallError> {
        let read = ReadBefore { before: before.to_owned() };
        self.client(customer).call(endpoints::READ_BEFORE, &read).send().await
    }

    /// The customer's notifications, once there are so many.
    pub(crate) async fn list_of(&self, customer: &str, count: usize) -> Vec<Notification> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let list = self.list(customer).await;
            if list.len() >= count {
                return list;
            }
            assert!(Instant::now() < deadline, "{customer} was not told {count} things: {list:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn listen(&self, customer: &str, last: Option<&str>) -> Stream {
        let mut request = Request::get("/v1/events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let transport = self.harness.transport(Some(reader(customer)));
        let response = transport.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream { body: response.into_body(), text: String::new() };
        assert_eq!(stream.block().await, PING, "the first thing shows that the stream is open");
        stream
    }
}

/// What a stream says now and then.
const PING: &str = "event: ping\ndata: {}";

/// Server-sent events as they arrive.
pub(crate) struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    pub(crate) async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return block;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.unwrap().unwrap();
            let Ok(bytes) = frame.unwrap().into_data() else { panic!("a stream of events has no trailers") };
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next thing is a ping, and comes within this time.
    pub(crate) async fn ping_within(&mut self, time: Duration) {
        let block = tokio::time::timeout(time, self.block()).await.unwrap();
        assert_eq!(block, PING);
    }

    /// Id, name and data of the next event that is no ping.
    pub(crate) async fn event(&mut self) -> (Option<String>, String, Value) {
        let mut block = self.block().await;
        while block == PING {
            block = self.block().await;
        }
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(ToOwned::to_owned);
        let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
        (field("id: "), field("event: ").unwrap(), data)
    }
}

fn partners() -> Principal {
    Principal::service("partners")
}

async fn accounts_over(path: &Path, clock: &ManualClock) -> (Arc<SqliteLedger>, Accounts, Harness) {
    let options = SqliteOptions::new(path).clock(Arc::new(clock.clone()));
    let ledger = Arc::new(SqliteLedger::open(options).await.unwrap());
    let (derivation, random) = (DerivationKey::new(&[1; 32]), Arc::new(SystemRandom::new()));
    let accounts = Accounts::new(ledger.clone(), derivation, Arc::new(clock.clone()), random);
    let harness = Harness::shared(Arc::new(accounts.clone()), clock.clone()).unwrap();
    (ledger, accounts, harness)
}

pub(crate) fn reader(customer: &str) -> Principal {
    Principal::customer(customer).with_scope("notifications:read")
}

pub(crate) fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> u16 {
    outcome.unwrap_err().problem().unwrap().status().as_u16()
}
