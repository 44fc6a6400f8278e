//! Pages of an ordered list, with opaque cursors.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The largest page that can be asked for.
pub const MAX_PAGE: u32 = 1_000;

/// Which way a list is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest or oldest first.
    #[default]
    Forward,
    /// Greatest or newest first.
    Backward,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageRequest {
    /// How many at most, 1 to [`MAX_PAGE`].
    pub limit: u32,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// Which way to read.
    pub direction: Direction,
}

impl PageRequest {
    /// The first page, of `limit` at most, forward.
    pub fn first(limit: u32) -> Self {
        Self { limit, after: None, direction: Direction::Forward }
    }

    /// The page after `cursor`; `None` is the first page.
    #[must_use]
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Smallest or oldest first.
    #[must_use]
    pub fn forward(mut self) -> Self {
        self.direction = Direction::Forward;
        self
    }

    /// Greatest or newest first.
    #[must_use]
    pub fn backward(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// Checks the limit; adapters call it first.
    pub fn validate(&self) -> Result<()> {
        if (1..=MAX_PAGE).contains(&self.limit) {
            return Ok(());
        }
        Err(Error::invalid("limit", format!("a page holds 1 to {MAX_PAGE}, not {}", self.limit)))
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What is on the page, in the order asked for.
    pub items: Vec<T>,
    /// Where the next page starts; `None` when this was the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page with each item changed.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }

    /// Makes a page of up to `limit + 1` rows: the one too many says that there is a next page, which starts after
    /// what `cursor` gives for the last row kept.
    pub fn cut(mut rows: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { items: rows, next }
    }
}

/// An opaque, URL-safe place in a list.
///
/// It is bound to the query that gave it: elsewhere it is refused as `Invalid`. It holds no secret and grants nothing.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Takes the text a client sent back; the store checks it.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to send to a client.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Made by an adapter: the place `position` in the list that `query` describes.
    ///
    /// `query` is everything that decides which rows come in which order.
    pub fn new(query: &[&str], position: &str) -> Self {
        let mut bytes = fingerprint(query).to_vec();
        bytes.extend_from_slice(position.as_bytes());
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Read by an adapter: the position, if the cursor is of this `query`.
    pub fn position(&self, query: &[&str]) -> Result<String> {
        let wrong = || Error::invalid("after", "not a cursor of this query");
        // Longer than any of ours: not worth decoding.
        if self.0.len() > 16_384 {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.0).map_err(|_| wrong())?;
        let (print, position) = bytes.split_at_checked(8).ok_or_else(wrong)?;
        if print != fingerprint(query) {
            return Err(wrong());
        }
        String::from_utf8(position.to_vec()).map_err(|_| wrong())
    }
}

fn fingerprint(query: &[&str]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in query {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut print = [0; 8];
    print.copy_from_slice(&hash.finalize()[..8]);
    print
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({})", self.0)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_cursor_is_good_for_its_own_query_only() {
        let cursor = Cursor::new(&["entries", "alice"], "17");
        assert_eq!(cursor.position(&["entries", "alice"]).unwrap(), "17");
        for query in [&["entries", "bob"][..], &["entriesalice"], &[]] {
            assert_eq!(cursor.position(query).unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(Cursor::from_text("???").position(&[]).is_err());
        assert!(Cursor::from_text("").position(&[]).is_err());
    }

    #[test]
    fn one_row_too_many_makes_a_next_page() {
        let page = Page::cut(vec![1, 2, 3], 2, |last| Cursor::new(&[], &last.to_string()));
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next.unwrap().position(&[]).unwrap(), "2");
        assert_eq!(Page::cut(vec![1, 2], 2, |_| unreachable!()).next, None);
    }

    #[test]
    fn a_page_has_a_bounded_limit() {
        assert!(PageRequest::first(0).validate().is_err());
        assert!(PageRequest::first(1_000).validate().is_ok());
        assert!(PageRequest::first(1_001).validate().is_err());
    }
}
