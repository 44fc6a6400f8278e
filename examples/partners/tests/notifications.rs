//! What the partners service promises: each event told once to each side, in order, and live.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use accounts::Accounts;
use accounts::wire::{NewAccount, NewDeposit};
use bank_sdk::client::{CallError, Client};
use bank_sdk::http::Body;
use bank_sdk::testing::{Harness, Transport};
use bank_sdk::{DerivationKey, IdempotencyKey, Limit, Principal};
use bank_stores::embedded::{MemoryCache, SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::{Currency, Documents, ManualClock, Money, SystemRandom, Timestamp};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use identity::{Identity, NewUser, SigningKey};
use partners::wire::{Notification, NotificationKind, NotificationPath, PageOf};
use partners::{Partners, endpoints};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceExt as _};
use transactions::Transactions;
use transactions::wire::{NewTransfer, Transfer};

/// How long anything is waited for before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calls between services, each to the service whose path it is.
#[derive(Clone)]
struct Network {
    accounts: Transport,
    identity: Transport,
    transactions: Option<Transport>,
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
        let target = if path.starts_with("/internal/v1/transactions") {
            self.transactions.clone()
        } else if path.starts_with("/internal/v1/customers") && !path.ends_with("/accounts") {
            Some(self.identity.clone())
        } else {
            Some(self.accounts.clone())
        };
        Box::pin(async move {
            let target = target.ok_or("there is no such service")?;
            Ok(target.oneshot(request).await?)
        })
    }
}

struct Bank {
    clock: ManualClock,
    accounts: Harness,
    identity: Harness,
    users: Arc<Identity>,
    transactions: Harness,
    documents: Arc<dyn Documents>,
    _directory: tempfile::TempDir,
}

/// One copy of the partners service, following.
struct Copy {
    harness: Harness,
    following: JoinHandle<()>,
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Bank {
    async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_893_456_000));
        let random = Arc::new(SystemRandom::new());
        let options = || SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let ledger = Arc::new(SqliteLedger::open(options()).await.unwrap());
        let accounts =
            Accounts::new(ledger, DerivationKey::new(&[1; 32]), Arc::new(clock.clone()), random.clone());
        let accounts = Harness::shared(Arc::new(accounts), clock.clone()).unwrap();
        let directory = tempfile::tempdir().unwrap();
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
            accounts: accounts.transport(Some(me.clone())),
            identity: identity.transport(Some(me)),
            transactions: None,
        };
        let items = Arc::new(SqliteItems::open(options()).await.unwrap());
        let transactions = Transactions::new(
            items,
            Client::new(network),
            DerivationKey::new(&[2; 32]),
            Arc::new(clock.clone()),
        );
        Self {
            transactions: Harness::shared(Arc::new(transactions), clock.clone()).unwrap(),
            documents: Arc::new(SqliteDocuments::open(options()).await.unwrap()),
            accounts,
            identity,
            users,
            clock,
            _directory: directory,
        }
    }

    async fn start(&self) -> Copy {
        let me = Some(Principal::service("partners"));
        let network = Network {
            accounts: self.accounts.transport(me.clone()),
            identity: self.identity.transport(me.clone()),
            transactions: Some(self.transactions.transport(me)),
        };
        let partners = Partners::new(self.documents.clone(), Client::new(network)).await.unwrap();
        let following = tokio::spawn(partners.clone().follow_events());
        Copy { harness: Harness::shared(Arc::new(partners), self.clock.clone()).unwrap(), following }
    }

    async fn user(&self, username: &str, name: &str) -> String {
        let email = format!("{username}@bank.example");
        let user = NewUser { username, password: "a long password", name, email: &email, roles: &[] };
        self.users.seed_user(user).await.unwrap().id
    }

    async fn account(&self, owner: &str, minor: i64) -> String {
        let principal = Principal::customer(owner).with_scope("accounts:write");
        let new = NewAccount { currency: Currency::EUR, name: None };
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

    async fn send(&self, who: &str, from: &str, to: &str, minor: i64, token: &str) -> Transfer {
        let client = self.transactions.client(Principal::customer(who).with_scope("transfers:write"));
        let reference = Some("rent".to_owned());
        let new = NewTransfer { from: from.to_owned(), to: to.to_owned(), amount: eur(minor), reference };
        client.call(transactions::endpoints::CREATE, &new).key(&key(token)).send().await.unwrap()
    }
}

