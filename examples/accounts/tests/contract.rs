//! What the accounts service promises, without a socket.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

use std::sync::Arc;

use accounts::wire::{
    Account, AccountPath, BalanceAt, Deposit, EntriesOf, HoldPath, HoldStatus, NewAccount, NewCapture,
    NewDeposit, NewHold, NewPosting, OwnedBy, PageOf, Posted, StatementOf,
};
use accounts::{Accounts, endpoints};
use bank_sdk::client::{CallError, Client};
use bank_sdk::events::EventsAfter;
use bank_sdk::http::Body;
use bank_sdk::testing::Harness;
use bank_sdk::{DerivationKey, Empty, IdempotencyKey, Limit, Principal};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{AccountId, AccountStatus, ChangeAccount, ChangeId, Posting, PostingId};
use bank_stores::{Clock as _, Currency, LedgerExt as _, ManualClock, Money, SystemRandom, Timestamp};
use http::{Request, StatusCode};
use tower::ServiceExt as _;

struct Bank {
    harness: Harness,
    ledger: Arc<SqliteLedger>,
}

impl Bank {
    async fn open() -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_893_456_000));
        let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
        let ledger = Arc::new(SqliteLedger::open(options).await.unwrap());
        let derivation = DerivationKey::new(&[7; 32]);
        let accounts =
            Accounts::new(ledger.clone(), derivation, Arc::new(clock.clone()), Arc::new(SystemRandom::new()));
        Self { harness: Harness::shared(Arc::new(accounts), clock).unwrap(), ledger }
    }

    fn customer(&self, id: &str) -> Client {
        self.harness.client(customer(id))
    }

    fn teller(&self) -> Client {
        self.harness.client(teller())
    }

    fn transactions(&self) -> Client {
        self.harness.client(Principal::service("transactions"))
    }

    async fn account(&self, owner: &str, currency: Currency) -> Account {
        let new = NewAccount::new(currency);
        self.customer(owner).call(endpoints::OPEN, &new).send().await.unwrap()
    }

    async fn deposit(&self, account: &str, minor: i64, token: &str) -> Result<Deposit, CallError> {
        let new = NewDeposit {
            account: account.to_owned(),
            amount: eur(minor),
            reference: Some("cash".to_owned()),
        };
        self.teller().call(endpoints::DEPOSIT, &new).key(&key(token)).send().await
    }

    /// A deposit as bytes go over the wire: status, whether it was a replay, and the body.
    async fn raw_deposit(&self, key: &str, body: &str) -> (StatusCode, bool, Vec<u8>) {
        let mut request = Request::post("/v1/deposits").header("content-type", "application/json");
        request = request.header("idempotency-key", key);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.harness.transport(Some(teller())).oneshot(request).await.unwrap();
        let replayed = response.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
        let status = response.status();
        (status, replayed, response.into_body().read(10_000).await.unwrap().to_vec())
    }

    async fn post(&self, id: &str, customer: &str, from: &str, to: &str, amount: Money) -> Posted {
        let posting = NewPosting {
            id: id.to_owned(),
            customer: customer.to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            amount,
            reference: Some("rent".to_owned()),
        };
        self.transactions().call(endpoints::POST, &posting).send().await.unwrap()
    }

    async fn balance(&self, owner: &str, account: &str) -> String {
        let path = BalanceAt::now(account);
        self.customer(owner).call(endpoints::BALANCE, &path).send().await.unwrap().balance.decimal()
    }
}

fn customer(id: &str) -> Principal {
    Principal::customer(id).with_scope("accounts:read").with_scope("accounts:write")
}

