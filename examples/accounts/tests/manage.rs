//! What the calls that manage accounts promise: cash out, other names, the end of an account, what two members of staff decided.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

mod support;

use accounts::endpoints;
use accounts::wire::{
    Account, AccountPath, AccountStatus, CustomersOf, Decided, HoldPath, HoldsOf, NewAccount, NewReversal,
    NewStatus, NewWithdrawal, PostingPath, Rename, StatementOf,
};
use bank_sdk::client::CallError;
use bank_sdk::http::Body;
use bank_sdk::{Limit, Principal};
use bank_stores::ledger::{AccountId, ChangeAccount, ChangeId};
use bank_stores::{Consistency, Currency, ErrorKind, Ledger as _};
use http::Request;
use support::meanwhile::After;
use support::{Bank, eur, key, refused};
use tower::ServiceExt as _;

async fn find(bank: &Bank, owner: &str, id: &str) -> Account {
    bank.customer(owner).call(endpoints::FIND, &AccountPath { id: id.to_owned() }).send().await.unwrap()
}

async fn close(bank: &Bank, owner: &str, id: &str) -> Result<Account, CallError> {
    bank.customer(owner).call(endpoints::CLOSE, &AccountPath { id: id.to_owned() }).send().await
}

async fn set_status(
    bank: &Bank,
    id: &str,
    change: &str,
    status: AccountStatus,
) -> Result<Decided, CallError> {
    let new = NewStatus { id: id.to_owned(), change: change.to_owned(), status };
    bank.transactions().call(endpoints::SET_STATUS, &new).send().await
}

async fn reverse(bank: &Bank, id: &str, posting: &str) -> Decided {
    let new = NewReversal { id: id.to_owned(), posting: posting.to_owned() };
    bank.transactions().call(endpoints::REVERSE, &new).send().await.unwrap()
}

fn failed(code: &str) -> Decided {
    Decided::Refused { code: code.to_owned() }
}

#[tokio::test]
async fn a_withdrawal_pays_out_once_and_never_more_than_there_is() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 100_00).await;
    bank.hold("ann", &mine, 30_00).await;
    let paid = bank.withdraw(&mine, 50_00, "k").await.unwrap();
    assert!(paid.id.starts_with("wdr_"));
    assert_eq!((paid.amount, paid.balance), (eur(50_00), eur(50_00)));
    assert_eq!(bank.withdraw(&mine, 50_00, "k").await.unwrap(), paid, "the same key pays once");
    assert_eq!(refused(bank.withdraw(&mine, 51_00, "k").await), (422, "idempotency_key_reused".to_owned()));
    let more = || bank.withdraw(&mine, 20_01, "more");
    assert_eq!(refused(more().await), (422, "insufficient_funds".to_owned()));
    bank.deposit(&mine, 100_00, "cash").await.unwrap();
    assert_eq!(refused(more().await), (422, "insufficient_funds".to_owned()), "the refusal is final");
    let other = bank.withdraw(&mine, 20_02, "more").await;
    assert_eq!(refused(other), (422, "idempotency_key_reused".to_owned()), "of nothing but the same");
    assert_eq!(find(&bank, "ann", &mine).await.balance, eur(150_00));
    assert_eq!(refused(bank.withdraw(&mine, 0, "zero").await), (422, "invalid_amount".to_owned()));
    assert_eq!(refused(bank.withdraw("acc_house_cash_EUR", 1, "house").await).0, 404);
    let yen = NewWithdrawal {
        account: mine.clone(),
        amount: bank_stores::Money::from_minor(1, Currency::JPY),
        reference: None,
    };
    let yen = bank.staff("teller").call(endpoints::WITHDRAW, &yen).key(&key("yen")).send().await;
    assert_eq!(refused(yen), (422, "currency_mismatch".to_owned()));
    let house = AccountId::new("acc_house_cash_JPY").unwrap();
    let house = bank.ledger.account(&house, Consistency::Current).await;
    assert_eq!(house.unwrap_err().kind(), ErrorKind::NotFound, "nobody has yen here");
    let new = NewWithdrawal { account: mine, amount: eur(1), reference: None };
    let own = bank.customer("ann").call(endpoints::WITHDRAW, &new).key(&key("own")).send().await;
    assert_eq!(refused(own).0, 403);
}

