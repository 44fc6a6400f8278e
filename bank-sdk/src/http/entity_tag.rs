//! Entity tags: whether the caller has the current representation already (RFC 9110 §8.8.3 and §13.1.2).

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};

/// Whether `If-None-Match` names the current representation, which then is not sent again: a `GET` is answered with 304.
///
/// The field is a list of tags, on one line or several, or `*`. Tags are compared weakly: a proxy that compresses the
/// answer makes its tag weak. A list that is not of the grammar names nothing behind the fault.
///
/// ```
/// use bank_sdk::http::is_known;
/// use http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};
///
/// let current = HeaderValue::from_static("\"v2\"");
/// let held = |tags| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(tags))]);
/// assert!(is_known(&held("\"v1\", W/\"v2\""), &current));
/// assert!(!is_known(&held("\"v1\""), &current));
/// ```
#[must_use]
pub fn is_known(headers: &HeaderMap, current: &HeaderValue) -> bool {
    let Some((current, b"")) = entity_tag(current.as_bytes()) else { return false };
    let mut lines = headers.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    lines.any(|line| line.trim_ascii() == b"*" || Tags(line).any(|held| held == current))
}

/// The opaque parts of the tags in a list.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        // Empty elements are allowed in what is received (RFC 9110 §5.6.1.2).
        while let [b',' | b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (tag, rest) = entity_tag(self.0)?;
        self.0 = match rest.trim_ascii_start() {
            rest @ ([] | [b',', ..]) => rest,
            _ => return None,
        };
        Some(tag)
    }
}

/// The opaque part of the tag that a text begins with, weak or not, and what stands behind the tag.
fn entity_tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"W/").unwrap_or(text).strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let (opaque, rest) = text.split_at(end);
    opaque.iter().all(|byte| *byte >= 0x21 && *byte != 0x7f).then_some((opaque, &rest[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(lines: &[&str], current: &'static str) -> bool {
        let headers: HeaderMap =
            lines.iter().map(|line| (IF_NONE_MATCH, HeaderValue::from_str(line).unwrap())).collect();
        is_known(&headers, &HeaderValue::from_static(current))
    }

    #[test]
    fn a_list_of_tags_is_compared_weakly() {
        for lines in [
            &["\"a\""][..],
            &["W/\"a\""],
            &["*"],
            &[" * "],
            &["\"b\", \"a\""],
            &["\"b\",W/\"a\",\"c\""],
            &[",, \"x,y\" ,\"a\""],
            &["\"b\"", "\"a\""],
        ] {
            assert!(known(lines, "\"a\""), "{lines:?}");
            assert!(known(lines, "W/\"a\""), "{lines:?}");
        }
        for lines in [
            &[][..],
            &[""],
            &["a"],
            &["\"b\""],
            &["\"A\""],
            &["w/\"a\""],
            &["\"x,a\""],
            &["\"b\" \"a\""],
            &["\"a"],
            &["*, \"b\""],
            &["\"*\""],
            &["\"W/\"a\"\""],
        ] {
            assert!(!known(lines, "\"a\""), "{lines:?}");
        }
    }
}
