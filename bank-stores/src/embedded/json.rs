//! Rows of a group as one JSON array, which SQLite reads back by `jsonb_each` (the form of it that does not
//! turn each row into text again): so that a group of any size is one statement. Bytes travel beside it in one blob, and a row says where its own are.

use std::fmt::Write as _;

use serde::Serialize;

/// An array of arrays under construction, and the bytes that its rows point into.
#[derive(Debug)]
pub(super) struct Rows {
    json: String,
    bytes: Vec<u8>,
    len: usize,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self { json: String::from("["), bytes: Vec::new(), len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Starts the next row; columns follow.
    pub(super) fn row(&mut self) -> Row<'_> {
        self.json.push_str(if self.len == 0 { "[" } else { ",[" });
        self.len += 1;
        Row { rows: self, first: true }
    }

    /// The next row where rows have one column and need no array.
    pub(super) fn value(&mut self, text: &str) {
        if self.len > 0 {
            self.json.push(',');
        }
        self.len += 1;
        push_json(&mut self.json, text);
    }

    pub(super) fn finish(mut self) -> (String, Vec<u8>) {
        self.json.push(']');
        (self.json, self.bytes)
    }

    pub(super) fn json(self) -> String {
        self.finish().0
    }
}

/// A row under construction; it ends where it is dropped.
#[derive(Debug)]
pub(super) struct Row<'a> {
    rows: &'a mut Rows,
    first: bool,
}

impl Row<'_> {
    fn next(&mut self) -> &mut String {
        if !self.first {
            self.rows.json.push(',');
        }
        self.first = false;
        &mut self.rows.json
    }

    pub(super) fn integer(mut self, value: i64) -> Self {
        // Writing to a string cannot fail.
        let _ = write!(self.next(), "{value}");
        self
    }

    pub(super) fn unsigned(self, value: u64) -> Self {
        // Sequences and counts: a store would have to run for ages to leave 63 bits.
        self.integer(i64::try_from(value).unwrap_or(i64::MAX))
    }

    pub(super) fn optional_integer(mut self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.integer(value),
            None => {
                self.next().push_str("null");
                self
            }
        }
    }

    pub(super) fn text(mut self, value: &str) -> Self {
        push_json(self.next(), value);
        self
    }

    pub(super) fn optional_text(mut self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => {
                self.next().push_str("null");
                self
            }
        }
    }

    /// A value that is stored as JSON text: SQLite takes it out of the row as it is.
    pub(super) fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        push_json(self.next(), value);
        self
    }

    /// JSON text that is stored as such goes among the bytes, so that SQLite need not read it to write it.
    pub(super) fn json_bytes<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let start = self.rows.bytes.len();
        // Our own types and plain JSON values have text keys and no failing serializer.
        let _ = serde_json::to_writer(&mut self.rows.bytes, value);
        let len = self.rows.bytes.len() - start;
        self.unsigned(start as u64 + 1).unsigned(len as u64)
    }

    /// Two columns: where the bytes start in the blob, counted from 1 as `substr` does, and how many they are.
    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let start = self.rows.bytes.len() + 1;
        self.rows.bytes.extend_from_slice(value);
        self.unsigned(start as u64).unsigned(value.len() as u64)
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.rows.json.push(']');
    }
}

fn push_json<T: Serialize + ?Sized>(json: &mut String, value: &T) {
    // Our own types and plain JSON values have text keys and no failing serializer.
    match serde_json::to_string(value) {
        Ok(text) => json.push_str(&text),
        Err(_) => json.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back() {
        let mut rows = Rows::new();
        drop(rows.row().integer(-1).text("a\"b\u{1}").optional_text(None).bytes(b"xyz"));
        drop(rows.row().json(&serde_json::json!({"k": [1]})).bytes(b"q"));
        let (json, bytes) = rows.finish();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read, serde_json::json!([[-1, "a\"b\u{1}", null, 1, 3], [{"k": [1]}, 4, 1]]));
        assert_eq!(bytes, b"xyzq");
        assert_eq!(Rows::new().json(), "[]");
    }
}
