//! The service's endpoints.

use std::time::Duration;

use bank_sdk::events::{EventList, EventsAfter, POSITION_LOST};
use bank_sdk::{Api, Endpoint, List};

use crate::examples;
use crate::wire::{
    Approval, ApprovalsOf, Decision, NewReversalProposal, NewStatusProposal, NewTransfer, Payee, PayeePath,
    PayeesOf, Proposed, Transfer, TransferPath, TransfersOf,
};

/// What the service offers.
#[must_use]
pub fn api() -> Api {
    Api::new("transactions")
        .description("Transfers between accounts, and whom to pay.")
        .endpoint(CREATE.declare())
        .endpoint(FIND.declare())
        .endpoint(LIST.declare())
        .endpoint(PAYEES.declare())
        .endpoint(PAYEE.declare())
        .endpoint(FREEZE.declare())
        .endpoint(UNFREEZE.declare())
        .endpoint(REVERSE.declare())
        .endpoint(APPROVALS.declare())
        .endpoint(APPROVE.declare())
        .endpoint(REJECT.declare())
        .endpoint(EVENTS.declare())
}

/// Sends money.
pub const CREATE: Endpoint<NewTransfer, Transfer> = Endpoint::post("/v1/transfers")
    .summary("Sends money")
    .operation_id("createTransfer")
    .description(
        "The answer is 201 whenever the bank has taken the transfer on. Look at its `status`: a transfer that the bank did \
         not make is `rejected`, with a `code` such as `insufficient_funds`. One that is still `pending` after five \
         seconds ends by itself; `GET /v1/transfers/{id}` and `GET /v1/events` tell how.",
    )
    .example("completed", examples::NEW_TRANSFER, examples::TRANSFER)
    .example("rejected", examples::NEW_TRANSFER, examples::REJECTED)
    .scope("transfers:write")
    .idempotency_key()
    .created()
    .problems(&[
        (409, "request_in_progress"),
        (422, "invalid_amount"),
        (422, "invalid_reference"),
        (422, "invalid_account"),
        (422, "same_account"),
        (422, "idempotency_key_reused"),
    ]);

/// One transfer, for whoever sent or received it.
pub const FIND: Endpoint<TransferPath, Transfer> = Endpoint::get("/v1/transfers/{id}")
    .summary("Shows a transfer")
    .operation_id("getTransfer")
    .example("completed", examples::TRANSFER_PATH, examples::TRANSFER)
    .scope("transfers:read");

/// The caller's transfers, newest first; those of one account where it is named.
pub const LIST: Endpoint<TransfersOf, List<Transfer>> = Endpoint::get("/v1/transfers")
    .summary("Lists your transfers")
    .operation_id("listTransfers")
    .example("one", "", examples::TRANSFERS)
    .scope("transfers:read");

/// Who would be paid, by user name. Exact matches only.
pub const PAYEES: Endpoint<PayeesOf, List<Payee>> = Endpoint::get("/v1/payees")
    .summary("Finds whom to pay by user name")
    .operation_id("findPayees")
    .example("bob", r#"{"username":"bob"}"#, examples::PAYEES)
    .scope("payees:read")
    .limit_class("lookup");

/// Who would be paid, by account.
pub const PAYEE: Endpoint<PayeePath, Payee> = Endpoint::get("/v1/payees/{account}")
    .summary("Shows whose account would be paid")
    .operation_id("getPayee")
    .example("bob", examples::PAYEE_PATH, examples::PAYEE)
    .scope("payees:read")
    .limit_class("lookup");

/// Proposes to freeze an account: no money comes to it or leaves it until it is unfrozen. Somebody else approves it.
pub const FREEZE: Endpoint<NewStatusProposal, Proposed> = Endpoint::post("/v1/accounts/{id}/freeze")
    .summary("Proposes to freeze an account")
    .operation_id("freezeAccount")
    .example("case", examples::NEW_STATUS, examples::PROPOSED)
    .role("teller")
    .optional_idempotency_key()
    .accepted()
    .problems(&[
        (409, "account_not_open"),
        (409, "already_proposed"),
        (422, "invalid_reason"),
        (422, "idempotency_key_reused"),
    ]);

/// Proposes to unfreeze an account. Somebody else approves it.
pub const UNFREEZE: Endpoint<NewStatusProposal, Proposed> = Endpoint::post("/v1/accounts/{id}/unfreeze")
    .summary("Proposes to unfreeze an account")
    .operation_id("unfreezeAccount")
    .example("case", examples::NEW_STATUS, examples::PROPOSED)
    .role("teller")
    .optional_idempotency_key()
    .accepted()
    .problems(&[
        (409, "account_not_frozen"),
        (409, "already_proposed"),
        (422, "invalid_reason"),
        (422, "idempotency_key_reused"),
    ]);

/// Proposes to undo a posting by another one. Somebody else approves it.
pub const REVERSE: Endpoint<NewReversalProposal, Proposed> = Endpoint::post("/v1/reversals")
    .summary("Proposes to undo a transfer, deposit, withdrawal or capture")
    .operation_id("reversePosting")
    .example("mistake", examples::NEW_REVERSAL, examples::PROPOSED)
    .role("teller")
    .optional_idempotency_key()
    .accepted()
    .problems(&[(409, "not_reversible"), (422, "invalid_reason"), (422, "idempotency_key_reused")]);

/// What members of staff proposed, newest first.
pub const APPROVALS: Endpoint<ApprovalsOf, List<Approval>> = Endpoint::get("/v1/approvals")
    .summary("Lists what was proposed")
    .operation_id("listApprovals")
    .example("open", r#"{"status":"open"}"#, examples::APPROVALS)
    .role("teller")
    .role("operator");

/// Approves what somebody else proposed, and does it. Approving it again is the same.
pub const APPROVE: Endpoint<Decision, Approval> = Endpoint::post("/v1/approvals/{id}/approve")
    .summary("Approves what somebody else proposed")
    .operation_id("approve")
    .example("freeze", examples::DECISION, examples::APPROVED)
    .role("teller")
    .role("operator")
    .idempotent()
    .problems(DECIDED);

/// Rejects what somebody else proposed. Rejecting it again is the same.
pub const REJECT: Endpoint<Decision, Approval> = Endpoint::post("/v1/approvals/{id}/reject")
    .summary("Rejects what somebody else proposed")
    .operation_id("reject")
    .example("freeze", examples::DECISION, examples::REJECTED_PROPOSAL)
    .role("teller")
    .role("operator")
    .idempotent()
    .problems(DECIDED);

/// How a decision is refused.
const DECIDED: &[(u16, &str)] = &[
    (403, "own_proposal"),
    (409, "already_decided"),
    (409, "approval_expired"),
    (409, "superseded"),
    (422, "invalid_reason"),
];

/// What happened to transfers, in commit order.
pub const EVENTS: Endpoint<EventsAfter, EventList> = Endpoint::get("/internal/v1/transactions/events")
    .summary("Follows the events of transfers")
    .internal(&["partners"])
    .timeout(Duration::from_secs(25))
    .long_poll()
    .problems(&[(410, POSITION_LOST)]);
