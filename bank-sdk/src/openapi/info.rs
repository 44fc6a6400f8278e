//! What a document says of the API as a whole.

use serde_json::{Value, json};

/// The title page of a document: name, version, text, licence, and where the API is served.
///
/// ```
/// use bank_sdk::openapi::Info;
///
/// let info = Info::new("Pings", "1").description("Answers.").license("MIT", "MIT");
/// let document = info.document(&[], &[]);
/// assert_eq!(document["info"]["license"]["identifier"], "MIT");
/// // Whoever read the document has found the server.
/// assert_eq!(document["servers"][0]["url"], "/");
/// ```
#[derive(Clone, Debug)]
pub struct Info {
    title: String,
    version: String,
    description: Option<String>,
    license: Option<Value>,
    servers: Vec<Value>,
}

impl Info {
    /// An API of this name and version, served where its document is.
    pub fn new(title: impl Into<String>, version: impl Into<String>) -> Self {
        let (title, version) = (title.into(), version.into());
        Self { title, version, description: None, license: None, servers: Vec::new() }
    }

    /// What callers must know before the first call, in Markdown.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The licence, and its SPDX expression.
    #[must_use]
    pub fn license(mut self, name: &str, spdx: &str) -> Self {
        self.license = Some(json!({ "name": name, "identifier": spdx }));
        self
    }

    /// Where it is served, where that is not the place of the document. Several may be named.
    #[must_use]
    pub fn server(mut self, url: &str, description: &str) -> Self {
        self.servers.push(json!({ "url": url, "description": description }));
        self
    }

    /// The document's `info`.
    pub(super) fn to_value(&self) -> Value {
        let mut info = json!({ "title": self.title, "version": self.version });
        if let Some(description) = &self.description {
            info["description"] = json!(description);
        }
        if let Some(license) = &self.license {
            info["license"] = license.clone();
        }
        info
    }

    /// The document's `servers`.
    pub(super) fn to_servers(&self) -> Value {
        if self.servers.is_empty() {
            return json!([{ "url": "/", "description": "Where this document was read." }]);
        }
        json!(self.servers)
    }
}
