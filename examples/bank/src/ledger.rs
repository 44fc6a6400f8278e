//! The ledger's file: verified, copied and put back.

use std::path::Path;

use bank_stores::Ledger as _;
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{Progress, Verified};

use crate::Fatal;
use crate::args::Ledger;
use crate::files::private_directory;
use crate::stores::LEDGER;

/// Does it, and says in one line what was found.
pub(crate) async fn run(what: &Ledger, data: &Path) -> Result<String, Fatal> {
    let path = data.join(LEDGER);
    let failed = |error| Fatal::caused(path.display(), &error);
    let open = || SqliteLedger::open(SqliteOptions::new(&path).read_only());
    let mut told = 0;
    let mut progress = move |progress: Progress| {
        let percent = progress.checked * 100 / progress.of.max(1);
        if percent >= told + 5 {
            told = percent;
            eprintln!("{percent} % verified, {} of {} commands", progress.checked, progress.of);
        }
    };
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
    let Verified { head, breach, .. } = verified.map_err(failed)?;
    match breach {
        Some(breach) => Err(Fatal::new(format!("{done}not as it was written, {breach}"))),
        None => {
            let others =
                if matches!(what, Ledger::Restore(_)) { missing_beside(data) } else { String::new() };
            let commands = head.sequence + head.pending;
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
