//! Strict JSON: no name twice in one object at any depth, no number that would be rounded, no bottomless nesting.
//!
//! RFC 8259 §4 leaves open what a name that is given twice means, and parsers differ. Two programs that read one body in two
//! ways are how a check is passed and something else is done.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::invalid;
use super::value::{Fields, Value};
use crate::Problem;

/// Deeper than any input of ours.
const MAX_DEPTH: usize = 32;
/// Whole numbers beyond it are rounded by many a JSON parser (RFC 8259 §6).
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
/// From so many fields on a set finds a name faster than a look at each.
const FEW: usize = 16;

/// Reads a whole body.
pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, Problem> {
    let mut fault = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Reader { fault: &mut fault, depth: 0, path: &Path::Root }.deserialize(&mut json);
    match read.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(fault.unwrap_or_else(|| malformed(&error))),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::bad_request(format!("the body is not valid JSON at line {line}, column {column}"))
        .with_code("invalid_json")
}

/// Where in the body a value stands.
enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("body"),
            Self::Field(Path::Root, name) => f.write_str(name),
            Self::Item(Path::Root, index) => write!(f, "{index}"),
            Self::Field(above, name) => write!(f, "{above}.{name}"),
            Self::Item(above, index) => write!(f, "{above}.{index}"),
        }
    }
}

struct Reader<'r> {
    /// What is wrong beside the grammar, for which serde's error has no room.
    fault: &'r mut Option<Problem>,
    depth: usize,
    path: &'r Path<'r>,
}

impl Reader<'_> {
    fn refuse<E: serde::de::Error>(&mut self, path: &Path<'_>, message: &str) -> E {
        *self.fault = Some(invalid(&path.to_string(), message));
        E::custom("refused")
    }

    fn within_depth<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < MAX_DEPTH {
            return Ok(());
        }
        let path = self.path;
        Err(self.refuse(path, "is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<Value<'de>, E> {
        let path = self.path;
        match Number::from_f64(value) {
            Some(number) if value.abs() <= MAX_EXACT => Ok(Value::Number(number)),
            _ => Err(self.refuse(path, "is a larger number than can be held exactly")),
        }
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value<'de>, A::Error> {
        self.within_depth()?;
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            let reader = Reader { fault: self.fault, depth: self.depth + 1, path: &path };
            match items.next_element_seed(reader)? {
                Some(item) => list.push(item),
                None => return Ok(Value::List(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value<'de>, A::Error> {
        self.within_depth()?;
        let mut fields: Fields<'de> = Vec::new();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(name) = members.next_key_seed(Name)? {
            let path = Path::Field(self.path, &name);
            if fields.len() == FEW {
                many.extend(fields.iter().map(|(name, _)| name.clone()));
            }
            let twice = if fields.len() < FEW {
                fields.iter().any(|(known, _)| *known == name)
            } else {
                !many.insert(name.clone())
            };
            if twice {
                return Err(self.refuse(&path, "is given twice"));
            }
            let reader = Reader { fault: self.fault, depth: self.depth + 1, path: &path };
            let value = members.next_value_seed(reader)?;
            fields.push((name, value));
        }
        Ok(Value::Object(fields))
    }
}

/// A member's name.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> (Option<String>, String) {
        let problem = parse(body.as_bytes()).unwrap_err();
        let field = problem.errors().first().map(|error| error.field.clone()).unwrap_or_default();
        (problem.code().map(ToOwned::to_owned), field)
    }

    #[test]
    fn a_name_twice_is_refused_at_every_depth_however_it_is_spelled() {
        let many: String = (0..40).map(|number| format!("\"n{number}\":0,")).collect();
        for (body, field) in [
            (r#"{"to":1,"to":1}"#, "to"),
            (r#"{"to":1,"t\u006f":2}"#, "to"),
            (r#"{"":1,"":2}"#, ""),
            (r#"{"a":{"b":[{},{"c":1,"d":2,"c":3}]}}"#, "a.b.1.c"),
            (r#"[{"a":1,"a":2}]"#, "0.a"),
            (&format!("{{{many}\"n0\":1}}"), "n0"),
            (&format!("{{{many}\"n39\":1}}"), "n39"),
            (&format!("{{{many}\"last\":1,\"last\":1}}"), "last"),
        ] {
            assert_eq!(refusal(body), (Some("invalid_input".into()), field.into()), "{body}");
        }
        assert!(parse(br#"{"a":{"b":1},"b":{"a":1},"c":[{"a":1},{"a":1}]}"#).is_ok());
    }

    #[test]
    fn nesting_has_a_bottom() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(deep(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(refusal(&deep(MAX_DEPTH + 1)).0.as_deref(), Some("invalid_input"));
        assert_eq!(refusal(&deep(100_000)).0.as_deref(), Some("invalid_input"));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(33), "}".repeat(33));
        assert_eq!(refusal(&objects).0.as_deref(), Some("invalid_input"));
    }

    #[test]
    fn a_number_that_would_be_rounded_is_refused() {
        for fine in ["0", "-1.5", "18446744073709551615", "-9223372036854775808", "1e3", "0.1"] {
            assert!(parse(fine.as_bytes()).is_ok(), "{fine}");
        }
        for wrong in ["18446744073709551616", "-9223372036854775809", "1e300"] {
            assert_eq!(refusal(&format!("{{\"n\":{wrong}}}")), (Some("invalid_input".into()), "n".into()));
        }
        assert_eq!(refusal("1e999").0.as_deref(), Some("invalid_json"));
    }

    #[test]
    fn what_is_not_json_is_told_in_one_way() {
        for body in [
            "{",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "{} {}",
            "nul",
            "{'a':1}",
            "01",
            "+1",
            ".5",
            "NaN",
            "\u{feff}{}",
            "\"\\ud800\"",
            "{\"a\" 1}",
            "\"\n\"",
            " ",
        ] {
            let problem = parse(body.as_bytes()).unwrap_err();
            assert_eq!((problem.code(), problem.status().as_u16()), (Some("invalid_json"), 400), "{body:?}");
            assert!(problem.detail().contains("at line "), "{body:?}");
        }
        assert_eq!(parse(b"\"\xff\"").unwrap_err().code(), Some("invalid_json"));
    }
}
