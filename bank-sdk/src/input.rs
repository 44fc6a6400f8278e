//! From a request's path, query and body to the endpoint's one input value. Whatever is wrong is named by its field.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserializer;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde_json::Value;

use crate::Problem;

/// More fields than any call has.
const MAX_PAIRS: usize = 64;

/// Input of an endpoint whose other fields come from the query.
pub(crate) fn from_pairs<I: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<I, Problem> {
    let mut names = HashSet::new();
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !names.insert(name.as_str())) {
        return Err(invalid(name, "is given twice"));
    }
    let map = MapDeserializer::<_, serde::de::value::Error>::new(
        pairs.into_iter().map(|(name, value)| (name, Text(value))),
    );
    decode(map)
}

/// Input of an endpoint whose other fields come from a JSON body.
pub(crate) fn from_json<I: DeserializeOwned>(body: &[u8], path: Vec<(String, String)>) -> Result<I, Problem> {
    if path.is_empty() {
        let body = if body.is_empty() { b"{}" } else { body };
        let mut json = serde_json::Deserializer::from_slice(body);
        let input = decode(&mut json)?;
        json.end().map_err(|error| malformed(&error))?;
        return Ok(input);
    }
    let body = if body.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        serde_json::from_slice(body).map_err(|error| malformed(&error))?
    };
    let Value::Object(mut fields) = body else {
        return Err(Problem::bad_request("the body must be a JSON object").with_code("invalid_input"));
    };
    for (name, value) in path {
        if fields.insert(name.clone(), Value::String(value)).is_some() {
            return Err(invalid(&name, "is given in the path; leave it out of the body"));
        }
    }
    decode(Value::Object(fields))
}

fn decode<'de, I, D>(deserializer: D) -> Result<I, Problem>
where
    I: DeserializeOwned,
    D: Deserializer<'de>,
    D::Error: std::fmt::Display,
{
    let mut unknown = None;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    let decoded = serde_ignored::deserialize(tracked, |path| {
        unknown.get_or_insert_with(|| plain_path(&path));
    });
    let input = decoded.map_err(|error| {
        let path = track.path().to_string();
        invalid(if path == "." { "body" } else { &path }, &without_position(&error.to_string()))
    })?;
    match unknown {
        Some(field) => Err(invalid(&field, "is not a field of this call; remove it")),
        None => Ok(input),
    }
}

/// The path as a caller would write it: what is optional or wrapped has no step of its own.
fn plain_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    let step = |parent: &Path<'_>, name: &str| match plain_path(parent) {
        above if above.is_empty() => name.to_owned(),
        above => format!("{above}.{name}"),
    };
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => step(parent, &index.to_string()),
        Path::Map { parent, key } => step(parent, key),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
            plain_path(parent)
        }
    }
}

pub(crate) fn invalid(field: &str, message: &str) -> Problem {
    Problem::bad_request(format!("`{field}` is not valid: {message}"))
        .with_code("invalid_input")
        .with_field(field, message)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!(
        "the body is not valid JSON at line {}, column {}",
        error.line(),
        error.column()
    ))
    .with_code("invalid_json")
}

/// serde_json adds where in the bytes; the field's name says it better.
fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

/// The pairs of a query string or form, percent-decoded.
pub(crate) fn query_pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    if query.bytes().filter(|&byte| byte == b'&').count() >= MAX_PAIRS {
        return Err(Problem::bad_request("the query has too many fields").with_code("invalid_input"));
    }
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((percent_decode(name, true)?, percent_decode(value, true)?))
        })
        .collect()
}

/// Decodes `%XX`, and `+` as a space in queries.
pub(crate) fn percent_decode(text: &str, plus: bool) -> Result<String, Problem> {
    let bad = || {
        Problem::bad_request("the address holds a `%` that starts no valid escape")
            .with_code("invalid_escape")
    };
    if !text.bytes().any(|b| b == b'%' || (plus && b == b'+')) {
        return Ok(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
                let (high, low) = (digit()?, digit()?);
                out.push(u8::try_from(high * 16 + low).map_err(|_| bad())?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| bad())
}

/// Encodes everything but RFC 3986's unreserved characters.
pub(crate) fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
            }
        }
    }
}

/// A value from the path or query: text that becomes a number or a truth value where the input asks for one.
struct Text(String);

impl<'de> IntoDeserializer<'de, serde::de::value::Error> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let parsed: $type = self.0.parse().map_err(|_| {
                Self::Error::custom(format_args!("expected {}, found `{}`", stringify!($type), Short(&self.0)))
            })?;
            visitor.$visit(parsed)
        }
    )*};
}

impl<'de> Deserializer<'de> for Text {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let inner: serde::de::value::StringDeserializer<Self::Error> = self.0.into_deserializer();
        inner.deserialize_enum(name, variants, visitor)
    }

    parsed! {
        deserialize_bool visit_bool bool,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// The start of a text, so that an error echoes little of what came in.
struct Short<'a>(&'a str);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut: Cow<'_, str> = if self.0.chars().count() > 24 {
            Cow::Owned(self.0.chars().take(24).chain(['…']).collect())
        } else {
            Cow::Borrowed(self.0)
        };
        f.write_str(&cut)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Find {
        id: String,
        limit: Option<u32>,
        deep: Option<Deep>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Deep {
        flag: bool,
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn path_and_query_fill_one_value() {
        let found: Find = from_pairs(vec![pair("id", "7"), pair("limit", "20")]).unwrap();
        assert_eq!(found, Find { id: "7".into(), limit: Some(20), deep: None });
    }

    #[test]
    fn unknown_missing_repeated_and_mistyped_fields_are_named() {
        let field = |pairs| from_pairs::<Find>(pairs).unwrap_err().errors()[0].field.clone();
        assert_eq!(field(vec![pair("id", "7"), pair("page", "1")]), "page");
        assert_eq!(field(vec![pair("id", "7"), pair("id", "8")]), "id");
        assert_eq!(field(vec![pair("id", "7"), pair("limit", "many")]), "limit");
        let json = |body: &str| from_json::<Find>(body.as_bytes(), vec![]).unwrap_err();
        assert_eq!(json(r#"{"id":"a","deep":{"flag":true,"x":1}}"#).errors()[0].field, "deep.x");
        assert_eq!(json(r#"{"id":"a","deep":{"flag":3}}"#).errors()[0].field, "deep.flag");
        assert!(json(r"{}").detail().contains("missing field `id`"));
        assert_eq!(json(r#"{"id":"a"} x"#).code(), Some("invalid_json"));
    }

    #[test]
    fn a_path_parameter_joins_the_body_and_may_not_stand_in_it_too() {
        let found: Find = from_json(br#"{"limit":3}"#, vec![pair("id", "9")]).unwrap();
        assert_eq!(found, Find { id: "9".into(), limit: Some(3), deep: None });
        assert_eq!(
            from_json::<Find>(br#"{"id":"1"}"#, vec![pair("id", "9")]).unwrap_err().errors()[0].field,
            "id"
        );
    }

    #[test]
    fn escapes_are_decoded_strictly() {
        assert_eq!(percent_decode("a%20b+c", true).unwrap(), "a b c");
        assert!(percent_decode("%2", false).is_err());
        assert!(percent_decode("%ff", false).is_err());
        let mut text = String::new();
        percent_encode("a b/ü", &mut text);
        assert_eq!(text, "a%20b%2F%C3%BC");
    }
}
