//! Logs, to standard error.

use tracing_subscriber::EnvFilter;

/// Warnings and errors, or what `BANK_LOG` asks for.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("BANK_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    // Somebody who embeds the bank may have set up logs of their own.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
