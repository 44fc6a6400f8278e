//! The ledger's file: verified, copied and put back.

use std::path::Path;

use bank_stores::Ledger as _;
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{Progress, Verified};

use crate::Fatal;
use crate::args::Ledger;
use crate::parts::LEDGER;

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
    if !data.is_dir() {
        return Err(Fatal::new(format!("{}: there is no data; say where with --data DIR", data.display())));
    }
    if !matches!(what, Ledger::Restore(_)) && !path.is_file() {
        return Err(Fatal::new(format!("{}: there is no ledger; say where with --data DIR", path.display())));
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
            Ok(format!("{done}{} commands hold, the chain's head is {head}", head.sequence + head.pending))
        }
    }
}
