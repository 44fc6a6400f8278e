//! How callers prove who they are, as the document tells it.

use serde_json::{Value, json};

/// One of the document's security schemes: its name, and its Security Scheme Object (OpenAPI 3.1 §4.8.27).
///
/// ```
/// use bank_sdk::openapi::SecurityScheme;
///
/// let session = SecurityScheme::api_key_cookie("__Host-session").named("session").with_csrf_header("X-CSRF-Token");
/// assert_eq!(session.name(), "session");
/// assert_eq!(session.as_value()["in"], "cookie");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityScheme {
    name: String,
    object: Value,
    for_login: bool,
    csrf_header: Option<String>,
}

impl SecurityScheme {
    /// A scheme by its name and its Security Scheme Object.
    pub fn new(name: impl Into<String>, object: Value) -> Self {
        Self { name: name.into(), object, for_login: false, csrf_header: None }
    }

    /// `bearer`: a token of this format in `Authorization` (RFC 6750), for example `JWT`.
    #[must_use]
    pub fn bearer(format: &str) -> Self {
        Self::new("bearer", json!({ "type": "http", "scheme": "bearer", "bearerFormat": format }))
    }

    /// `basic`: user name and password in `Authorization` (RFC 7617).
    #[must_use]
    pub fn basic() -> Self {
        Self::new("basic", json!({ "type": "http", "scheme": "basic" }))
    }

    /// Another scheme of `Authorization`, for example `DPoP`; its name in the document is the same in lower case.
    #[must_use]
    pub fn http(scheme: &str) -> Self {
        Self::new(scheme.to_ascii_lowercase(), json!({ "type": "http", "scheme": scheme }))
    }

    /// `apiKey`: a key in this header field.
    #[must_use]
    pub fn api_key_header(field: &str) -> Self {
        Self::new("apiKey", json!({ "type": "apiKey", "in": "header", "name": field }))
    }

    /// `cookie`: a key in this cookie.
    #[must_use]
    pub fn api_key_cookie(cookie: &str) -> Self {
        Self::new("cookie", json!({ "type": "apiKey", "in": "cookie", "name": cookie }))
    }

    /// `openIdConnect`: tokens of the issuer whose metadata is at this address.
    #[must_use]
    pub fn open_id_connect(metadata: &str) -> Self {
        Self::new("openIdConnect", json!({ "type": "openIdConnect", "openIdConnectUrl": metadata }))
    }

    /// `mutualTLS`: a client certificate.
    #[must_use]
    pub fn mutual_tls() -> Self {
        Self::new("mutualTLS", json!({ "type": "mutualTLS" }))
    }

    /// Under another name. Two schemes of one name are an error of whoever lists them: the later one counts.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// With a sentence for people.
    #[must_use]
    pub fn described(mut self, description: &str) -> Self {
        self.object["description"] = description.into();
        self
    }

    /// For endpoints that are logins, and for no others.
    #[must_use]
    pub const fn for_login(mut self) -> Self {
        self.for_login = true;
        self
    }

    /// On unsafe methods this header field is needed beside it (protection against cross-site request forgery).
    #[must_use]
    pub fn with_csrf_header(mut self, field: impl Into<String>) -> Self {
        self.csrf_header = Some(field.into());
        self
    }

    /// Its name in the document.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its Security Scheme Object.
    #[must_use]
    pub const fn as_value(&self) -> &Value {
        &self.object
    }

    /// Whether it is for logins only.
    #[must_use]
    pub const fn is_for_login(&self) -> bool {
        self.for_login
    }

    /// The header field that is needed beside it on unsafe methods.
    #[must_use]
    pub fn csrf_header(&self) -> Option<&str> {
        self.csrf_header.as_deref()
    }

    /// The name of the scheme that stands for [`csrf_header`](Self::csrf_header).
    pub(super) fn csrf_name(&self) -> String {
        format!("{}Csrf", self.name)
    }
}
