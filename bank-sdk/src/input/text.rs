//! Values of a path or query: text that becomes a number or a truth value where the input asks for one.

use std::fmt;

use serde::de::value::{Error, StringDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};

pub(super) struct Text(pub(super) String);

/// Whether a text is a number as JSON writes it: no `+`, no needless zero, no `inf`.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|first: char| first.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
        && digits.ends_with(|last: char| last.is_ascii_digit())
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let parsed = if is_plain_number(&self.0) { self.0.parse::<$type>().ok() } else { None };
            match parsed {
                Some(number) => visitor.$visit(number),
                None => Err(Error::custom(format_args!(
                    "expected {}, found `{}`", stringify!($type), Shortened(&self.0, QUOTED)
                ))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &*self.0 {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(Error::custom(format_args!(
                "expected true or false, found `{}`",
                Shortened(other, QUOTED)
            ))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let inner: StringDeserializer<Error> = self.0.into_deserializer();
        inner.deserialize_enum(name, variants, visitor)
    }

    numbers! {
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_u128 visit_u128 u128,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// The most characters of a value that an error quotes.
const QUOTED: usize = 24;

/// The start of a text, of at most so many characters: an error echoes little of what came in.
pub(super) struct Shortened<'a>(pub(super) &'a str, pub(super) usize);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(self.1) {
            Some((cut, _)) => write!(f, "{}…", &self.0[..cut]),
            None => f.write_str(self.0),
        }
    }
}
