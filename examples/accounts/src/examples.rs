//! What readers of the document see of a call, beside the endpoints that it is of.

/// An account with money on it.
macro_rules! account {
    () => {
        r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","currency":"EUR","name":"Everyday","status":"open",
            "balance":{"amount":"1250.00","currency":"EUR"},"available":{"amount":"1200.00","currency":"EUR"}}"#
    };
}

/// Money that came in.
macro_rules! entry {
    () => {
        r#"{"id":"ent_2c5d8f1g4h7j0k3m6n9p2q5r8s1t4v7w","posting":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d",
            "kind":"transfer","direction":"in","counterparty":{"account":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a"},
            "amount":{"amount":"50.00","currency":"EUR"},"balance_after":{"amount":"1250.00","currency":"EUR"},
            "reference":"Rent for May","at":"2026-05-01T08:30:00Z"}"#
    };
}

/// A hold, of which nothing has been paid out.
macro_rules! hold {
    () => {
        r#"{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k","account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
            "status":"open","amount":{"amount":"50.00","currency":"EUR"},
            "captured":{"amount":"0.00","currency":"EUR"},"remaining":{"amount":"50.00","currency":"EUR"},
            "placed_at":"2026-05-01T08:30:00Z","expires_at":"2026-05-08T08:30:00Z"}"#
    };
}

/// The path of the account.
pub(crate) const ACCOUNT_PATH: &str = r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d"}"#;
pub(crate) const NEW_ACCOUNT: &str = r#"{"currency":"EUR","name":"Everyday"}"#;
pub(crate) const ACCOUNT: &str = account!();
pub(crate) const ACCOUNTS: &str = concat!(r#"{"items":["#, account!(), r#"],"next":null}"#);
pub(crate) const RENAME: &str = r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","name":"Everyday"}"#;
pub(crate) const CLOSED: &str = r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","currency":"EUR","name":"Everyday",
    "status":"closed","balance":{"amount":"0.00","currency":"EUR"},"available":{"amount":"0.00","currency":"EUR"}}"#;
pub(crate) const CUSTOMERS: &str = concat!(
    r#"{"items":[{"id":"cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c","username":"alice","name":"Alice Example","accounts":["#,
    account!(),
    r#"]}],"next":null}"#
);
pub(crate) const ACTIVITY: &str = r#"{"items":[{"id":"ent_2c5d8f1g4h7j0k3m6n9p2q5r8s1t4v7w","kind":"transfer",
    "direction":"in","account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "counterparty":{"name":"Bob Example","account":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a"},
    "amount":{"amount":"50.00","currency":"EUR"},"balance_after":{"amount":"1250.00","currency":"EUR"},
    "reference":"Rent for May","status":"completed","at":"2026-05-01T08:30:00Z",
    "transfer":"trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d"}],"next":null}"#;
pub(crate) const HOLDS: &str = r#"{"items":[{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k",
    "amount":{"amount":"50.00","currency":"EUR"},"captured":{"amount":"0.00","currency":"EUR"},
    "at":"2026-05-01T08:30:00Z","expires_at":"2026-05-08T08:30:00Z"}],"next":null,
    "balance":{"amount":"1250.00","currency":"EUR"},"available":{"amount":"1200.00","currency":"EUR"}}"#;
pub(crate) const BALANCE: &str = r#"{"account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "balance":{"amount":"1250.00","currency":"EUR"},"available":{"amount":"1200.00","currency":"EUR"},
    "at":"2026-05-01T09:00:00Z"}"#;