#[tokio::test]
async fn open_holds_are_listed_newest_first_and_are_the_balance_less_what_is_available() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 100_00).await;
    for cents in 1..=3 {
        bank.clock.advance(std::time::Duration::from_secs(1));
        bank.hold("ann", &mine, cents).await;
    }
    let ann = bank.customer("ann");
    let mut of = HoldsOf { id: mine.clone(), limit: Some(Limit::try_from(2).unwrap()), after: None };
    let first = ann.call(endpoints::HOLDS, &of).send().await.unwrap();
    of.after = first.next.clone();
    let rest = ann.call(endpoints::HOLDS, &of).send().await.unwrap();
    let holds: Vec<_> = first.items.iter().chain(&rest.items).collect();
    assert_eq!(holds.iter().map(|hold| hold.amount.minor()).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((first.balance, first.available, rest.next), (eur(100_00), eur(99_94), None));
    let hold = holds[0];
    assert_eq!(hold.expires_at, Some(hold.at.saturating_add(std::time::Duration::from_secs(3_600))));
    assert_eq!(refused(bank.customer("bob").call(endpoints::HOLDS, &of).send().await).0, 404);
}

#[tokio::test]
async fn an_owner_renames_an_account_and_nobody_else_does() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 0).await;
    let rename = async |who: &str, name: &str| {
        let new = Rename { id: mine.clone(), name: name.to_owned() };
        bank.customer(who).call(endpoints::RENAME, &new).send().await
    };
    assert_eq!(rename("ann", " Holidays ").await.unwrap().name.as_deref(), Some("Holidays"));
    assert_eq!(rename("ann", "Holidays").await.unwrap().name.as_deref(), Some("Holidays"));
    assert_eq!(find(&bank, "ann", &mine).await.name.as_deref(), Some("Holidays"));
    assert_eq!(refused(rename("bob", "Mine").await), (404, "not_found".to_owned()));
    for wrong in ["", " ", "\u{200b}", "\u{3164}", "\u{301}", "a\u{202e}b", "\u{e000}", &"x".repeat(51)] {
        assert_eq!(refused(rename("ann", wrong).await), (422, "invalid_name".to_owned()), "{wrong:?}");
    }
    close(&bank, "ann", &mine).await.unwrap();
    assert_eq!(refused(rename("ann", "Late").await), (409, "account_closed".to_owned()));
}

#[tokio::test]
async fn an_account_is_closed_when_nothing_is_on_it_or_held() {
    let bank = Bank::open().await;
    let (mine, other) = (bank.account("ann", 10_00).await, bank.account("ann", 0).await);
    let hold = bank.hold("ann", &mine, 2_00).await;
    let in_use = close(&bank, "ann", &mine).await.unwrap_err();
    let problem = in_use.problem().unwrap();
    assert_eq!((problem.status().as_u16(), problem.code()), (409, Some("account_in_use")));
    let against: Vec<_> = problem.errors().iter().map(|error| &*error.field).collect();
    assert_eq!(against, ["balance", "holds"]);
    assert!(problem.errors()[0].message.contains("10.00"));
    let path = HoldPath { id: hold.id };
    bank.customer("ann").call(endpoints::VOID_HOLD, &path).key(&key("v")).send().await.unwrap();
    bank.pay("ann", &mine, &other, 10_00, "moved").await;
    assert_eq!(refused(close(&bank, "bob", &mine).await), (404, "not_found".to_owned()));
    let closed = close(&bank, "ann", &mine).await.unwrap();
    assert_eq!(closed.status, AccountStatus::Closed);
    assert_eq!(close(&bank, "ann", &mine).await.unwrap(), closed, "closing it again is the same");
    assert_eq!(refused(bank.deposit(&mine, 1, "late").await), (422, "account_blocked".to_owned()));

    set_status(&bank, &other, "chg_1", AccountStatus::Frozen).await.unwrap();
    assert_eq!(refused(close(&bank, "ann", &other).await), (409, "account_in_use".to_owned()));
}