fn teller() -> Principal {
    Principal::customer("cus_teller").with_role("teller")
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> (u16, String) {
    let error = outcome.unwrap_err();
    let problem = error.problem().unwrap();
    (problem.status().as_u16(), problem.code().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_account_is_opened_listed_and_shown() {
    let bank = Bank::open().await;
    let alice = bank.customer("cus_alice");
    let new = NewAccount::new(Currency::EUR).name("Daily");
    let opened = alice.call(endpoints::OPEN, &new).send().await.unwrap();
    assert!(opened.id.starts_with("acc_") && opened.name.as_deref() == Some("Daily"));
    assert_eq!((opened.balance, opened.available), (eur(0), eur(0)));
    let second = bank.account("cus_alice", Currency::JPY).await;

    let path = AccountPath { id: opened.id.clone() };
    assert_eq!(alice.call(endpoints::FIND, &path).send().await.unwrap(), opened);
    let first_page = PageOf { limit: Some(Limit::try_from(1).unwrap()), after: None };
    let page = alice.call(endpoints::LIST, &first_page).send().await.unwrap();
    assert_eq!(page.items, [opened]);
    let rest = PageOf { after: page.next, ..first_page };
    let page = alice.call(endpoints::LIST, &rest).send().await.unwrap();
    assert_eq!((page.items, page.next), (vec![second], None));
    let made_up = PageOf { after: Some("made-up".to_owned()), limit: None };
    assert_eq!(refused(alice.call(endpoints::LIST, &made_up).send().await).0, 400);
}

#[tokio::test]
async fn opening_with_a_key_opens_once() {
    let bank = Bank::open().await;
    let alice = bank.customer("cus_alice");
    let new = NewAccount::new(Currency::EUR);
    let one = alice.call(endpoints::OPEN, &new).key(&key("k")).send().await.unwrap();
    assert_eq!(alice.call(endpoints::OPEN, &new).key(&key("k")).send().await.unwrap(), one);
    let other = NewAccount::new(Currency::USD);
    let outcome = alice.call(endpoints::OPEN, &other).key(&key("k")).send().await;
    assert_eq!(refused(outcome), (422, "idempotency_key_reused".to_owned()));
    for name in ["", " ", "a\u{0}b", "\nRent", "to \u{202e}ecilA", &"x".repeat(51)] {
        let new = NewAccount::new(Currency::EUR).name(name);
        assert_eq!(refused(alice.call(endpoints::OPEN, &new).send().await), (422, "invalid_name".to_owned()));
    }
}

#[tokio::test]
async fn s19_another_customers_account_is_as_one_that_does_not_exist() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    bank.deposit(&account, 100, "k").await.unwrap();
    let mallory = bank.customer("cus_mallory");
    for id in [account.as_str(), "acc_nothing", "acc_house_cash_EUR", "not an id"] {
        let path = AccountPath { id: id.to_owned() };
        let entries = EntriesOf { id: id.to_owned(), limit: None, after: None };
        let answers = [
            refused(mallory.call(endpoints::FIND, &path).send().await),
            refused(mallory.call(endpoints::BALANCE, &BalanceAt::now(id)).send().await),
            refused(mallory.call(endpoints::ENTRIES, &entries).send().await),
        ];
        assert_eq!(answers, [(); 3].map(|()| (404, "not_found".to_owned())), "{id}");
    }
}

#[tokio::test]
async fn a_deposit_arrives_and_a_replay_is_byte_identical() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    let body = format!(r#"{{"account":"{account}","amount":{{"amount":"12.50","currency":"EUR"}}}}"#);
    let first = bank.raw_deposit("k", &body).await;
    assert_eq!((first.0, first.1), (StatusCode::CREATED, false));
    let deposit: Deposit = serde_json::from_slice(&first.2).unwrap();
    assert_eq!((deposit.amount, deposit.balance, deposit.reference), (eur(1250), eur(1250), None));
    // What happens in between changes nothing about the answer.
    bank.deposit(&account, 100, "other").await.unwrap();
    bank.harness.clock().advance(std::time::Duration::from_secs(3600));
    let again = bank.raw_deposit("k", &body).await;
    assert_eq!((again.0, again.1), (StatusCode::CREATED, true));
    assert_eq!(again.2, first.2);
    assert_eq!(bank.balance("cus_alice", &account).await, "13.50");
    let other = body.replace("12.50", "12.51");
    let (status, _, problem) = bank.raw_deposit("k", &other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(String::from_utf8(problem).unwrap().contains("idempotency_key_reused"));
}

#[tokio::test]
async fn what_is_wrong_with_a_deposit_is_named() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    let yen = bank.account("cus_alice", Currency::JPY).await.id;
    assert_eq!(refused(bank.deposit(&account, 0, "a").await), (422, "invalid_amount".to_owned()));
    assert_eq!(refused(bank.deposit(&account, -1, "b").await), (422, "invalid_amount".to_owned()));
    assert_eq!(refused(bank.deposit("acc_nothing", 1, "c").await), (404, "not_found".to_owned()));
    assert_eq!(refused(bank.deposit(&yen, 1, "d").await), (422, "currency_mismatch".to_owned()));
    // The house's own accounts are not to be paid into.
    bank.deposit(&account, 1, "e").await.unwrap();
    assert_eq!(refused(bank.deposit("acc_house_cash_EUR", 1, "f").await), (404, "not_found".to_owned()));
    let unknown =
        format!(r#"{{"account":"{account}","amount":{{"amount":"1","currency":"EUR"}},"colour":"red"}}"#);
    let (status, _, problem) = bank.raw_deposit("g", &unknown).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8(problem).unwrap().contains("`colour`"));

    let new = NewDeposit { account, amount: eur(1), reference: None };
    let alice = bank.customer("cus_alice").call(endpoints::DEPOSIT, &new).key(&key("h")).send().await;
    assert_eq!(refused(alice).0, 403);
    let no_key = bank.teller().call(endpoints::DEPOSIT, &new).send().await;
    assert_eq!(refused(no_key), (400, "missing_idempotency_key".to_owned()));
}

#[tokio::test]
async fn a_deposit_that_was_refused_is_not_made_by_a_late_copy() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    let set = async |id: &str, status| {
        let change = ChangeAccount::new(ChangeId::new(id).unwrap(), AccountId::new(&*account).unwrap());
        bank.ledger.execute_one(change.status(status)).await.unwrap();
    };
    set("case-1", AccountStatus::Frozen).await;
    // The first deposit in a currency, too: the bank's own account is there before it is refused.
    assert_eq!(refused(bank.deposit(&account, 100, "k").await), (422, "account_blocked".to_owned()));
    set("case-2", AccountStatus::Open).await;
    assert_eq!(refused(bank.deposit(&account, 100, "k").await), (422, "account_blocked".to_owned()));
    assert_eq!(bank.balance("cus_alice", &account).await, "0.00");
    assert_eq!(bank.deposit(&account, 100, "another").await.unwrap().balance, eur(100));
}

#[tokio::test]
async fn entries_are_newest_first_and_the_books_balance() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    for minor in 1..=3 {
        bank.deposit(&account, minor, &format!("k{minor}")).await.unwrap();
    }
    let alice = bank.customer("cus_alice");
    let first = EntriesOf { id: account.clone(), limit: Some(Limit::try_from(2).unwrap()), after: None };
    let page = alice.call(endpoints::ENTRIES, &first).send().await.unwrap();
    let amounts =
        |items: &[accounts::wire::Entry]| items.iter().map(|entry| entry.amount.minor()).collect::<Vec<_>>();
    assert_eq!(amounts(&page.items), [3, 2]);
    assert_eq!(page.items[0].balance_after, eur(6));
    assert!(page.items[0].posting.starts_with("dep_"));
    let page = alice.call(endpoints::ENTRIES, &EntriesOf { after: page.next, ..first }).send().await.unwrap();
    assert_eq!((amounts(&page.items), page.next), (vec![1], None));

    let auditor = bank.harness.client(Principal::customer("cus_auditor").with_role("auditor"));
    let totals = auditor.call(endpoints::TRIAL_BALANCE, &Empty {}).send().await.unwrap();
    let euro = &totals.currencies[0];
    assert!(totals.balanced);
    assert_eq!((&*euro.debits, &*euro.credits, &*euro.total), ("0.06", "0.06", "0.00"));
    assert_eq!(refused(alice.call(endpoints::TRIAL_BALANCE, &Empty {}).send().await).0, 403);
}

