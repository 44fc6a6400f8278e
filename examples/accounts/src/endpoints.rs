//! The service's endpoints.

use std::time::Duration;

use bank_sdk::events::{EventList, EventsAfter, POSITION_LOST};
use bank_sdk::{Api, Empty, Endpoint, List};

use crate::examples;
use crate::wire::{
    Account, AccountPath, AccountRecord, Activity, ActivityOf, Balance, BalanceAt, Capture, CustomersOf,
    Decided, Deposit, EntriesOf, Entry, Hold, HoldPath, HoldsOf, NewAccount, NewCapture, NewDeposit, NewHold,
    NewPosting, NewReversal, NewStatus, NewWithdrawal, OpenHolds, OwnedBy, PageOf, Posted, PostingFacts,
    PostingPath, Rename, StaffCustomer, Statement, StatementOf, TrialBalance, Withdrawal,
};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("accounts")
        .description("Accounts, what is on them, holds and deposits. The ledger is behind this service.")
        .endpoint(OPEN.declare())
        .endpoint(LIST.declare())
        .endpoint(FIND.declare())
        .endpoint(RENAME.declare())
        .endpoint(CLOSE.declare())
        .endpoint(BALANCE.declare())
        .endpoint(STATEMENT.declare())
        .endpoint(ENTRIES.declare())
        .endpoint(ACTIVITY.declare())
        .endpoint(HOLDS.declare())
        .endpoint(PLACE_HOLD.declare())
        .endpoint(FIND_HOLD.declare())
        .endpoint(CAPTURE_HOLD.declare())
        .endpoint(VOID_HOLD.declare())
        .endpoint(DEPOSIT.declare())
        .endpoint(WITHDRAW.declare())
        .endpoint(CUSTOMERS.declare())
        .endpoint(TRIAL_BALANCE.declare())
        .endpoint(POST.declare())
        .endpoint(POSTING.declare())
        .endpoint(REVERSE.declare())
        .endpoint(SET_STATUS.declare())
        .endpoint(RECORD.declare())
        .endpoint(OWNED.declare())
        .endpoint(EVENTS.declare())
}

/// Opens an account for the caller. An `Idempotency-Key` is not required, since opening moves no money.
pub const OPEN: Endpoint<NewAccount, Account> = Endpoint::post("/v1/accounts")
    .summary("Opens an account")
    .operation_id("openAccount")
    .example("everyday", examples::NEW_ACCOUNT, examples::ACCOUNT)
    .scope("accounts:write")
    .created()
    .optional_idempotency_key()
    .problems(&[(422, "invalid_name"), (422, "idempotency_key_reused")]);

/// The caller's accounts, in the order they were opened.
pub const LIST: Endpoint<PageOf, List<Account>> = Endpoint::get("/v1/accounts")
    .summary("Lists your accounts")
    .operation_id("listAccounts")
    .example("one", "", examples::ACCOUNTS)
    .scope("accounts:read");

/// One account of the caller.
pub const FIND: Endpoint<AccountPath, Account> = Endpoint::get("/v1/accounts/{id}")
    .summary("Shows one of your accounts")
    .operation_id("getAccount")
    .example("everyday", examples::ACCOUNT_PATH, examples::ACCOUNT)
    .scope("accounts:read");

/// Gives an account of the caller another name.
pub const RENAME: Endpoint<Rename, Account> = Endpoint::patch("/v1/accounts/{id}")
    .summary("Renames an account")
    .operation_id("renameAccount")
    .example("holiday", examples::RENAME, examples::ACCOUNT)
    .scope("accounts:write")
    .idempotent()
    .problems(&[(409, "account_closed"), (422, "invalid_name")]);

/// Closes an account of the caller for good. Closing it again is the same.
pub const CLOSE: Endpoint<AccountPath, Account> = Endpoint::post("/v1/accounts/{id}/close")
    .summary("Closes an account that is empty and holds nothing")
    .operation_id("closeAccount")
    .example("empty", examples::ACCOUNT_PATH, examples::CLOSED)
    .scope("accounts:write")
    .idempotent()
    .problems(&[(409, "account_in_use")]);

