//! The chain: each line holds the hash of the line before it, and its own, which covers both.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Record;

/// A line of the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) record: Record,
    /// The hash of the line before this one.
    pub(super) previous: String,
    pub(super) hash: String,
}

/// How lines are hashed: with SHA-256, or with HMAC-SHA-256 where there is a key.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher(pub(super) Option<hmac::Key>);

impl Hasher {
    pub(super) fn keyed(key: &[u8]) -> Self {
        Self(Some(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    fn hash(&self, record: &[u8], previous: &str) -> String {
        let parts = [previous.as_bytes(), b"\n", record];
        match &self.0 {
            None => {
                let mut context = digest::Context::new(&digest::SHA256);
                parts.iter().for_each(|part| context.update(part));
                URL_SAFE_NO_PAD.encode(context.finish())
            }
            Some(key) => {
                let mut context = hmac::Context::with_key(key);
                parts.iter().for_each(|part| context.update(part));
                URL_SAFE_NO_PAD.encode(context.sign())
            }
        }
    }

    /// Adds a record's line to the text, and makes its hash the head.
    pub(super) fn append(&self, record: &Record, head: &mut String, text: &mut Vec<u8>) {
        let start = text.len();
        // Strings and numbers always serialize, and what is written into a vector never fails.
        if serde_json::to_writer(&mut *text, record).is_err() {
            text.truncate(start);
            return;
        }
        let hash = self.hash(&text[start..], head);
        // The record's last brace.
        text.pop();
        for part in [",\"previous\":\"", head, "\",\"hash\":\"", &hash, "\"}\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        *head = hash;
    }

    /// The line that a text without its end of line is, where it holds for itself: it says nothing but a record, and its hash
    /// is right.
    pub(super) fn read(&self, text: &[u8]) -> Option<Line> {
        let line: Line = serde_json::from_slice(text).ok()?;
        let (mut again, mut head) = (Vec::with_capacity(text.len() + 1), line.previous.clone());
        self.append(&line.record, &mut head, &mut again);
        // Byte for byte, so that nothing can be written between the members either.
        (again.strip_suffix(b"\n") == Some(text)).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use bank_stores::Timestamp;

    use super::*;

    #[test]
    fn lines_are_written_and_hashed_as_they_always_were() {
        let mut record = Record::new(Timestamp::from_seconds(1), "req_1", "GET /v1/\"a\"", 401);
        record.reason = Some("invalid_token".to_owned());
        let (mut head, mut text) = ("before".to_owned(), Vec::new());
        Hasher::default().append(&record, &mut head, &mut text);
        let line = Hasher::default().read(text.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!(serde_json::to_vec(&line).unwrap(), text[..text.len() - 1]);
        let bytes = [b"before\n", &*serde_json::to_vec(&record).unwrap()].concat();
        let hash = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &bytes));
        assert_eq!((&*line.previous, &*line.hash, &*head), ("before", &*hash, &*hash));
    }
}
