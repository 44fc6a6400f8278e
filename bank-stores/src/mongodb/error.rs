//! MongoDB's errors, by their codes, kinds and labels.

use ::mongodb::error::{
    Error as DriverError, ErrorKind as Kind, NO_WRITES_PERFORMED, RETRYABLE_WRITE_ERROR, WriteFailure,
};

use crate::breaker::Away;
use crate::{Error, ErrorKind};

/// Codes of the server.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const AUTHENTICATION_FAILED: i32 = 18;
    pub(super) const NAMESPACE_NOT_FOUND: i32 = 26;
    pub(super) const INDEX_NOT_FOUND: i32 = 27;
    pub(super) const ATLAS: i32 = 8_000;
    pub(super) const TOO_LARGE: i32 = 10_334;
    pub(super) const DUPLICATE_KEY: i32 = 11_000;
    /// A write that ended so may have happened: the time was over, a majority did not confirm it, or the server changed its role.
    pub(super) const MAYBE: [i32; 14] =
        [6, 7, 24, 50, 64, 89, 91, 100, 189, 262, 9_001, 10_107, 11_600, 11_602];
}

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads: without an answer nothing happened.
    None,
    /// Something, also where its answer is lost.
    Some,
}

/// What the outcome of a call says of the server.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    /// It has answered, whatever it said.
    Answer,
    /// Somebody waited for it, and had no answer.
    Silence(&'a DriverError),
    /// Neither: a connection broke, say.
    Nothing,
}

pub(super) fn heard<T>(outcome: &Result<T, DriverError>) -> Heard<'_> {
    let Err(error) = outcome else { return Heard::Answer };
    match &*error.kind {
        Kind::Command(_) | Kind::Write(_) | Kind::InsertMany(_) | Kind::Authentication { .. } => {
            Heard::Answer
        }
        Kind::ServerSelection { .. } | Kind::DnsResolve { .. } => Heard::Silence(error),
        Kind::Io(source) if source.kind() == std::io::ErrorKind::TimedOut => Heard::Silence(error),
        _ => Heard::Nothing,
    }
}

/// What a failed call means.
pub(super) fn from_driver(error: DriverError, effect: Effect) -> Error {
    if let Some(away) = error.get_custom::<Away>() {
        return away.into_error();
    }
    let (kind, field, message) = match (&*error.kind, code(&error)) {
        (Kind::Authentication { .. }, _)
        | (_, Some(code::UNAUTHORIZED | code::AUTHENTICATION_FAILED | code::ATLAS)) => {
            (ErrorKind::Denied, None, "MongoDB does not let this user do that")
        }
        (Kind::ServerSelection { .. } | Kind::DnsResolve { .. }, _) => {
            (ErrorKind::Unavailable, None, "no server of MongoDB can be reached that could do that")
        }
        _ if effect == Effect::Some && may_have_happened(&error) => {
            let message = "MongoDB did not confirm it: what was asked for may have happened";
            (ErrorKind::Indeterminate, None, message)
        }
        (Kind::Shutdown, _) => (ErrorKind::Unavailable, None, "the store is closed"),
        (Kind::Io(_) | Kind::ConnectionPoolCleared { .. }, _) => {
            (ErrorKind::Unavailable, None, "MongoDB did not answer")
        }
        (_, Some(code::TOO_LARGE)) => (ErrorKind::Invalid, Some("body"), "larger than MongoDB takes"),
        (Kind::InvalidTlsConfig { .. }, _) => {
            (ErrorKind::Invalid, Some("root_certificates"), "cannot be used for TLS")
        }
        (Kind::InvalidArgument { .. } | Kind::IncompatibleServer { .. } | Kind::SessionsNotSupported, _) => {
            (ErrorKind::Invalid, None, "MongoDB cannot be used as the options say")
        }
        (Kind::Bson(_) | Kind::InvalidResponse { .. }, _) => {
            (ErrorKind::Damaged, None, "MongoDB holds something else than was put there")
        }
        // It elects a primary, has no room left, or is too busy: nothing happened.
        _ => (ErrorKind::Unavailable, None, "MongoDB refused the call for now"),
    };
    let mapped = Error::new(kind, message).with_source(error);
    match field {
        Some(field) => mapped.with_field(field),
        None => mapped,
    }
}

/// Whether a unique index refused the write.
pub(super) fn is_duplicate(error: &DriverError) -> bool {
    code(error) == Some(code::DUPLICATE_KEY)
}

/// Whether the collection, or the index, is not there.
pub(super) fn is_missing(error: &DriverError) -> bool {
    matches!(code(error), Some(code::NAMESPACE_NOT_FOUND | code::INDEX_NOT_FOUND))
}

fn may_have_happened(error: &DriverError) -> bool {
    if error.contains_label(NO_WRITES_PERFORMED) {
        return false;
    }
    match &*error.kind {
        Kind::Io(_)
        | Kind::ConnectionPoolCleared { .. }
        | Kind::Internal { .. }
        | Kind::InvalidResponse { .. }
        // The write is on the primary, and a majority did not confirm it.
        | Kind::Write(WriteFailure::WriteConcernError(_)) => true,
        _ => {
            error.contains_label(RETRYABLE_WRITE_ERROR)
                || code(error).is_some_and(|code| code::MAYBE.contains(&code))
        }
    }
}

fn code(error: &DriverError) -> Option<i32> {
    match &*error.kind {
        Kind::Command(error) => Some(error.code),
        Kind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        Kind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_indeterminate_for_a_write_only() {
        let lost = || DriverError::from(std::io::ErrorKind::TimedOut);
        assert_eq!(from_driver(lost(), Effect::Some).kind(), ErrorKind::Indeterminate);
        assert_eq!(from_driver(lost(), Effect::None).kind(), ErrorKind::Unavailable);
        assert!(!is_duplicate(&lost()));
    }

    #[test]
    fn only_who_waited_for_nothing_says_that_a_server_is_away() {
        let outcome = |kind: std::io::ErrorKind| Err::<(), _>(DriverError::from(kind));
        assert!(matches!(heard(&outcome(std::io::ErrorKind::TimedOut)), Heard::Silence(_)));
        assert!(matches!(heard(&outcome(std::io::ErrorKind::ConnectionReset)), Heard::Nothing));
        assert!(matches!(heard(&Ok(())), Heard::Answer));
    }
}