/// The balance of one account of the caller.
pub const BALANCE: Endpoint<BalanceAt, Balance> = Endpoint::get("/v1/accounts/{id}/balance")
    .summary("Shows an account's balance, now or as of a time")
    .operation_id("getBalance")
    .example("now", examples::ACCOUNT_PATH, examples::BALANCE)
    .scope("accounts:read")
    .problems(&[(422, "invalid_time")]);

/// What was booked on one account of the caller in a period, as JSON or, by `Accept: text/csv`, whole as CSV.
pub const STATEMENT: Endpoint<StatementOf, Statement> = Endpoint::get("/v1/accounts/{id}/statement")
    .summary("Shows an account's statement; `Accept: text/csv` gives it as a table")
    .operation_id("getStatement")
    .example("may", examples::STATEMENT_OF, examples::STATEMENT)
    .example_as("text/csv", "table", examples::STATEMENT_OF, examples::STATEMENT_TABLE)
    .scope("accounts:read")
    .also_produces("text/csv")
    .problems(&[(422, "invalid_period"), (422, "period_too_long")]);

/// Everything that moved or holds the caller's money, newest first.
pub const ACTIVITY: Endpoint<ActivityOf, List<Activity>> = Endpoint::get("/v1/activity")
    .summary("Lists what moved or holds your money, on all accounts")
    .operation_id("listActivity")
    .example("incoming", r#"{"direction":"in"}"#, examples::ACTIVITY)
    .scope("accounts:read")
    .limit_class("activity")
    .problems(&[(422, "invalid_amount"), (422, "invalid_period"), (422, "too_many_accounts")]);

/// The open holds of one account of the caller, newest first.
pub const HOLDS: Endpoint<HoldsOf, OpenHolds> = Endpoint::get("/v1/accounts/{id}/holds")
    .summary("Lists what is held on an account")
    .operation_id("listHolds")
    .example("one", examples::ACCOUNT_PATH, examples::HOLDS)
    .scope("accounts:read");

/// Keeps money on an account of the caller for a payment to come.
pub const PLACE_HOLD: Endpoint<NewHold, Hold> = Endpoint::post("/v1/holds")
    .summary("Keeps money for a payment to come")
    .operation_id("placeHold")
    .example("week", examples::NEW_HOLD, examples::HOLD)
    .scope("accounts:write")
    .idempotency_key()
    .created()
    .problems(&[
        (422, "invalid_amount"),
        (422, "invalid_time"),
        (422, "insufficient_funds"),
        (422, "account_blocked"),
        (422, "idempotency_key_reused"),
    ]);

/// A hold on an account of the caller.
pub const FIND_HOLD: Endpoint<HoldPath, Hold> = Endpoint::get("/v1/holds/{id}")
    .summary("Shows a hold")
    .operation_id("getHold")
    .example("open", examples::HOLD_PATH, examples::HOLD)
    .scope("accounts:read");

/// Pays out of a hold on an account of the caller.
pub const CAPTURE_HOLD: Endpoint<NewCapture, Capture> = Endpoint::post("/v1/holds/{id}/capture")
    .summary("Pays out of a hold, in part or to the end")
    .operation_id("captureHold")
    .example("part", examples::NEW_CAPTURE, examples::CAPTURE)
    .scope("accounts:write")
    .idempotency_key()
    .created()
    .problems(&[
        (422, "invalid_amount"),
        (422, "unknown_account"),
        (422, "currency_mismatch"),
        (422, "hold_exceeded"),
        (422, "hold_ended"),
        (422, "account_blocked"),
        (422, "idempotency_key_reused"),
    ]);

/// Ends a hold on an account of the caller. Voiding it again is the same, under whichever key.
pub const VOID_HOLD: Endpoint<HoldPath, Hold> = Endpoint::post("/v1/holds/{id}/void")
    .summary("Ends a hold")
    .operation_id("voidHold")
    .example("voided", examples::HOLD_PATH, examples::VOIDED)
    .scope("accounts:write")
    .idempotency_key()
    .problems(&[(422, "hold_ended")]);

/// The entries of one account of the caller, newest first.
pub const ENTRIES: Endpoint<EntriesOf, List<Entry>> = Endpoint::get("/v1/accounts/{id}/entries")
    .summary("Lists what moved on an account")
    .operation_id("listEntries")
    .example("one", examples::ACCOUNT_PATH, examples::ENTRIES)
    .scope("accounts:read");

/// Cash over the counter into anybody's account.
pub const DEPOSIT: Endpoint<NewDeposit, Deposit> = Endpoint::post("/v1/deposits")
    .summary("Pays cash into an account")
    .operation_id("createDeposit")
    .example("cash", examples::NEW_DEPOSIT, examples::DEPOSIT)
    .role("teller")
    .idempotency_key()
    .created()
    .problems(&[
        (422, "invalid_amount"),
        (422, "invalid_reference"),
        (422, "currency_mismatch"),
        (422, "account_blocked"),
        (422, "idempotency_key_reused"),
    ]);

/// Cash over the counter out of anybody's account.
pub const WITHDRAW: Endpoint<NewWithdrawal, Withdrawal> = Endpoint::post("/v1/withdrawals")
    .summary("Pays cash out of an account")
    .operation_id("createWithdrawal")
    .example("cash", examples::NEW_WITHDRAWAL, examples::WITHDRAWAL)
    .role("teller")
    .idempotency_key()
    .created()
    .problems(&[
        (422, "invalid_amount"),
        (422, "invalid_reference"),
        (422, "insufficient_funds"),
        (422, "currency_mismatch"),
        (422, "account_blocked"),
        (422, "idempotency_key_reused"),
    ]);

/// A customer with a page of their accounts, by user name or account. Exact matches only.
pub const CUSTOMERS: Endpoint<CustomersOf, List<StaffCustomer>> = Endpoint::get("/v1/staff/customers")
    .summary("Finds a customer by user name or account, with their accounts")
    .operation_id("findCustomers")
    .example("alice", r#"{"username":"alice"}"#, examples::CUSTOMERS)
    .role("teller");

/// The totals of the whole ledger.
pub const TRIAL_BALANCE: Endpoint<Empty, TrialBalance> = Endpoint::get("/v1/ledger/trial-balance")
    .summary("Adds up the whole ledger")
    .operation_id("getTrialBalance")
    .example("balanced", "", examples::TRIAL_BALANCE)
    .role("auditor");

/// Moves money for a customer; the caller names the posting, so that asking again is harmless.
pub const POST: Endpoint<NewPosting, Posted> = Endpoint::post("/internal/v1/postings")
    .summary("Moves money between two accounts")
    .internal(&["transactions"])
    .idempotent();

/// What a posting moved, and whether it can be undone.
pub const POSTING: Endpoint<PostingPath, PostingFacts> = Endpoint::get("/internal/v1/postings/{id}")
    .summary("What this posting moved")
    .internal(&["transactions"]);

/// Undoes a posting, as two members of staff decided; the caller names the reversal, so that asking again is harmless.
pub const REVERSE: Endpoint<NewReversal, Decided> = Endpoint::post("/internal/v1/reversals")
    .summary("Undoes a posting")
    .internal(&["transactions"])
    .idempotent();

/// Freezes an account or unfreezes it, as two members of staff decided; the caller names the change.
pub const SET_STATUS: Endpoint<NewStatus, Decided> = Endpoint::post("/internal/v1/accounts/{id}/status")
    .summary("Freezes or unfreezes an account")
    .internal(&["transactions"])
    .idempotent();

/// What other services may know of an account.
pub const RECORD: Endpoint<AccountPath, AccountRecord> = Endpoint::get("/internal/v1/accounts/{id}")
    .summary("Whose account this is")
    .internal(&["transactions", "partners"]);

/// A customer's accounts, for other services.
pub const OWNED: Endpoint<OwnedBy, List<AccountRecord>> =
    Endpoint::get("/internal/v1/customers/{customer}/accounts")
        .summary("Which accounts a customer has")
        .internal(&["transactions", "partners"]);

/// What happened in the ledger, in commit order.
pub const EVENTS: Endpoint<EventsAfter, EventList> = Endpoint::get("/internal/v1/accounts/events")
    .summary("Follows the ledger's events")
    .internal(&["partners"])
    .timeout(Duration::from_secs(25))
    .long_poll()
    .problems(&[(410, POSITION_LOST)]);
