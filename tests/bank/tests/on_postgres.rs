//! The same promises with the ledger on PostgreSQL by configuration alone: five processes, two copies of accounts at once, and
//! two gateways. Where there is no PostgreSQL when this is built, it is skipped.

#[cfg(has_postgres)]
#[path = "contract.rs"]
mod contract;
#[cfg(has_postgres)]
#[path = "hostile.rs"]
mod hostile;
#[cfg(has_postgres)]
#[path = "idempotency.rs"]
mod idempotency;
#[cfg(has_postgres)]
#[path = "ownership.rs"]
mod ownership;

#[cfg(not(has_postgres))]
#[test]
fn the_bank_runs_with_its_ledger_on_postgresql() {
    // Says what is missing, or fails where nothing may be missing.
    assert!(
        bank_tests::Postgres::start("the bank on PostgreSQL").is_none(),
        "PostgreSQL came after this was built"
    );
}
