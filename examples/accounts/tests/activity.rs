//! What the activity promises: everything, once, newest first, and money's direction as the ledger has it.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::inconsistent_digit_grouping, reason = "the cents are set apart")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use accounts::endpoints;
use accounts::wire::{
    Activity, ActivityOf, ActivityStatus, Direction, EntriesOf, HoldPath, Kind, NewCapture, StatementOf,
};
use bank_sdk::client::CallError;
use bank_sdk::{Limit, Principal};
use bank_stores::Timestamp;
use bank_stores::ledger::{AccountId, Command, Posting, PostingId};
use support::meanwhile::After;
use support::{Bank, eur, key, refused};

async fn page(bank: &Bank, who: &str, of: &ActivityOf) -> Result<bank_sdk::List<Activity>, CallError> {
    bank.customer(who).call(endpoints::ACTIVITY, of).send().await
}

/// Every row, in pages of so many.
async fn all(bank: &Bank, who: &str, of: &ActivityOf, limit: u32) -> Vec<Activity> {
    let mut of = ActivityOf { limit: Some(Limit::try_from(limit).unwrap()), ..of.clone() };
    let mut rows = Vec::new();
    loop {
        let page = page(bank, who, &of).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        rows.extend(page.items);
        match page.next {
            Some(next) => of.after = Some(next),
            None => return rows,
        }
    }
}

fn told(rows: &[Activity]) -> Vec<(Kind, Direction, i64)> {
    rows.iter().map(|row| (row.kind, row.direction, row.amount.minor())).collect()
}

#[tokio::test]
async fn everything_that_moves_or_holds_money_is_told_newest_first_with_its_other_side() {
    use Direction::{In, Out};

    let bank = Bank::open().await;
    let (ann, bea) = (bank.user("ann", "Ann Example").await, bank.user("bea", "Bea Muster").await);
    let (mine, savings) = (bank.account(&ann, 100_00).await, bank.account(&ann, 0).await);
    let shop = bank.account(&bea, 50_00).await;
    bank.clock.advance(Duration::from_secs(1));
    let rent = bank.pay(&ann, &mine, &shop, 30_00, "Rent").await;
    bank.clock.advance(Duration::from_secs(1));
    bank.pay(&bea, &shop, &mine, 5_00, "Refund").await;
    bank.clock.advance(Duration::from_secs(1));
    bank.pay(&ann, &mine, &savings, 10_00, "Saved").await;
    bank.clock.advance(Duration::from_secs(1));
    bank.withdraw(&mine, 20_00, "w").await.unwrap();
    bank.clock.advance(Duration::from_secs(1));
    let hold = bank.hold(&ann, &mine, 15_00).await;
    bank.clock.advance(Duration::from_secs(1));
    let capture = NewCapture { id: hold.id.clone(), amount: Some(eur(4_00)), to: shop.clone() };
    let captured = bank.customer(&ann).call(endpoints::CAPTURE_HOLD, &capture).key(&key("c")).send().await;
    captured.unwrap();

    let rows = all(&bank, &ann, &ActivityOf::default(), 50).await;
    let mut kinds = told(&rows);
    // Both sides of money between two accounts of one's own are of one moment.
    kinds[3..5].sort_by_key(|(_, direction, _)| *direction == Out);
    assert_eq!(
        kinds,
        [
            (Kind::Capture, Out, 4_00),
            (Kind::Hold, Out, 11_00),
            (Kind::Withdrawal, Out, 20_00),
            (Kind::Transfer, In, 10_00),
            (Kind::Transfer, Out, 10_00),
            (Kind::Transfer, In, 5_00),
            (Kind::Transfer, Out, 30_00),
            (Kind::Deposit, In, 100_00),
        ]
    );
    let (held, paid, welcome) = (&rows[1], &rows[6], &rows[7]);
    assert_eq!((held.status, held.balance_after, &*held.id), (ActivityStatus::Pending, None, &*hold.id));
    let other = paid.counterparty.clone().unwrap();
    assert_eq!((other.name.as_deref(), other.account.as_deref()), (Some("Bea Muster"), Some(&*shop)));
    assert_eq!((paid.transfer.as_deref(), paid.balance_after), (Some(&*rent), Some(eur(70_00))));
    assert_eq!((&*paid.account, paid.reference.as_deref()), (&*mine, Some("Rent")));
    assert_eq!(paid.status, ActivityStatus::Completed);
    assert_eq!(
        (&welcome.counterparty, &welcome.transfer),
        (&None, &None),
        "the bank's own account is not told"
    );
    assert_eq!(rows[0].counterparty.clone().unwrap().name.as_deref(), Some("Bea Muster"));

    let only = ActivityOf { account: Some(savings.clone()), ..ActivityOf::default() };
    assert_eq!(told(&all(&bank, &ann, &only, 50).await), [(Kind::Transfer, In, 10_00)]);
    let theirs = ActivityOf { account: Some(shop.clone()), ..ActivityOf::default() };
    assert_eq!(refused(page(&bank, &ann, &theirs).await), (404, "not_found".to_owned()));

    // A hold that has ended holds nothing.
    let path = HoldPath { id: hold.id };
    bank.customer(&ann).call(endpoints::VOID_HOLD, &path).key(&key("v")).send().await.unwrap();
    let rows = all(&bank, &ann, &ActivityOf::default(), 50).await;
    assert!(rows.iter().all(|row| row.kind != Kind::Hold) && rows.len() == 7);
}