impl Copy {
    fn client(&self, customer: &str) -> Client {
        self.harness.client(reader(customer))
    }

    async fn list(&self, customer: &str) -> Vec<Notification> {
        let page = PageOf { limit: Some(Limit::try_from(200).unwrap()), after: None };
        self.client(customer).call(endpoints::LIST, &page).send().await.unwrap().items
    }

    /// The customer's notifications, once there are so many.
    async fn list_of(&self, customer: &str, count: usize) -> Vec<Notification> {
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

    async fn listen(&self, customer: &str, last: Option<&str>) -> Stream {
        let mut request = Request::get("/v1/events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let transport = self.harness.transport(Some(reader(customer)));
        let response = transport.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Stream { body: response.into_body(), text: String::new() };
        assert_eq!(stream.block().await, ":", "the first thing shows that the stream is open");
        stream
    }
}

/// Server-sent events as they arrive.
struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn block(&mut self) -> String {
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

    /// Id, name and data of the next event.
    async fn event(&mut self) -> (Option<String>, String, Value) {
        let block = self.block().await;
        let field =
            |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(ToOwned::to_owned);
        let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
        (field("id: "), field("event: ").unwrap(), data)
    }
}

fn reader(customer: &str) -> Principal {
    Principal::customer(customer).with_scope("notifications:read")
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> u16 {
    outcome.unwrap_err().problem().unwrap().status().as_u16()
}

#[tokio::test]
async fn both_sides_are_told_of_a_transfer_and_the_owner_of_a_deposit() {
    let bank = Bank::open().await;
    let (alice, bob) = (bank.user("alice", "Alice Example").await, bank.user("bob", "Bob Example").await);
    let (from, to) = (bank.account(&alice, 10_000).await, bank.account(&bob, 0).await);
    let copy = bank.start().await;
    copy.list_of(&alice, 1).await;
    let sent = bank.send(&alice, &from, &to, 1_234, "a").await;
    let rejected = bank.send(&alice, &from, &to, 99_999, "b").await;
    let told = copy.list_of(&alice, 3).await;
    let wire: Vec<_> =
        told.iter().map(|told| (told.kind, told.transfer.clone(), told.amount, told.read)).collect();
    assert_eq!(
        wire,
        [
            (NotificationKind::TransferRejected, Some(rejected.id), eur(99_999), false),
            (NotificationKind::TransferSent, Some(sent.id.clone()), eur(1_234), false),
            (NotificationKind::DepositReceived, None, eur(10_000), false),
        ]
    );
    assert_eq!(told[1].body, "You sent 12.34 EUR to Bob Example: rent");
    assert_eq!(told[2].body, "100.00 EUR was paid in: cash");
    let told = copy.list_of(&bob, 1).await;
    assert_eq!((told.len(), told[0].kind), (1, NotificationKind::TransferReceived));
    assert_eq!(
        (&*told[0].body, told[0].transfer.as_ref()),
        ("You received 12.34 EUR from Alice Example: rent", Some(&sent.id))
    );
}

#[tokio::test]
async fn a_notification_is_read_by_its_customer_only() {
    let bank = Bank::open().await;
    bank.account("cus_alice", 100).await;
    let copy = bank.start().await;
    let told = copy.list_of("cus_alice", 1).await;
    let path = NotificationPath { id: told[0].id.clone() };
    for (who, id) in [("cus_bob", &*path.id), ("cus_alice", "ntf_nothing"), ("cus_alice", "no id")] {
        let path = NotificationPath { id: id.to_owned() };
        assert_eq!(refused(copy.client(who).call(endpoints::READ, &path).send().await), 404);
    }
    for _ in 0..2 {
        let read = copy.client("cus_alice").call(endpoints::READ, &path).send().await.unwrap();
        assert_eq!(read, Notification { read: true, ..told[0].clone() });
    }
    assert!(copy.list("cus_alice").await[0].read);
    let nobody = copy.harness.client(Principal::customer("cus_alice"));
    assert_eq!(refused(nobody.call(endpoints::LIST, &PageOf::default()).send().await), 403);
}

#[tokio::test]
async fn notifications_come_in_pages_newest_first() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 100).await, bank.account("cus_bob", 0).await);
    for minor in 1..=4 {
        bank.send("cus_alice", &from, &to, minor, &minor.to_string()).await;
    }
    let copy = bank.start().await;
    copy.list_of("cus_bob", 4).await;
    let mut page = PageOf { limit: Some(Limit::try_from(3).unwrap()), after: None };
    let mut amounts = Vec::new();
    loop {
        let list = copy.client("cus_bob").call(endpoints::LIST, &page).send().await.unwrap();
        amounts.extend(list.items.iter().map(|told| told.amount.minor()));
        let Some(next) = list.next else { break };
        page.after = Some(next);
    }
    assert_eq!(amounts, [4, 3, 2, 1]);
}

