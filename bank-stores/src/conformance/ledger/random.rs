//! A ledger beside the model, over commands that nobody thought of.

use super::super::model::LedgerModel;
use super::super::{Numbers, seed};
use super::holds::hold_id;
use super::{NOW, account};
use crate::ledger::{
    AccountStatus, Annotation, Capture, Ceiling, ChangeAccount, ChangeId, Command, Floor, OpenAccount,
    PlaceHold, Posting, PostingId, Reversal,
};
use crate::{Currency, Ledger, Money, PageRequest, Result, Timestamp};

/// How many accounts, holds and postings there are names for.
const ACCOUNTS: u64 = 6;
const HOLDS: u64 = 40;
const POSTINGS: u64 = 150;

/// Some hundred commands of every kind, good and bad, linked and not, in batches of all sizes: the same outcomes as the
/// model's, and the same end.
pub async fn random_commands_match_the_model(ledger: &dyn Ledger) {
    let mut numbers = Numbers::new(seed());
    let (mut model, mut posted) = (LedgerModel::new(), Vec::new());
    for _ in 0..120 {
        let commands: Vec<Command> =
            (0..1 + numbers.below(12)).map(|_| random_command(&mut numbers, &posted)).collect();
        let outcomes = ledger.execute(commands.clone()).await;
        posted.extend(
            outcomes.iter().flatten().filter_map(|receipt| Some(receipt.entries.first()?.posting.clone())),
        );
        assert_eq!(outcomes.len(), commands.len());
        let mut at = 0;
        while at < commands.len() {
            // Linked commands are one step; each step may be booked at a time of its own.
            let linked = commands[at..].iter().take_while(|command| command.is_linked()).count();
            let end = (at + linked + 1).min(commands.len());
            compare(&mut model, &commands[at..end], &outcomes[at..end]);
            at = end;
        }
    }
    for number in 0..ACCOUNTS {
        let id = account(&format!("a{number}"));
        assert_eq!(ledger.account(&id, NOW).await.ok(), model.account(&id));
        let mut page = PageRequest::first(1_000);
        let mut entries = Vec::new();
        loop {
            let read = ledger.entries(&id, page.clone(), NOW).await.expect("entries are read");
            entries.extend(read.items);
            match read.next {
                Some(next) => page = page.after(next),
                None => break,
            }
        }
        assert_eq!(entries.iter().collect::<Vec<_>>(), model.entries(&id));
    }
    for number in 0..POSTINGS {
        let id = PostingId::new(format!("p{number}")).expect("well formed");
        let notes = ledger.posting(&id, NOW).await.map(|posting| posting.notes).unwrap_or_default();
        let notes: Vec<_> = notes.into_iter().map(|note| (note.id, note.text)).collect();
        assert_eq!(notes, model.notes(&id));
    }
    for number in 0..HOLDS {
        let id = hold_id(&format!("h{number}"));
        assert_eq!(ledger.hold(&id, NOW).await.ok(), model.hold(&id));
    }
    assert_eq!(ledger.trial_balance(NOW).await.expect("totals are read"), model.trial_balance());
    let verified = ledger.verify(None, &mut |_| ()).await.expect("it is read");
    assert!(verified.is_intact(), "{:?}", verified.breach);
}

fn compare(model: &mut LedgerModel, commands: &[Command], outcomes: &[Result<crate::ledger::Receipt>]) {
    let booked_at =
        outcomes.iter().flatten().find(|receipt| !receipt.replayed).map(|receipt| receipt.booked_at);
    let expected = model.execute_all(commands, booked_at.unwrap_or(Timestamp::EPOCH));
    for ((command, expected), outcome) in commands.iter().zip(expected).zip(outcomes) {
        match (expected, outcome) {
            (Ok(expected), Ok(receipt)) => assert_eq!(expected, *receipt, "{command:?}"),
            (Err(expected), Err(error)) => assert_eq!(expected.kind(), error.kind(), "{command:?}: {error}"),
            (expected, outcome) => panic!("{command:?}: expected {expected:?}, got {outcome:?}"),
        }
    }
}

