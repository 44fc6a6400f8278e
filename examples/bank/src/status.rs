//! `bank status`: how a bank that runs is, by its admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use bank_sdk::client::{ConnectOptions, Connections};
use bank_sdk::http::Body;
use bank_stores::{Clock as _, SystemClock};
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::{Fatal, about};

/// How long the bank may think.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Asks, and says in a few lines what the answer was.
pub(crate) async fn run(admin: SocketAddr, as_json: bool) -> Result<String, Fatal> {
    let away = |reason: String| match as_json {
        true => Fatal::found(json!({ "status": "away", "admin": admin.to_string(), "reason": reason })),
        false => Fatal::new(format!(
            "no bank answers at {admin} ({reason}); say where its admin pages are with --admin ADDR"
        )),
    };
    let ready = get(admin, "/readyz").await.map_err(&away)?;
    let ready: Value =
        serde_json::from_str(&ready).map_err(|_| away("what is there is no bank".to_owned()))?;
    let Some(status) = ready["status"].as_str() else {
        return Err(away("what is there is no bank".to_owned()));
    };
    let metrics = get(admin, "/metrics").await.map_err(&away)?;
    let about = about::read(&metrics);
    let now = SystemClock::new().now().seconds();
    let uptime =
        about.started.map(|started| Duration::from_secs(u64::try_from(now - started).unwrap_or_default()));
    if as_json {
        let answer = json!({
            "status": status,
            "reasons": ready["reasons"],
            "degraded": ready["degraded"],
            "admin": admin.to_string(),
            "version": about.version,
            "uptime_seconds": uptime.map(|uptime| uptime.as_secs()),
            "audit_head": about.audit_head,
        });
        return if status == "not ready" { Err(Fatal::found(answer)) } else { Ok(answer.to_string()) };
    }
    let version = about.version.as_deref().unwrap_or("of a version that is not told");
    let up = uptime.map(|uptime| format!(", up {}", in_words(uptime))).unwrap_or_default();
    let mut lines = vec![format!("{status}: bank {version}{up}")];
    for (name, reason) in ["reasons", "degraded"].iter().filter_map(|of| ready[of].as_object()).flatten() {
        lines.push(format!("  {name}: {}", reason.as_str().unwrap_or_default()));
    }
    if let Some(head) = about.audit_head.filter(|head| !head.is_empty()) {
        lines.push(format!("  the audit's head is {head}"));
    }
    match status {
        "not ready" => Err(Fatal::found(lines.join("\n"))),
        _ => Ok(lines.join("\n")),
    }
}

async fn get(admin: SocketAddr, path: &str) -> Result<String, String> {
    let asked = async {
        let address = format!("http://{admin}").parse().map_err(|_| "no address".to_owned())?;
        let connections =
            Connections::new(&address, ConnectOptions::default()).map_err(|error| error.to_string())?;
        let request = Request::get(path)
            .header(http::header::HOST, admin.to_string())
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        let answer =
            connections.oneshot(request).await.map_err(|error| Fatal::caused("it", &error).to_string())?;
        let body = answer.into_body().read(MAX_ANSWER).await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err("no answer within five seconds".to_owned()),
    }
}

/// `3 d 4 h`, `4 h 5 min`, `5 min 6 s`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = units.iter().position(|(number, _)| *number > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).map(|(number, unit)| format!("{number} {unit}"));
    shown.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        for (seconds, words) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_260, "2 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
