//! Four eyes: what one proposes is done when another one approves it, once, whoever dies in between.

#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use accounts::wire::{AccountPath, AccountStatus};
use bank_sdk::Principal;
use bank_sdk::client::{CallError, Client};
use bank_stores::items::{Change, Key, Transaction};
use bank_stores::{Consistency, Currency, ItemsExt as _};
use serde_json::Value;
use support::{Bank, Copy, Failing, Weather, key, refused, transfer};
use tokio::time::Instant;
use transactions::endpoints;
use transactions::wire::{
    Approval, ApprovalKind, ApprovalStatus, ApprovalsOf, Decision, NewReversalProposal, NewStatusProposal,
    TransferStatus,
};

/// A member of staff.
fn staff(copy: &Copy, name: &str, role: &str) -> Client {
    copy.harness.client(Principal::customer(format!("cus_{name}")).with_role(role))
}

async fn freeze(copy: &Copy, account: &str) -> Result<String, CallError> {
    let new = NewStatusProposal { id: account.to_owned(), reason: "stolen card".to_owned() };
    let proposed = staff(copy, "tina", "teller").call(endpoints::FREEZE, &new).send().await;
    proposed.map(|proposed| proposed.approval)
}

async fn unfreeze(copy: &Copy, account: &str) -> Result<String, CallError> {
    let new = NewStatusProposal { id: account.to_owned(), reason: "it was found".to_owned() };
    let proposed = staff(copy, "tina", "teller").call(endpoints::UNFREEZE, &new).send().await;
    proposed.map(|proposed| proposed.approval)
}

async fn undo(copy: &Copy, posting: &str) -> Result<String, CallError> {
    let new = NewReversalProposal { posting: posting.to_owned(), reason: "paid twice".to_owned() };
    let proposed = staff(copy, "tina", "teller").call(endpoints::REVERSE, &new).send().await;
    proposed.map(|proposed| proposed.approval)
}

async fn approve(copy: &Copy, who: &str, id: &str) -> Result<Approval, CallError> {
    let decision = Decision { id: id.to_owned(), reason: Some("seen".to_owned()) };
    staff(copy, who, "operator").call(endpoints::APPROVE, &decision).send().await
}

async fn reject(copy: &Copy, who: &str, id: &str) -> Result<Approval, CallError> {
    let decision = Decision { id: id.to_owned(), reason: None };
    staff(copy, who, "teller").call(endpoints::REJECT, &decision).send().await
}

async fn listed(copy: &Copy, of: &ApprovalsOf) -> Vec<Approval> {
    staff(copy, "otto", "operator").call(endpoints::APPROVALS, of).send().await.unwrap().items
}

async fn status_of(bank: &Bank, id: &str) -> AccountStatus {
    let path = AccountPath { id: id.to_owned() };
    let client = bank.accounts.client(Principal::service("transactions"));
    client.call(accounts::endpoints::RECORD, &path).send().await.unwrap().status
}

#[tokio::test]
async fn what_one_proposes_is_done_when_another_one_approves_it() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let sent = copy.raw("cus_alice", "k", &transfer(&alice, &bob, 60)).await.transfer();
    let id = undo(&copy, &sent.id).await.unwrap();
    assert!(id.starts_with("apr_"));
    let open = listed(&copy, &ApprovalsOf::default()).await.remove(0);
    assert_eq!((open.kind, open.status, &*open.id), (ApprovalKind::Reversal, ApprovalStatus::Open, &*id));
    assert_eq!((open.posting.as_deref(), &*open.reason), (Some(&*sent.id), "paid twice"));
    assert_eq!(open.proposed_by.id, "cus_tina");
    let moves: Vec<_> = open.moves.iter().map(|of| (&*of.account, of.amount.minor())).collect();
    assert_eq!(moves, [(&*alice, 60), (&*bob, -60)]);
    assert_eq!(bank.balance("cus_alice", &alice).await, 40, "nothing is done before");

    assert_eq!(refused(approve(&copy, "tina", &id).await), (403, "own_proposal".to_owned()));
    let done = approve(&copy, "otto", &id).await.unwrap();
    assert_eq!((done.status, done.decision_reason.as_deref()), (ApprovalStatus::Completed, Some("seen")));
    assert_eq!(done.decided_by.as_ref().unwrap().id, "cus_otto");
    assert_eq!((bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await), (100, 0));
    assert_eq!(listed(&copy, &ApprovalsOf::default()).await, [done]);
    for (who, outcome) in [
        ("otto", reject(&copy, "otto", &id).await),
        ("olga", approve(&copy, "olga", &id).await),
        ("olga", reject(&copy, "olga", &id).await),
    ] {
        assert_eq!(refused(outcome), (409, "already_decided".to_owned()), "{who}");
    }
    assert_eq!(refused(undo(&copy, &sent.id).await), (409, "not_reversible".to_owned()));
    assert_eq!(refused(undo(&copy, "trf_nothing").await).0, 404);
    assert_eq!(refused(approve(&copy, "otto", "apr_nothing").await).0, 404);
}

