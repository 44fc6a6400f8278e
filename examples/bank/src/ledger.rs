//! The ledger's file: verified, copied and put back.

use std::path::Path;

use bank_stores::Ledger as _;
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{Progress as Checked, Verified};
use serde_json::json;

use crate::Fatal;
use crate::args::{Ledger, Part};
use crate::config::Config;
use crate::files::private_directory;
use crate::progress::Progress;
use crate::stores::LEDGER;

/// Does it, and says in one line what was found.
pub(crate) async fn run(what: &Ledger, config: &Config, as_json: bool) -> Result<String, Fatal> {
    if let Some(at) = config.place(Part::Accounts) {
        return Err(Fatal::new(format!(
            "{}: the ledger is on a server, and this is for the file of a data directory; use the server's own tools",
            at.name
        )));
    }
    let data = &*config.data;
    let path = data.join(LEDGER);
    let failed = |error| Fatal::caused(path.display(), &error);
    let open = || SqliteLedger::open(SqliteOptions::new(&path).read_only());
    let mut bar = Progress::new("verifying", "commands");
    let mut progress = |checked: Checked| bar.at(checked.checked, checked.of);
    match what {
        // A disk that is new has no directory yet; where the copy is missing, none is made.
        Ledger::Restore(file) if file.is_file() => private_directory(path.parent().unwrap_or(data))?,
        Ledger::Restore(_) => {}
        _ if !data.is_dir() => {
            return Err(Fatal::new(format!(
                "{}: there is no data; say where with --data DIR",
                data.display()
            )));
        }
        _ if !path.is_file() => {
            return Err(Fatal::new(format!(
                "{}: there is no ledger; say where with --data DIR",
                path.display()
            )));
        }
        _ => {}
    }
    let (verified, done) = match what {
        Ledger::Verify(kept) => {
            (open().await.map_err(failed)?.verify(kept.as_ref(), &mut progress).await, String::new())
        }
        Ledger::Backup(file) => (
            open().await.map_err(failed)?.backup(file, &mut progress).await,
            format!("{} is a copy: ", file.display()),
        ),
        Ledger::Restore(file) => (
            SqliteLedger::restore(file, &path, &mut progress).await,
            format!("{} is in the ledger's place: ", file.display()),
        ),
    };
    bar.end();
    let Verified { head, breach, .. } = verified.map_err(failed)?;
    let commands = head.sequence + head.pending;
    if as_json {
        let answer = json!({
            "holds": breach.is_none(),
            "commands": commands,
            "pending": head.pending,
            "head": head.to_string(),
            "breach": breach.as_ref().map(ToString::to_string),
        });
        return if breach.is_none() { Ok(answer.to_string()) } else { Err(Fatal::found(answer)) };
    }
    match breach {
        Some(breach) => Err(Fatal::new(format!("{done}not as it was written, {breach}"))),
        None => {
            let others =
                if matches!(what, Ledger::Restore(_)) { missing_beside(data) } else { String::new() };
            Ok(format!("{done}{commands} commands hold, the chain's head is {head}{others}"))
        }
    }
}

/// What belongs to a ledger and is not there, as on a disk that is new.
fn missing_beside(data: &Path) -> String {
    let parts = ["keys", "accounts/seal.db", "identity", "transactions", "partners"];
    let missing: Vec<_> = parts.into_iter().filter(|part| !data.join(part).exists()).collect();
    match missing.is_empty() {
        true => String::new(),
        false => format!("; put back from the same backup, before the bank starts: {}", missing.join(", ")),
    }
}