#[tokio::test]
async fn a_posting_moves_money_once_however_often_it_is_sent() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    bank.deposit(&alice, 100, "k").await.unwrap();
    let first = bank.post("trf_1", "cus_alice", &alice, &bob, eur(60)).await;
    let Posted::Posted { from_owner, to_owner, .. } = &first else { panic!("{first:?}") };
    assert_eq!((&**from_owner, &**to_owner), ("cus_alice", "cus_bob"));
    bank.harness.clock().advance(std::time::Duration::from_secs(60));
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(60)).await, first);
    assert_eq!(bank.balance("cus_alice", &alice).await, "0.40");
    assert_eq!(bank.balance("cus_bob", &bob).await, "0.60");
}

#[tokio::test]
async fn a_posting_that_is_refused_says_why() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    let yen = bank.account("cus_bob", Currency::JPY).await.id;
    bank.deposit(&alice, 100, "k").await.unwrap();
    let post = |id: &'static str, customer: &'static str, from: String, to: String| {
        let bank = &bank;
        async move { bank.post(id, customer, &from, &to, eur(1)).await }
    };
    assert_eq!(post("p1", "cus_bob", alice.clone(), bob.clone()).await, Posted::NotOwner);
    assert_eq!(post("p2", "cus_alice", "acc_nothing".into(), bob.clone()).await, Posted::NotOwner);
    assert_eq!(post("p3", "cus_alice", alice.clone(), "acc_nothing".into()).await, Posted::UnknownAccount);
    assert_eq!(post("p4", "cus_alice", alice.clone(), "no id".into()).await, Posted::UnknownAccount);
    assert_eq!(
        post("p5", "cus_alice", alice.clone(), "acc_house_cash_EUR".into()).await,
        Posted::UnknownAccount
    );
    assert_eq!(post("p6", "cus_alice", alice.clone(), yen).await, Posted::CurrencyMismatch);
    assert_eq!(bank.balance("cus_alice", &alice).await, "1.00");
}

