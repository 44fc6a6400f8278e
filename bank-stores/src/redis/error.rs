//! Redis' errors, by their kinds and codes.

use redis::{ErrorKind as Kind, ParsingError, RedisError, ServerErrorKind};

use crate::{Error, ErrorKind};

const SOMETHING_ELSE: &str = "Redis holds something else under this key than was put there";

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads: without an answer nothing happened.
    None,
    /// Something, also where its answer is lost.
    Some,
}

/// Whether the server gave no answer, or none that was whole: it is away, or between two primaries.
pub(super) fn is_away(error: &RedisError) -> bool {
    match error.kind() {
        // A connection that ends within an answer is told as one that cannot be parsed.
        Kind::Io | Kind::Parse | Kind::ClusterConnectionNotFound => true,
        Kind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                // It was the primary.
                | ServerErrorKind::ReadOnly
        ),
        _ => false,
    }
}

/// What a call that a cluster's driver may have sent more than once has met: an earlier one may have had its effect.
pub(super) fn after_retries(error: RedisError, effect: Effect) -> Error {
    let is_moving = error.kind() == Kind::Server(ServerErrorKind::TryAgain);
    if effect == Effect::Some && (is_away(&error) || is_moving) {
        let message = "the cluster did not answer: what was asked for may have happened";
        return Error::new(ErrorKind::Indeterminate, message).with_source(error);
    }
    from_redis(error, effect)
}

/// What a whole answer means that is of another form than the call's.
pub(super) fn from_value(error: ParsingError) -> Error {
    Error::new(ErrorKind::Damaged, SOMETHING_ELSE).with_source(error)
}

pub(super) fn from_redis(error: RedisError, effect: Effect) -> Error {
    let refused = |kind, message| Error::new(kind, message);
    let mapped = match (error.kind(), error.code()) {
        _ if error.is_connection_refusal() => refused(ErrorKind::Unavailable, "Redis cannot be reached"),
        (Kind::Io | Kind::Parse, _) if effect == Effect::Some => {
            refused(ErrorKind::Indeterminate, "Redis did not answer: what was asked for may have happened")
        }
        (Kind::Io | Kind::Parse | Kind::ClusterConnectionNotFound, _) => {
            refused(ErrorKind::Unavailable, "Redis did not answer")
        }
        (Kind::AuthenticationFailed | Kind::Server(ServerErrorKind::NoPerm), _)
        | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            refused(ErrorKind::Denied, "Redis does not let this user do that")
        }
        (_, Some("OOM")) => refused(ErrorKind::Unavailable, "Redis has no room left"),
        (_, Some("WRONGTYPE")) | (Kind::UnexpectedReturnType, _) => {
            refused(ErrorKind::Damaged, SOMETHING_ELSE)
        }
        (Kind::InvalidClientConfig | Kind::RESP3NotSupported, _) => {
            refused(ErrorKind::Invalid, "Redis cannot be used as the options say")
        }
        // It moves keys, loads, elects a primary, or has a script that runs for too long: nothing happened.
        _ => refused(ErrorKind::Unavailable, "Redis refused the call for now"),
    };
    mapped.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_breaks_off_is_a_lost_one_and_a_whole_one_of_another_form_is_damage() {
        let broken_off = || RedisError::from(ParsingError::from("Unexpected end of input"));
        assert!(is_away(&broken_off()));
        assert_eq!(from_redis(broken_off(), Effect::Some).kind(), ErrorKind::Indeterminate);
        assert_eq!(from_redis(broken_off(), Effect::None).kind(), ErrorKind::Unavailable);
        assert_eq!(after_retries(broken_off(), Effect::Some).kind(), ErrorKind::Indeterminate);
        assert_eq!(from_value(ParsingError::from("not a number")).kind(), ErrorKind::Damaged);
    }
}
