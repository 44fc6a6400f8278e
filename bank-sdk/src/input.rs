//! From a request's path, query and body to the endpoint's one input value. Whatever is wrong is named by its field.
//!
//! There is one way of decoding: path, query and body become one tree without a name twice, and the tree becomes the value.

mod json;
mod text;
mod value;

use std::borrow::Cow;

use serde::de::DeserializeOwned;

use self::text::Shortened;
use self::value::{Fields, Value};
use crate::Problem;
use crate::declaration::Method;

/// More fields than any call has.
const MAX_PAIRS: usize = 64;
/// The most characters of a field's name and of what a decoder says, which both may quote what came in.
const MAX_QUOTED: usize = 120;

/// The input of a call. Fields that are not in the path come from the query, or from the body where the method has one.
pub(crate) fn decode<I: DeserializeOwned>(
    method: Method,
    path: Vec<(String, String)>,
    query: Option<&str>,
    body: &[u8],
) -> Result<I, Problem> {
    let query = query_pairs(query.unwrap_or_default())?;
    let mut fields: Fields<'_> = path.into_iter().map(untyped).collect();
    let rest = if method.has_body() {
        // What is asked for is never silently left out.
        if let Some((name, _)) = query.first() {
            return Err(invalid(name, "belongs into the body, not into the address"));
        }
        match if body.is_empty() { Value::Object(Vec::new()) } else { json::parse(body)? } {
            Value::Object(rest) => rest,
            other if fields.is_empty() => return read(other),
            _ => return Err(invalid("body", "must be a JSON object")),
        }
    } else {
        query.into_iter().map(untyped).collect()
    };
    let in_path = fields.len();
    for (name, value) in rest {
        if let Some(at) = fields.iter().position(|(known, _)| *known == name) {
            let message =
                if at < in_path { "is given in the path; leave it out elsewhere" } else { "is given twice" };
            return Err(invalid(&name, message));
        }
        fields.push((name, value));
    }
    read(Value::Object(fields))
}

fn untyped((name, text): (String, String)) -> (Cow<'static, str>, Value<'static>) {
    (Cow::Owned(name), Value::Untyped(text))
}

