//! `bank check` and `bank config show`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::environment::Environment;
use super::fault::{Fault, Origin};
use super::key::Preset;
use super::keys::KEYS;
use super::value::Value;
use super::{Examined, Settings};
use crate::Fatal;
use crate::args::{Options, Started};
use crate::terminal::complain;

/// Looks for all that is wrong with a configuration, and starts nothing.
pub(crate) fn check(options: Options, started: Option<Started>, as_json: bool) -> Result<String, Fatal> {
    let environment = Environment::of_process();
    let examined = Examined::of(&options, &environment);
    let ways = match started {
        Some(started) => vec![started],
        None => ways(&examined.settings),
    };
    let mut faults: Vec<Fault> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    for way in &ways {
        let options = Options { part: way.part(), ..options.clone() };
        let Examined { settings, faults: found, notes: noted, .. } =
            Examined::starting(&options, &environment);
        faults.extend(found);
        notes.extend(noted);
        missing_files(&settings, &mut faults);
    }
    let mut seen = std::collections::BTreeSet::new();
    faults.retain(|fault| seen.insert(fault.to_string()));
    notes.sort();
    notes.dedup();
    let names: Vec<&str> = ways.iter().map(|way| way.name()).collect();
    if as_json {
        let text = json!({
            "ok": faults.is_empty(),
            "checked_as": names,
            "faults": faults.iter().map(as_object).collect::<Vec<_>>(),
            "ignored": notes,
        });
        return if faults.is_empty() { Ok(text.to_string()) } else { Err(Fatal::found(text.to_string())) };
    }
    notes.iter().for_each(|note| complain(&format!("bank: {note}")));
    if faults.is_empty() {
        return Ok(format!("nothing is wrong; checked as {}", names.join(", ")));
    }
    faults.iter().for_each(|fault| complain(&fault.to_string()));
    let many = if faults.len() == 1 { "1 fault".to_owned() } else { format!("{} faults", faults.len()) };
    Err(Fatal::new(format!("{many}; checked as {}", names.join(", "))))
}

/// How a configuration is meant to be started, where nobody says.
fn ways(settings: &Settings) -> Vec<Started> {
    let is_for_parts =
        KEYS.iter().any(|key| key.path.starts_with("edge.upstreams.") && settings.is_said(key.path));
    match is_for_parts {
        true => Started::PARTS.to_vec(),
        false => vec![Started::Bank],
    }
}

/// Files that are named and are not there.
fn missing_files(settings: &Settings, faults: &mut Vec<Fault>) {
    let mut named: Vec<(String, PathBuf)> = Vec::new();
    for key in KEYS.iter().filter(|key| {
        let name = key.path.rsplit('.').next().unwrap_or_default();
        settings.is_said(key.path) && (name.ends_with("authorities") || name.ends_with("password_file"))
    }) {
        named.extend(settings.path(key.path).map(|file| (key.path.to_owned(), file)));
    }
    if let Some((certificate, key)) =
        settings.text("gateway.tls").as_deref().and_then(|tls| tls.split_once(','))
    {
        named.extend([certificate, key].map(|file| ("gateway.tls".to_owned(), PathBuf::from(file))));
    }
    for (path, file) in named {
        if let Err(error) = std::fs::File::open(&file) {
            faults.push(settings.fault(&path, format!("{}: {error}", file.display())));
        }
    }
}

fn as_object(fault: &Fault) -> Json {
    let mut object = origin(&fault.origin);
    object.insert("key".to_owned(), json!(fault.key));
    object.insert("message".to_owned(), json!(fault.message));
    Json::Object(object)
}

fn origin(origin: &Origin) -> Map<String, Json> {
    let mut object = Map::new();
    let mut insert = |name: &str, value: Json| object.insert(name.to_owned(), value);
    match origin {
        Origin::Default => {
            insert("from", json!("default"));
        }
        Origin::File { file, line, column } => {
            insert("from", json!("file"));
            insert("file", json!(**file));
            insert("line", json!(line));
            insert("column", json!(column));
        }
        Origin::Environment(variable) => {
            insert("from", json!("environment"));
            insert("variable", json!(variable));
        }
        Origin::Option(option) => {
            insert("from", json!("option"));
            insert("option", json!(option));
        }
    }
    object
}

/// Every key with the value that is in force, and who said it. Passwords are left out.
pub(crate) fn show(options: &Options, as_json: bool) -> Result<String, Fatal> {
    let Examined { settings, config, faults, .. } = Examined::of(options, &Environment::of_process());
    config.unless(faults)?;
    let mut lines = String::new();
    let mut object = Map::new();
    for key in KEYS.iter().filter(|key| key.is_used()) {
        let (value, from) = settings.effective(key);
        let value = value.map(|value| match value {
            Value::Text(text) if key.kind.is_secret() => Value::Text(without_password(&text)),
            value => value,
        });
        if as_json {
            let mut entry = origin(&from);
            entry.insert("value".to_owned(), value.as_ref().map_or(Json::Null, to_json));
            object.insert(key.path.to_owned(), Json::Object(entry));
            continue;
        }
        // What is written into text never fails.
        let _ = match (&value, key.preset) {
            (Some(value), _) => writeln!(lines, "{} = {value} # {from}", key.path),
            (None, Preset::Without(what)) => writeln!(lines, "# {} is not set: {what}", key.path),
            (None, Preset::Is(_)) => Ok(()),
        };
    }
    if as_json {
        return Ok(Json::Object(object).to_string());
    }
    lines.truncate(lines.trim_end().len());
    Ok(lines)
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Switch(switch) => json!(switch),
        Value::List(items) => json!(items),
        Value::Quota(_, text) => json!(text),
    }
}

/// An address without what only its server should know: the password before the host, and whatever its query says.
fn without_password(url: &str) -> String {
    let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            match rest[..end].rfind('@') {
                Some(at) => {
                    let user = rest[..at].split_once(':').map_or(&rest[..at], |(user, _)| user);
                    let hidden = if rest[..at].contains(':') { ":***" } else { "" };
                    format!("{scheme}://{user}{hidden}{}", &rest[at..])
                }
                None => url.to_owned(),
            }
        }
        None => url.to_owned(),
    };
    let Some(query) = query else { return shown };
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, _))
            if ["pass", "secret", "token", "key"].iter().any(|word| name.to_lowercase().contains(word)) =>
        {
            format!("{name}=***")
        }
        _ => pair.to_owned(),
    };
    let query: Vec<String> = query.split('&').map(hide).collect();
    format!("{shown}?{}", query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn no_password_of_an_address_is_shown() {
        for (url, shown) in [
            (
                "postgres://ledger:s3cr:t@db/bank?sslmode=require",
                "postgres://ledger:***@db/bank?sslmode=require",
            ),
            ("postgres://db/bank?user=ledger&password=s3cret", "postgres://db/bank?user=ledger&password=***"),
            ("redis://:s3cret@127.0.0.1:6379", "redis://:***@127.0.0.1:6379"),
            ("mongodb://ledger@db/bank", "mongodb://ledger@db/bank"),
            ("dynamodb:bank-users?region=eu-central-1", "dynamodb:bank-users?region=eu-central-1"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
