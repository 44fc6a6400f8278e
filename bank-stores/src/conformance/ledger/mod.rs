//! What a [`Ledger`] promises.

use std::time::Duration;

mod history;
mod holds;
mod input;
mod lasting;
mod lookup;
mod random;
mod reopened;
mod rules;

use super::{Numbers, together};
use crate::ledger::{
    AccountId, Command, CommandId, Floor, OpenAccount, OwnerId, Posting, PostingId, Receipt,
};
use crate::outbox::{Edge, Event, Position, ShardId};
use crate::{
    Consistency, Currency, Direction, ErrorKind, Ledger, LedgerExt, Money, PageRequest, Result, Timestamp,
};
pub use history::*;
pub use holds::{
    a_hold_ends_by_its_deadline, a_hold_ends_once, a_hold_is_captured_in_parts,
    a_hold_keeps_money_for_a_payment_to_come, a_voided_hold_gives_back_what_is_left,
    bad_holds_are_refused_and_named, commands_of_holds_may_be_repeated,
};
pub use input::bad_input_is_refused_and_named;
pub use lasting::*;
pub use lookup::*;
pub use random::random_commands_match_the_model;
pub use reopened::*;
pub use rules::*;

const NOW: Consistency = Consistency::Current;

fn account(name: &str) -> AccountId {
    AccountId::new(name).expect("the suite's own ids are well formed")
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn transfer(id: impl AsRef<str>, from: &str, to: &str, minor: i64) -> Posting {
    let id = PostingId::new(id).expect("the suite's own ids are well formed");
    Posting::new(id, "transfer").transfer(account(from), account(to), eur(minor))
}

/// Opens `cash`, which may fall without bound, and customers' accounts with `minor` in each.
async fn open(ledger: &dyn Ledger, names: &[&str], minor: i64) {
    let cash = OpenAccount::new(account("cash"), Currency::EUR).floor(Floor::None);
    ledger.open(cash).await.expect("an account opens");
    for name in names {
        ledger.open(OpenAccount::new(account(name), Currency::EUR)).await.expect("an account opens");
        if minor > 0 {
            ledger.post(transfer(format!("fund:{name}"), "cash", name, minor)).await.expect("money goes in");
        }
    }
}

async fn balance(ledger: &dyn Ledger, name: &str) -> i64 {
    ledger.account(&account(name), NOW).await.expect("the account exists").balance.minor()
}

async fn all_events(ledger: &dyn Ledger) -> Vec<Event> {
    events_behind(ledger, outbox_start(ledger).await).await
}

/// Before the oldest event.
async fn outbox_start(ledger: &dyn Ledger) -> Position {
    ledger.edge(ShardId::new(0), Edge::Oldest).await.expect("a ledger has one shard")
}

async fn events_behind(ledger: &dyn Ledger, mut after: Position) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    loop {
        let more = ledger.events(&after, 7, Duration::ZERO).await.expect("events are read");
        after = more.next;
        if more.events.is_empty() {
            return events;
        }
        events.extend(more.events);
    }
}

fn kind<T: std::fmt::Debug>(result: &Result<T>) -> ErrorKind {
    result.as_ref().expect_err("it has to be refused").kind()
}

/// The same receipt, whether replayed or not.
fn same(a: &Receipt, b: &Receipt) -> bool {
    a.clone().replay() == b.clone().replay()
}

/// A posting that is sent again has one effect, and the first receipt, marked as replayed; it can be looked up too.
pub async fn the_same_posting_again_gives_the_first_receipt(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let posting = transfer("p", "cash", "alice", 5).reference("rent").metadata("k", "v");
    let first = ledger.post(posting.clone()).await.expect("it is posted");
    assert!(!first.replayed);
    assert_eq!(first.entries.len(), 2);
    ledger.post(transfer("q", "cash", "alice", 1)).await.expect("it is posted");
    let again = ledger.post(posting).await.expect("it is replayed");
    assert!(again.replayed && same(&first, &again), "{first:?} {again:?}");
    assert_eq!(balance(ledger, "alice").await, 6);
    let found = ledger.receipt(&first.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&first, &found), "{first:?} {found:?}");
    let unknown = CommandId::Posting(PostingId::new("nothing").expect("well formed"));
    assert_eq!(ledger.receipt(&unknown).await.expect("it is looked up"), None);
}