#[tokio::test]
async fn a_refusal_for_lack_of_money_is_final_even_when_money_comes() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(60)).await, Posted::InsufficientFunds);
    bank.deposit(&alice, 100, "k").await.unwrap();
    // A delayed copy of the same request.
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(60)).await, Posted::InsufficientFunds);
    assert_eq!(bank.balance("cus_alice", &alice).await, "1.00");
    assert!(matches!(bank.post("trf_2", "cus_alice", &alice, &bob, eur(60)).await, Posted::Posted { .. }));
    let auditor = bank.harness.client(Principal::customer("cus_auditor").with_role("auditor"));
    assert!(auditor.call(endpoints::TRIAL_BALANCE, &Empty {}).send().await.unwrap().balanced);
}

#[tokio::test]
async fn what_became_of_a_posting_is_found_whatever_another_release_noted_with_it() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    let posting = |id: &str, minor: i64| {
        let account = |id: &str| AccountId::new(id).unwrap();
        let posting = Posting::new(PostingId::new(id).unwrap(), "transfer");
        let posting = posting.transfer(account(&alice), account(&bob), eur(minor)).metadata("channel", "web");
        bank.ledger.post(posting.remember_refusal())
    };
    posting("trf_1", 60).await.unwrap_err();
    bank.deposit(&alice, 100, "k").await.unwrap();
    posting("trf_2", 60).await.unwrap();
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(60)).await, Posted::InsufficientFunds);
    let again = bank.post("trf_2", "cus_alice", &alice, &bob, eur(60)).await;
    assert!(matches!(again, Posted::Posted { .. }), "{again:?}");
    assert_eq!(bank.balance("cus_alice", &alice).await, "0.40");
    // Another amount is another posting.
    let other = NewPosting {
        id: "trf_2".to_owned(),
        customer: "cus_alice".to_owned(),
        from: alice.clone(),
        to: bob.clone(),
        amount: eur(1),
        reference: None,
    };
    let other = bank.transactions().call(endpoints::POST, &other).send().await;
    assert_eq!(refused(other), (409, "conflict".to_owned()));
}

#[tokio::test]
async fn a_posting_that_the_ledger_cannot_hold_is_refused_for_good() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    bank.deposit(&bob, i64::MAX, "a").await.unwrap();
    bank.deposit(&alice, 1, "b").await.unwrap();
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(1)).await, Posted::Invalid);
    // There is room now, and a delayed copy of the same request still moves nothing.
    assert!(matches!(bank.post("trf_2", "cus_bob", &bob, &alice, eur(5)).await, Posted::Posted { .. }));
    assert_eq!(bank.post("trf_1", "cus_alice", &alice, &bob, eur(1)).await, Posted::Invalid);
    assert_eq!(bank.balance("cus_alice", &alice).await, "0.06");
    assert_eq!(refused(bank.deposit(&alice, 5, "c").await), (422, "invalid_amount".to_owned()));
}

#[tokio::test]
async fn any_reference_of_140_characters_can_be_deposited_and_posted() {
    let bank = Bank::open().await;
    let alice = bank.account("cus_alice", Currency::EUR).await.id;
    let bob = bank.account("cus_bob", Currency::EUR).await.id;
    let reference = Some("\u{1f4b6}".repeat(140));
    let new = NewDeposit { account: alice.clone(), amount: eur(5), reference: reference.clone() };
    let deposit = bank.teller().call(endpoints::DEPOSIT, &new).key(&key("k")).send().await.unwrap();
    assert_eq!(deposit.reference, reference);
    let (id, customer) = ("trf_1".to_owned(), "cus_alice".to_owned());
    let posting = NewPosting { id, customer, from: alice, to: bob, amount: eur(5), reference };
    let posted = bank.transactions().call(endpoints::POST, &posting).send().await.unwrap();
    assert!(matches!(posted, Posted::Posted { .. }));
}

