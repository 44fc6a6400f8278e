//! Copies of the ledger: taken while it is written, and put back.

use std::path::Path;

use super::SqliteLedger;
use super::schema::SCHEMA;
use crate::embedded::SqliteOptions;
use crate::embedded::backup::{Before, Copy, Staged};
use crate::ledger::{Progress, Verified};
use crate::{Error, ErrorKind, Ledger as _, Result};

impl SqliteLedger {
    /// Copies the ledger, as it is at one moment, into the new file `to`, while others go on writing; then verifies the copy and
    /// tells what it found. The file has its name only when that has been done and the disk has it all.
    ///
    /// A ledger that was opened only to read can be copied too, so that it is done beside the process that writes.
    ///
    /// # Errors
    /// `Conflict`, field `to`, where there is such a file; `Denied` and `Unavailable` where it cannot be written.
    pub async fn backup(
        &self,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        let copy = Copy::of(&self.database, to.as_ref()).await?;
        let verified = verify(SqliteOptions::new(copy.path()).read_only(), progress).await?;
        copy.keep()?;
        Ok(verified)
    }

    /// Puts the backup `from` in the place of the ledger's file `to`, which nobody may have open: copies it, brings the copy to
    /// this program's schema, verifies it, and only then gives it the name. There is a whole ledger in that place at every moment,
    /// whenever this process is killed: the old one or the new one. The old one stays beside it, under a name with `.replaced-` and
    /// the time at its end; where the file system has no hard links, as a copy.
    ///
    /// # Errors
    /// `Denied` where `to` is in use; `Unavailable` where its log cannot be moved into it, since somebody reads it; `Denied`, field
    /// `from`, where the backup is no ledger's file; `Rejected`, field `from`, where it is not as it was written, or where a log
    /// stands beside it that is not in it.
    pub async fn restore(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Verified> {
        Self::restore_by_steps(from.as_ref(), to.as_ref(), progress, &mut |_| Ok(())).await
    }

    /// The first half of [`restore`](Self::restore): a copy that was verified, for whoever restores more than this at once.
    ///
    /// # Errors
    /// As for [`restore`](Self::restore).
    pub async fn stage(
        from: impl AsRef<Path>,
        to: impl AsRef<Path>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(Staged, Verified)> {
        let staged = Staged::of(from.as_ref(), to.as_ref(), SCHEMA).await?;
        let verified = verify(SqliteOptions::new(staged.path()), progress).await?;
        if let Some(breach) = &verified.breach {
            let message = format!("the backup is not as it was written: {breach}");
            return Err(Error::new(ErrorKind::Rejected, message).with_field("from"));
        }
        Ok((staged, verified))
    }

    async fn restore_by_steps(
        from: &Path,
        to: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
        before: Before<'_>,
    ) -> Result<Verified> {
        let (staged, verified) = Self::stage(from, to, progress).await?;
        staged.take_place_by_steps(before).await?;
        Ok(verified)
    }
}

async fn verify(copy: SqliteOptions, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Verified> {
    let copy = SqliteLedger::open(copy).await?;
    let verified = copy.verify(None, progress).await;
    copy.close().await;
    verified
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::PathBuf;
    use std::time::Duration;
    use std::{fs, io};

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Connection as _};

    use super::*;
    use crate::embedded::backup::Step;
    use crate::embedded::files::beside;
    use crate::ledger::{AccountId, CommandId, Floor, OpenAccount, Posting, PostingId};
    use crate::{Currency, LedgerExt as _, Money};

    fn posting(number: i64) -> Posting {
        let account = |name| AccountId::new(name).unwrap();
        let amount = Money::from_minor(1, Currency::EUR);
        Posting::new(PostingId::new(format!("p{number}")).unwrap(), "transfer").transfer(
            account("cash"),
            account("alice"),
            amount,
        )
    }

    async fn has(ledger: &SqliteLedger, number: i64) -> bool {
        ledger.receipt(&CommandId::Posting(posting(number).id)).await.unwrap().is_some()
    }

    fn copy_files(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }

    /// A directory with a backup of ten postings, and the ledger as a killed bank leaves it: with five more, which are in its log.
    async fn killed(directory: &Path) -> (PathBuf, PathBuf) {
        let living = directory.join("living");
        let ledger = SqliteLedger::open(SqliteOptions::new(living.join("ledger.db"))).await.unwrap();
        for (name, floor) in [("cash", Floor::None), ("alice", Floor::Zero)] {
            let account = OpenAccount::new(AccountId::new(name).unwrap(), Currency::EUR);
            ledger.open(account.floor(floor)).await.unwrap();
        }
        for number in 1..=15 {
            ledger.post(posting(number)).await.unwrap();
            if number == 10 {
                assert!(ledger.backup(directory.join("backup.db"), &mut |_| ()).await.unwrap().is_intact());
            }
        }
        while ledger.chain().await.unwrap().pending > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let place = directory.join("place");
        copy_files(&living, &place);
        ledger.close().await;
        let path = place.join("ledger.db");
        assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 0);
        (directory.join("backup.db"), path)
    }

    /// Whether a directory's ledger is the old one; it is the new one otherwise, and whole in either case.
    async fn is_old(path: &Path) -> bool {
        let ledger = SqliteLedger::open(SqliteOptions::new(path)).await.unwrap();
        assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
        assert!(has(&ledger, 10).await);
        let old = has(&ledger, 15).await;
        assert_eq!(has(&ledger, 11).await, old);
        ledger.close().await;
        old
    }

    #[tokio::test]
    async fn a_crash_at_each_step_of_a_restore_leaves_the_old_ledger_or_the_new_one_whole() {
        for links in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (backup, path) = killed(directory.path()).await;
            let mut crashes = Vec::new();
            let crash = |at: usize| directory.path().join(format!("crash{at}"));
            let mut before = |step| {
                copy_files(path.parent().unwrap(), &crash(crashes.len()));
                crashes.push(step);
                let refused = || io::Error::from(io::ErrorKind::Unsupported);
                if step == Step::Link && !links { Err(refused()) } else { Ok(()) }
            };
            let restored = SqliteLedger::restore_by_steps(&backup, &path, &mut |_| (), &mut before).await;
            assert!(restored.unwrap().is_intact());
            let mut steps = vec![Step::TakeIn, Step::Link];
            steps.extend((!links).then_some(Step::Copy));
            steps.push(Step::Replace);
            assert_eq!(crashes, steps, "links: {links}");
            for (at, step) in crashes.iter().enumerate() {
                assert!(is_old(&crash(at).join("ledger.db")).await, "before {step:?}");
            }
            assert!(!is_old(&path).await);
            let names: HashSet<String> = fs::read_dir(path.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            let aside = names.iter().find(|name| name.contains(".replaced-")).unwrap();
            assert!(is_old(&path.with_file_name(aside)).await);
            assert!(!names.iter().any(|name| name.contains(".part-")), "{names:?}");
        }
    }

    #[tokio::test]
    async fn a_ledger_whose_log_cannot_be_taken_in_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (backup, path) = killed(directory.path()).await;
        // Somebody looks at it as it was, so that its log has to stay.
        let mut reader = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT count(*) FROM postings").execute(&mut reader).await.unwrap();
        let refused = SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Unavailable, true), "{refused:?}");
        assert!(refused.to_string().contains("nothing was changed"), "{refused}");
        reader.close().await.unwrap();
        assert!(is_old(&path).await);
        assert!(SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap().is_intact());
        assert!(!is_old(&path).await);
    }

    #[tokio::test]
    async fn a_ledger_that_cannot_be_read_is_replaced_and_kept_with_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let (backup, path) = killed(directory.path()).await;
        for file in [path.clone(), beside(&path, "-wal")] {
            fs::write(&file, [7; 8_192]).unwrap();
        }
        assert!(SqliteLedger::restore(&backup, &path, &mut |_| ()).await.unwrap().is_intact());
        assert!(!is_old(&path).await);
        let files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        let mut kept: Vec<_> = files.filter(|file| file.to_str().unwrap().contains(".replaced-")).collect();
        kept.retain(|file| !file.to_str().unwrap().ends_with("-shm"));
        kept.sort();
        assert!(kept.len() == 2 && kept[1].to_str().unwrap().ends_with("-wal"), "{kept:?}");
        for file in kept {
            assert_eq!(fs::read(file).unwrap(), [7; 8_192]);
        }
    }
}