#[tokio::test]
async fn an_entry_tells_its_kind_direction_and_other_side() {
    let bank = Bank::open().await;
    let (ann, bea) = (bank.user("ann", "Ann Example").await, bank.user("bea", "Bea Muster").await);
    let (mine, shop) = (bank.account(&ann, 10_00).await, bank.account(&bea, 0).await);
    bank.pay(&ann, &mine, &shop, 3_00, "Tea").await;
    let of = EntriesOf { id: mine.clone(), limit: None, after: None };
    let entries = bank.customer(&ann).call(endpoints::ENTRIES, &of).send().await.unwrap().items;
    let (paid, cash) = (&entries[0], &entries[1]);
    assert_eq!((paid.kind, paid.direction, paid.amount), (Kind::Transfer, Direction::Out, eur(-3_00)));
    assert_eq!(paid.counterparty.as_ref().unwrap().name.as_deref(), Some("Bea Muster"));
    assert_eq!((paid.balance_after, paid.reference.as_deref()), (eur(7_00), Some("Tea")));
    assert_eq!((cash.kind, cash.direction, &cash.counterparty), (Kind::Deposit, Direction::In, &None));
    let of = StatementOf { id: mine, from: None, to: None, limit: None, after: None };
    let statement = bank.customer(&ann).call(endpoints::STATEMENT, &of).send().await.unwrap();
    assert_eq!(statement.items.iter().rev().cloned().collect::<Vec<_>>(), entries);
}