#[tokio::test]
async fn an_account_that_the_bank_freezes_meanwhile_is_not_closed() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 0).await;
    let change = ChangeAccount::new(ChangeId::new("chg_1").unwrap(), AccountId::new(&*mine).unwrap());
    let freeze = change.status(bank_stores::ledger::AccountStatus::Frozen);
    let harness = bank.with_ledger_that_moves(After::Account, vec![freeze.into()]);
    let ann = harness.client(Principal::customer("ann").with_scope("accounts:write"));
    let path = AccountPath { id: mine.clone() };
    let outcome = ann.call(endpoints::CLOSE, &path).send().await;
    assert_eq!(refused(outcome), (409, "account_in_use".to_owned()));
    assert_eq!(find(&bank, "ann", &mine).await.status, AccountStatus::Frozen);
}

#[tokio::test]
async fn a_frozen_account_neither_pays_nor_is_paid_nor_holds_until_it_is_unfrozen() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 10_00).await;
    let frozen = set_status(&bank, &mine, "chg_1", AccountStatus::Frozen).await.unwrap();
    assert!(matches!(frozen, Decided::Done { .. }));
    assert_eq!(set_status(&bank, &mine, "chg_1", AccountStatus::Frozen).await.unwrap(), frozen);
    assert_eq!(find(&bank, "ann", &mine).await.status, AccountStatus::Frozen);
    assert_eq!(refused(bank.deposit(&mine, 1, "in").await), (422, "account_blocked".to_owned()));
    assert_eq!(refused(bank.withdraw(&mine, 1, "out").await), (422, "account_blocked".to_owned()));
    set_status(&bank, &mine, "chg_2", AccountStatus::Open).await.unwrap();
    // The first one once more changes nothing now.
    assert_eq!(set_status(&bank, &mine, "chg_1", AccountStatus::Frozen).await.unwrap(), frozen);
    bank.withdraw(&mine, 10_00, "all").await.unwrap();
    close(&bank, "ann", &mine).await.unwrap();
    let late = set_status(&bank, &mine, "chg_3", AccountStatus::Frozen).await.unwrap();
    assert_eq!(late, failed("account_closed"));
    assert_eq!(refused(set_status(&bank, &mine, "chg_4", AccountStatus::Closed).await).0, 400);
    for nowhere in ["acc_nothing", "acc_house_cash_EUR", "no id"] {
        assert_eq!(refused(set_status(&bank, nowhere, "chg_5", AccountStatus::Frozen).await).0, 404);
    }
}

#[tokio::test]
async fn a_posting_is_undone_once_and_a_refusal_is_final() {
    let bank = Bank::open().await;
    let (mine, shop) = (bank.account("ann", 10_00).await, bank.account("bob", 0).await);
    let posting = bank.pay("ann", &mine, &shop, 4_00, "Tea").await;
    let facts = async |id: &str| {
        bank.transactions().call(endpoints::POSTING, &PostingPath { id: id.to_owned() }).send().await
    };
    let before = facts(&posting).await.unwrap();
    assert!(before.reversible);
    assert_eq!((&*before.legs[0].account, before.legs[0].amount), (&*mine, eur(-4_00)));
    bank.withdraw(&shop, 4_00, "spent").await.unwrap();
    assert_eq!(reverse(&bank, "rev_1", &posting).await, failed("insufficient_funds"));
    bank.deposit(&shop, 4_00, "cash").await.unwrap();
    assert_eq!(reverse(&bank, "rev_1", &posting).await, failed("insufficient_funds"));
    let done = reverse(&bank, "rev_2", &posting).await;
    assert!(matches!(done, Decided::Done { .. }));
    assert_eq!(reverse(&bank, "rev_2", &posting).await, done);
    assert_eq!(reverse(&bank, "rev_3", &posting).await, failed("already_reversed"));
    assert_eq!(find(&bank, "ann", &mine).await.balance, eur(10_00));
    assert!(!facts(&posting).await.unwrap().reversible && !facts("rev_2").await.unwrap().reversible);
    assert_eq!(refused(facts("trf_nothing").await).0, 404);
    assert_eq!(reverse(&bank, "rev_4", "trf_nothing").await, failed("unknown_posting"));
}

