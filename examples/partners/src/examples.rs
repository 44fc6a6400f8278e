//! What readers of the document see of a call, beside the endpoints that it is of.

/// Money came in.
macro_rules! notification {
    () => {
        concat!(
            r#"{"id":"ntf_1v4w7x0y3z6a9b2c5d8e1f4g7h0j3k6m","kind":"transfer_received","#,
            r#""amount":{"amount":"25.50","currency":"EUR"},"account":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a","#,
            r#""counterparty":{"name":"Alice Example","account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d"},"#,
            r#""reference":"Dinner","transfer":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d","#,
            r#""at":"2026-05-01T08:30:00.012Z","read":false}"#
        )
    };
}

pub(crate) const NOTIFICATION: &str = notification!();
pub(crate) const NOTIFICATIONS: &str =
    concat!(r#"{"items":["#, notification!(), r#"],"next":null,"unread":1}"#);
pub(crate) const NOTIFICATION_PATH: &str = r#"{"id":"ntf_1v4w7x0y3z6a9b2c5d8e1f4g7h0j3k6m"}"#;
pub(crate) const READ_BEFORE: &str = r#"{"before":"ntf_1v4w7x0y3z6a9b2c5d8e1f4g7h0j3k6m"}"#;
/// A transfer that arrives, and what its receiver is told of it.
pub(crate) const STREAM: &str = concat!(
    "event: transfer\ndata: ",
    r#"{"id":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d","status":"completed","#,
    r#""from":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a","#,
    r#""amount":{"amount":"25.50","currency":"EUR"},"reference":"Dinner","direction":"in","#,
    r#""at":"2026-05-01T08:30:00.012Z"}"#,
    "\n\nid: 7\nevent: notification\ndata: ",
    notification!(),
    "\n\n"
);