#[tokio::test]
async fn pages_neither_lose_nor_double_rows_while_new_ones_come() {
    let bank = Bank::open().await;
    let (mine, savings) = (bank.account("ann", 1_000_00).await, bank.account("ann", 1_000_00).await);
    // Many rows of one moment, and some of others.
    for n in 0..40 {
        if n % 7 == 0 {
            bank.clock.advance(Duration::from_micros(1));
        }
        match n % 4 {
            0 => drop(bank.hold("ann", &mine, 1_00 + n).await),
            1 => drop(bank.pay("ann", &mine, &savings, 1_00 + n, "there").await),
            2 => drop(bank.pay("ann", &savings, &mine, 1_00 + n, "back").await),
            _ => drop(bank.deposit(&savings, 1_00 + n, "cash").await.unwrap()),
        }
    }
    let before: Vec<_> = all(&bank, "ann", &ActivityOf::default(), 200).await;
    assert_eq!(before.len(), 2 + 10 + 20 + 20 + 10);
    assert!(before.is_sorted_by(|newer, older| newer.at >= older.at));
    for limit in [1, 3, 7] {
        let mut of = ActivityOf { limit: Some(Limit::try_from(limit).unwrap()), ..ActivityOf::default() };
        let mut seen = Vec::new();
        loop {
            let page = page(&bank, "ann", &of).await.unwrap();
            seen.extend(page.items.into_iter().map(|row| row.id));
            let Some(next) = page.next else { break };
            of.after = Some(next);
            bank.clock.advance(Duration::from_micros(1));
            bank.deposit(&mine, 1, "new").await.unwrap();
        }
        let once: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(once.len(), seen.len(), "a row came twice");
        let missing: Vec<_> = before.iter().filter(|row| !once.contains(&row.id)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[tokio::test]
async fn a_page_is_of_one_moment_although_money_moves_while_it_is_read() {
    let bank = Bank::open().await;
    let (mine, savings) = (bank.account("ann", 1_00).await, bank.account("ann", 2_00).await);
    bank.hold("ann", &mine, 50).await;
    let deposit = |id: String, to: &str| {
        let account = |id: &str| AccountId::new(id).unwrap();
        let id = PostingId::new(id).unwrap();
        Command::from(Posting::new(id, "deposit").transfer(
            account("acc_house_cash_EUR"),
            account(to),
            eur(1),
        ))
    };
    // Whichever of the two is read first: an older row on the one, and a newer one on the other.
    for (round, (older, newer)) in [(&mine, &savings), (&savings, &mine)].into_iter().enumerate() {
        for limit in [1, 50] {
            let before = all(&bank, "ann", &ActivityOf::default(), 50).await;
            let then = ["older", "newer"].into_iter().zip([older, newer]);
            let then = then.map(|(name, to)| deposit(format!("{name}-{round}-{limit}"), to)).collect();
            let harness = bank.with_ledger_that_moves(After::Statement, then);
            let ann = harness.client(Principal::customer("ann").with_scope("accounts:read"));
            let limit = Some(Limit::try_from(limit).unwrap());
            let mut of = ActivityOf { limit, ..ActivityOf::default() };
            let mut rows = Vec::new();
            loop {
                let page = ann.call(endpoints::ACTIVITY, &of).send().await.unwrap();
                rows.extend(page.items);
                let Some(next) = page.next else { break };
                of.after = Some(next);
            }
            assert_eq!(rows, before, "what was booked meanwhile belongs before the page");
            assert_eq!(all(&bank, "ann", &ActivityOf::default(), 50).await.len(), before.len() + 2);
        }
    }
}

#[tokio::test]
async fn rows_are_found_by_direction_time_amount_reference_and_name() {
    let bank = Bank::open().await;
    let (ann, bea) = (bank.user("ann", "Ann Example").await, bank.user("bea", "Bea Müller").await);
    let (mine, shop) = (bank.account(&ann, 100_00).await, bank.account(&bea, 100_00).await);
    let start = bank.clock_now();
    bank.clock.advance(Duration::from_secs(60));
    bank.pay(&ann, &mine, &shop, 12_50, "Groceries").await;
    bank.clock.advance(Duration::from_secs(60));
    bank.pay(&bea, &shop, &mine, 3_00, "Lunch").await;
    let found = async |of: ActivityOf| {
        told(&all(&bank, &ann, &of, 2).await).into_iter().map(|row| row.2).collect::<Vec<_>>()
    };
    let of = ActivityOf::default;
    let text = |text: &str| Some(text.to_owned());
    let after = |seconds| Some(start.saturating_add(Duration::from_secs(seconds)));
    assert_eq!(found(ActivityOf { direction: Some(Direction::In), ..of() }).await, [3_00, 100_00]);
    assert_eq!(found(ActivityOf { direction: Some(Direction::Out), ..of() }).await, [12_50]);
    assert_eq!(found(ActivityOf { from: after(60), ..of() }).await, [3_00, 12_50]);
    assert_eq!(found(ActivityOf { from: after(60), to: after(120), ..of() }).await, [12_50]);
    assert_eq!(found(ActivityOf { min: text("3"), max: text("12.50"), ..of() }).await, [3_00, 12_50]);
    assert_eq!(found(ActivityOf { min: text("12.51"), ..of() }).await, [100_00]);
    assert_eq!(found(ActivityOf { q: text("gROC"), ..of() }).await, [12_50]);
    assert_eq!(found(ActivityOf { q: text(" MÜLL "), ..of() }).await, [3_00, 12_50]);
    assert_eq!(found(ActivityOf { q: text("nothing"), ..of() }).await, [0_i64; 0]);
    for (wrong, code) in [
        (ActivityOf { min: text("a"), ..of() }, (400, "invalid_input")),
        (ActivityOf { after: text("made-up"), ..of() }, (400, "invalid_input")),
        (ActivityOf { min: text("2"), max: text("1"), ..of() }, (422, "invalid_amount")),
        (ActivityOf { from: after(2), to: after(1), ..of() }, (422, "invalid_period")),
    ] {
        assert_eq!(refused(page(&bank, &ann, &wrong).await), (code.0, code.1.to_owned()), "{wrong:?}");
    }
    // A cursor belongs to its query.
    let one = Some(Limit::try_from(1).unwrap());
    let next = page(&bank, &ann, &ActivityOf { limit: one, ..of() }).await.unwrap().next;
    let other = ActivityOf { after: next, q: text("rent"), ..of() };
    assert_eq!(refused(page(&bank, &ann, &other).await).0, 400);
}

#[tokio::test]
async fn a_page_looks_at_a_bounded_number_of_rows_and_the_next_one_goes_on() {
    let bank = Bank::open().await;
    let mine = bank.account("ann", 0).await;
    bank.deposit(&mine, 5_00, "needle").await.unwrap();
    for _ in 0..600 {
        bank.deposit(&mine, 1, "hay").await.unwrap();
    }
    let of = ActivityOf { q: Some("needle".to_owned()), ..ActivityOf::default() };
    let first = page(&bank, "ann", &of).await.unwrap();
    assert!(first.items.is_empty() && first.next.is_some());
    assert_eq!(told(&all(&bank, "ann", &of, 50).await), [(Kind::Deposit, Direction::In, 5_00)]);
}

#[tokio::test]
async fn without_identity_names_are_missing_and_a_search_says_so() {
    let bank = Bank::open().await;
    let (ann, bea) = (bank.user("ann", "Ann Example").await, bank.user("bea", "Bea Muster").await);
    let (mine, shop) = (bank.account(&ann, 10_00).await, bank.account(&bea, 0).await);
    bank.pay(&ann, &mine, &shop, 3_00, "Tea").await;
    bank.cut_off_identity(true);
    let rows = all(&bank, &ann, &ActivityOf::default(), 50).await;
    let other = rows[0].counterparty.clone().unwrap();
    assert_eq!((other.name, other.account.as_deref()), (None, Some(&*shop)));
    let search = ActivityOf { q: Some("bea".to_owned()), ..ActivityOf::default() };
    assert_eq!(refused(page(&bank, &ann, &search).await), (503, "unavailable".to_owned()));
    bank.cut_off_identity(false);
    bank.clock.advance(Duration::from_secs(3));
    assert_eq!(all(&bank, &ann, &search, 50).await.len(), 1);
}

#[tokio::test]
async fn a_customer_with_very_many_accounts_names_one() {
    let bank = Bank::open().await;
    let mut last = String::new();
    for _ in 0..30 {
        last = bank.account("ann", 0).await;
    }
    bank.deposit(&last, 1, "cash").await.unwrap();
    assert_eq!(all(&bank, "ann", &ActivityOf::default(), 50).await.len(), 1);
    bank.account("ann", 0).await;
    let everything = page(&bank, "ann", &ActivityOf::default()).await.unwrap_err();
    let problem = everything.problem().unwrap();
    assert_eq!((problem.status().as_u16(), problem.code()), (422, Some("too_many_accounts")));
    assert_eq!(problem.errors()[0].field, "account", "{problem:?}");
    let of = ActivityOf { account: Some(last), ..ActivityOf::default() };
    assert_eq!(all(&bank, "ann", &of, 50).await.len(), 1);
}

impl Bank {
    fn clock_now(&self) -> Timestamp {
        bank_stores::Clock::now(&self.clock)
    }
}