#[tokio::test]
async fn s30_internal_calls_are_for_the_services_named() {
    let bank = Bank::open().await;
    let account = bank.account("cus_alice", Currency::EUR).await.id;
    bank.deposit(&account, 100, "k").await.unwrap();
    let path = AccountPath { id: account.clone() };
    let record = bank.transactions().call(endpoints::RECORD, &path).send().await.unwrap();
    assert_eq!((&*record.owner, &*record.id), ("cus_alice", &*account));
    let house = AccountPath { id: "acc_house_cash_EUR".to_owned() };
    assert_eq!(refused(bank.transactions().call(endpoints::RECORD, &house).send().await).0, 404);
    let owned = OwnedBy { customer: "cus_alice".to_owned(), limit: None, after: None };
    let list = bank.transactions().call(endpoints::OWNED, &owned).send().await.unwrap();
    assert_eq!(list.items, [record]);

    let after = EventsAfter::default();
    let partners = bank.harness.client(Principal::service("partners"));
    let events = partners.call(endpoints::EVENTS, &after).send().await.unwrap().items;
    let topics: Vec<_> = events.iter().map(|event| &*event.topic).collect();
    assert_eq!(topics, ["account.opened", "account.opened", "posting.deposit"]);
    for outside in
        [bank.customer("cus_alice"), bank.teller(), bank.harness.client(Principal::service("identity"))]
    {
        assert_eq!(refused(outside.call(endpoints::RECORD, &path).send().await).0, 403);
        assert_eq!(refused(outside.call(endpoints::EVENTS, &after).send().await).0, 403);
    }
}

#[tokio::test]
async fn a_hold_keeps_money_until_it_is_captured_or_voided() {
    let bank = Bank::open().await;
    let (mine, shop) =
        (bank.account("ann", Currency::EUR).await.id, bank.account("bob", Currency::EUR).await.id);
    bank.deposit(&mine, 100_00, "d1").await.unwrap();
    let ann = bank.customer("ann");
    let new = |cents, expires_in| NewHold { account: mine.clone(), amount: eur(cents), expires_in };
    let place = async |cents, token: &str| {
        ann.call(endpoints::PLACE_HOLD, &new(cents, None)).key(&key(token)).send().await
    };
    let hold = place(70_00, "h1").await.unwrap();
    assert_eq!((hold.status, &*hold.remaining.decimal()), (HoldStatus::Open, "70.00"));
    assert_eq!(place(70_00, "h1").await.unwrap(), hold, "the same key is the same hold");
    assert_eq!(refused(place(71_00, "h1").await), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(refused(place(30_01, "h2").await), (422, "insufficient_funds".to_owned()));
    let path = AccountPath { id: mine.clone() };
    let account = ann.call(endpoints::FIND, &path).send().await.unwrap();
    assert_eq!((account.balance.decimal(), account.available.decimal()), ("100.00".into(), "30.00".into()));

    let capture = |amount, to: &str| NewCapture { id: hold.id.clone(), amount, to: to.to_owned() };
    let part =
        ann.call(endpoints::CAPTURE_HOLD, &capture(Some(eur(25_00)), &shop)).key(&key("c1")).send().await;
    let part = part.unwrap();
    assert_eq!((&*part.amount.decimal(), &*part.hold.remaining.decimal()), ("25.00", "45.00"));
    let again =
        ann.call(endpoints::CAPTURE_HOLD, &capture(Some(eur(25_00)), &shop)).key(&key("c1")).send().await;
    assert_eq!(again.unwrap(), part, "the same key is the same capture");
    for (amount, to, code) in [
        (Some(eur(45_01)), &*shop, "hold_exceeded"),
        (None, "acc_of_nobody", "unknown_account"),
        (None, "acc_house_cash_EUR", "unknown_account"),
        (Some(Money::from_minor(1, Currency::USD)), &*shop, "invalid_amount"),
    ] {
        let call = ann.call(endpoints::CAPTURE_HOLD, &capture(amount, to)).key(&key(code)).send().await;
        assert_eq!(refused(call), (422, code.to_owned()), "{code}");
    }
    let hold_path = HoldPath { id: hold.id.clone() };
    let voided = ann.call(endpoints::VOID_HOLD, &hold_path).key(&key("v1")).send().await.unwrap();
    assert_eq!((voided.status, &*voided.captured.decimal()), (HoldStatus::Voided, "25.00"));
    assert_eq!(ann.call(endpoints::VOID_HOLD, &hold_path).key(&key("v1")).send().await.unwrap(), voided);
    let late = ann.call(endpoints::CAPTURE_HOLD, &capture(None, &shop)).key(&key("c9")).send().await;
    assert_eq!(refused(late), (422, "hold_ended".to_owned()));
    assert_eq!(
        (bank.balance("ann", &mine).await, bank.balance("bob", &shop).await),
        ("75.00".into(), "25.00".into())
    );

    // Another customer's hold is as one that does not exist.
    let bob = bank.customer("bob");
    assert_eq!(refused(bob.call(endpoints::FIND_HOLD, &hold_path).send().await).0, 404);
    assert_eq!(refused(bob.call(endpoints::VOID_HOLD, &hold_path).key(&key("v2")).send().await).0, 404);
    let theirs = bob.call(endpoints::PLACE_HOLD, &new(1, None)).key(&key("h3")).send().await;
    assert_eq!(refused(theirs).0, 404);
}

#[tokio::test]
async fn a_hold_ends_when_its_time_is_over() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", Currency::EUR).await.id;
    bank.deposit(&mine, 10_00, "d1").await.unwrap();
    let ann = bank.customer("ann");
    let new = NewHold { account: mine.clone(), amount: eur(10_00), expires_in: Some(60) };
    let hold = ann.call(endpoints::PLACE_HOLD, &new).key(&key("h")).send().await.unwrap();
    bank.harness.clock().advance(std::time::Duration::from_secs(60));
    let path = HoldPath { id: hold.id };
    assert_eq!(ann.call(endpoints::FIND_HOLD, &path).send().await.unwrap().status, HoldStatus::Expired);
    let account = ann.call(endpoints::FIND, &AccountPath { id: mine }).send().await.unwrap();
    assert_eq!(account.available.decimal(), "10.00");
}

