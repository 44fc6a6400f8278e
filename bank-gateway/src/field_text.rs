//! Values of header fields that are made for one request: written one behind the other into memory that the thread uses again
//! when none of them is left, instead of an allocation for each.

use std::cell::Cell;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

/// So much memory is taken at once. A value that stays keeps all of it, so that it is small.
const AT_ONCE: usize = 4 * 1024;

thread_local!(static FREE: Cell<BytesMut> = Cell::new(BytesMut::new()));

/// The value that is written; nothing where it cannot stand in a field.
pub(crate) fn field_text(write: impl FnOnce(&mut BytesMut)) -> Option<HeaderValue> {
    // Taken out of its place: whoever writes another value meanwhile finds an empty one.
    let mut text = FREE.take();
    if text.capacity() < AT_ONCE / 16 {
        text.reserve(AT_ONCE);
    }
    write(&mut text);
    let value = HeaderValue::from_maybe_shared(text.split().freeze());
    FREE.set(text);
    value.ok()
}

/// The value that is these bytes.
pub(crate) fn field_copy(bytes: &[u8]) -> Option<HeaderValue> {
    field_text(|text| text.extend_from_slice(bytes))
}

/// The value that is this number.
pub(crate) fn field_number(number: u64) -> Option<HeaderValue> {
    field_copy(itoa::Buffer::new().format(number).as_bytes())
}

/// Removes a field that is rarely there. Most answers have few fields, among which it is missed faster than by its hash.
pub(crate) fn remove_rare(headers: &mut HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    if headers.keys().any(|own| own == name) { headers.remove(name) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_what_it_was_while_others_are_written() {
        let values: Vec<_> = (0..2_000_u64).map(|number| field_number(number).unwrap()).collect();
        for (number, value) in values.iter().enumerate() {
            assert_eq!(value.to_str().unwrap(), number.to_string());
        }
        let outer = field_text(|text| {
            text.extend_from_slice(b"outer");
            assert_eq!(field_copy(b"inner").unwrap(), "inner");
        });
        assert_eq!(outer.unwrap(), "outer");
        assert!(field_copy(b"two\r\nlines").is_none());
        assert_eq!(field_copy(&[b'x'; 3 * AT_ONCE]).unwrap().len(), 3 * AT_ONCE);
    }
}
