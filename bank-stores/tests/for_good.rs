//! What is written is read by every later version: fingerprints of commands, what the chain hashes, and terms of accounts never change.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    AccountId, AccountStatus, Annotation, Capture, Ceiling, ChangeAccount, ChangeId, Command, Floor, HoldId,
    OpenAccount, OwnerId, PlaceHold, Posting, PostingId, Reversal,
};
use bank_stores::{Currency, Ledger, ManualClock, Money, Timestamp};

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn posting(name: &str) -> PostingId {
    PostingId::new(name).unwrap()
}

fn change(name: &str) -> ChangeId {
    ChangeId::new(name).unwrap()
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

/// Commands of each kind as they were first written, and their fingerprints: it is only added to.
fn commands() -> Vec<(Command, &'static str)> {
    let at = Timestamp::from_seconds(1_700_000_000);
    let hold = || HoldId::new("h").unwrap();
    let ann = OwnerId::new("ann").unwrap();
    let open = |name: &str| OpenAccount::new(account(name), Currency::EUR);
    let transfer = |id: &str, minor| {
        Posting::new(posting(id), "transfer").transfer(account("cash"), account("alice"), eur(minor))
    };
    let place = PlaceHold::new(hold(), account("alice"), eur(40)).expires_in(Duration::from_secs(60));
    let capture = Capture::new(posting("c"), hold(), account("bob")).amount(eur(10)).value_time(at);
    let changed = ChangeAccount::new(change("r"), account("bob")).status(AccountStatus::Frozen);
    vec![
        (open("cash").floor(Floor::None).into(), "5b7608307d8cfb24"),
        (open("alice").owner(ann).name("Savings").into(), "45634bfd0229d4aa"),
        (open("bob").floor(Floor::At(-5)).ceiling(Ceiling::At(1_000)).into(), "74d1b90504fc2403"),
        (transfer("p", 500).into(), "34da8f43463e2632"),
        (
            transfer("q", 5).reference("rent").value_time(at).metadata("k", "v").metadata("l", "").into(),
            "bb08f0af25e8e5cb",
        ),
        (place.reference("hotel").metadata("room", "7").into(), "4daf17786219a711"),
        (capture.release_rest().reference("part").metadata("k", "v").into(), "fdde67958a3dc831"),
        (
            Reversal::new(posting("u"), posting("q")).reference("wrong").metadata("why", "x").into(),
            "6e3df498b79ff7f4",
        ),
        (changed.floor(Floor::Zero).ceiling(Ceiling::None).name("Bob").into(), "0194c771b545cdf0"),
        (Annotation::new(change("n"), posting("p"), "was lunch").into(), "fe8360bad686e595"),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn a_command_sent_again_after_an_upgrade_is_the_same_command() {
    let (commands, expected): (Vec<Command>, Vec<&str>) = commands().into_iter().unzip();
    let found: Vec<String> = commands.iter().map(|command| hex(&command.content()[..8])).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_ledger_written_before_an_upgrade_hashes_as_it_did() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_700_000_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock));
    let ledger = SqliteLedger::open(options).await.unwrap();
    // One call is one group, which goes into one block.
    let outcomes = ledger.execute(commands().into_iter().map(|(command, _)| command).collect()).await;
    outcomes.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    let mut head = ledger.chain().await.unwrap();
    while head.pending > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        head = ledger.chain().await.unwrap();
    }
    assert_eq!(head.to_string(), "10:0162fcd08cc3d86ecb1d9843a72ed64e501b8d55185d0198549550c25ece6b81");
}
