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
