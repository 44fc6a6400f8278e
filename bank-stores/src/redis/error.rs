//! Redis' errors, by their kinds and codes.

use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

use crate::{Error, ErrorKind};

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads: without an answer nothing happened.
    None,
    /// Something, also where its answer is lost.
    Some,
}

/// Whether the server gave no answer: it is away, or between two primaries.
pub(super) fn is_away(error: &RedisError) -> bool {
    match error.kind() {
        Kind::Io | Kind::ClusterConnectionNotFound => true,
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

pub(super) fn from_redis(error: RedisError, effect: Effect) -> Error {
    let refused = |kind, message| Error::new(kind, message);
    let mapped = match (error.kind(), error.code()) {
        _ if error.is_connection_refusal() => refused(ErrorKind::Unavailable, "Redis cannot be reached"),
        (Kind::Io, _) if effect == Effect::Some => {
            refused(ErrorKind::Indeterminate, "Redis did not answer: what was asked for may have happened")
        }
        (Kind::Io | Kind::ClusterConnectionNotFound, _) => {
            refused(ErrorKind::Unavailable, "Redis did not answer")
        }
        (Kind::AuthenticationFailed | Kind::Server(ServerErrorKind::NoPerm), _)
        | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            refused(ErrorKind::Denied, "Redis does not let this user do that")
        }
        (_, Some("OOM")) => refused(ErrorKind::Unavailable, "Redis has no room left"),
        (_, Some("WRONGTYPE")) | (Kind::UnexpectedReturnType | Kind::Parse, _) => {
            refused(ErrorKind::Damaged, "Redis holds something else under this key than was put there")
        }
        (Kind::InvalidClientConfig | Kind::RESP3NotSupported, _) => {
            refused(ErrorKind::Invalid, "Redis cannot be used as the options say")
        }
        // It moves keys, loads, elects a primary, or has a script that runs for too long: nothing happened.
        _ => refused(ErrorKind::Unavailable, "Redis refused the call for now"),
    };
    mapped.with_source(error)
}
