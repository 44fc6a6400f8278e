//! The media types of a declaration in a file: one as a text, several as a list.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) const JSON: &str = "application/json";

pub(super) fn json() -> Vec<String> {
    vec![JSON.to_owned()]
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

pub(super) fn serialize<S: Serializer>(types: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match types {
        [one] => one.serialize(serializer),
        many => many.serialize(serializer),
    }
}
