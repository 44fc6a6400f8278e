//! Refusals that are remembered, as text.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

#[derive(Serialize, Deserialize)]
struct Stored {
    kind: String,
    field: Option<String>,
    message: String,
}

/// The kinds for which a ledger refuses a command that is well formed.
const KINDS: [ErrorKind; 4] =
    [ErrorKind::NotFound, ErrorKind::Rejected, ErrorKind::InsufficientFunds, ErrorKind::Invalid];

/// The refusal as it is stored.
pub(crate) fn to_text(error: &Error) -> String {
    let (kind, field) = (error.kind().as_str().to_owned(), error.field().map(ToOwned::to_owned));
    // Three texts always serialize.
    serde_json::to_string(&Stored { kind, field, message: error.message().to_owned() }).unwrap_or_default()
}

/// The refusal that was stored.
pub(crate) fn from_text(text: &str) -> Result<Error> {
    let unreadable = || Error::invalid("error", "not a refusal");
    let stored: Stored = serde_json::from_str(text).map_err(|source| unreadable().with_source(source))?;
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == stored.kind).ok_or_else(unreadable)?;
    let error = Error::new(kind, stored.message);
    Ok(match stored.field {
        Some(field) => error.with_field(field),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_back() {
        for kind in KINDS {
            let error = Error::new(kind, "no \"more\"").with_field("legs[0].account");
            let read = from_text(&to_text(&error)).unwrap();
            assert_eq!(
                (read.kind(), read.field(), read.to_string()),
                (kind, error.field(), error.to_string())
            );
        }
        assert!(from_text("{}").is_err());
    }
}
