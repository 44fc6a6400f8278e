//! `bank doctor`: looks at the machine and the data, beside a bank that runs or without one.

use std::fmt;

use serde_json::json;

use crate::Fatal;
use crate::config::Config;

mod data;
mod machine;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    health: Health,
    what: &'static str,
    found: String,
    /// What to do, where it is not well.
    advice: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { health: Health::Ok, what, found: found.into(), advice: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: Health::Warn, what, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: Health::Fail, ..Self::warn(what, found, advice) }
    }
}

/// Looks at everything, and gives one line for each thing. One that is `fail` makes the command fail.
pub(crate) async fn run(config: &Config, as_json: bool) -> Result<String, Fatal> {
    let mut findings = machine::findings(config).await;
    if config.data.is_dir() {
        findings.extend(data::findings(config).await);
    }
    let worst = findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Ok);
    let answer = if as_json {
        let list = findings.iter().map(|Finding { health, what, found, advice }| {
            json!({ "health": health.to_string(), "what": what, "found": found, "advice": advice })
        });
        json!({ "health": worst.to_string(), "findings": list.collect::<Vec<_>>() }).to_string()
    } else {
        let lines = findings.iter().map(|Finding { health, what, found, advice }| {
            let advice = advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
            format!("{health:<5}{what}: {found}{advice}")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    if worst == Health::Fail { Err(Fatal::found(answer)) } else { Ok(answer) }
}
