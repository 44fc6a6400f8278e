//! Values sealed and opened by whichever key is theirs.

use bytes::Bytes;
use serde_json::{Value, json};

use super::data_keys::{DataKeys, Found};
use super::sealer::{Sealer, context, parse_bytes, parse_text};
use crate::sealed::{FIELD, text_of};
use crate::{Error, ErrorKind, Result};

/// What a text reads as whose key was shredded.
pub const ERASED: &str = "[erased]";

/// A stored value after it was opened.
#[derive(Debug, PartialEq)]
pub(super) enum Opened<T> {
    /// The value, which had been sealed.
    Sealed(T),
    /// The value as it stands: nobody has sealed it.
    Plain(T),
    /// Its key was shredded.
    Erased,
}

impl<T> Opened<T> {
    /// The value; nothing where it is erased.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Sealed(value) | Self::Plain(value) => Some(value),
            Self::Erased => None,
        }
    }
}

/// What does not open for good is as what was erased, where others depend on it: one such value stops no list, no event and no payment.
/// The log tells of it. A key that cannot be had now is an error.
pub(super) fn lasting<T>(opened: Result<Opened<T>>) -> Result<Opened<T>> {
    match opened {
        Err(error) if error.field() == Some("sealed") => {
            tracing::error!(%error, "a sealed value does not open, and reads as erased");
            Ok(Opened::Erased)
        }
        opened => opened,
    }
}

/// Whether JSON is as [`seal_json`] leaves it, whatever key it was sealed with.
pub(super) fn is_sealed(stored: &Value) -> bool {
    text_of(stored).and_then(parse_text).is_some()
}

/// See [`Error::is_erased`].
pub(super) fn erased() -> Error {
    Error::new(ErrorKind::Denied, "it was erased with the key that it was sealed with").with_field("erased")
}

impl DataKeys {
    /// What may be read: a value that nobody has sealed only where that is allowed.
    pub(super) fn allowed<T>(&self, opened: Opened<T>) -> Result<Opened<T>> {
        match opened {
            Opened::Plain(_) if !self.allows_unsealed => {
                let message = "nobody has sealed it: a foreign hand has put it there, or it is from before \
                               the store was sealed (then reseal it, and allow unsealed values until that is done)";
                Err(Error::new(ErrorKind::Damaged, message).with_field("sealed"))
            }
            opened => Ok(opened),
        }
    }

    pub(super) async fn open_bytes(&self, parts: &[&str], stored: Bytes) -> Result<Opened<Bytes>> {
        let Some((id, _)) = parse_bytes(&stored) else { return Ok(Opened::Plain(stored)) };
        Ok(match self.find(id).await? {
            Found::Key(sealer) => Opened::Sealed(Bytes::from(sealer.open_bytes(&context(parts), &stored)?)),
            Found::Erased => Opened::Erased,
        })
    }

    pub(super) async fn open_text(&self, parts: &[&str], stored: String) -> Result<Opened<String>> {
        let Some((id, _)) = parse_text(&stored) else { return Ok(Opened::Plain(stored)) };
        let Found::Key(sealer) = self.find(id).await? else { return Ok(Opened::Erased) };
        let opened = sealer.open(&context(parts), &stored)?;
        String::from_utf8(opened).map(Opened::Sealed).map_err(|_| unreadable())
    }

    /// Opens JSON that [`seal_json`] has sealed.
    pub(super) async fn open_json(&self, parts: &[&str], stored: Value) -> Result<Opened<Value>> {
        let Some(text) = text_of(&stored) else { return Ok(Opened::Plain(stored)) };
        let Some((id, _)) = parse_text(text) else { return Ok(Opened::Plain(stored)) };
        let Found::Key(sealer) = self.find(id).await? else { return Ok(Opened::Erased) };
        let opened = sealer.open(&of_form(parts, &stored), text)?;
        let value = match &stored {
            Value::String(_) => String::from_utf8(opened).map(Value::String).map_err(|_| unreadable()),
            _ => serde_json::from_slice(&opened).map_err(|_| unreadable()),
        };
        value.map(Opened::Sealed)
    }
}

/// Seals JSON: a text stays a text, anything else becomes an object with a text in it.
pub(super) fn seal_json(sealer: &Sealer, parts: &[&str], write: &str, value: &Value) -> Result<Value> {
    let context = of_form(parts, value);
    Ok(match value {
        Value::String(text) => Value::String(sealer.seal_write(&context, write, text.as_bytes())?),
        value => {
            let json = value.to_string();
            json!({ (FIELD): sealer.seal_write(&context, write, json.as_bytes())? })
        }
    })
}

/// A text and other JSON are not taken for each other.
fn of_form(parts: &[&str], value: &Value) -> Vec<u8> {
    let form = if value.is_string() { "text" } else { "json" };
    let mut of_form = context(parts);
    of_form.extend_from_slice(form.as_bytes());
    of_form
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Damaged, "what was sealed is not what belongs here").with_field("sealed")
}
