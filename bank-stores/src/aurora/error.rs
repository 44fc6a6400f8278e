//! PostgreSQL's errors, by their SQLSTATE.

pub(super) use crate::error::damaged;
use crate::{Error, ErrorKind};

/// SQLSTATEs that tell something that others of their class do not.
mod state {
    pub(super) const READ_ONLY: &str = "25006";
    pub(super) const REPEATED: &str = "23505";
    pub(super) const SERIALIZATION: &str = "40001";
    pub(super) const UNKNOWN_COMPLETION: &str = "40003";
    pub(super) const DEADLOCK: &str = "40P01";
    pub(super) const UNKNOWN_RESOLUTION: &str = "08007";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const LOCK_TIMEOUT: &str = "55P03";
    pub(super) const CANCELED: &str = "57014";
    pub(super) const IDLE_TOO_LONG: &str = "25P03";
}

/// What a failed call means, where it had no effect.
pub(super) fn from_sqlx(error: sqlx::Error) -> Error {
    let (kind, message) = match code(&error).as_deref() {
        Some(state::READ_ONLY) => {
            (ErrorKind::Unavailable, "the connection leads to a reader, not to the writer")
        }
        Some(state::SERIALIZATION | state::DEADLOCK) => {
            (ErrorKind::Unavailable, "another transaction was in the way")
        }
        Some(state::LOCK_TIMEOUT) => (ErrorKind::Unavailable, "another process writes for too long"),
        Some(state::CANCELED) => (ErrorKind::Unavailable, "the statement took too long"),
        Some(state::DISK_FULL) => (ErrorKind::Unavailable, "the server's disk is full"),
        Some(code) => match code.get(..2).unwrap_or_default() {
            "08" | "57" => (ErrorKind::Unavailable, "the connection was lost"),
            "53" => (ErrorKind::Unavailable, "the server has no room"),
            "28" => (ErrorKind::Denied, "the server does not let this user in"),
            "42" if code == "42501" => (ErrorKind::Denied, "this user may not do that"),
            // What a caller can give is checked before: this is the whole group's, and nobody's own refusal.
            "22" | "54" => (ErrorKind::Unavailable, "a statement that the server does not take"),
            "23" => (ErrorKind::Unavailable, "a rule of the store's tables would be broken"),
            _ => (ErrorKind::Unavailable, "the server failed"),
        },
        None => match &error {
            sqlx::Error::PoolTimedOut => (ErrorKind::Unavailable, "no connection became free in time"),
            sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the store is closed"),
            sqlx::Error::Tls(_) => {
                (ErrorKind::Unavailable, "no encrypted connection to a server that is who it should be")
            }
            sqlx::Error::Configuration(_) => (ErrorKind::Invalid, "the connection is not configured rightly"),
            _ => (ErrorKind::Unavailable, "the connection was lost"),
        },
    };
    Error::new(kind, message).with_source(error)
}

/// Whether a group that failed so, before its commit was sent, may be executed again on another connection.
pub(super) fn may_go_again(error: &sqlx::Error) -> bool {
    match code(error).as_deref() {
        Some(state::READ_ONLY | state::SERIALIZATION | state::DEADLOCK | state::IDLE_TOO_LONG) => true,
        Some(code) => code.starts_with("08") || code.starts_with("57P"),
        None => is_lost(error),
    }
}

/// Whether a row was not written because there is one of that name.
pub(super) fn is_repeated(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(state::REPEATED)
}

/// Whether a COMMIT that failed so may have had its effect: the server did not say that it had none.
pub(super) fn commit_is_unknown(error: &sqlx::Error) -> bool {
    match code(error).as_deref() {
        Some(state::UNKNOWN_RESOLUTION | state::UNKNOWN_COMPLETION) => true,
        // A server that shuts down ends what it had begun before it says so, or not.
        Some(code) => code.starts_with("57P") || code.starts_with("08"),
        None => is_lost(error),
    }
}

fn is_lost(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Tls(_)
    )
}

fn code(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code().map(|code| code.into_owned())
}