fn read<I: DeserializeOwned>(value: Value<'_>) -> Result<I, Problem> {
    let mut unknown = None;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let decoded = serde_ignored::deserialize(tracked, |path| {
        unknown.get_or_insert_with(|| plain_path(&path));
    });
    let input = decoded.map_err(|error| {
        let path = track.path().to_string();
        let message = error.to_string();
        let message = Shortened(&message, MAX_QUOTED).to_string();
        invalid(if path == "." { "body" } else { &path }, &message)
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
    // A name that a caller made up may be as long as a body.
    let field = Shortened(field, MAX_QUOTED).to_string();
    Problem::bad_request(format!("`{field}` is not valid: {message}"))
        .with_code("invalid_input")
        .with_field(field, message)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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

    fn get<I: DeserializeOwned>(path: Vec<(String, String)>, query: &str) -> Result<I, Problem> {
        decode(Method::Get, path, Some(query), b"")
    }

    fn post<I: DeserializeOwned>(path: Vec<(String, String)>, body: &str) -> Result<I, Problem> {
        decode(Method::Post, path, None, body.as_bytes())
    }

    fn fault<I: std::fmt::Debug>(decoded: Result<I, Problem>) -> (String, String) {
        let problem = decoded.unwrap_err();
        assert_eq!(problem.status(), 400);
        let field = problem.errors().first().map(|error| error.field.clone()).unwrap_or_default();
        (problem.code().unwrap_or_default().to_owned(), field)
    }

    #[test]
    fn path_and_query_fill_one_value() {
        let found: Find = get(vec![pair("id", "7")], "limit=20").unwrap();
        assert_eq!(found, Find { id: "7".into(), limit: Some(20), deep: None });
    }

    #[test]
    fn unknown_missing_repeated_and_mistyped_fields_are_named() {
        let query = |query| fault(get::<Find>(vec![pair("id", "7")], query)).1;
        assert_eq!(query("page=1"), "page");
        assert_eq!(query("id=8"), "id");
        assert_eq!(query("limit=1&limit=1"), "limit");
        assert_eq!(query("limit=1&l%69mit=2"), "limit");
        assert_eq!(query("limit=many"), "limit");
        let body = |body| fault(post::<Find>(vec![], body)).1;
        assert_eq!(body(r#"{"id":"a","deep":{"flag":true,"x":1}}"#), "deep.x");
        assert_eq!(body(r#"{"id":"a","deep":{"flag":3}}"#), "deep.flag");
        assert!(post::<Find>(vec![], "{}").unwrap_err().detail().contains("missing field `id`"));
    }

    #[test]
    fn a_body_is_read_alike_with_and_without_a_path() {
        for path in [vec![], vec![pair("id", "9")]] {
            let id = if path.is_empty() { r#""id":"9","# } else { "" };
            let read = |rest: &str| post::<Find>(path.clone(), &format!("{{{id}{rest}}}"));
            assert_eq!(read(r#""limit":3"#).unwrap(), Find { id: "9".into(), limit: Some(3), deep: None });
            let fault = |rest: &str| fault(read(rest));
            assert_eq!(fault(r#""limit":3,"limit":3"#), ("invalid_input".into(), "limit".into()));
            assert_eq!(
                fault(r#""deep":{"flag":true,"flag":true}"#),
                ("invalid_input".into(), "deep.flag".into())
            );
            assert_eq!(fault(r#""deep":{"x":{"y":1,"y":2}}"#), ("invalid_input".into(), "deep.x.y".into()));
            assert_eq!(fault(r#""limit":"#), ("invalid_json".into(), String::new()));
            assert_eq!(fault(r#""limit":"3""#), ("invalid_input".into(), "limit".into()));
            assert_eq!(fault(r#""limit":3} x{"#).0, "invalid_json");
            assert_eq!(read(r#""limit":}"#).unwrap_err().detail(), {
                let column = if path.is_empty() { 19 } else { 10 };
                format!("the body is not valid JSON at line 1, column {column}")
            });
        }
        assert_eq!(fault(post::<Find>(vec![pair("id", "9")], "[]")), ("invalid_input".into(), "body".into()));
        assert_eq!(fault(post::<Find>(vec![], "5")), ("invalid_input".into(), "body".into()));
    }

    #[test]
    fn a_path_parameter_may_not_stand_in_the_body_or_query_too() {
        let id = || vec![pair("id", "9")];
        assert_eq!(fault(post::<Find>(id(), r#"{"id":"9"}"#)).1, "id");
        assert_eq!(fault(get::<Find>(id(), "id=9")).1, "id");
        assert_eq!(fault(decode::<Find>(Method::Post, id(), Some("limit=1"), b"")).1, "limit");
    }

    #[test]
    fn a_path_parameter_is_typed_by_the_input_beside_a_body_too() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Typed {
            n: u64,
            flag: bool,
            kind: Kind,
            rest: Option<i32>,
        }
        #[derive(Debug, Deserialize, PartialEq)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Plain,
            Full(u8),
        }
        let path = |n: &str| vec![pair("n", n), pair("flag", "true"), pair("kind", "plain")];
        let expected = Typed { n: 7, flag: true, kind: Kind::Plain, rest: Some(-2) };
        assert_eq!(post::<Typed>(path("7"), r#"{"rest":-2}"#).unwrap(), expected);
        assert_eq!(get::<Typed>(path("7"), "rest=-2").unwrap(), expected);
        for wrong in ["", "+7", "07", "7.0", "0x7", "18446744073709551616", "7 ", "٧"] {
            assert_eq!(fault(get::<Typed>(path(wrong), "")).1, "n", "{wrong}");
        }
        let body = r#"{"n":1,"flag":false,"kind":{"full":5},"rest":null}"#;
        let expected = Typed { n: 1, flag: false, kind: Kind::Full(5), rest: None };
        assert_eq!(post::<Typed>(vec![], body).unwrap(), expected);
        assert!(post::<Typed>(vec![], r#"{"n":1,"flag":false,"kind":"full"}"#).is_err());
        assert!(post::<Typed>(vec![], r#"{"n":1,"flag":false,"kind":{"full":5,"plain":0}}"#).is_err());
    }

    #[test]
    fn open_maps_and_lists_are_read_as_they_are() {
        let read: BTreeMap<String, Vec<f64>> = post(vec![], r#"{"a":[1,2.5],"b":[]}"#).unwrap();
        assert_eq!(read["a"], [1.0, 2.5]);
        assert_eq!(post::<Vec<u8>>(vec![], "[1,2]").unwrap(), [1, 2]);
        let any: serde_json::Value = post(vec![], r#"{"a":[null,true,"ü\n",-3]}"#).unwrap();
        assert_eq!(any, serde_json::json!({ "a": [null, true, "ü\n", -3] }));
        assert_eq!(fault(post::<serde_json::Value>(vec![], r#"{"a":{"b":1,"b":2}}"#)).1, "a.b");
    }

    #[test]
    fn a_refusal_echoes_little_of_what_came_in() {
        let long = "x".repeat(5_000);
        let problem = post::<Find>(vec![], &format!(r#"{{"id":"a","limit":"{long}"}}"#)).unwrap_err();
        assert!(problem.detail().len() < 300, "{}", problem.detail().len());
        let problem = get::<Find>(vec![pair("id", "a")], &format!("{long}=1")).unwrap_err();
        assert!(problem.detail().len() < 300, "{}", problem.detail().len());
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
