//! `bank audit`: the chain of the audit, verified.

use std::path::Path;

use bank_gateway::audit::Verifier;
use serde_json::json;

use crate::Fatal;

/// Reads all files of an audit. The head is `HASH`, or `N:HASH` for the record with this number.
pub(crate) fn verify(file: &Path, head: Option<&str>, as_json: bool) -> Result<String, Fatal> {
    let verifier = Verifier::new(file);
    let verifier =
        match head.map(|head| head.split_once(':').map_or((None, head), |(n, hash)| (Some(n), hash))) {
            None => verifier,
            Some((None, hash)) => verifier.expected_head(hash),
            Some((Some(number), hash)) => {
                let number = number.parse().map_err(|_| {
                    Fatal::usage(format!(
                        "--head: `{number}` is no number; give HASH, or N:HASH as the command prints it"
                    ))
                })?;
                verifier.expected_head_at(number, hash)
            }
        };
    let verified = match verifier.verify() {
        Ok(verified) => verified,
        Err(error) if as_json => {
            return Err(Fatal::found(json!({ "holds": false, "reason": error.to_string() })));
        }
        Err(error) => return Err(Fatal::new(format!("{}: {error}", file.display()))),
    };
    let head = format!("{}:{}", verified.records, verified.last);
    if as_json {
        let answer = json!({
            "holds": true,
            "records": verified.records,
            "last": verified.last,
            "head": head,
            "torn": verified.is_torn,
        });
        return Ok(answer.to_string());
    }
    let torn = if verified.is_torn { "; a last line that is not whole is left out" } else { "" };
    Ok(format!(
        "{} records hold, the last is {}{torn}\nkeep this head elsewhere: {head}",
        verified.records, verified.last
    ))
}