#[tokio::test]
async fn the_past_is_told_exactly() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", Currency::EUR).await.id;
    let clock = bank.harness.clock();
    let mut times = vec![clock.now()];
    for n in 1..=3 {
        clock.advance(std::time::Duration::from_secs(60));
        bank.deposit(&mine, n * 1_00, &format!("d{n}")).await.unwrap();
        times.push(clock.now());
    }
    let ann = bank.customer("ann");
    let balance_at =
        async |at| ann.call(endpoints::BALANCE, &BalanceAt { id: mine.clone(), at: Some(at) }).send().await;
    for (at, balance) in times.iter().zip(["0.00", "1.00", "3.00", "6.00"]) {
        let then = balance_at(*at).await.unwrap();
        assert_eq!((&*then.balance.decimal(), then.available, then.at), (balance, None, *at));
    }
    let later = clock.now().saturating_add(std::time::Duration::from_secs(1));
    assert_eq!(refused(balance_at(later).await), (422, "invalid_time".to_owned()));

    let wanted = |from, to| StatementOf { id: mine.clone(), from, to, limit: None, after: None };
    let statement =
        ann.call(endpoints::STATEMENT, &wanted(Some(times[2]), Some(times[3]))).send().await.unwrap();
    assert_eq!((&*statement.opening.decimal(), &*statement.closing.decimal()), ("1.00", "3.00"));
    assert_eq!((statement.items.len(), statement.entries, statement.next), (1, 1, None));
    let backwards = ann.call(endpoints::STATEMENT, &wanted(Some(times[3]), Some(times[2]))).send().await;
    assert_eq!(refused(backwards), (422, "invalid_period".to_owned()));
    let theirs = bank.customer("bob").call(endpoints::STATEMENT, &wanted(None, None)).send().await;
    assert_eq!(refused(theirs).0, 404);

    let until = times[3].saturating_add(std::time::Duration::from_secs(1));
    let request =
        Request::get(format!("/v1/accounts/{mine}/statement?to={until}")).header("accept", "text/csv");
    let request = request.body(Body::empty()).unwrap();
    let response = bank.harness.transport(Some(customer("ann"))).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let csv = String::from_utf8(response.into_body().read(10_000).await.unwrap().to_vec()).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 6, "{csv}");
    assert!(lines[1].ends_with("opening,,,EUR,0.00") && lines[5].ends_with("closing,,,EUR,6.00"), "{csv}");
    assert!(lines[4].ends_with("deposit,cash,3.00,EUR,6.00"), "{csv}");
}