#[tokio::test]
async fn a_frozen_account_moves_no_money_until_two_others_unfreeze_it() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 100).await,
    );
    let new = NewStatusProposal { id: alice.clone(), reason: "stolen card".to_owned() };
    let tina = staff(&copy, "tina", "teller");
    assert_eq!(
        refused(tina.call(endpoints::UNFREEZE, &new).send().await),
        (409, "account_not_frozen".to_owned())
    );
    let id = freeze(&copy, &alice).await.unwrap();
    assert_eq!(status_of(&bank, &alice).await, AccountStatus::Open);
    assert_eq!(approve(&copy, "otto", &id).await.unwrap().status, ApprovalStatus::Completed);
    assert_eq!(status_of(&bank, &alice).await, AccountStatus::Frozen);
    let code = async |token: &str, from: &str, to: &str| {
        let owner = if from == alice { "cus_alice" } else { "cus_bob" };
        copy.raw(owner, token, &transfer(from, to, 1)).await.transfer().code
    };
    assert_eq!(code("a", &alice, &bob).await.as_deref(), Some("account_blocked"));
    assert_eq!(code("b", &bob, &alice).await.as_deref(), Some("unknown_account"));
    assert_eq!(refused(freeze(&copy, &alice).await), (409, "account_not_open".to_owned()));
    let id = tina.call(endpoints::UNFREEZE, &new).send().await.unwrap().approval;
    approve(&copy, "otto", &id).await.unwrap();
    assert_eq!(code("c", &alice, &bob).await, None);
    for nowhere in ["acc_nothing", "acc_house_cash_EUR", "no id"] {
        assert_eq!(refused(freeze(&copy, nowhere).await).0, 404, "{nowhere}");
    }
}

#[tokio::test]
async fn what_is_rejected_or_not_decided_within_a_day_is_never_done() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let rejected = freeze(&copy, &alice).await.unwrap();
    assert_eq!(reject(&copy, "olga", &rejected).await.unwrap().status, ApprovalStatus::Rejected);
    let late = freeze(&copy, &alice).await.unwrap();
    assert_eq!(refused(approve(&copy, "otto", &rejected).await), (409, "already_decided".to_owned()));
    bank.clock.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(refused(approve(&copy, "otto", &late).await), (409, "approval_expired".to_owned()));
    let by = async |status| {
        let of = ApprovalsOf { status: Some(status), ..ApprovalsOf::default() };
        listed(&copy, &of).await.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
    };
    assert_eq!(by(ApprovalStatus::Expired).await, [late]);
    assert_eq!(by(ApprovalStatus::Rejected).await, [rejected]);
    assert!(by(ApprovalStatus::Open).await.is_empty());
    assert_eq!(copy.service.resume_approvals_once().await.unwrap(), 0);
    assert_eq!(status_of(&bank, &alice).await, AccountStatus::Open);
}

