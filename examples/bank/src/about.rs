//! What the program says about itself in its metrics: its version, and since when it runs.

use bank_stores::{Clock as _, SystemClock, Timestamp};

/// This program, since it started.
#[derive(Clone, Debug)]
pub(crate) struct About {
    started: Timestamp,
}

impl About {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self { started: SystemClock::new().now() }
    }

    /// The lines for `/metrics`.
    pub(crate) fn render(&self) -> String {
        format!(
            "# HELP bank_build The program that runs.\n# TYPE bank_build info\nbank_build_info{{version=\"{}\"}} 1\n\
             # HELP process_start_time_seconds When the program started.\n# TYPE process_start_time_seconds gauge\n\
             process_start_time_seconds {}\n",
            env!("CARGO_PKG_VERSION"),
            self.started.seconds(),
        )
    }
}

/// What was read of it again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) version: Option<String>,
    /// In seconds since 1970.
    pub(crate) started: Option<i64>,
    pub(crate) audit_head: Option<String>,
}

/// Reads the lines of `/metrics`.
pub(crate) fn read(metrics: &str) -> Read {
    let label = |start: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(start))?;
        Some(line.split_once('"')?.0.to_owned())
    };
    let started = metrics.lines().find_map(|line| line.strip_prefix("process_start_time_seconds "));
    Read {
        version: label("bank_build_info{version=\""),
        started: started.and_then(|text| text.trim().parse().ok()),
        audit_head: label("bank_gateway_audit_head_info{hash=\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_read() {
        let about = About { started: Timestamp::from_seconds(1_700_000_000) };
        let read = read(&about.render());
        assert_eq!(read.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!((read.started, read.audit_head), (Some(1_700_000_000), None));
    }
}
