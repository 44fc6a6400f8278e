//! What sealed values look like. The limits of the roles hold for what was sealed, which is shorter than its sealed form.
//!
//! | Form | Layout |
//! | --- | --- |
//! | bytes | `MARK`, length of the key's id (one byte), the id, nonce (24), ciphertext, tag (16) |
//! | text | `sealed.1.`, the key's id, `.`, nonce, ciphertext and tag in unpadded base64url |
//! | JSON | a text as sealed text; any other value as `{"sealed": TEXT}` over its JSON |

use serde_json::Value;

/// What sealed bytes begin with. No UTF-8, and so no JSON, has this first byte.
pub(crate) const MARK: [u8; 4] = [0xf5, b's', b'l', 1];
/// What sealed text begins with.
pub(crate) const TEXT: &str = "sealed.1.";
/// The one field of an object that stands for a sealed value.
pub(crate) const FIELD: &str = "sealed";

/// The longest id of a key, in bytes.
pub(crate) const MAX_KEY_ID: usize = 64;
/// The length of the nonce and of the tag of each value, in bytes.
const NONCE: usize = 24;
const TAG: usize = 16;
/// By how much sealing lengthens bytes, at most: mark, id with its length, nonce and tag.
pub(crate) const MORE_BYTES: usize = MARK.len() + 1 + MAX_KEY_ID + NONCE + TAG;

/// The longest sealed text of so many bytes.
pub(crate) const fn longest_text(plain: usize) -> usize {
    TEXT.len() + MAX_KEY_ID + 1 + (NONCE + plain + TAG).div_ceil(3) * 4
}

/// How long this text may be where a text may have `most` bytes: longer, where it is sealed.
pub(crate) fn most_of_text(text: &str, most: usize) -> usize {
    if text.starts_with(TEXT) { longest_text(most) } else { most }
}

/// How long these bytes may be where a value may have `most`.
pub(crate) fn most_of_bytes(value: &[u8], most: usize) -> usize {
    if value.starts_with(&MARK) { most + MORE_BYTES } else { most }
}

/// How many bytes this JSON may have where a value may have `most`.
pub(crate) fn most_of_json(value: &Value, most: usize) -> usize {
    // Quotes, and the object around a text.
    if text_of(value).is_some() { longest_text(most) + 16 } else { most }
}

/// The sealed text that a JSON value is or holds.
pub(crate) fn text_of(value: &Value) -> Option<&str> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(fields) if fields.len() == 1 => fields.get(FIELD)?.as_str()?,
        _ => return None,
    };
    text.starts_with(TEXT).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_sealed_may_be_longer() {
        assert_eq!(most_of_text("plain", 10), 10);
        assert!(most_of_text("sealed.1.k.AAAA", 10) > 10);
        assert_eq!(most_of_bytes(b"{}", 10), 10);
        assert_eq!(most_of_bytes(&MARK, 10), 10 + MORE_BYTES);
        assert_eq!(text_of(&json!({ "sealed": "sealed.1.k.AAAA" })), Some("sealed.1.k.AAAA"));
        for plain in [json!("text"), json!({}), json!({ "sealed": 1 }), json!({ "sealed": "x" }), json!(null)]
        {
            assert_eq!(text_of(&plain), None, "{plain}");
            assert_eq!(most_of_json(&plain, 10), 10);
        }
    }
}
