//! The suite has to fail on a ledger that breaks a promise: each fault here breaks one.

#![cfg(all(feature = "embedded", feature = "conformance"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    Account, AccountId, AccountStatus, AsOf, Ceiling, ChainHead, Command, CommandId, Entry, Floor, Hold,
    HoldId, HoldStatus, OpenHolds, OwnerId, Period, Posting, PostingId, PostingRecord, Progress, REVERSAL,
    Receipt, Reversal, Statement, TrialBalance, Verified,
};
use bank_stores::outbox::{Edge, Events, Position, ShardId};
use bank_stores::{
    Consistency, Error, ErrorKind, Ledger, Money, Outbox, Page, PageRequest, Result, Timestamp, conformance,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Executes a posting again that was executed before.
    Doubles,
    /// Opens accounts without the floor that was asked for.
    IgnoresFloors,
    /// Opens accounts without the ceiling that was asked for.
    IgnoresCeilings,
    /// Leaves an account open that is to be frozen or closed.
    IgnoresFreezing,
    /// Loses an event now and then.
    LosesEvents,
    /// Tells nobody of holds.
    HoldsHaveNoEvents,
    /// Has a reader ask again rather than wait.
    NeverWaits,
    /// Takes any cursor for the first page.
    IgnoresCursors,
    /// Gives the last account first.
    AccountsOutOfOrder,
    /// Takes an id that is known for the same command, whatever it says.
    TakesAnyContent,
    /// Says of what it did before that it did it now.
    ReplaysAreNotMarked,
    /// Gives a receipt with the account or hold as it stands now.
    ReplaysTellThePresent,
    /// Cannot tell what became of a command.
    ForgetsReceipts,
    /// Says of a command that is still on its way that nothing came of it.
    LooksUpTooEarly,
    /// Gives the events that it has as if it had forgotten none.
    HidesGaps,
    /// Keeps an id of a refusal that was not to be remembered.
    RemembersEveryRefusal,
    /// Remembers no refusal.
    ForgetsRefusals,
    /// Refuses without saying what is wrong.
    NamesNoField,
    /// Refuses everything for the same reason.
    SaysOnlyInvalid,
    /// Executes the last command of a call first.
    BatchesOutOfOrder,
    /// Executes linked commands each for itself.
    UnlinksChains,
    /// Shows a cent less than there is.
    MislaysACent,
    /// Shows what is held as free.
    ForgetsHolds,
    /// Captures all of a hold, however much was asked for.
    CapturesEverything,
    /// Shows a hold that has ended as open.
    HoldsLookOpen,
    /// Places every hold without its deadline.
    HoldsNeverExpire,
    /// Undoes a posting as often as somebody asks for it.
    ReversesTwice,
    /// Takes the balance now for the one of any time.
    BalanceAtIsNow,
    /// Leaves the last entry of a page out.
    StatementsLoseAnEntry,
    /// Keeps the position that was told last, though it is an earlier one.
    ConsumersGoBack,
    /// Leaves the last command out of the chain.
    ChainStopsShort,
    /// Does not tell how far a verification has come.
    VerifiesInSilence,
    /// Forgets a posting's id two seconds after it was seen first, and executes it again.
    ForgetsIds,
    /// Forgets a remembered refusal two seconds after.
    ForgetsOldRefusals,
    /// Has reads that need not be current answered by a copy that never catches up.
    NeverCatchesUp,
    /// Looks at no head that was kept.
    IgnoresKeptHeads,
    /// Leaves metadata and reference out of events.
    EventsLoseMetadata,
    /// Leaves the hold of a capture and what a reversal undoes out of events.
    EventsLoseCauses,
    /// Forgets events that are younger than was said.
    ForgetsTheYoung,
    /// Leaves the last hold of a page out.
    ListsLoseAHold,
    /// Does not tell what undid a posting.
    PostingsLoseTheirUndoing,
    /// Does not tell what was added to a posting.
    PostingsLoseTheirNotes,
    /// Calls accounts what they were called first.
    KeepsFirstNames,
    /// Does not tell where money came from or went to.
    EntriesLoseCounterparties,
    /// Takes the id of a linked command that failed for one that is known.
    LinkedIdsStay,
}

