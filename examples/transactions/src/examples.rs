//! What readers of the document see of a call, beside the endpoints that it is of.

/// A transfer that went through.
macro_rules! transfer {
    () => {
        r#"{"id":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d","status":"completed",
            "from":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a",
            "amount":{"amount":"25.50","currency":"EUR"},"reference":"Dinner","direction":"out",
            "created_at":"2026-05-01T08:30:00Z","completed_at":"2026-05-01T08:30:00.012Z"}"#
    };
}

/// Whose account it is.
macro_rules! payee {
    () => {
        r#"{"account":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a","name":"Bob Example","currency":"EUR"}"#
    };
}

pub(crate) const NEW_TRANSFER: &str = r#"{"from":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a","amount":{"amount":"25.50","currency":"EUR"},"reference":"Dinner"}"#;
pub(crate) const TRANSFER: &str = transfer!();
/// What the bank did not do, though the request was in order.
pub(crate) const REJECTED: &str = r#"{"id":"trf_6z9a2b5c8d1e4f7g0h3j6k9m2n5p8q1r","status":"rejected",
    "code":"insufficient_funds","from":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a","amount":{"amount":"25.50","currency":"EUR"},"reference":"Dinner",
    "direction":"out","created_at":"2026-05-01T08:30:00Z"}"#;
pub(crate) const TRANSFER_PATH: &str = r#"{"id":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d"}"#;
pub(crate) const TRANSFERS: &str = concat!(r#"{"items":["#, transfer!(), r#"],"next":null}"#);
pub(crate) const PAYEE_PATH: &str = r#"{"account":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a"}"#;
pub(crate) const PAYEE: &str = payee!();
pub(crate) const PAYEES: &str = concat!(r#"{"items":["#, payee!(), r#"],"next":null}"#);

/// What was proposed, and by whom.
macro_rules! proposal {
    ($status:literal, $rest:literal) => {
        concat!(
            r#"{"id":"apr_2b5c8d1e4f7g0h3j6k9m2n5p8q1r4s7t","kind":"freeze","#,
            r#""account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","reason":"Case 4711","status":""#,
            $status,
            r#"","proposed_by":{"id":"cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c","name":"Tilda Teller"},"#,
            r#""proposed_at":"2026-05-01T09:00:00Z","expires_at":"2026-05-02T09:00:00Z""#,
            $rest,
            "}"
        )
    };
}

pub(crate) const NEW_STATUS: &str = r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","reason":"Case 4711"}"#;
pub(crate) const NEW_REVERSAL: &str =
    r#"{"posting":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d","reason":"Paid in twice"}"#;
pub(crate) const PROPOSED: &str = r#"{"approval":"apr_2b5c8d1e4f7g0h3j6k9m2n5p8q1r4s7t"}"#;
pub(crate) const APPROVALS: &str = concat!(r#"{"items":["#, proposal!("open", ""), r#"],"next":null}"#);
pub(crate) const DECISION: &str =
    r#"{"id":"apr_2b5c8d1e4f7g0h3j6k9m2n5p8q1r4s7t","reason":"Looked at the case"}"#;
pub(crate) const APPROVED: &str = proposal!(
    "completed",
    r#","decided_by":{"id":"cus_1y4z7a0b3c6d9e2f5g8h1j4k7m0n3p6q","name":"Otto Operator"},
    "decided_at":"2026-05-01T09:30:00Z","decision_reason":"Looked at the case","completed_at":"2026-05-01T09:30:00Z""#
);
pub(crate) const REJECTED_PROPOSAL: &str = proposal!(
    "rejected",
    r#","decided_by":{"id":"cus_1y4z7a0b3c6d9e2f5g8h1j4k7m0n3p6q","name":"Otto Operator"},
    "decided_at":"2026-05-01T09:30:00Z","decision_reason":"Looked at the case""#
);
