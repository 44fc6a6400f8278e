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