/// An id stands for one content for good.
pub async fn the_same_id_with_other_content_is_a_conflict(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 100).await;
    ledger.post(transfer("p", "alice", "bob", 5)).await.expect("it is posted");
    let others = [
        transfer("p", "alice", "bob", 6),
        transfer("p", "bob", "alice", 5),
        transfer("p", "alice", "bob", 5).reference("other"),
        transfer("p", "alice", "bob", 5).metadata("k", "v"),
        transfer("p", "alice", "bob", 5).value_time(Timestamp::from_seconds(1)),
    ];
    for other in others {
        assert_eq!(kind(&ledger.post(other).await), ErrorKind::Conflict);
    }
    assert_eq!(balance(ledger, "alice").await, 95);
}

/// An opening that is sent again gives the account as it was opened; other content is a conflict.
pub async fn an_opening_may_be_repeated(ledger: &dyn Ledger) {
    open(ledger, &[], 0).await;
    let command = OpenAccount::new(account("alice"), Currency::EUR).name("Savings").floor(Floor::At(-50));
    let first = ledger.open(command.clone()).await.expect("it opens");
    ledger.post(transfer("p", "cash", "alice", 5)).await.expect("it is posted");
    let again = ledger.open(command.clone()).await.expect("it is replayed");
    assert!(again.replayed && same(&first, &again), "{first:?} {again:?}");
    let found = ledger.receipt(&first.id).await.expect("it is looked up").expect("it took effect");
    assert!(same(&first, &found), "{first:?} {found:?}");
    assert_eq!(kind(&ledger.open(command.name("Other")).await), ErrorKind::Conflict);
    let now = ledger.account(&account("alice"), NOW).await.expect("it exists");
    assert_eq!((now.balance.minor(), now.available.minor(), now.entry_count), (5, 55, 1));
    assert_eq!(now.name.as_deref(), Some("Savings"));
}

/// A refusal leaves nothing behind.
pub async fn a_refused_id_may_be_tried_again(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let posting = transfer("p", "alice", "cash", 5);
    assert_eq!(kind(&ledger.post(posting.clone()).await), ErrorKind::InsufficientFunds);
    assert_eq!(ledger.receipt(&CommandId::Posting(posting.id.clone())).await.expect("it is looked up"), None);
    ledger.post(transfer("q", "cash", "alice", 5)).await.expect("money goes in");
    assert!(!ledger.post(posting).await.expect("now it is posted").replayed);
}

/// Commands of one call take effect in order, and one that is refused stops no other.
pub async fn a_batch_keeps_its_order_and_each_its_own_outcome(ledger: &dyn Ledger) {
    open(ledger, &[], 0).await;
    let commands: Vec<Command> = vec![
        transfer("p1", "cash", "alice", 5).into(),
        OpenAccount::new(account("alice"), Currency::EUR).into(),
        transfer("p2", "cash", "alice", 5).into(),
        transfer("p3", "alice", "cash", 6).into(),
        transfer("p4", "alice", "cash", 5).into(),
        transfer("p4", "alice", "cash", 5).into(),
        transfer("p4", "alice", "cash", 1).into(),
    ];
    let outcomes = ledger.execute(commands).await;
    assert_eq!(outcomes.len(), 7);
    assert_eq!(kind(&outcomes[0]), ErrorKind::NotFound);
    assert_eq!(kind(&outcomes[3]), ErrorKind::InsufficientFunds);
    assert_eq!(kind(&outcomes[6]), ErrorKind::Conflict);
    let sequences: Vec<u64> =
        [1, 2, 4, 5].iter().map(|i| outcomes[*i].as_ref().expect("it happens").sequence).collect();
    assert!(sequences[0] < sequences[1] && sequences[1] < sequences[2] && sequences[2] == sequences[3]);
    assert!(outcomes[5].as_ref().expect("it happens").replayed);
    assert!(ledger.execute(Vec::new()).await.is_empty());
}

/// However many send the same posting at once, it happens once and all get the same receipt.
pub async fn racers_with_one_id_have_one_effect(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    let receipts = together((0..50).map(|_| ledger.post(transfer("p", "cash", "alice", 5)))).await;
    let receipts: Vec<Receipt> = receipts.into_iter().map(|receipt| receipt.expect("it is posted")).collect();
    assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1);
    assert!(receipts.iter().all(|receipt| same(receipt, &receipts[0])));
    assert_eq!(balance(ledger, "alice").await, 5);
}

