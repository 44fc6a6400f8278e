//! Bodies as JSON and as BSON.

use ::mongodb::bson::{Bson, Document as Bsons};
use serde_json::{Map, Number, Value};

use crate::error::damaged;
use crate::{Error, Result};

/// Whole numbers stay whole, so that 2^53 + 1 is not 2^53; all others become reals.
pub(super) fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(truth) => Bson::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Bson::Int64(whole),
            // A number that is neither was refused before.
            None => Bson::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(list) => Bson::Array(list.iter().map(to_bson).collect()),
        Value::Object(object) => Bson::Document(to_document(object)),
    }
}

fn to_document(object: &Map<String, Value>) -> Bsons {
    object.iter().map(|(name, value)| (name.clone(), to_bson(value))).collect()
}

/// `Damaged` for what no JSON was: another hand has written it.
pub(super) fn from_bson(bson: Bson) -> Result<Value> {
    Ok(match bson {
        Bson::Null => Value::Null,
        Bson::Boolean(truth) => Value::Bool(truth),
        Bson::Int32(whole) => whole.into(),
        Bson::Int64(whole) => whole.into(),
        Bson::Double(real) => Value::Number(Number::from_f64(real).ok_or_else(not_json)?),
        Bson::String(text) => Value::String(text),
        Bson::Array(list) => Value::Array(list.into_iter().map(from_bson).collect::<Result<_>>()?),
        Bson::Document(document) => from_document(document)?,
        _ => return Err(not_json()),
    })
}

fn from_document(document: Bsons) -> Result<Value> {
    let field = |(name, value)| Ok((name, from_bson(value)?));
    document.into_iter().map(field).collect::<Result<_>>().map(Value::Object)
}

fn not_json() -> Error {
    damaged(Error::invalid("body", "not JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use serde_json::json;

    #[test]
    fn a_body_comes_back_equal() {
        let body = json!({
            "z": 1, "a": 1.0, "$set": {"a.b": [1, 1.5, null, true, "ä"]}, "": {}, "most": i64::MAX,
            "least": i64::MIN, "near": 9_007_199_254_740_993_i64, "tiny": 5e-324, "_id": "x",
        });
        assert_eq!(from_bson(to_bson(&body)).unwrap(), body);
    }

    #[test]
    fn what_no_body_holds_is_damage() {
        for bson in [Bson::Undefined, Bson::Double(f64::NAN), Bson::MaxKey] {
            assert_eq!(from_bson(bson).unwrap_err().kind(), ErrorKind::Damaged);
        }
    }
}