fn random_command(numbers: &mut Numbers, posted: &[PostingId]) -> Command {
    let command = match numbers.below(20) {
        0..=2 => open(numbers),
        3 | 4 => change(numbers),
        5 => {
            let reversal = Reversal::new(posting_id(numbers), posting_id(numbers));
            if numbers.below(4) == 0 { reversal.remember_refusal().into() } else { reversal.into() }
        }
        9..=11 => capture(numbers),
        6 if numbers.below(2) == 0 => {
            let id = ChangeId::new(format!("c{}", numbers.below(60))).expect("well formed");
            // Most of what there is, so that notes come together.
            let posting = match posted.get(numbers.below(posted.len().clamp(1, 12) as u64) as usize) {
                Some(posting) => posting.clone(),
                None => posting_id(numbers),
            };
            Annotation::new(id, posting, format!("note {}", numbers.below(3))).into()
        }
        6..=8 => hold(numbers),
        12 => Command::Void(hold_id(&format!("h{}", numbers.below(HOLDS)))),
        _ => post(numbers),
    };
    if numbers.below(5) == 0 { command.linked() } else { command }
}

fn currency(number: u64) -> Currency {
    if number.is_multiple_of(3) { Currency::USD } else { Currency::EUR }
}

fn any_account(numbers: &mut Numbers) -> (u64, crate::ledger::AccountId) {
    let number = numbers.below(ACCOUNTS);
    (number, account(&format!("a{number}")))
}

fn posting_id(numbers: &mut Numbers) -> PostingId {
    PostingId::new(format!("p{}", numbers.below(POSTINGS))).expect("well formed")
}

fn open(numbers: &mut Numbers) -> Command {
    let (number, id) = any_account(numbers);
    let floor = if number < 2 { Floor::None } else { Floor::At(-(numbers.below(2) as i64) * 50) };
    OpenAccount::new(id, currency(number)).floor(floor).into()
}

fn change(numbers: &mut Numbers) -> Command {
    let id = ChangeId::new(format!("c{}", numbers.below(40))).expect("well formed");
    let change = ChangeAccount::new(id, any_account(numbers).1);
    match numbers.below(10) {
        9 => change.status(AccountStatus::Frozen).only_if(AccountStatus::Open).into(),
        8 => change.name(format!("name {}", numbers.below(3))).into(),
        0 => change.status(AccountStatus::Frozen).into(),
        1 => change.status(AccountStatus::Closed).into(),
        2 | 3 => change.floor(Floor::At(numbers.below(80) as i64 - 60)).into(),
        4 => change.ceiling(Ceiling::At(numbers.below(200) as i64)).into(),
        5 => change.ceiling(Ceiling::None).floor(Floor::None).into(),
        _ => change.status(AccountStatus::Open).into(),
    }
}

fn hold(numbers: &mut Numbers) -> Command {
    let id = hold_id(&format!("h{}", numbers.below(HOLDS)));
    let (number, account) = any_account(numbers);
    let amount = Money::from_minor(numbers.below(40) as i64, currency(number + numbers.below(8) / 7));
    let place = PlaceHold::new(id, account, amount);
    if numbers.below(3) == 0 { place.remember_refusal().into() } else { place.into() }
}

fn capture(numbers: &mut Numbers) -> Command {
    let hold = hold_id(&format!("h{}", numbers.below(HOLDS)));
    let (number, to) = any_account(numbers);
    let capture = Capture::new(posting_id(numbers), hold, to);
    let capture = match numbers.below(3) {
        0 => capture,
        _ => capture.amount(Money::from_minor(numbers.below(20) as i64, currency(number))),
    };
    let capture = if numbers.below(3) == 0 { capture.release_rest() } else { capture };
    if numbers.below(4) == 0 { capture.remember_refusal().into() } else { capture.into() }
}

fn post(numbers: &mut Numbers) -> Command {
    let mut posting = Posting::new(posting_id(numbers), "random");
    for _ in 0..1 + numbers.below(2) {
        let ((number, from), (_, to)) = (any_account(numbers), any_account(numbers));
        posting = posting.transfer(from, to, Money::from_minor(numbers.below(60) as i64, currency(number)));
    }
    if numbers.below(4) == 0 { posting.remember_refusal().into() } else { posting.into() }
}