/// Many withdrawals at once take out what is there and no more.
pub async fn a_floor_is_never_broken(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 10).await;
    let outcomes =
        together((0..40).map(|n| ledger.post(transfer(format!("p{n}"), "alice", "cash", 1)))).await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (10, 30));
    assert!(refused.iter().all(|refused| kind(refused) == ErrorKind::InsufficientFunds));
    assert_eq!(balance(ledger, "alice").await, 0);
    let page =
        ledger.entries(&account("alice"), PageRequest::first(100), NOW).await.expect("entries are read");
    assert!(page.items.iter().all(|entry| !entry.balance_after.is_negative()));
}

/// Transfers criss-cross; what all hold together stays what it was.
pub async fn the_total_is_constant_under_concurrent_transfers(ledger: &dyn Ledger) {
    let names = ["a", "b", "c", "d"];
    open(ledger, &names, 100).await;
    let mut numbers = Numbers::new(7);
    let postings: Vec<Posting> = (0..300)
        .map(|n| {
            let (from, to) = (numbers.below(4) as usize, numbers.below(4) as usize);
            transfer(format!("p{n}"), names[from], names[to], 1 + numbers.below(40) as i64)
        })
        .collect();
    let outcomes = together(postings.into_iter().map(|posting| ledger.post(posting))).await;
    assert!(outcomes.iter().any(Result::is_ok));
    let mut total = 0;
    for name in names {
        let held = balance(ledger, name).await;
        assert!(held >= 0, "{name} has {held}");
        total += held;
    }
    assert_eq!(total, 400);
    let totals = ledger.trial_balance(NOW).await.expect("totals are read");
    assert!(totals.is_balanced(), "{totals:?}");
    assert_eq!(totals.currency(Currency::EUR).expect("there are accounts").accounts, 5);
}

/// Entries are numbered without gaps, their amounts lead from balance to balance, and pages hold each once.
pub async fn entries_add_up_and_read_both_ways(ledger: &dyn Ledger) {
    open(ledger, &["alice"], 0).await;
    for n in 1..=25 {
        let value = Timestamp::from_seconds(n);
        ledger
            .post(transfer(format!("p{n}"), "cash", "alice", n).value_time(value))
            .await
            .expect("it is posted");
    }
    // Twice on one account: the second leg goes on where the first one ended.
    let both =
        transfer("both", "alice", "cash", 5).leg(account("alice"), eur(2)).leg(account("cash"), eur(-2));
    ledger.post(both).await.expect("it is posted");
    for direction in [Direction::Forward, Direction::Backward] {
        let mut entries = Vec::new();
        let mut page = PageRequest { direction, ..PageRequest::first(10) };
        loop {
            let read = ledger.entries(&account("alice"), page.clone(), NOW).await.expect("entries are read");
            assert!(read.items.len() <= 10);
            entries.extend(read.items);
            match read.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        if direction == Direction::Backward {
            entries.reverse();
        }
        assert_eq!(entries.len(), 27);
        let mut before = 0;
        for (index, entry) in entries.iter().enumerate() {
            assert_eq!(entry.number, index as u64 + 1);
            assert_eq!(entry.balance_after.minor(), before + entry.amount.minor());
            before = entry.balance_after.minor();
        }
        assert!(entries.windows(2).all(|pair| pair[0].booked_at <= pair[1].booked_at));
        assert_eq!(entries[4].value_at, Timestamp::from_seconds(5));
        assert_eq!(before, balance(ledger, "alice").await);
    }
    let none =
        ledger.entries(&account("nobody"), PageRequest::first(10), NOW).await.expect("entries are read");
    assert!(none.items.is_empty() && none.next.is_none());
}

/// An owner's accounts come in the order they were opened, and nobody else's do.
pub async fn accounts_of_an_owner_come_in_order(ledger: &dyn Ledger) {
    let owner = |name: &str| OwnerId::new(name).expect("well formed");
    for n in 0..7 {
        for name in ["alice", "bob"] {
            let open =
                OpenAccount::new(account(&format!("{name}{}", 9 - n)), Currency::EUR).owner(owner(name));
            ledger.open(open).await.expect("it opens");
        }
    }
    for (direction, first) in [(Direction::Forward, "alice9"), (Direction::Backward, "alice3")] {
        let page = PageRequest { direction, ..PageRequest::first(4) };
        let one = ledger.accounts(&owner("alice"), page.clone(), NOW).await.expect("accounts are read");
        let two = ledger
            .accounts(&owner("alice"), page.after(one.next.clone()), NOW)
            .await
            .expect("accounts are read");
        assert_eq!((one.items.len(), two.items.len(), two.next), (4, 3, None));
        assert_eq!(one.items[0].id.as_str(), first);
        let owners =
            one.items.iter().chain(&two.items).filter(|account| account.owner == Some(owner("alice")));
        assert_eq!(owners.count(), 7);
    }
}

/// A cursor of one account's entries is refused for another's.
pub async fn a_cursor_is_good_for_its_own_query_only(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 10).await;
    ledger.post(transfer("p", "alice", "bob", 1)).await.expect("it is posted");
    let page = PageRequest::first(1);
    let cursor = ledger.entries(&account("alice"), page.clone(), NOW).await.expect("entries are read").next;
    let page = page.after(cursor);
    assert!(ledger.entries(&account("alice"), page.clone(), NOW).await.is_ok());
    for refused in [
        kind(&ledger.entries(&account("bob"), page.clone(), NOW).await),
        kind(&ledger.entries(&account("alice"), page.clone().backward(), NOW).await),
        kind(&ledger.accounts(&OwnerId::new("alice").expect("well formed"), page, NOW).await),
    ] {
        assert_eq!(refused, ErrorKind::Invalid);
    }
}

