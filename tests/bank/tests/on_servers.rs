//! The same promises with everything on servers by configuration alone: the ledger on PostgreSQL, items on DynamoDB, documents on
//! MongoDB's protocol, and what gateways share on Redis; two copies of each part and two gateways. Where one of the servers is missing
//! when this is built, it is skipped.

#[cfg(has_servers)]
#[path = "activity.rs"]
mod activity;
#[cfg(has_servers)]
#[path = "contract.rs"]
mod contract;
#[cfg(has_servers)]
#[path = "hostile.rs"]
mod hostile;
#[cfg(has_servers)]
#[path = "idempotency.rs"]
mod idempotency;
#[cfg(has_servers)]
#[path = "notifications.rs"]
mod notifications;
#[cfg(has_servers)]
#[path = "ownership.rs"]
mod ownership;
#[cfg(has_servers)]
#[path = "sessions.rs"]
mod sessions;
#[cfg(has_servers)]
#[path = "staff.rs"]
mod staff;

#[cfg(not(has_servers))]
#[test]
fn the_bank_runs_on_servers() {
    // Says what is missing, or fails where nothing may be missing.
    assert!(
        bank_tests::Servers::start("the bank on servers").is_none(),
        "the servers came after this was built"
    );
}
