//! Load by `wrk`: one thread, connections that stay open, as many requests as get through.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::Failure;

/// Prints what was measured on one line of whole numbers; durations in microseconds.
const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
  io.write(string.format("measured %d %d %d %d %d\n",
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
"#;

/// The same, with the tokens of a file in turn.
const TOKENS: &str = r#"
local tokens, at = {}, 0
init = function(arguments)
  for token in io.lines(arguments[1]) do tokens[#tokens + 1] = "Bearer " .. token end
end
request = function()
  at = at % #tokens + 1
  wrk.headers["Authorization"] = tokens[at]
  return wrk.format()
end
"#;

/// How load is made.
#[derive(Clone, Debug)]
pub struct Load {
    script: PathBuf,
    script_with_tokens: PathBuf,
    connections: u32,
}

/// What one run measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Answers of success.
    pub requests: u64,
    /// How long it took.
    pub took: Duration,
    /// The median latency.
    pub median: Duration,
    /// The latency that one answer in a hundred exceeds.
    pub p99: Duration,
}

impl Load {
    /// Load over so many connections; `directory` keeps what `wrk` is told.
    ///
    /// # Errors
    /// A directory that cannot be written.
    pub fn new(directory: &Path, connections: u32) -> io::Result<Self> {
        let script = directory.join("measured.lua");
        std::fs::write(&script, SCRIPT)?;
        let script_with_tokens = directory.join("tokens.lua");
        std::fs::write(&script_with_tokens, [TOKENS, SCRIPT].concat())?;
        Ok(Self { script, script_with_tokens, connections })
    }

    /// Runs it for so many seconds.
    ///
    /// # Errors
    /// Where `wrk` is missing, or a request failed.
    pub async fn run(
        &self,
        address: SocketAddr,
        path: &str,
        token: &str,
        seconds: u32,
    ) -> Result<Measured, Failure> {
        let mut wrk = self.wrk(&self.script, seconds);
        wrk.args(["-H", &format!("Authorization: Bearer {token}"), &format!("http://{address}{path}")]);
        measured(wrk, address).await
    }

    /// The same with the tokens of this file, one in a line, in turn.
    ///
    /// # Errors
    /// Where `wrk` is missing, or a request failed.
    pub async fn run_with(
        &self,
        address: SocketAddr,
        path: &str,
        tokens: &Path,
        seconds: u32,
    ) -> Result<Measured, Failure> {
        let mut wrk = self.wrk(&self.script_with_tokens, seconds);
        wrk.arg(format!("http://{address}{path}")).arg("--").arg(tokens);
        measured(wrk, address).await
    }

    fn wrk(&self, script: &Path, seconds: u32) -> Command {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s"), "-s"]).arg(script);
        wrk
    }
}

async fn measured(mut wrk: Command, address: SocketAddr) -> Result<Measured, Failure> {
    let output = wrk.output().await.map_err(|error| {
        format!("wrk does not start ({error}); install it, on Debian with apt-get install wrk")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse(&text).ok_or_else(|| {
        format!("wrk against {address} failed: {text}{}", String::from_utf8_lossy(&output.stderr)).into()
    })
}

/// What `wrk` said, where no request failed.
fn parse(text: &str) -> Option<Measured> {
    let line = text.lines().find_map(|line| line.strip_prefix("measured "))?;
    let mut numbers = line.split(' ').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (requests, took, failed) = (next()?, Duration::from_micros(next()?), next()?);
    let (median, p99) = (Duration::from_micros(next()?), Duration::from_micros(next()?));
    (failed == 0 && requests > 0).then_some(Measured { requests, took, median, p99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_a_failed_request_is_none() {
        let measured = parse("Running 3s test\nmeasured 300 3000000 0 1500 9000\n").unwrap();
        assert_eq!(
            (measured.requests, measured.took, measured.p99.as_millis()),
            (300, Duration::from_secs(3), 9)
        );
        assert_eq!(parse("measured 300 3000000 1 1500 9000"), None);
        assert_eq!(parse("unable to connect"), None);
    }
}
