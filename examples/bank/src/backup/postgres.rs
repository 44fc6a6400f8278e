//! A ledger on PostgreSQL, copied and put back by PostgreSQL's own programs: `pg_dump`, `psql` and `pg_restore`.
//!
//! A dump is put into a schema of its own first, in one transaction. There it is verified, and then the two schemas change names, in one
//! transaction again. So there is a whole ledger at every moment, the old one or the new one.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use bank_stores::connect::requires_tls;
use bank_stores::{Clock as _, SystemClock};
use url::Url;

use crate::Fatal;
use crate::config::Place;

/// Where the ledger's tables are.
const SCHEMA: &str = "bank_ledger";
/// Where a dump's tables are until they are verified.
pub(super) const STAGED: &str = "bank_ledger_restored";
/// What the ledger is called while a dump comes, which calls itself as the ledger does. Only that transaction sees it.
const LIVING: &str = "bank_ledger_living";
/// The first version of `psql` that knows the authorities of the system.
const KNOWS_AUTHORITIES: u32 = 16;
/// The first version of `pg_restore` that says something to the server that those before do not know.
const SAYS_MORE: u32 = 17;

/// Writes the ledger, as it is at one moment, into the file `to`.
pub(super) fn dump(at: &Place, to: &Path) -> Result<(), Fatal> {
    let mut command = connecting("pg_dump", at)?;
    command.args(["--format=custom", "--no-owner", "--no-privileges"]).arg(format!("--schema={SCHEMA}"));
    command.arg("--file").arg(to);
    output(at, command).map(drop)
}

/// Puts a dump beside the ledger that is there. While a process of the bank uses that one, nothing is done.
pub(super) fn stage(at: &Place, from: &Path, replace: bool) -> Result<(), Fatal> {
    check_versions(at)?;
    let there = is_there(at)?;
    if there && !replace {
        return Err(Fatal::new(format!(
            "{}: the schema {SCHEMA} is there already; with --replace it is renamed",
            at.name
        )));
    }
    if there {
        check_unused(at)?;
    }
    discard(at)?;
    let (before, after) = match there {
        true => (rename(SCHEMA, LIVING), rename(LIVING, SCHEMA)),
        false => (String::new(), String::new()),
    };
    let mut reading = Command::new("pg_restore");
    reading.args(["--no-owner", "--no-privileges", "--file=-"]).arg(from);
    reading.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reading = spawn(at, reading)?;
    let mut psql = psql(at)?;
    psql.args(["--file", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut writing = spawn(at, psql)?;
    let sent = send(&mut reading, &mut writing, &before);
    let read = ended(at, "pg_restore", reading.wait_with_output());
    let sent = sent.and_then(|mut into| match &read {
        // Without its end the transaction is none.
        Err(_) => Ok(()),
        Ok(_) => into.write_all(format!("{}{after}COMMIT;\n", rename(SCHEMA, STAGED)).as_bytes()),
    });
    // Where it refused something, it says what, and the other one only that nobody listened.
    ended(at, "psql", writing.wait_with_output())?;
    read?;
    sent.map_err(|error| Fatal::caused(format!("{}: psql", at.name), &error))
}

/// Begins a transaction and sends all that one program writes to the other.
fn send(reading: &mut Child, writing: &mut Child, before: &str) -> io::Result<std::process::ChildStdin> {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut into = writing.stdin.take().ok_or_else(closed)?;
    into.write_all(format!("BEGIN;\n{before}").as_bytes())?;
    io::copy(&mut reading.stdout.take().ok_or_else(closed)?, &mut into)?;
    Ok(into)
}

/// Gives what was staged the ledger's name. The one that is there gets another name.
pub(super) fn swap(at: &Place) -> Result<(), Fatal> {
    let aside = format!("{SCHEMA}_replaced_{}", SystemClock::new().now().micros() / 1_000_000);
    let aside = if is_there(at)? { rename(SCHEMA, &aside) } else { String::new() };
    query(at, &format!("BEGIN; {aside} {} COMMIT;", rename(STAGED, SCHEMA))).map(drop)
}

/// Removes what was staged, if it is there.
pub(super) fn discard(at: &Place) -> Result<(), Fatal> {
    let drop_it = format!("SET client_min_messages = error; DROP SCHEMA IF EXISTS {STAGED} CASCADE");
    query(at, &drop_it).map(drop)
}

fn rename(from: &str, to: &str) -> String {
    format!("ALTER SCHEMA {from} RENAME TO {to};\n")
}

fn is_there(at: &Place) -> Result<bool, Fatal> {
    let count = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'");
    Ok(query(at, &count)? != "0")
}

fn check_unused(at: &Place) -> Result<(), Fatal> {
    let used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bank-stores' AND datname = current_database()";
    match &*query(at, used)? {
        "0" => Ok(()),
        used => Err(Fatal::new(format!(
            "{}: the ledger is in use by {used} connections: stop the bank first",
            at.name
        ))),
    }
}

/// Newer programs tell older servers what those do not know.
fn check_versions(at: &Place) -> Result<(), Fatal> {
    let client = version(at, "pg_restore")?;
    let server = query(at, "SHOW server_version_num")?.parse::<u32>().unwrap_or_default() / 10_000;
    if client >= SAYS_MORE && server < SAYS_MORE {
        return Err(Fatal::new(format!(
            "{}: pg_restore {client} cannot restore to PostgreSQL {server}: put the programs of version {server} on the PATH",
            at.name
        )));
    }
    Ok(())
}

/// The number before the first dot, as in `psql (PostgreSQL) 15.18`.
fn version(at: &Place, program: &str) -> Result<u32, Fatal> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    let said = output(at, command)?;
    Ok(major(&said).unwrap_or_default())
}

fn major(said: &str) -> Option<u32> {
    let number =
        said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

fn query(at: &Place, sql: &str) -> Result<String, Fatal> {
    let mut command = psql(at)?;
    command.args(["--command", sql]);
    output(at, command)
}

fn psql(at: &Place) -> Result<Command, Fatal> {
    let mut command = connecting("psql", at)?;
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    Ok(command)
}

/// A program that connects as the bank does. It is told everything by its environment, which only its user reads, and nothing of that by
/// its arguments; what this process has inherited for such programs is none of the bank's.
fn connecting(name: &str, at: &Place) -> Result<Command, Fatal> {
    let server = Server::of(at)?;
    let mut command = Command::new(name);
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|variable| variable.starts_with("PG") && variable != "PGPASSFILE") {
            command.env_remove(variable);
        }
    }
    let variables = [
        ("PGHOST", Some(server.host)),
        ("PGPORT", server.port),
        ("PGUSER", server.user),
        ("PGPASSWORD", server.password),
        ("PGDATABASE", server.database),
        ("PGSSLMODE", Some(server.tls)),
    ];
    for (variable, value) in variables {
        command.envs(value.map(|value| (variable, value)));
    }
    if server.is_remote {
        let authorities = at.authorities.as_deref().map(Path::as_os_str);
        if authorities.is_none() && version(at, "psql")? < KNOWS_AUTHORITIES {
            return Err(Fatal::new(format!(
                "{}: psql before version {KNOWS_AUTHORITIES} does not know the authorities of the system: name their file by `store_authorities`, or install a newer one",
                at.name
            )));
        }
        command.env("PGSSLROOTCERT", authorities.unwrap_or(OsStr::new("system")));
    }
    command.arg("--no-password").stdin(Stdio::null());
    Ok(command)
}