#[derive(Debug)]
struct BrokenLedger {
    inner: Arc<SqliteLedger>,
    fault: Fault,
    /// Postings that were doubled, or the position of a consumer.
    count: AtomicU64,
    /// When commands were seen first, and accounts as they were read first.
    seen: Mutex<HashMap<CommandId, Instant>>,
    copy: Mutex<HashMap<AccountId, Account>>,
}

impl BrokenLedger {
    async fn new(fault: Fault) -> Self {
        let inner = Arc::new(SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap());
        Self { inner, fault, count: AtomicU64::new(0), seen: Mutex::default(), copy: Mutex::default() }
    }

    /// Whether the command was seen more than two seconds ago for the first time.
    fn is_old(&self, id: &CommandId) -> bool {
        let first = *self.seen.lock().unwrap().entry(id.clone()).or_insert_with(Instant::now);
        first.elapsed() > Duration::from_secs(2)
    }

    /// The same posting under another id.
    fn renamed(&self, posting: Posting) -> Posting {
        let id = format!("{}.{}", posting.id, self.count.fetch_add(1, Ordering::Relaxed));
        let mut other = Posting::new(PostingId::new(id).unwrap(), posting.kind.clone());
        other.legs = posting.legs;
        other
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What is executed in place of the command.
    async fn spoil(&self, command: Command) -> Command {
        match (self.fault, command) {
            (Fault::Doubles, Command::Post(posting)) => self.renamed(posting).into(),
            (Fault::ForgetsIds, Command::Post(posting))
                if !posting.remember && self.is_old(&posting.id.clone().into()) =>
            {
                self.renamed(posting).into()
            }
            (Fault::ForgetsOldRefusals, Command::Post(posting))
                if posting.remember && self.is_old(&posting.id.clone().into()) =>
            {
                self.renamed(posting).into()
            }
            (Fault::IgnoresFloors, Command::Open(open)) => open.floor(Floor::None).into(),
            (Fault::IgnoresCeilings, Command::Open(open)) => open.ceiling(Ceiling::None).into(),
            (Fault::IgnoresFreezing, Command::Change(mut change)) => {
                change.status = change.status.map(|_| AccountStatus::Open);
                change.into()
            }
            (Fault::RemembersEveryRefusal, Command::Post(posting)) => posting.remember_refusal().into(),
            (Fault::ForgetsRefusals, Command::Post(mut posting)) => {
                posting.remember = false;
                posting.into()
            }
            (Fault::UnlinksChains, command) => command.plain().clone(),
            (Fault::CapturesEverything, Command::Capture(mut capture)) => {
                capture.amount = None;
                capture.into()
            }
            (Fault::HoldsNeverExpire, Command::Hold(mut hold)) => {
                hold.expires_in = None;
                hold.into()
            }
            (Fault::ReversesTwice, Command::Reverse(reversal)) => self.opposite(reversal).await,
            (_, command) => command,
        }
    }

    /// A plain posting that does what a reversal does, which nobody can tell from the first one.
    async fn opposite(&self, reversal: Reversal) -> Command {
        let undone = self.inner.receipt(&CommandId::Posting(reversal.reverses.clone())).await.unwrap();
        let Some(undone) = undone else { return reversal.into() };
        let mut posting = Posting::new(reversal.id, REVERSAL);
        for entry in undone.entries {
            posting = posting.leg(entry.account, entry.amount.checked_neg().unwrap());
        }
        posting.into()
    }

    /// What is told in place of the outcome.
    async fn tell(&self, id: &CommandId, outcome: Result<Receipt>) -> Result<Receipt> {
        match (self.fault, outcome) {
            (Fault::TakesAnyContent, Err(error)) if error.kind() == ErrorKind::Conflict => {
                match self.inner.receipt(id).await {
                    Ok(Some(first)) => Ok(first.replay()),
                    _ => Err(error),
                }
            }
            (Fault::NamesNoField, Err(error)) => Err(Error::new(error.kind(), "refused")),
            (Fault::SaysOnlyInvalid, Err(error)) => {
                Err(Error::invalid(error.field().unwrap_or_default().to_owned(), "refused"))
            }
            (Fault::ReplaysAreNotMarked, Ok(mut receipt)) => {
                receipt.replayed = false;
                Ok(receipt)
            }
            (Fault::ReplaysTellThePresent, Ok(receipt)) if receipt.replayed => self.present(receipt).await,
            (Fault::HoldsLookOpen, Ok(mut receipt)) => {
                receipt.hold = receipt.hold.map(look_open);
                Ok(receipt)
            }
            (_, outcome) => outcome,
        }
    }

    async fn present(&self, mut receipt: Receipt) -> Result<Receipt> {
        if let Some(account) = receipt.account.take() {
            receipt.account = Some(self.inner.account(&account.id, Consistency::Current).await?);
        }
        if let Some(hold) = receipt.hold.take() {
            receipt.hold = Some(self.inner.hold(&hold.id, Consistency::Current).await?);
        }
        Ok(receipt)
    }
}

fn look_open(hold: Hold) -> Hold {
    let captured = hold.captured.minor();
    hold.with(captured, HoldStatus::Open)
}

#[async_trait]
impl Ledger for BrokenLedger {
    async fn execute(&self, commands: Vec<Command>) -> Vec<Result<Receipt>> {
        let mut spoiled = Vec::with_capacity(commands.len());
        for command in commands {
            spoiled.push(self.spoil(command).await);
        }
        if self.has(Fault::BatchesOutOfOrder) {
            spoiled.reverse();
        }
        let ids: Vec<CommandId> = spoiled.iter().map(Command::id).collect();
        let outcomes = if self.has(Fault::LooksUpTooEarly) {
            let inner = self.inner.clone();
            let late = async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                inner.execute(spoiled).await
            };
            tokio::spawn(late).await.unwrap()
        } else {
            self.inner.execute(spoiled).await
        };
        let mut told = Vec::with_capacity(outcomes.len());
        for (id, outcome) in ids.iter().zip(outcomes) {
            told.push(self.tell(id, outcome).await);
        }
        if self.has(Fault::BatchesOutOfOrder) {
            told.reverse();
        }
        if self.has(Fault::LinkedIdsStay) {
            let linked = |outcome: &Result<Receipt>| {
                outcome.as_ref().is_err_and(|error| error.field() == Some("linked"))
            };
            for at in 1..told.len() {
                if (0..at).any(|before| ids[before] == ids[at] && linked(&told[before])) {
                    told[at] = Err(Error::new(ErrorKind::Conflict, "known"));
                }
            }
        }
        told
    }
    async fn receipt(&self, id: &CommandId) -> Result<Option<Receipt>> {
        if self.has(Fault::ForgetsReceipts) {
            return Ok(None);
        }
        self.inner.receipt(id).await
    }
    async fn account(&self, id: &AccountId, read: Consistency) -> Result<Account> {
        let mut account = self.inner.account(id, read).await?;
        if self.has(Fault::NeverCatchesUp) && read != Consistency::Current {
            return Ok(self.copy.lock().unwrap().entry(id.clone()).or_insert(account).clone());
        }
        let (balance, held, entries) = (account.balance.minor(), account.held.minor(), account.entry_count);
        match self.fault {
            Fault::MislaysACent => account.set_balance(balance - 1, held, entries),
            Fault::ForgetsHolds => account.set_balance(balance, 0, entries),
            Fault::KeepsFirstNames => {
                let opening = self.inner.receipt(&CommandId::Account(id.clone())).await?;
                account.name = opening.and_then(|receipt| receipt.account?.name);
            }
            _ => {}
        }
        Ok(account)
    }
    async fn accounts(&self, owner: &OwnerId, page: PageRequest, read: Consistency) -> Result<Page<Account>> {
        let mut accounts = self.inner.accounts(owner, page, read).await?;
        if self.has(Fault::AccountsOutOfOrder) {
            accounts.items.reverse();
        }
        Ok(accounts)
    }
    async fn entries(
        &self,
        account: &AccountId,
        mut page: PageRequest,
        read: Consistency,
    ) -> Result<Page<Entry>> {
        if self.has(Fault::IgnoresCursors) {
            page.after = None;
            let mut read = self.inner.entries(account, page, read).await?;
            read.next = None;
            return Ok(read);
        }
        let mut page = self.inner.entries(account, page, read).await?;
        if self.has(Fault::EntriesLoseCounterparties) {
            page.items.iter_mut().for_each(|entry| entry.counterparty = None);
        }
        Ok(page)
    }
    async fn trial_balance(&self, read: Consistency) -> Result<TrialBalance> {
        self.inner.trial_balance(read).await
    }
    async fn hold(&self, id: &HoldId, read: Consistency) -> Result<Hold> {
        let hold = self.inner.hold(id, read).await?;
        Ok(if self.has(Fault::HoldsLookOpen) { look_open(hold) } else { hold })
    }
    async fn open_holds(
        &self,
        account: &AccountId,
        page: PageRequest,
        read: Consistency,
    ) -> Result<OpenHolds> {
        let mut open = self.inner.open_holds(account, page, read).await?;
        if self.has(Fault::ListsLoseAHold) {
            open.holds.items.pop();
        }
        Ok(open)
    }
    async fn posting(&self, id: &PostingId, read: Consistency) -> Result<PostingRecord> {
        let mut posting = self.inner.posting(id, read).await?;
        if self.has(Fault::PostingsLoseTheirUndoing) {
            posting.reversed_by = None;
        }
        if self.has(Fault::PostingsLoseTheirNotes) {
            posting.notes.clear();
        }
        Ok(posting)
    }
    async fn balance_at(&self, account: &AccountId, at: AsOf, read: Consistency) -> Result<Money> {
        if self.has(Fault::BalanceAtIsNow) {
            return self.inner.account(account, read).await.map(|account| account.balance);
        }
        self.inner.balance_at(account, at, read).await
    }
    async fn statement(
        &self,
        account: &AccountId,
        period: Period,
        page: PageRequest,
        read: Consistency,
    ) -> Result<Statement> {
        let mut statement = self.inner.statement(account, period, page, read).await?;
        if self.has(Fault::StatementsLoseAnEntry) {
            statement.entries.items.pop();
        }
        Ok(statement)
    }
    async fn chain(&self) -> Result<ChainHead> {
        let mut head = self.inner.chain().await?;
        if self.has(Fault::ChainStopsShort) {
            head.sequence = head.sequence.saturating_sub(1);
        }
        Ok(head)
    }
    async fn verify(
        &self,
        kept: Option<&ChainHead>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        if self.has(Fault::IgnoresKeptHeads) {
            return self.inner.verify(None, progress).await;
        }
        if self.has(Fault::VerifiesInSilence) {
            return self.inner.verify(kept, &mut |_| ()).await;
        }
        self.inner.verify(kept, progress).await
    }
}

