//! Serde for types whose wire form is the text that `FromStr` reads.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::Visitor;

struct Text<T>(PhantomData<T>);

impl<T> Visitor<'_> for Text<T>
where
    T: FromStr<Err = crate::Error>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = crate::Error>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text(PhantomData))
}

/// A decimal number of unsigned 64 bits, as the text of a token: digits only, no sign, no leading zero.
pub(crate) fn number(field: &'static str, digits: &str) -> crate::Result<u64> {
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    digits
        .parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| crate::Error::invalid(field, "not a number this store gave out"))
}

/// How many bytes a value has as JSON.
pub(crate) fn json_size(value: &serde_json::Value) -> usize {
    struct Size(usize);

    impl std::io::Write for Size {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let mut size = Size(0);
    // A plain value has text keys, and counting does not fail.
    let _ = serde_json::to_writer(&mut size, value);
    size.0
}

/// Whether lists and objects are nested at most so deep: what is deeper, not every reader takes.
pub(crate) fn is_at_most(value: &serde_json::Value, depth: usize) -> bool {
    use serde_json::Value;
    match value {
        Value::Array(list) => depth > 0 && list.iter().all(|value| is_at_most(value, depth - 1)),
        Value::Object(object) => depth > 0 && object.values().all(|value| is_at_most(value, depth - 1)),
        _ => true,
    }
}
