//! Waiting for what will be so, instead of sleeping for as long as it may take.

use std::fmt::Display;
use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything is waited for before it counts as missing. A loaded machine with two cores is slow, not wrong.
pub const fn patience() -> Duration {
    Duration::from_secs(60)
}

/// Asks until there is an answer.
///
/// # Panics
/// Where there is none in time; `what` says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until_ok(what, || ask().ok_or("not yet"))
}

/// Asks until it succeeds. A failure is asked again, as long as anything is waited for: a question that panics is not.
///
/// # Panics
/// Where it does not in time; `what` says what was waited for, and the last failure why.
#[track_caller]
pub fn until_ok<T, E: Display>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + patience();
    let mut pause = Duration::from_millis(2);
    loop {
        match ask() {
            Ok(found) => return found,
            Err(error) => assert!(Instant::now() < deadline, "waited in vain for {what}: {error}"),
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_asked_again_until_it_succeeds() {
        let mut failures = 3;
        let found = until_ok("a success", || match failures {
            0 => Ok("found"),
            left => {
                failures -= 1;
                Err(format!("{left} failures are left"))
            }
        });
        assert_eq!((found, failures), ("found", 0));
    }
}
