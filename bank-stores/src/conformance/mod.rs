//! The suite that every adapter of a role passes, ours or yours: one function a promise.
//!
//! A function takes a fresh store and panics where the promise is broken. The macros make a test of each; the crate that
//! uses them needs tokio with `macros` and `rt-multi-thread`.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! mod sqlite {
//!     use bank_stores::embedded::{SqliteLedger, SqliteOptions};
//!
//!     // A store, and what has to outlive it.
//!     async fn fresh() -> (SqliteLedger, ()) {
//!         (SqliteLedger::open(SqliteOptions::temporary().unwrap()).await.unwrap(), ())
//!     }
//!
//!     bank_stores::ledger_conformance!(fresh());
//! }
//! # fn main() {}
//! ```

#![allow(clippy::missing_panics_doc, reason = "to panic is how a broken promise is told")]

pub mod cache;
pub mod documents;
pub mod documents_model;
pub mod items;
pub mod items_history;
pub mod items_model;
pub mod ledger;
pub mod limits;
pub mod model;
pub mod once;
pub mod outbox;
pub mod unreliable;

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Runs all at once on this task and waits for every one: they interleave wherever the store waits.
pub(crate) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        let mut pending = false;
        for (future, output) in running.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(done) => *output = Some(done),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(outputs.drain(..).flatten().collect()) }
    })
    .await
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// Those of a seed. Seeds that differ by one have nothing in common.
    pub fn new(seed: u64) -> Self {
        // The last steps of SplitMix64 (Steele, Lea and Flood 2014); xorshift never leaves zero.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Marsaglia's xorshift, three shifts.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// What the random tests of a role begin with: `BANK_STORES_SEED`, where it is set, so that a failure can be had again.
pub fn seed() -> u64 {
    std::env::var("BANK_STORES_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42)
}

/// What makes a store for a test: a store and what has to outlive it, or nothing where there is no server for it.
pub trait Fresh {
    /// The store.
    type Store;
    /// What has to outlive it.
    type Guard;

    /// The store, if there is one.
    fn into_option(self) -> Option<(Self::Store, Self::Guard)>;
}

impl<S, G> Fresh for (S, G) {
    type Store = S;
    type Guard = G;

    fn into_option(self) -> Option<Self> {
        Some(self)
    }
}

impl<S, G> Fresh for Option<(S, G)> {
    type Store = S;
    type Guard = G;

    fn into_option(self) -> Self {
        self
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance {
    ($role:ident, $factory:expr, $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                // Without its server a store is skipped, which its factory tells.
                let Some((store, _guard)) = $crate::conformance::Fresh::into_option($factory.await) else { return };
                $crate::conformance::$role::$promise(&store).await;
            }
        )*
    };
}

/// A test for each promise of a [`Ledger`](crate::Ledger); the expression is a future of a fresh store and its guard.
#[macro_export]
macro_rules! ledger_conformance {
    ($factory:expr) => {
        $crate::__conformance! { ledger, $factory,
            the_same_posting_again_gives_the_first_receipt
            the_same_id_with_other_content_is_a_conflict
            an_opening_may_be_repeated
            a_refused_id_may_be_tried_again
            bad_input_is_refused_and_named
            a_batch_keeps_its_order_and_each_its_own_outcome
            racers_with_one_id_have_one_effect
            a_floor_is_never_broken
            the_total_is_constant_under_concurrent_transfers
            entries_add_up_and_read_both_ways
            accounts_of_an_owner_come_in_order
            a_cursor_is_good_for_its_own_query_only
            events_are_complete_and_in_order
            a_waiting_reader_wakes_at_commit
            a_cancelled_caller_leaves_no_half_effect
            random_commands_match_the_model
            a_hold_keeps_money_for_a_payment_to_come
            a_hold_is_captured_in_parts
            a_voided_hold_gives_back_what_is_left
            commands_of_holds_may_be_repeated
            a_hold_ends_by_its_deadline
            a_hold_ends_once
            bad_holds_are_refused_and_named
            frozen_and_closed_accounts_take_part_in_nothing
            floors_and_ceilings_hold_and_may_be_moved
            an_account_is_changed
            notes_are_added_to_a_posting_later
            a_posting_is_reversed_once
            linked_commands_succeed_or_fail_together
            a_refusal_is_remembered_where_asked
            every_kind_of_command_has_its_event
            balances_as_of_a_time_are_exact
            a_statement_adds_up
            consumers_keep_their_positions
            the_chain_takes_everything_in
            an_id_is_known_however_long_ago_it_was
            a_read_sees_what_its_token_stands_for
            a_kept_head_is_held_against_the_chain
            events_tell_what_their_commands_did
            events_that_are_younger_are_not_forgotten
            linked_commands_that_failed_may_be_sent_again
            open_holds_are_what_is_held
            an_entry_names_its_counterparty
            a_posting_is_told_whole
        }
    };
}

/// A test for each promise of the [`Outbox`](crate::Outbox) of a [`Ledger`](crate::Ledger); the expression is a future of a fresh
/// ledger and its guard.
#[macro_export]
macro_rules! ledger_outbox_conformance {
    ($factory:expr) => {
        $crate::__conformance! { outbox, $crate::conformance::outbox::LedgerOutbox::fresh($factory),
            a_reader_goes_on_at_next
            a_waiting_reader_wakes_at_commit
            a_position_of_another_history_is_refused
            consumers_keep_their_positions
            events_are_forgotten_when_every_consumer_has_passed
            bad_questions_are_refused_and_named
        }
    };
}

/// A test for each promise of a [`Ledger`](crate::Ledger) beyond one handle; the expression is a future of something that can
/// [reopen](ledger::Reopen) a fresh ledger, and its guard.
#[macro_export]
macro_rules! ledger_reopening_conformance {
    ($factory:expr) => {
        $crate::__conformance! { ledger, $factory,
            a_second_handle_sees_what_the_first_one_wrote
            a_ledger_goes_on_where_it_was_closed
            a_hold_ends_while_time_passes
        }
    };
}

/// A test for each promise of [`Items`](crate::Items) and its [`Outbox`](crate::Outbox); the expression is a future of a fresh store and its guard.
#[macro_export]
macro_rules! items_conformance {
    ($factory:expr) => {
        $crate::__conformance! { items, $factory,
            what_was_put_is_read
            conditions_hold_or_name_the_change
            a_transaction_happens_whole_or_not_at_all
            the_same_transaction_again_has_one_effect
            the_same_id_with_other_content_is_a_conflict
            a_refused_id_may_be_tried_again
            versions_never_come_back
            expired_items_are_absent
            a_compare_and_set_race_loses_no_update
            racers_with_one_id_have_one_effect
            queries_page_in_order_both_ways
            bad_input_is_refused_and_named
            what_is_settled_stays_so
            pages_end_where_nearly_all_has_expired
            a_cancelled_caller_leaves_no_half_effect
        }
        $crate::__conformance! { items_history, $factory,
            random_transactions_match_the_model
            a_history_of_racers_replays_through_the_model
        }
        $crate::__conformance! { outbox, $factory,
            an_event_comes_as_it_was_told
            events_of_a_stream_keep_their_commit_order
            a_stream_stays_in_its_shard
            a_reader_goes_on_at_next
            a_waiting_reader_wakes_at_commit
            a_position_of_another_history_is_refused
            consumers_keep_their_positions
            events_are_forgotten_when_every_consumer_has_passed
            bad_questions_are_refused_and_named
        }
    };
}

/// A test for each promise of [`Documents`](crate::Documents); the expression is a future of a fresh store and its guard.
#[macro_export]
macro_rules! documents_conformance {
    ($factory:expr) => {
        $crate::__conformance! { documents, $factory,
            what_was_written_is_read
            the_same_write_again_gives_the_first_outcome
            keys_are_unique
            declarations_are_kept_or_refused
            a_wrong_version_is_a_conflict
            a_compare_and_set_race_loses_no_update
            values_are_compared_with_their_type
            filters_combine
            sorted_pages_hold_each_document_once
            expired_documents_are_absent_and_free_their_keys
            bad_input_is_refused_and_named
        }
        $crate::__conformance! { documents_model, $factory,
            random_writes_match_the_model
        }
    };
}

/// A test for each promise of a [`Cache`](crate::Cache); the expression is a future of a fresh store and its guard.
#[macro_export]
macro_rules! cache_conformance {
    ($factory:expr) => {
        $crate::__conformance! { cache, $factory,
            an_older_version_never_overwrites
            what_was_removed_stays_so
            values_end_with_their_time
            the_newest_of_racing_versions_stays
            messages_reach_who_subscribed
            random_calls_match_the_model
        }
    };
}

/// A test for each promise of [`Limits`](crate::Limits); the expression is a future of fresh limits and their guard.
#[macro_export]
macro_rules! limits_conformance {
    ($factory:expr) => {
        $crate::__conformance! { limits, $factory,
            limits_are_taken_all_or_none
            groups_are_apart
            a_limit_holds_among_racers
            bad_charges_are_refused_and_named
            random_charges_match_the_model
        }
    };
}

/// A test for each promise of [`Once`](crate::Once); the expression is a future of a fresh store and its guard.
#[macro_export]
macro_rules! once_conformance {
    ($factory:expr) => {
        $crate::__conformance! { once, $factory,
            a_key_is_claimed_by_one_racer
            a_claim_may_be_sent_again
            only_the_holder_releases
            a_claim_ends_with_its_time
            bad_claims_are_refused_and_named
            random_claims_match_the_model
        }
    };
}
