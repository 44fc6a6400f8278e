//! What readers of the document see of a call, beside the endpoints that it is of.

pub(crate) const NEW_CUSTOMER: &str = r#"{"username":"nora","password":"four unusual words here",
    "name":"Nora New","email":"nora@bank.example"}"#;
pub(crate) const CUSTOMER: &str =
    r#"{"id":"cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c","username":"nora","name":"Nora New"}"#;
pub(crate) const CREDENTIALS: &str = r#"{"username":"nora","password":"four unusual words here"}"#;
pub(crate) const TOKENS: &str = r#"{"access_token":"an access token (JWT)","token_type":"Bearer","expires_in":300,
    "refresh_token":"a refresh token","csrf_token":"a CSRF token"}"#;
pub(crate) const REFRESH: &str = r#"{"refresh_token":"a refresh token"}"#;
pub(crate) const ME: &str = r#"{"id":"cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c","username":"nora","name":"Nora New",
    "email":"nora@bank.example","roles":[]}"#;
/// The coordinates are those of RFC 7517, appendix A.1.
pub(crate) const KEYS: &str = r#"{"keys":[{"kty":"EC","use":"sig","kid":"the thumbprint of the key","alg":"ES256",
    "crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;
pub(crate) const CURRENT_SESSION: &str = r#"{"id":"ses_5w8x1y4z7a0b3c6d9e2f5g8h1j4k7m0n","username":"nora",
    "name":"Nora New","customer":"cus_8k1m4n7p0q3r6s9t2v5w8x1y4z7a0b3c","csrf_token":"a CSRF token",
    "created_at":"2026-05-01T08:00:00Z","expires_at":"2026-05-01T20:00:00Z"}"#;
pub(crate) const SESSIONS: &str = r#"{"items":[{"id":"ses_5w8x1y4z7a0b3c6d9e2f5g8h1j4k7m0n","current":true,
    "created_at":"2026-05-01T08:00:00Z","last_used_at":"2026-05-01T08:30:00Z",
    "user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","network":"203.0.113.0/24"}],
    "next":null}"#;
pub(crate) const SESSION_PATH: &str = r#"{"id":"ses_5w8x1y4z7a0b3c6d9e2f5g8h1j4k7m0n"}"#;
pub(crate) const NEW_PASSWORD: &str =
    r#"{"current":"four unusual words here","new":"five other words come now"}"#;
