use super::*;
use crate::ledger::{Annotation, ChangeAccount, Floor, MAX_ADDITIONS, PlaceHold, Reversal};
use crate::{Currency, Money};

fn id(text: &str) -> AccountId {
    AccountId::new(text).unwrap()
}

fn book() -> Book {
    let mut book = Book::new(0, Timestamp::from_seconds(1));
    let cash = OpenAccount::new(id("cash"), Currency::EUR).floor(Floor::None).into();
    book.evaluate(&[&cash, &OpenAccount::new(id("alice"), Currency::EUR).into()]);
    book
}

fn posting(name: &str, from: &str, to: &str, minor: i64) -> Posting {
    Posting::new(PostingId::new(name).unwrap(), "transfer").transfer(
        id(from),
        id(to),
        Money::from_minor(minor, Currency::EUR),
    )
}

#[test]
fn a_later_command_sees_what_an_earlier_one_of_the_group_did() {
    let mut book = book();
    let commands: [Command; 5] = [
        posting("p1", "alice", "cash", 5).into(),
        posting("p2", "cash", "alice", 5).into(),
        posting("p1", "alice", "cash", 5).into(),
        posting("p2", "cash", "alice", 5).into(),
        posting("p2", "cash", "alice", 6).into(),
    ];
    let outcomes = book.evaluate(&commands.each_ref());
    assert!(matches!(&outcomes[0], Outcome::Refused(error) if error.kind() == ErrorKind::InsufficientFunds));
    assert!(matches!(&outcomes[1], Outcome::Fresh(receipt, _) if receipt.sequence == 3));
    assert!(matches!(&outcomes[2], Outcome::Fresh(receipt, _) if receipt.entries[0].balance_after.is_zero()));
    assert!(matches!(&outcomes[3], Outcome::Replayed(receipt) if receipt.replayed && receipt.sequence == 3));
    assert!(matches!(&outcomes[4], Outcome::Refused(error) if error.kind() == ErrorKind::Conflict));
}

#[test]
fn a_refused_posting_changes_nothing() {
    let mut book = book();
    let refused = posting("p", "cash", "alice", 5)
        .leg(id("nobody"), Money::from_minor(1, Currency::EUR))
        .leg(id("cash"), Money::from_minor(-1, Currency::EUR));
    let refused = refused.into();
    let outcomes = book.evaluate(&[&refused]);
    let Outcome::Refused(error) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((error.kind(), error.field()), (ErrorKind::NotFound, Some("legs[2].account")));
    assert_eq!((book.sequence(), book.account(&id("alice")).unwrap().account.entry_count), (2, 0));
}

#[test]
fn an_account_below_its_floor_may_still_be_paid_into() {
    let mut book = book();
    let mut alice = book.account(&id("alice")).unwrap().clone();
    alice.account.set_balance(-10, 0, 0);
    book.load_account(alice.account, alice.sequence, alice.content);
    let posting = posting("p", "cash", "alice", 5).into();
    let outcomes = book.evaluate(&[&posting]);
    assert!(matches!(outcomes[0], Outcome::Fresh(..)));
}

#[test]
fn linked_commands_that_fail_leave_the_book_as_it_was() {
    let mut book = book();
    let place = PlaceHold::new(HoldId::new("h").unwrap(), id("alice"), Money::from_minor(3, Currency::EUR));
    let chain: [Command; 4] = [
        Command::from(posting("p1", "cash", "alice", 5)).linked(),
        Command::from(place).linked(),
        Command::from(posting("p2", "alice", "cash", 3)),
        posting("p1", "cash", "alice", 5).into(),
    ];
    let outcomes = book.evaluate(&chain.each_ref());
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Refused(error) => Some((error.kind(), error.field().map(ToOwned::to_owned))),
            _ => None,
        })
        .collect();
    let linked = Some((ErrorKind::Rejected, Some("linked".to_owned())));
    let failed = Some((ErrorKind::InsufficientFunds, Some("legs[0].account".to_owned())));
    assert_eq!(kinds, [linked.clone(), linked, failed, None]);
    let alice = &book.account(&id("alice")).unwrap().account;
    assert_eq!((alice.balance.minor(), alice.held.minor(), book.sequence()), (5, 0, 3));
    assert!(book.hold(&HoldId::new("h").unwrap()).is_none());
}

#[test]
fn a_change_that_was_linked_with_what_failed_may_be_made_again() {
    let mut book = book();
    let change = || ChangeAccount::new(ChangeId::new("c").unwrap(), id("alice")).floor(Floor::At(-1));
    let commands: [Command; 3] =
        [Command::from(change()).linked(), posting("q", "alice", "cash", 60).into(), change().into()];
    assert!(matches!(&book.evaluate(&commands.each_ref())[2], Outcome::Fresh(..)));
}

#[test]
fn a_reversal_that_was_linked_with_what_failed_may_be_made_again() {
    let mut book = book();
    let undo = || Reversal::new(PostingId::new("r").unwrap(), PostingId::new("p").unwrap());
    let commands: [Command; 4] = [
        posting("p", "cash", "alice", 5).into(),
        Command::from(undo()).linked(),
        posting("q", "alice", "cash", 60).into(),
        undo().into(),
    ];
    assert!(matches!(&book.evaluate(&commands.each_ref())[3], Outcome::Fresh(..)));
}

#[test]
fn a_note_is_added_once_and_undone_with_what_it_was_linked_to() {
    let mut book = book();
    let note = |id: String| -> Command {
        Annotation::new(ChangeId::new(id).unwrap(), PostingId::new("p").unwrap(), "n").into()
    };
    let poor = || -> Command { posting("poor", "alice", "cash", 60).into() };
    let mut commands: Vec<Command> = vec![
        posting("p", "cash", "alice", 5).into(),
        note("once".to_owned()),
        note("once".to_owned()),
        note("lost".to_owned()).linked(),
        poor(),
        note("lost".to_owned()),
    ];
    // Two are there; what was undone takes no room.
    commands.extend(
        (2..MAX_ADDITIONS).flat_map(|n| [note(format!("x{n}")).linked(), poor(), note(format!("n{n}"))]),
    );
    commands.push(note("last".to_owned()));
    let outcomes = book.evaluate(&commands.iter().collect::<Vec<_>>());
    let fresh = |outcome: &Outcome<'_>| matches!(outcome, Outcome::Fresh(..));
    assert!(fresh(&outcomes[1]) && matches!(outcomes[2], Outcome::Replayed(_)));
    assert!(fresh(&outcomes[5]), "{:?}", outcomes[5]);
    assert_eq!(outcomes.iter().filter(|outcome| fresh(outcome)).count() as u64, 1 + MAX_ADDITIONS);
    assert!(matches!(outcomes.last(), Some(Outcome::Refused(error)) if error.field() == Some("posting")));
}