pub(crate) const ENTRIES: &str = concat!(r#"{"items":["#, entry!(), r#"],"next":null}"#);
pub(crate) const STATEMENT_OF: &str = r#"{"id":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z"}"#;
pub(crate) const STATEMENT: &str = concat!(
    r#"{"account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","from":"2026-05-01T00:00:00Z","to":"2026-06-01T00:00:00Z",
        "opening":{"amount":"1200.00","currency":"EUR"},"closing":{"amount":"1250.00","currency":"EUR"},"entries":1,
        "items":["#,
    entry!(),
    r#"],"next":null}"#
);
pub(crate) const STATEMENT_TABLE: &str = "\
booked_at,value_at,posting,kind,reference,amount,currency,balance\r
2026-05-01T00:00:00Z,,,opening,,,EUR,1200.00\r
2026-05-01T08:30:00Z,2026-05-01T08:30:00Z,trf_3m6n9p2q5r8s1t4v7w0x3y6z9a2b5c8d,transfer,\"Rent for May\",50.00,EUR,1250.00\r
2026-06-01T00:00:00Z,,,closing,,,EUR,1250.00\r
";

pub(crate) const NEW_HOLD: &str = r#"{"account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "amount":{"amount":"50.00","currency":"EUR"},"expires_in":604800}"#;
pub(crate) const HOLD_PATH: &str = r#"{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k"}"#;
pub(crate) const HOLD: &str = hold!();
pub(crate) const VOIDED: &str = r#"{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k",
    "account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","status":"voided",
    "amount":{"amount":"50.00","currency":"EUR"},"captured":{"amount":"0.00","currency":"EUR"},
    "remaining":{"amount":"0.00","currency":"EUR"},"placed_at":"2026-05-01T08:30:00Z",
    "expires_at":"2026-05-08T08:30:00Z"}"#;
pub(crate) const NEW_CAPTURE: &str = r#"{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k",
    "amount":{"amount":"20.00","currency":"EUR"},"to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a"}"#;
pub(crate) const CAPTURE: &str = r#"{"id":"cap_9w2x5y8z1a4b7c0d3e6f9g2h5j8k1m4n",
    "amount":{"amount":"20.00","currency":"EUR"},"to":"acc_7h2j5k8m1n4p7q0r3s6t9v2w5x8y1z4a",
    "at":"2026-05-02T10:00:00Z",
    "hold":{"id":"hld_5t8v1w4x7y0z3a6b9c2d5e8f1g4h7j0k","account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
        "status":"open","amount":{"amount":"50.00","currency":"EUR"},
        "captured":{"amount":"20.00","currency":"EUR"},"remaining":{"amount":"30.00","currency":"EUR"},
        "placed_at":"2026-05-01T08:30:00Z","expires_at":"2026-05-08T08:30:00Z"}}"#;

pub(crate) const NEW_DEPOSIT: &str = r#"{"account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "amount":{"amount":"100.00","currency":"EUR"},"reference":"Counter 3"}"#;
pub(crate) const DEPOSIT: &str = r#"{"id":"dep_4h7j0k3m6n9p2q5r8s1t4v7w0x3y6z9a",
    "account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","amount":{"amount":"100.00","currency":"EUR"},
    "reference":"Counter 3","balance":{"amount":"1350.00","currency":"EUR"},"at":"2026-05-02T11:00:00Z"}"#;
pub(crate) const NEW_WITHDRAWAL: &str = r#"{"account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d",
    "amount":{"amount":"100.00","currency":"EUR"},"reference":"Counter 3"}"#;
pub(crate) const WITHDRAWAL: &str = r#"{"id":"wdr_4h7j0k3m6n9p2q5r8s1t4v7w0x3y6z9a",
    "account":"acc_0e6f3k9m2q5r8t1v4w7x0y3z6a9b2c5d","amount":{"amount":"100.00","currency":"EUR"},
    "reference":"Counter 3","balance":{"amount":"1150.00","currency":"EUR"},"at":"2026-05-02T11:00:00Z"}"#;
pub(crate) const TRIAL_BALANCE: &str = r#"{"balanced":true,
    "currencies":[{"currency":"EUR","debits":"1350.00","credits":"1350.00","total":"0.00","accounts":3,"postings":4}],
    "sequence":42,
    "chain":{"sequence":42,"hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","pending":0}}"#;