/// Where a ledger is, as the bank's own connections read it.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
struct Server {
    host: String,
    port: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    tls: String,
    is_remote: bool,
}

impl Server {
    fn of(at: &Place) -> Result<Self, Fatal> {
        let inherited = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let wrong =
            || Fatal::new(format!("{}: no address of the form postgres://user@host/database", at.name));
        let mut server = Self::parse(&at.url).ok_or_else(wrong)?;
        server.port = server.port.or_else(|| inherited("PGPORT"));
        server.user = server.user.or_else(|| inherited("PGUSER"));
        server.password = at.password()?.or(server.password).or_else(|| inherited("PGPASSWORD"));
        Ok(server)
    }

    fn parse(url: &str) -> Option<Self> {
        let url = Url::parse(url).ok()?;
        let text = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let filled = |of: &str| Some(text(of)).filter(|of| !of.is_empty());
        let mut server = Self {
            host: url.host_str().map_or_else(|| "localhost".to_owned(), text),
            port: url.port().map(|port| port.to_string()),
            user: filled(url.username()),
            password: url.password().map(text),
            database: filled(url.path().trim_start_matches('/')),
            tls: "disable".to_owned(),
            is_remote: false,
        };
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "host" | "hostaddr" => server.host = value,
                "port" => server.port = Some(value),
                "user" => server.user = Some(value),
                "password" => server.password = Some(value),
                "dbname" => server.database = Some(value),
                "sslmode" | "ssl-mode" => server.tls = value,
                _ => {}
            }
        }
        server.host = server.host.trim_matches(['[', ']']).to_owned();
        server.is_remote = !server.host.starts_with('/') && requires_tls(&server.host);
        if server.is_remote {
            "verify-full".clone_into(&mut server.tls);
        }
        Some(server)
    }
}

fn spawn(at: &Place, mut command: Command) -> Result<Child, Fatal> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|error| not_run(at, &program, &error))
}

fn output(at: &Place, mut command: Command) -> Result<String, Fatal> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| not_run(at, &program, &error))?;
    ended(at, &program, Ok(output))
}

fn not_run(at: &Place, program: &str, error: &io::Error) -> Fatal {
    let what = format!("{}: {program} cannot be run; install PostgreSQL's client programs", at.name);
    Fatal::caused(what, error)
}

fn ended(at: &Place, program: &str, output: io::Result<Output>) -> Result<String, Fatal> {
    let output = output.map_err(|error| Fatal::caused(format!("{}: {program}", at.name), &error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', " ");
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Fatal::new(format!("{}: {program}: {}", at.name, text(&output.stderr))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_connects_where_the_bank_does_whatever_the_query_of_the_address_says() {
        let server = Server::parse("postgres://le%40dger:s3c%2Fret@127.0.0.1:5433/bank").unwrap();
        assert_eq!((&*server.host, server.port.as_deref()), ("127.0.0.1", Some("5433")));
        assert_eq!((server.user.as_deref(), server.password.as_deref()), (Some("le@dger"), Some("s3c/ret")));
        assert_eq!((server.database.as_deref(), &*server.tls), (Some("bank"), "disable"));
        let elsewhere = Server::parse("postgres://localhost/bank?host=db.example&sslmode=disable").unwrap();
        assert_eq!((&*elsewhere.host, &*elsewhere.tls), ("db.example", "verify-full"));
        let socket = Server::parse("postgres://a@localhost/bank?host=/run/postgresql&password=x").unwrap();
        assert!(!socket.is_remote && socket.password.as_deref() == Some("x"));
        let six = Server::parse("postgres://a@[::1]/bank?sslmode=require").unwrap();
        assert_eq!((&*six.host, &*six.tls, six.is_remote), ("::1", "require", false));
    }

    #[test]
    fn a_program_says_its_version() {
        assert_eq!(major("psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("pg_restore (PostgreSQL) 17beta1"), Some(17));
    }
}
