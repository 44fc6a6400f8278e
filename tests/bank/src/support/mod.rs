//! One file a tool.

pub(crate) mod bank;
pub(crate) mod browser;
pub(crate) mod customer;
pub(crate) mod java;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod seeded;
pub(crate) mod servers;
pub(crate) mod told;
pub(crate) mod webdriver;

/// A test goes without what is not installed, and says so where it is seen: cargo keeps what a test prints that passes.
///
/// # Panics
/// With `BANK_TEST_REQUIRE`: then nothing may be skipped.
fn skip<T>(test: &str, reason: &str) -> Option<T> {
    assert!(std::env::var("BANK_TEST_REQUIRE").is_err(), "{test}: {reason}, and nothing may be skipped");
    // Not by eprintln!, which cargo catches.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("skipped: {test}: {reason}\n"));
    None
}