#[async_trait]
impl Outbox for BrokenLedger {
    async fn shards(&self) -> Result<Vec<ShardId>> {
        self.inner.shards().await
    }
    async fn edge(&self, shard: ShardId, edge: Edge) -> Result<Position> {
        self.inner.edge(shard, edge).await
    }
    async fn consumed(&self, consumer: &str, position: &Position) -> Result<()> {
        self.count.store(position.number(), Ordering::Relaxed);
        self.inner.consumed(consumer, position).await
    }
    async fn positions(&self, consumer: &str) -> Result<Vec<Position>> {
        let kept = self.inner.positions(consumer).await?;
        if self.has(Fault::ConsumersGoBack) {
            let told = self.count.load(Ordering::Relaxed);
            return Ok(kept.iter().map(|kept| Position::new(kept.epoch(), kept.shard(), told)).collect());
        }
        Ok(kept)
    }
    async fn forget_consumer(&self, consumer: &str) -> Result<()> {
        self.inner.forget_consumer(consumer).await
    }
    async fn forget_events(&self, before: Timestamp) -> Result<u64> {
        if self.has(Fault::ForgetsTheYoung) {
            return self.inner.forget_events(Timestamp::from_micros(i64::MAX)).await;
        }
        self.inner.forget_events(before).await
    }
    async fn events(&self, after: &Position, limit: u32, wait: Duration) -> Result<Events> {
        let wait = if self.has(Fault::NeverWaits) { Duration::ZERO } else { wait };
        let mut read = match self.inner.events(after, limit, wait).await {
            Err(error) if self.has(Fault::HidesGaps) && error.field() == Some("after") => {
                Events::new(Vec::new(), *after)
            }
            read => read?,
        };
        match self.fault {
            Fault::LosesEvents if read.events.len() > 2 => drop(read.events.remove(1)),
            Fault::EventsLoseMetadata => read.events.iter_mut().for_each(|event| {
                for field in ["metadata", "reference"] {
                    if let Some(lost) = event.payload.get_mut(field) {
                        *lost = serde_json::Value::Null;
                    }
                }
            }),
            Fault::EventsLoseCauses => read.events.iter_mut().for_each(|event| {
                let payload = event.payload.as_object_mut().unwrap();
                if event.topic.starts_with("posting.") {
                    payload.remove("hold");
                    payload.remove("reverses");
                }
            }),
            Fault::HoldsHaveNoEvents => read.events.retain(|event| !event.topic.starts_with("hold.")),
            _ => {}
        }
        Ok(read)
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type Promise = fn(&dyn Ledger) -> Running<'_>;

macro_rules! faults {
    ($($fault:ident $promise:ident)*) => {
        /// Each fault, and a promise that it breaks.
        const FAULTS: &[(Fault, &str, Promise)] = &[$((Fault::$fault, stringify!($promise), {
            fn promise(ledger: &dyn Ledger) -> Running<'_> {
                Box::pin(conformance::ledger::$promise(ledger))
            }
            promise
        })),*];
    };
}

faults! {
    Doubles the_same_posting_again_gives_the_first_receipt
    TakesAnyContent the_same_id_with_other_content_is_a_conflict
    ReplaysTellThePresent an_opening_may_be_repeated
    RemembersEveryRefusal a_refused_id_may_be_tried_again
    NamesNoField bad_input_is_refused_and_named
    BatchesOutOfOrder a_batch_keeps_its_order_and_each_its_own_outcome
    Doubles racers_with_one_id_have_one_effect
    IgnoresFloors a_floor_is_never_broken
    MislaysACent the_total_is_constant_under_concurrent_transfers
    IgnoresCursors entries_add_up_and_read_both_ways
    AccountsOutOfOrder accounts_of_an_owner_come_in_order
    IgnoresCursors a_cursor_is_good_for_its_own_query_only
    LosesEvents events_are_complete_and_in_order
    NeverWaits a_waiting_reader_wakes_at_commit
    ForgetsReceipts a_cancelled_caller_leaves_no_half_effect
    LooksUpTooEarly a_cancelled_caller_leaves_no_half_effect
    UnlinksChains random_commands_match_the_model
    ForgetsHolds a_hold_keeps_money_for_a_payment_to_come
    CapturesEverything a_hold_is_captured_in_parts
    HoldsLookOpen a_voided_hold_gives_back_what_is_left
    ReplaysTellThePresent commands_of_holds_may_be_repeated
    HoldsNeverExpire a_hold_ends_by_its_deadline
    ReplaysAreNotMarked a_hold_ends_once
    SaysOnlyInvalid bad_holds_are_refused_and_named
    IgnoresFreezing frozen_and_closed_accounts_take_part_in_nothing
    IgnoresCeilings floors_and_ceilings_hold_and_may_be_moved
    ReversesTwice a_posting_is_reversed_once
    UnlinksChains linked_commands_succeed_or_fail_together
    ForgetsRefusals a_refusal_is_remembered_where_asked
    HoldsHaveNoEvents every_kind_of_command_has_its_event
    BalanceAtIsNow balances_as_of_a_time_are_exact
    StatementsLoseAnEntry a_statement_adds_up
    ConsumersGoBack consumers_keep_their_positions
    HidesGaps consumers_keep_their_positions
    ChainStopsShort the_chain_takes_everything_in
    VerifiesInSilence the_chain_takes_everything_in
    ForgetsIds an_id_is_known_however_long_ago_it_was
    ForgetsOldRefusals an_id_is_known_however_long_ago_it_was
    NeverCatchesUp a_read_sees_what_its_token_stands_for
    IgnoresKeptHeads a_kept_head_is_held_against_the_chain
    EventsLoseMetadata events_tell_what_their_commands_did
    EventsLoseCauses events_tell_what_their_commands_did
    ForgetsTheYoung events_that_are_younger_are_not_forgotten
    LinkedIdsStay linked_commands_that_failed_may_be_sent_again
    ListsLoseAHold open_holds_are_what_is_held
    PostingsLoseTheirUndoing a_posting_is_told_whole
    PostingsLoseTheirNotes notes_are_added_to_a_posting_later
    KeepsFirstNames an_account_is_changed
    EntriesLoseCounterparties an_entry_names_its_counterparty
}

/// Whether the ledger was found to break the promise.
async fn caught(fault: Fault, promise: Promise) -> bool {
    let store = BrokenLedger::new(fault).await;
    let running = async move { promise(&store).await };
    tokio::spawn(running).await.is_err_and(|error| error.is_panic())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_ledger_is_caught() {
    for (fault, name, promise) in FAULTS {
        assert!(caught(*fault, *promise).await, "{fault:?} went unnoticed by {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_ledger_is_blamed_for_nothing() {
    for (_, name, promise) in FAULTS {
        assert!(!caught(Fault::None, *promise).await, "a sound ledger was blamed by {name}");
    }
}

/// The promises of an outbox are broken by stores of items in `broken_stores.rs`; here are those that a ledger's can break.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_a_ledger_s_outbox_is_caught() {
    use conformance::outbox::{self, LedgerOutbox};
    type Promise = fn(&LedgerOutbox<BrokenLedger>) -> Running<'_>;
    let promises: [(Fault, Promise); 4] = [
        (Fault::ForgetsTheYoung, |source| {
            Box::pin(outbox::events_are_forgotten_when_every_consumer_has_passed(source))
        }),
        (Fault::NeverWaits, |source| Box::pin(outbox::a_waiting_reader_wakes_at_commit(source))),
        (Fault::ConsumersGoBack, |source| Box::pin(outbox::consumers_keep_their_positions(source))),
        (Fault::HidesGaps, |source| {
            Box::pin(outbox::events_are_forgotten_when_every_consumer_has_passed(source))
        }),
    ];
    for (fault, promise) in promises {
        for (fault, expected) in [(fault, true), (Fault::None, false)] {
            let source = LedgerOutbox(BrokenLedger::new(fault).await);
            let running = async move { promise(&source).await };
            let caught = tokio::spawn(running).await.is_err_and(|error| error.is_panic());
            assert_eq!(caught, expected, "{fault:?}");
        }
    }
}

#[test]
fn each_promise_of_the_suite_has_a_ledger_that_breaks_it() {
    let suite = include_str!("../src/conformance/mod.rs");
    let (_, list) = suite.split_once("{ ledger, $factory,").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    for promise in list.split_whitespace() {
        assert!(FAULTS.iter().any(|(_, name, _)| *name == promise), "nothing breaks {promise}");
    }
}
