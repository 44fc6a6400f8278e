//! SQLite's errors, by their codes.

pub(super) use crate::error::damaged;
use crate::{Error, ErrorKind};

/// Primary result codes of SQLite; the extended ones have them in their low byte.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const AUTH: i32 = 23;
    pub(super) const NOTADB: i32 = 26;
}

/// What a failed call to SQLite means, where it had no effect.
///
/// A broken constraint is no conflict of the caller's: where a command may break one, its engine looks for it before.
pub(super) fn from_sqlx(error: sqlx::Error) -> Error {
    let (kind, message) = match primary(&error) {
        Some(code::BUSY | code::LOCKED) => (ErrorKind::Unavailable, "the store is busy"),
        Some(code::FULL) => (ErrorKind::Unavailable, "the disk is full"),
        Some(code::READONLY | code::PERM | code::AUTH) => (ErrorKind::Denied, "the store cannot be written"),
        Some(code::CORRUPT) => (ErrorKind::Damaged, "the store's file is damaged"),
        Some(code::NOTADB) => (ErrorKind::Damaged, "the file is not a store"),
        Some(code::IOERR) => (ErrorKind::Unavailable, "the disk failed"),
        Some(code::CANTOPEN) => (ErrorKind::Unavailable, "the store's file cannot be opened"),
        Some(code::TOOBIG) => (ErrorKind::Invalid, "larger than the store takes"),
        Some(code::CONSTRAINT) => (ErrorKind::Unavailable, "a rule of the store's tables would be broken"),
        Some(_) => (ErrorKind::Unavailable, "the store failed"),
        None => match &error {
            sqlx::Error::PoolTimedOut => (ErrorKind::Unavailable, "no connection became free in time"),
            sqlx::Error::PoolClosed => (ErrorKind::Unavailable, "the store is closed"),
            sqlx::Error::RowNotFound => (ErrorKind::NotFound, "nothing was found"),
            _ => (ErrorKind::Unavailable, "the store failed"),
        },
    };
    Error::new(kind, message).with_source(error)
}

/// Whether a COMMIT that failed so had certainly no effect: SQLite says so before it writes anything.
pub(super) fn commit_had_no_effect(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(code::BUSY | code::LOCKED | code::FULL | code::CONSTRAINT | code::READONLY))
}

/// Whether a constraint was broken.
pub(super) fn is_constraint(error: &sqlx::Error) -> bool {
    primary(error) == Some(code::CONSTRAINT)
}

fn primary(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(error) = error else { return None };
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection;
    use sqlx::sqlite::SqliteConnection;

    #[tokio::test]
    async fn a_constraint_that_nobody_expected_is_no_conflict_of_the_callers() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let twice =
            "CREATE TABLE t (k INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)";
        let error = sqlx::raw_sql(twice).execute(&mut connection).await.unwrap_err();
        assert!(is_constraint(&error));
        assert_eq!(from_sqlx(error).kind(), ErrorKind::Unavailable);
    }
}