#[tokio::test]
async fn what_was_approved_is_done_later_where_accounts_is_away_or_its_answer_is_lost() {
    for weather in [Weather::Down, Weather::RepliesLost] {
        let bank = Bank::open().await;
        let (alice, bob) = (
            bank.account("cus_alice", Currency::EUR, 100).await,
            bank.account("cus_bob", Currency::EUR, 0).await,
        );
        let dying = bank.start();
        let sent = dying.raw("cus_alice", "k", &transfer(&alice, &bob, 60)).await.transfer();
        let id = undo(&dying, &sent.id).await.unwrap();
        dying.network.set(weather);
        let approved = approve(&dying, "otto", &id).await.unwrap();
        assert_eq!(approved.status, ApprovalStatus::Approved, "{weather:?}");
        assert_eq!(refused(reject(&dying, "olga", &id).await), (409, "already_decided".to_owned()));
        drop(dying);

        bank.clock.advance(Duration::from_secs(2));
        // Two copies find it at once.
        let (one, other) = (bank.start(), bank.start());
        let (first, second) =
            tokio::join!(one.service.resume_approvals_once(), other.service.resume_approvals_once());
        assert!(first.unwrap() + second.unwrap() >= 1);
        let done = listed(&one, &ApprovalsOf::default()).await.remove(0);
        assert_eq!(done.status, ApprovalStatus::Completed, "{weather:?}");
        assert_eq!((bank.balance("cus_alice", &alice).await, bank.balance("cus_bob", &bob).await), (100, 0));
        assert_eq!(one.service.resume_approvals_once().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_the_ledger_refuses_after_the_approval_has_failed_and_says_why() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) = (
        bank.account("cus_alice", Currency::EUR, 100).await,
        bank.account("cus_bob", Currency::EUR, 0).await,
    );
    let sent = copy.raw("cus_alice", "k", &transfer(&alice, &bob, 60)).await.transfer();
    let (first, second) = (undo(&copy, &sent.id).await.unwrap(), undo(&copy, &sent.id).await.unwrap());
    let spent = copy.raw("cus_bob", "s", &transfer(&bob, &alice, 60)).await.transfer();
    assert_eq!(spent.status, TransferStatus::Completed);
    let failed = approve(&copy, "otto", &first).await.unwrap();
    assert_eq!((failed.status, failed.code.as_deref()), (ApprovalStatus::Failed, Some("insufficient_funds")));
    copy.raw("cus_alice", "b", &transfer(&alice, &bob, 60)).await;
    assert_eq!(approve(&copy, "otto", &second).await.unwrap().status, ApprovalStatus::Completed);
    assert_eq!(bank.balance("cus_alice", &alice).await, 100);
}

#[tokio::test]
async fn an_account_has_one_open_proposal_about_its_status_and_a_second_one_is_told_which() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let other = bank.account("cus_bob", Currency::EUR, 0).await;
    let open = freeze(&copy, &alice).await.unwrap();
    let again = freeze(&copy, &alice).await.unwrap_err();
    let problem = again.problem().unwrap();
    assert_eq!((problem.status().as_u16(), problem.code()), (409, Some("already_proposed")));
    assert!(problem.detail().contains(&open), "{}", problem.detail());
    freeze(&copy, &other).await.unwrap();

    // Neither is there another one while the approved one is being done.
    copy.network.set(Weather::Down);
    assert_eq!(approve(&copy, "otto", &open).await.unwrap().status, ApprovalStatus::Approved);
    copy.network.set(Weather::Fair);
    assert_eq!(refused(freeze(&copy, &alice).await), (409, "already_proposed".to_owned()));
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!(copy.service.resume_approvals_once().await.unwrap(), 1);
    let rejected = unfreeze(&copy, &alice).await.unwrap();
    reject(&copy, "otto", &rejected).await.unwrap();
    let expired = unfreeze(&copy, &alice).await.unwrap();
    bank.clock.advance(Duration::from_secs(24 * 3_600));
    assert_ne!(unfreeze(&copy, &alice).await.unwrap(), expired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_propose_one_change_of_an_account() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let (a, b, c, d) = tokio::join!(
        freeze(&copy, &alice),
        freeze(&copy, &alice),
        freeze(&copy, &alice),
        freeze(&copy, &alice)
    );
    let outcomes = [a, b, c, d];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refused(outcome), (409, "already_proposed".to_owned()));
    }
    assert_eq!(listed(&copy, &ApprovalsOf::default()).await.len(), 1);
}

