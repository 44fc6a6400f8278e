//! Logs, to standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::Fatal;
use crate::spelling::nearest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and how.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) is_json: bool,
}

/// Begins to log. Colours are for a terminal, and for nobody who sets `NO_COLOR`.
pub(crate) fn start(settings: &LogSettings) -> Result<(), Fatal> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|error| Fatal::caused("[log] level", &error))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Somebody who embeds the bank may have set up logs of their own.
    let _ = if settings.is_json {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init()
    } else {
        builder.with_ansi(has_colours()).try_init()
    };
    Ok(())
}

/// Whether standard error shows colours.
pub(crate) fn has_colours() -> bool {
    let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stderr().is_terminal() && !is_refused
}

/// Whether this says what is logged. A word alone is a level: a target has one behind it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    // Fields in braces may hold anything.
    if !text.contains(['[', '{']) {
        for directive in text.split(',').map(str::trim) {
            let (target, level) =
                directive.split_once('=').map_or(("", directive), |(target, level)| (target, level));
            let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
            if !is_level || (directive.contains('=') && target.is_empty()) {
                let meant = nearest(&level.to_lowercase(), &LEVELS);
                return Err(format!(
                    "`{directive}` is no level{meant}; give one of {}, or TARGET=LEVEL, such as warn,bank_gateway::access=info",
                    LEVELS.join(", ")
                ));
            }
        }
    }
    EnvFilter::try_new(text).map(|_| ()).map_err(|error| error.to_string().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_would_log_nothing_is_no_level() {
        for good in ["info", "WARN", "debug,sqlx=warn", "warn,bank_gateway::access=info", "off"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "bank", "warn,,info", "sqlx=loud", "=info", "warn;info"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check("inof").unwrap_err().contains("did you mean `info`?"));
    }
}