/// Every command that took effect has one event, in commit order; refused and replayed ones have none.
pub async fn events_are_complete_and_in_order(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 50).await;
    let outcomes =
        together((0..60).map(|n| ledger.post(transfer(format!("p{}", n % 50), "alice", "bob", 2)))).await;
    let mut sequences: Vec<(u64, String)> = outcomes
        .into_iter()
        .flatten()
        .filter(|receipt| !receipt.replayed)
        .map(|receipt| (receipt.sequence, receipt.entries[0].posting.to_string()))
        .collect();
    sequences.sort();
    assert_eq!(sequences.len(), 25);
    let events = all_events(ledger).await;
    assert_eq!(events.len(), 3 + 2 + 25);
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert_eq!(events.iter().filter(|event| event.topic == "account.opened").count(), 3);
    let posted: Vec<(u64, String)> = events
        .iter()
        .skip(5)
        .map(|event| {
            (event.position.number(), event.payload["posting"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    assert_eq!(posted, sequences);
    let last = &events[29];
    assert_eq!(last.topic, "posting.transfer");
    assert_eq!(last.payload["legs"][1]["account"], "bob");
    assert_eq!(last.payload["legs"][1]["amount"]["amount"], "0.02");
    assert_eq!(last.payload["legs"][1]["balance_after"]["amount"], "1.00");
}

/// Who waits for an event gets it when it is committed, and nothing when the time is over.
pub async fn a_waiting_reader_wakes_at_commit(ledger: &dyn Ledger) {
    open(ledger, &[], 0).await;
    let after = all_events(ledger).await.last().expect("there are events").position;
    let none = ledger.events(&after, 10, Duration::from_millis(20)).await.expect("events are read");
    assert!(none.events.is_empty());
    let wait = ledger.events(&after, 10, Duration::from_secs(30));
    let post = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        ledger.open(OpenAccount::new(account("alice"), Currency::EUR)).await
    };
    let (events, opened) = tokio::join!(wait, post);
    assert_eq!(events.expect("events are read").events.len(), 1);
    opened.expect("it opens");
}

/// A call that is dropped half way has its whole effect or none, and its id tells which, once and for all.
pub async fn a_cancelled_caller_leaves_no_half_effect(ledger: &dyn Ledger) {
    open(ledger, &["alice", "bob"], 100).await;
    let mut done = 0;
    for n in 0..40_u64 {
        let posting = transfer(format!("p{n}"), "alice", "bob", 1);
        let id = posting.id.clone().into();
        let call = ledger.post(posting);
        // Each is dropped a little later than the one before.
        let _ = tokio::time::timeout(Duration::from_micros(n * 25), call).await;
        done += i64::from(ledger.receipt(&id).await.expect("it is looked up").is_some());
    }
    // What has not happened by now does not happen later.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((balance(ledger, "alice").await, balance(ledger, "bob").await), (100 - done, 100 + done));
    assert!(ledger.trial_balance(NOW).await.expect("totals are read").is_balanced());
}