#[tokio::test]
async fn an_old_proposal_to_unfreeze_does_not_undo_a_later_freeze() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let frozen = freeze(&copy, &alice).await.unwrap();
    approve(&copy, "otto", &frozen).await.unwrap();
    let first = unfreeze(&copy, &alice).await.unwrap();
    // As a release left it that let an account have two of them.
    let (second, key) = (format!("{first}2"), |id: &str| Key::new(format!("approval#{id}"), "approval"));
    let (mut row, _) =
        bank.items.get_json::<Value>(&key(&first), Consistency::Current).await.unwrap().unwrap();
    row["id"] = second.clone().into();
    let old = Transaction::new("old").change(Change::put(key(&second), &row).unwrap());
    bank.items.commit_one(old).await.unwrap();

    approve(&copy, "otto", &first).await.unwrap();
    assert_eq!(status_of(&bank, &alice).await, AccountStatus::Open);
    let frozen = freeze(&copy, &alice).await.unwrap();
    approve(&copy, "otto", &frozen).await.unwrap();
    assert_eq!(refused(approve(&copy, "otto", &second).await), (409, "superseded".to_owned()));
    assert_eq!(copy.service.resume_approvals_once().await.unwrap(), 0);
    assert_eq!(status_of(&bank, &alice).await, AccountStatus::Frozen);
    assert_eq!(reject(&copy, "otto", &second).await.unwrap().status, ApprovalStatus::Rejected);
}

#[tokio::test]
async fn of_proposals_that_no_account_knows_of_the_first_one_approved_is_the_only_one() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let first = freeze(&copy, &alice).await.unwrap();
    let (second, key) = (format!("{first}2"), |id: &str| Key::new(format!("approval#{id}"), "approval"));
    let (mut row, _) =
        bank.items.get_json::<Value>(&key(&first), Consistency::Current).await.unwrap().unwrap();
    row["id"] = second.clone().into();
    let old = Transaction::new("old")
        .change(Change::put(key(&second), &row).unwrap())
        .change(Change::delete(Key::new(format!("standing#{alice}"), "standing")));
    bank.items.commit_one(old).await.unwrap();
    assert_eq!(approve(&copy, "otto", &second).await.unwrap().status, ApprovalStatus::Completed);
    assert_eq!(refused(approve(&copy, "otto", &first).await), (409, "superseded".to_owned()));
}

#[tokio::test]
async fn whoever_repeats_a_decision_is_told_how_it_stands() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) =
        (bank.account("cus_alice", Currency::EUR, 0).await, bank.account("cus_bob", Currency::EUR, 0).await);
    let id = freeze(&copy, &alice).await.unwrap();
    let first = approve(&copy, "otto", &id).await.unwrap();
    assert_eq!(approve(&copy, "otto", &id).await.unwrap(), first);
    for outcome in [reject(&copy, "otto", &id).await, approve(&copy, "olga", &id).await] {
        assert_eq!(refused(outcome), (409, "already_decided".to_owned()));
    }
    let id = freeze(&copy, &bob).await.unwrap();
    let first = reject(&copy, "otto", &id).await.unwrap();
    assert_eq!(reject(&copy, "otto", &id).await.unwrap(), first);
    assert_eq!(refused(approve(&copy, "otto", &id).await), (409, "already_decided".to_owned()));
}

