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
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const LOCK_TIMEOUT: &str = "55P03";
    pub(super) const CANCELED: &str = "57014";
    pub(super) const IDLE_TOO_LONG: &str = "25P03";
    pub(super) const NO_CONNECTION_FREE: &str = "53300";
    pub(super) const NO_PRIVILEGE: &str = "42501";
}

/// A setting that a connection has to have and has not, and what to do.
#[derive(Debug)]
pub(super) struct WrongSetting(pub(super) String);

impl std::fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongSetting {}

/// What a failed call means, where it had no effect.
pub(super) fn from_sqlx(error: sqlx::Error) -> Error {
    let (kind, message) = match code(&error).as_deref() {
        Some(code) => meaning(code),
        None => match &error {
            sqlx::Error::PoolTimedOut => (ErrorKind::Unavailable, "no connection became free in time"),
            sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the store is closed"),
            sqlx::Error::Tls(_) => {
                (ErrorKind::Unavailable, "no encrypted connection to a server that is who it should be")
            }
            sqlx::Error::Configuration(why) => match why.downcast_ref::<WrongSetting>() {
                Some(WrongSetting(what)) => {
                    return Error::new(ErrorKind::Denied, what.clone()).with_source(error);
                }
                None => (ErrorKind::Invalid, "the connection is not configured rightly"),
            },
            _ => (ErrorKind::Unavailable, "the connection was lost"),
        },
    };
    Error::new(kind, message).with_source(error)
}

fn meaning(code: &str) -> (ErrorKind, &'static str) {
    match code {
        state::READ_ONLY => (ErrorKind::Unavailable, "the connection leads to a reader, not to the writer"),
        state::SERIALIZATION | state::DEADLOCK => {
            (ErrorKind::Unavailable, "another transaction was in the way")
        }
        state::LOCK_TIMEOUT => (ErrorKind::Unavailable, "another process writes for too long"),
        state::CANCELED => (ErrorKind::Unavailable, "the statement took too long"),
        state::DISK_FULL => (ErrorKind::Unavailable, "the server's disk is full"),
        state::NO_PRIVILEGE => (ErrorKind::Denied, "this user may not do that"),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "57" => (ErrorKind::Unavailable, "the connection was lost"),
            "53" => (ErrorKind::Unavailable, "the server has no room"),
            "28" => (ErrorKind::Denied, "the server does not let this user in"),
            // What a caller can give is checked before: this is the whole group's, and nobody's own refusal.
            "22" | "54" => (ErrorKind::Unavailable, "a statement that the server does not take"),
            "23" => (ErrorKind::Unavailable, "a rule of the store's tables would be broken"),
            _ => (ErrorKind::Unavailable, "the server failed"),
        },
    }
}

/// Whether a group that failed so, before its commit was sent, may be executed again on another connection.
pub(super) fn may_go_again(error: &sqlx::Error) -> bool {
    code(error).as_deref().map_or_else(|| is_lost(error), passes)
}

fn passes(code: &str) -> bool {
    let passing = [
        state::READ_ONLY,
        state::SERIALIZATION,
        state::DEADLOCK,
        state::IDLE_TOO_LONG,
        state::LOCK_TIMEOUT,
        state::NO_CONNECTION_FREE,
    ];
    passing.contains(&code) || is_lost_state(code)
}

/// Whether a row was not written because there is one of that name.
pub(super) fn is_repeated(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(state::REPEATED)
}

/// Whether a COMMIT that failed so may have had its effect: the server did not say that it had none.
pub(super) fn commit_is_unknown(error: &sqlx::Error) -> bool {
    code(error).as_deref().map_or_else(|| is_lost(error), leaves_open)
}

fn leaves_open(code: &str) -> bool {
    // A server that shuts down ends what it had begun before it says so, or not.
    code == state::UNKNOWN_COMPLETION || is_lost_state(code)
}

/// The connection is lost, or the server ends; 08007 among them says that nobody knows how a commit went.
fn is_lost_state(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sqlstate_is_what_it_means_for_money() {
        use ErrorKind::{Denied, Unavailable};
        // Its kind, whether its group goes again before the commit was sent, and whether nobody knows behind it.
        for (code, kind, again, unknown) in [
            ("25006", Unavailable, true, false),
            ("40001", Unavailable, true, false),
            ("40P01", Unavailable, true, false),
            ("55P03", Unavailable, true, false),
            ("53300", Unavailable, true, false),
            ("25P03", Unavailable, true, false),
            ("57P01", Unavailable, true, true),
            ("57P02", Unavailable, true, true),
            ("57P03", Unavailable, true, true),
            ("08000", Unavailable, true, true),
            ("08006", Unavailable, true, true),
            ("08007", Unavailable, true, true),
            ("40003", Unavailable, false, true),
            ("57014", Unavailable, false, false),
            ("53100", Unavailable, false, false),
            ("23505", Unavailable, false, false),
            ("22P05", Unavailable, false, false),
            ("54000", Unavailable, false, false),
            ("28P01", Denied, false, false),
            ("42501", Denied, false, false),
            ("XX000", Unavailable, false, false),
        ] {
            let found = (meaning(code).0, passes(code), leaves_open(code));
            assert_eq!(found, (kind, again, unknown), "{code}");
        }
    }
}
