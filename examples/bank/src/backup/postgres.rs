//! A ledger on PostgreSQL, copied and put back by PostgreSQL's own programs: `pg_dump`, `psql` and `pg_restore`.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use bank_stores::{Clock as _, SystemClock};
use url::Url;

use crate::Fatal;
use crate::config::Place;

/// Where the ledger's tables are.
const SCHEMA: &str = "bank_ledger";

/// Writes the ledger, as it is at one moment, into the new file `to`.
pub(super) fn dump(at: &Place, to: &Path) -> Result<(), Fatal> {
    let mut command = program("pg_dump", at)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges"]).arg(format!("--schema={SCHEMA}"));
    command.arg("--file").arg(to);
    output(at, command).map(drop)
}

/// Puts a dump into the database. A ledger that is there gets another name, where that is wanted; while a process of the bank uses it,
/// nothing is changed.
pub(super) fn restore(at: &Place, from: &Path, replace: bool) -> Result<(), Fatal> {
    let there = query(at, &format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'"))?;
    if there != "0" {
        if !replace {
            return Err(Fatal::new(format!(
                "{}: the schema {SCHEMA} is there already; with --replace it is renamed",
                at.name
            )));
        }
        let used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bank-stores' AND datname = current_database()";
        let used = query(at, used)?;
        if used != "0" {
            return Err(Fatal::new(format!(
                "{}: the ledger is in use by {used} connections: stop the bank first",
                at.name
            )));
        }
        let aside = format!("{SCHEMA}_replaced_{}", SystemClock::new().now().micros() / 1_000_000);
        query(at, &format!("ALTER SCHEMA {SCHEMA} RENAME TO {aside}"))?;
    }
    let mut command = program("pg_restore", at)?;
    command.args(["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]).arg(from);
    output(at, command).map(drop)
}

fn query(at: &Place, sql: &str) -> Result<String, Fatal> {
    let mut command = program("psql", at)?;
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--command",
        sql,
    ]);
    output(at, command).map(|said| said.trim().to_owned())
}

/// A program that connects as the bank does. The password is in its environment, which only its user reads, and not among its arguments.
fn program(name: &str, at: &Place) -> Result<Command, Fatal> {
    let wrong = || Fatal::new(format!("{}: no address of the form postgres://user@host/database", at.name));
    let mut url = Url::parse(&at.url).map_err(|_| wrong())?;
    let in_address = url
        .password()
        .map(|text| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned());
    url.set_password(None).map_err(|()| wrong())?;
    let local = url.host_str().is_none_or(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    let mut command = Command::new(name);
    if let Some(password) = at.password()?.or(in_address) {
        command.env("PGPASSWORD", password);
    }
    if !local {
        command.env("PGSSLMODE", "verify-full");
        let authorities = at.authorities.as_deref().map_or(OsStr::new("system"), Path::as_os_str);
        command.env("PGSSLROOTCERT", authorities);
        url.set_query(None);
    }
    command.arg(format!("--dbname={url}")).arg("--no-password").stdin(Stdio::null());
    Ok(command)
}

fn output(at: &Place, mut command: Command) -> Result<String, Fatal> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        Fatal::caused(
            format!("{}: {program} cannot be run; install PostgreSQL's client programs", at.name),
            &error,
        )
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', " ");
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Fatal::new(format!("{}: {program}: {}", at.name, text(&output.stderr))))
}