#[tokio::test]
async fn a_teller_finds_a_customer_by_whole_name_or_account_with_all_accounts() {
    let bank = Bank::open().await;
    let ann = bank.user("ann", "Ann Example").await;
    let mut opened = Vec::new();
    for _ in 0..53 {
        opened.push(bank.account(&ann, 0).await);
    }
    let search = async |of: CustomersOf| bank.staff("teller").call(endpoints::CUSTOMERS, &of).send().await;
    let by_name = |name: &str| CustomersOf { username: Some(name.to_owned()), ..CustomersOf::default() };
    let by_account = |id: &str| CustomersOf { account: Some(id.to_owned()), ..CustomersOf::default() };
    for of in [by_name("ann"), by_account(&opened[7])] {
        let (mut of, mut found) = (of, Vec::new());
        loop {
            let page = search(of.clone()).await.unwrap();
            let customer = &page.items[0];
            assert_eq!((&*customer.id, &*customer.username, &*customer.name), (&*ann, "ann", "Ann Example"));
            found.extend(customer.accounts.iter().map(|account| account.id.clone()));
            let Some(next) = page.next else { break };
            of.after = Some(next);
        }
        assert_eq!(found, opened);
    }
    for nobody in
        [by_name("an"), by_name("Ann"), by_name("a*"), by_account("acc_house_cash_EUR"), by_account("no id")]
    {
        assert!(search(nobody).await.unwrap().items.is_empty());
    }
    assert_eq!(refused(search(CustomersOf::default()).await).0, 400);
    let both = CustomersOf { account: Some(opened[0].clone()), ..by_name("ann") };
    assert_eq!(refused(search(both).await).0, 400);
    for other in [bank.customer(&ann), bank.staff("auditor")] {
        assert_eq!(refused(other.call(endpoints::CUSTOMERS, &by_name("ann")).send().await).0, 403);
    }
}

#[tokio::test]
async fn opening_with_a_key_answers_byte_for_byte_whatever_became_of_the_account() {
    let bank = Bank::open().await;
    let principal = bank_sdk::Principal::customer("ann").with_scope("accounts:write");
    let open = async |body: &'static str| {
        let request = Request::post("/v1/accounts")
            .header("content-type", "application/json")
            .header("idempotency-key", "\"k\"")
            .body(Body::from(body))
            .unwrap();
        let response = bank.harness.transport(Some(principal.clone())).oneshot(request).await.unwrap();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let status = response.status().as_u16();
        (status, replayed, response.into_body().read(10_000).await.unwrap())
    };
    let first = open(r#"{"currency":"EUR","name":"Daily"}"#).await;
    assert_eq!((first.0, first.1), (201, false));
    let account: Account = serde_json::from_slice(&first.2).unwrap();
    bank.deposit(&account.id, 5_00, "cash").await.unwrap();
    let rename = Rename { id: account.id.clone(), name: "Other".to_owned() };
    bank.customer("ann").call(endpoints::RENAME, &rename).send().await.unwrap();
    let again = open(r#"{ "name": "Daily", "currency": "EUR" }"#).await;
    assert_eq!((again.0, again.1, again.2), (201, true, first.2));
    assert_eq!(open(r#"{"currency":"EUR"}"#).await.0, 422);
    let named = NewAccount::new(Currency::EUR).name("\u{200b}");
    assert_eq!(refused(bank.customer("ann").call(endpoints::OPEN, &named).send().await).0, 422);
}

#[tokio::test]
async fn a_cursor_that_was_made_up_is_refused_and_no_time_is_written_that_cannot_be_read() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 1_00).await;
    for after in ["9223372036854775807~x", "-9223372036854775808~x", "x~y", "plain"] {
        let of = StatementOf {
            id: mine.clone(),
            from: None,
            to: None,
            limit: None,
            after: Some(after.to_owned()),
        };
        assert_eq!(
            refused(bank.customer("ann").call(endpoints::STATEMENT, &of).send().await).0,
            400,
            "{after}"
        );
    }
}
