//! Waiting for what will be so, instead of sleeping for as long as it may take.

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
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience();
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