#[tokio::test]
async fn what_was_approved_is_told_so_though_the_store_cannot_be_read_again() {
    let mut bank = Bank::open().await;
    let failing = Arc::new(Failing { inner: bank.items.clone(), reads_after: AtomicI64::new(i64::MAX) });
    bank.items = failing.clone();
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let id = freeze(&copy, &alice).await.unwrap();
    // The decision and its outcome are written, and nothing is read from then on.
    failing.reads_after.store(2, Ordering::SeqCst);
    let approved = approve(&copy, "otto", &id).await.unwrap();
    assert_eq!((approved.status, &*approved.decided_by.unwrap().id), (ApprovalStatus::Approved, "cus_otto"));
    failing.reads_after.store(i64::MAX, Ordering::SeqCst);
    assert_eq!(approve(&copy, "otto", &id).await.unwrap().status, ApprovalStatus::Completed);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_approval_from_being_listed_and_done() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let junk = ["approvals", "approving"].into_iter().fold(Transaction::new("junk"), |all, partition| {
        all.change(Change::put(Key::new(partition, "0"), "junk").unwrap())
    });
    bank.items.commit_one(junk).await.unwrap();
    let id = freeze(&copy, &alice).await.unwrap();
    copy.network.set(Weather::Down);
    approve(&copy, "otto", &id).await.unwrap();
    copy.network.set(Weather::Fair);
    bank.clock.advance(Duration::from_secs(2));
    assert_eq!(copy.service.resume_approvals_once().await.unwrap(), 1);
    let all = listed(&copy, &ApprovalsOf::default()).await;
    assert_eq!(
        all.iter().map(|of| (&*of.id, of.status)).collect::<Vec<_>>(),
        [(&*id, ApprovalStatus::Completed)]
    );
}

#[tokio::test]
async fn racers_decide_an_approval_once() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let alice = bank.account("cus_alice", Currency::EUR, 0).await;
    let id = freeze(&copy, &alice).await.unwrap();
    let (a, b, c, d) = tokio::join!(
        approve(&copy, "otto", &id),
        reject(&copy, "olga", &id),
        approve(&copy, "oleg", &id),
        reject(&copy, "odin", &id)
    );
    let outcomes = [a, b, c, d];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(refused(outcome), (409, "already_decided".to_owned()));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = listed(&copy, &ApprovalsOf::default()).await[0].status;
        let frozen = status_of(&bank, &alice).await == AccountStatus::Frozen;
        if (status, frozen) == (ApprovalStatus::Completed, true)
            || (status, frozen) == (ApprovalStatus::Rejected, false)
        {
            return;
        }
        assert!(Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_key_proposes_once_and_only_staff_proposes_and_decides() {
    let bank = Bank::open().await;
    let copy = bank.start();
    let (alice, bob) =
        (bank.account("cus_alice", Currency::EUR, 0).await, bank.account("cus_bob", Currency::EUR, 0).await);
    let new =
        |account: &str, reason: &str| NewStatusProposal { id: account.to_owned(), reason: reason.to_owned() };
    let tina = staff(&copy, "tina", "teller");
    let propose = async |account: &str, reason: &str| {
        tina.call(endpoints::FREEZE, &new(account, reason)).key(&key("k")).send().await
    };
    let first = propose(&alice, "stolen").await.unwrap();
    approve(&copy, "otto", &first.approval).await.unwrap();
    assert_eq!(propose(&alice, "stolen").await.unwrap(), first, "whatever became of it");
    assert_eq!(refused(propose(&alice, "lost").await), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(refused(propose(&bob, "stolen").await), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(listed(&copy, &ApprovalsOf::default()).await.len(), 1);
    for wrong in ["", " ", "\u{200b}", "a\nb", &"x".repeat(201)] {
        let outcome = tina.call(endpoints::FREEZE, &new(&bob, wrong)).send().await;
        assert_eq!(refused(outcome), (422, "invalid_reason".to_owned()), "{wrong:?}");
    }
    for (role, proposes, decides) in [("operator", false, true), ("auditor", false, false)] {
        let other = staff(&copy, "other", role);
        if !proposes {
            assert_eq!(refused(other.call(endpoints::FREEZE, &new(&bob, "r")).send().await).0, 403, "{role}");
        }
        let list = other.call(endpoints::APPROVALS, &ApprovalsOf::default()).send().await;
        assert_eq!(list.is_ok(), decides, "{role}");
    }
    let customer = copy.client("cus_alice");
    assert_eq!(refused(customer.call(endpoints::APPROVALS, &ApprovalsOf::default()).send().await).0, 403);
    let decision = Decision { id: first.approval, reason: None };
    assert_eq!(refused(customer.call(endpoints::APPROVE, &decision).send().await).0, 403);
}
