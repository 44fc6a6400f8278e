//! One call as a reader of the document sees it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::media_types::JSON;

/// What goes in and what comes out of one call, for readers of the OpenAPI document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExampleDeclaration {
    /// Its name among the examples of its endpoint: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The whole input as one object: fields of path, query and body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The answer: JSON, or the text of another media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The media type of the answer.
    #[serde(default = "json", skip_serializing_if = "is_json")]
    pub media_type: String,
}

impl ExampleDeclaration {
    /// An example of this name, with an answer in JSON.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), input: None, output: None, media_type: json() }
    }

    /// The whole input as one object.
    #[must_use]
    pub fn input(mut self, input: Value) -> Self {
        self.input = Some(input);
        self
    }

    /// The answer.
    #[must_use]
    pub fn output(mut self, output: Value) -> Self {
        self.output = Some(output);
        self
    }

    /// The media type of the answer, where it is not JSON.
    #[must_use]
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = media_type.into();
        self
    }
}

fn json() -> String {
    JSON.to_owned()
}

fn is_json(media_type: &str) -> bool {
    media_type == JSON
}