#[tokio::test]
async fn events_arrive_live_and_are_resumed_where_they_broke_off() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 100).await, bank.account("cus_bob", 0).await);
    let copy = bank.start().await;
    copy.list_of("cus_alice", 1).await;
    let mut alice = copy.listen("cus_alice", None).await;
    let mut bob = copy.listen("cus_bob", Some("not one of ours")).await;
    let first = bank.send("cus_alice", &from, &to, 1, "1").await;
    // What was there before is not told again; money sent is.
    for (stream, direction, kind) in
        [(&mut alice, "out", "transfer_sent"), (&mut bob, "in", "transfer_received")]
    {
        let (id, name, data) = stream.event().await;
        assert_eq!(
            (id, &*name, &data["id"], &data["direction"]),
            (None, "transfer", &first.id.clone().into(), &direction.into())
        );
        assert_eq!((&data["status"], &data["amount"]["amount"]), (&"completed".into(), &"0.01".into()));
        let (id, name, data) = stream.event().await;
        assert!(id.is_some());
        assert_eq!(
            (&*name, &data["kind"], &data["transfer"]),
            ("notification", &kind.into(), &first.id.clone().into())
        );
    }
    drop(bob);
    let second = bank.send("cus_alice", &from, &to, 2, "2").await;
    let third = bank.send("cus_alice", &from, &to, 3, "3").await;
    copy.list_of("cus_bob", 3).await;
    // Bob has seen his first, and another process resumes.
    let other = bank.start().await;
    let mut bob = other.listen("cus_bob", Some("1")).await;
    for (number, transfer) in [("2", &second), ("3", &third)] {
        assert_eq!(bob.event().await.2["id"], Value::from(transfer.id.clone()));
        let (id, _, data) = bob.event().await;
        assert_eq!((id.as_deref(), &data["transfer"]), (Some(number), &transfer.id.clone().into()));
    }
    // What the one process writes, a stream of the other finds too.
    drop(copy);
    let fourth = bank.send("cus_alice", &from, &to, 4, "4").await;
    assert_eq!(bob.event().await.2["id"], Value::from(fourth.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_and_by_however_many_events_are_taken_each_side_is_told_once() {
    let bank = Bank::open().await;
    let (from, to) = (bank.account("cus_alice", 10_000).await, bank.account("cus_bob", 0).await);
    let mut sent = HashSet::new();
    let mut copies = Vec::new();
    for round in 0..20 {
        // Copies come and go while events arrive: each that goes is cut off wherever it happens to be.
        match copies.len() {
            0..2 => copies.push(bank.start().await),
            at => drop(copies.remove(round % at)),
        }
        for at in 0..5 {
            sent.insert(bank.send("cus_alice", &from, &to, 1, &format!("{round}-{at}")).await.id);
        }
    }
    let last = bank.start().await;
    for (who, kind) in
        [("cus_alice", NotificationKind::TransferSent), ("cus_bob", NotificationKind::TransferReceived)]
    {
        let told = last.list_of(who, 100 + usize::from(who == "cus_alice")).await;
        let mut times: HashMap<String, usize> = HashMap::new();
        for told in told.into_iter().filter(|told| told.kind == kind) {
            *times.entry(told.transfer.unwrap()).or_default() += 1;
        }
        assert_eq!(times.keys().cloned().collect::<HashSet<_>>(), sent);
        assert!(times.values().all(|times| *times == 1));
    }
    // Nothing more comes after that, and a stream from the start shows all of it in order without a gap.
    let mut stream = last.listen("cus_bob", Some("0")).await;
    for number in 1..=100 {
        assert_eq!(stream.event().await.1, "transfer");
        assert_eq!(stream.event().await.0, Some(number.to_string()));
    }
}
