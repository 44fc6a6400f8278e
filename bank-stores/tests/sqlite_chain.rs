//! The hash chain of a ledger's file: what a foreign hand does to its rows is found.

#![cfg(feature = "embedded")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::ledger::{
    AccountId, Annotation, AsOf, Capture, Ceiling, ChainHead, ChangeAccount, ChangeId, Command, Floor,
    HoldId, OpenAccount, OwnerId, PlaceHold, Posting, PostingId, Receipt, Verified,
};
use bank_stores::{Consistency, Currency, Ledger, ManualClock, Money, Timestamp};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::Instant;

/// What was done to a file, and the statements that do it. In the file that `written` makes, accounts 1 to 3 are cash, alice and
/// bob, 4, 5, 8 and 11 are postings, 6 and 7 are holds, 9 is the voiding of hold 7, and 10 is a change of bob's rules.
const TAMPERINGS: &[(&str, &str)] = &[
    (
        "an entry's amount, with all balances that follow from it",
        "UPDATE entries SET amount = amount + 10, balance = balance + 10 WHERE posting = 11 AND leg = 1;
         UPDATE entries SET amount = amount - 10, balance = balance - 10 WHERE posting = 11 AND leg = 0",
    ),
    (
        "an entry that is another account's, with both balances",
        "UPDATE entries SET account = 1, number = 2, balance = -970 WHERE posting = 11 AND leg = 1",
    ),
    (
        "the last posting, removed with its entries",
        "DELETE FROM entries WHERE posting = 11; DELETE FROM postings WHERE sequence = 11",
    ),
    (
        "a posting in the place of another command",
        "INSERT INTO postings (sequence, id, kind, booked_at, value_at, content)
         VALUES (10, 'forged', 'transfer', 0, 0, zeroblob(32))",
    ),
    (
        "two more entries of a posting, with both balances",
        "INSERT INTO entries (posting, leg, account, number, amount, balance)
         VALUES (11, 2, 2, 5, 100, 850), (11, 3, 1, 2, -100, -1100)",
    ),
    (
        "two postings' ids, swapped",
        "UPDATE postings SET id = 'between' WHERE sequence = 4;
         UPDATE postings SET id = 'p1' WHERE sequence = 5;
         UPDATE postings SET id = 'p2' WHERE sequence = 4",
    ),
    (
        "two postings, swapped",
        "UPDATE entries SET posting = 99 WHERE posting = 4; UPDATE postings SET sequence = 99 WHERE sequence = 4;
         UPDATE entries SET posting = 4 WHERE posting = 5; UPDATE postings SET sequence = 4 WHERE sequence = 5;
         UPDATE entries SET posting = 5 WHERE posting = 99; UPDATE postings SET sequence = 5 WHERE sequence = 99",
    ),
    (
        "a hold's amount, with what is held",
        "UPDATE holds SET amount = 150 WHERE id = 'h'; UPDATE held SET held = 30 WHERE account = 2",
    ),
    (
        "a hold that was voided, open again",
        "UPDATE holds SET status = 0, ended_by = NULL, ended_at = NULL WHERE id = 'g';
         UPDATE held SET held = held + 50 WHERE account = 2",
    ),
    ("something held on no account", "INSERT INTO held (account, held) VALUES (9, 0)"),
    (
        "a change that nobody made",
        "INSERT INTO changes SELECT 4, 'forged', account, NULL, kind, state, booked_at, content FROM changes",
    ),
    ("a change as a note", "UPDATE changes SET account = NULL, posting = 4"),
    ("a note of no posting", "UPDATE changes SET account = NULL, posting = 9"),
    (
        "two entries behind the newest command",
        "INSERT INTO entries (posting, leg, account, number, amount, balance)
         VALUES (12, 0, 1, 2, -100, -1100), (12, 1, 2, 5, 100, 850)",
    ),
    (
        "a posting before the first command",
        "INSERT INTO postings (sequence, id, kind, booked_at, value_at, content)
         VALUES (0, 'forged', 'transfer', 0, 0, zeroblob(32))",
    ),
];

/// The tables that tell what commands did, and what follows from them: each column of each of their rows is chained, or has to follow
/// from what is.
const TABLES: [&str; 8] = ["accounts", "changes", "postings", "entries", "holds", "held", "totals", "chain"];

/// What was done to holds, in a file where 12 is the hold `r` and 13 a capture of a part of it that released the rest.
const HOLDS: &[(&str, &str)] = &[
    (
        "a hold that was captured, with its rest, open again",
        "UPDATE holds SET status = 0, ended_by = NULL, ended_at = NULL WHERE id = 'r';
         UPDATE held SET held = held + 30 WHERE account = 2",
    ),
    ("by what a captured hold ended", "UPDATE holds SET ended_by = 11 WHERE id = 'r'"),
    ("when a captured hold ended", "UPDATE holds SET ended_at = ended_at + 1 WHERE id = 'r'"),
    ("what was captured of a hold that has ended", "UPDATE holds SET captured = 10 WHERE id = 'r'"),
    (
        "what was captured of an open hold, with what is held",
        "UPDATE holds SET captured = captured - 20 WHERE id = 'h'; UPDATE held SET held = held + 20 WHERE account = 2",
    ),
    (
        "an open hold that nobody voided, with what is held",
        "UPDATE holds SET status = 2 WHERE id = 'h'; UPDATE held SET held = 0 WHERE account = 2",
    ),
];

/// Everything behind command 9, so that nothing in the file tells of it.
const CUT_OFF: &str = "
    DELETE FROM entries WHERE posting > 9; DELETE FROM postings WHERE sequence > 9;
    DELETE FROM changes WHERE sequence > 9;
    DELETE FROM chain WHERE sequence > 9;
    DELETE FROM totals;
    INSERT INTO totals SELECT a.currency, (SELECT count(*) FROM accounts), count(DISTINCT e.posting),
        sum(CASE WHEN e.amount < 0 THEN e.amount >> 32 ELSE 0 END),
        sum(CASE WHEN e.amount < 0 THEN e.amount & 4294967295 ELSE 0 END),
        sum(CASE WHEN e.amount > 0 THEN e.amount >> 32 ELSE 0 END),
        sum(CASE WHEN e.amount > 0 THEN e.amount & 4294967295 ELSE 0 END)
    FROM entries e JOIN accounts a ON a.sequence = e.account GROUP BY a.currency";

fn account(name: &str) -> AccountId {
    AccountId::new(name).unwrap()
}

fn hold_id(name: &str) -> HoldId {
    HoldId::new(name).unwrap()
}

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, Currency::EUR)
}

fn transfer(id: &str, from: &str, to: &str, minor: i64) -> Posting {
    Posting::new(PostingId::new(id).unwrap(), "transfer").transfer(account(from), account(to), eur(minor))
}

fn place(id: &str, minor: i64) -> PlaceHold {
    PlaceHold::new(hold_id(id), account("alice"), eur(minor))
}

/// Opens cash, alice and bob.
fn openings() -> Vec<Command> {
    let open = |name: &str| OpenAccount::new(account(name), Currency::EUR);
    vec![
        open("cash").floor(Floor::None).into(),
        open("alice").owner(OwnerId::new("alice").unwrap()).into(),
        open("bob").into(),
    ]
}

async fn do_all(ledger: &SqliteLedger, commands: Vec<Command>) -> Vec<Receipt> {
    ledger.execute(commands).await.into_iter().map(|outcome| outcome.unwrap()).collect()
}

/// Where the chain stands when it has everything in it.
async fn chained(ledger: &SqliteLedger) -> ChainHead {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let head = ledger.chain().await.unwrap();
        if head.pending == 0 {
            return head;
        }
        assert!(Instant::now() < deadline, "the chain does not catch up: {head:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// The file of a ledger that was closed, and where its chain stood after each of its two blocks.
async fn written(directory: &Path) -> (PathBuf, ChainHead, ChainHead) {
    let path = directory.join("ledger.db");
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    let mut commands = openings();
    let more: [Command; 6] = [
        transfer("p1", "cash", "alice", 1_000).reference("salary").into(),
        transfer("p2", "alice", "bob", 100).into(),
        place("h", 200).into(),
        place("g", 50).into(),
        Capture::new(PostingId::new("c").unwrap(), hold_id("h"), account("bob")).amount(eur(120)).into(),
        Command::Void(hold_id("g")),
    ];
    commands.extend(more);
    // One call is one group, which goes into one block.
    do_all(&ledger, commands).await;
    let first = chained(&ledger).await;
    let change = ChangeAccount::new(ChangeId::new("limit").unwrap(), account("bob"));
    let commands = vec![change.ceiling(Ceiling::At(1_000)).into(), transfer("p3", "alice", "bob", 30).into()];
    do_all(&ledger, commands).await;
    let last = chained(&ledger).await;
    ledger.close().await;
    assert_eq!((first.sequence, last.sequence), (9, 11));
    // With all of it in the one file that is copied.
    execute(&path, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    (path, first, last)
}

/// Does to the file what its program never would.
async fn execute(path: &Path, sql: &str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    // As who writes past the database would.
    let options = options.pragma("ignore_check_constraints", "ON");
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Another value in each column of each row of the tables, and each row removed.
async fn each_row_another_way(path: &Path) -> Vec<(String, String)> {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let mut ways = Vec::new();
    for table in TABLES {
        let columns: Vec<(String, String, bool)> =
            sqlx::query_as("SELECT name, type, pk > 0 FROM pragma_table_info(?)")
                .bind(table)
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let key: Vec<&str> =
            columns.iter().filter(|column| column.2).map(|column| column.0.as_str()).collect();
        let named =
            key.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join(" || ',' || ");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT {named} FROM {table} ORDER BY {named}")))
                .fetch_all(&mut connection)
                .await
                .unwrap();
        for row in rows {
            let row = format!("({}) = ({row})", key.join(", "));
            ways.push((format!("{table}, {row}, removed"), format!("DELETE FROM {table} WHERE {row}")));
            for (column, kind, _) in &columns {
                let other = match kind.as_str() {
                    "TEXT" => format!("coalesce({column} || 'x', 'x')"),
                    "BLOB" => "zeroblob(32)".to_owned(),
                    // Far from what others have, since many are unique.
                    _ => format!("coalesce({column} + 1000, 1000)"),
                };
                let sql = format!("UPDATE {table} SET {column} = {other} WHERE {row}");
                ways.push((format!("{table}, {row}, another {column}"), sql));
            }
        }
    }
    connection.close().await.unwrap();
    ways
}

/// A fresh copy of the file, with this done to it.
async fn tampered(path: &Path, name: &str, sql: &str) -> PathBuf {
    let copy = path.with_file_name(name);
    std::fs::copy(path, &copy).unwrap();
    execute(&copy, sql).await;
    copy
}

async fn verified(path: &Path, kept: Option<&ChainHead>) -> Verified {
    let ledger = SqliteLedger::open(SqliteOptions::new(path).read_only()).await.unwrap();
    let verified = ledger.verify(kept, &mut |_| ()).await.unwrap();
    ledger.close().await;
    verified
}

/// Does each to a copy of the file, in which `last` was the head.
async fn each_is_found(
    path: &Path,
    last: &ChainHead,
    tamperings: &[(impl AsRef<str> + Sync, impl AsRef<str> + Sync)],
) {
    let untouched = verified(&tampered(path, "untouched.db", "SELECT 1").await, Some(last)).await;
    assert!(untouched.is_intact(), "{:?}", untouched.breach);
    assert_eq!(untouched.head, *last);
    for (at, (what, sql)) in tamperings.iter().enumerate() {
        let copy = tampered(path, &format!("{at}.db"), sql.as_ref()).await;
        assert!(!verified(&copy, None).await.is_intact(), "it was not found: {}", what.as_ref());
        std::fs::remove_file(copy).unwrap();
    }
}

#[tokio::test]
async fn rows_that_a_foreign_hand_changed_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _, last) = written(directory.path()).await;
    each_is_found(&path, &last, TAMPERINGS).await;
}

#[tokio::test]
async fn each_row_and_each_column_counts_and_holds_are_as_their_commands_left_them() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _, _) = written(directory.path()).await;
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    let part = Capture::new(PostingId::new("d").unwrap(), hold_id("r"), account("bob")).amount(eur(20));
    let note = Annotation::new(ChangeId::new("n").unwrap(), PostingId::new("d").unwrap(), "was lunch");
    do_all(&ledger, vec![place("r", 50).into(), part.release_rest().into(), note.into()]).await;
    let last = chained(&ledger).await;
    ledger.close().await;
    execute(&path, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    each_is_found(&path, &last, HOLDS).await;
    each_is_found(&path, &last, &each_row_another_way(&path).await).await;
}

#[tokio::test]
async fn a_head_that_was_kept_tells_of_rows_cut_off_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let (path, first, kept) = written(directory.path()).await;
    let path = tampered(&path, "short.db", CUT_OFF).await;
    let short = verified(&path, Some(&first)).await;
    assert!(short.is_intact(), "{:?}", short.breach);
    assert_eq!(short.head, first);
    assert!(!verified(&path, Some(&kept)).await.is_intact(), "it is shorter than it was");
    // As long as before, it is another ledger still.
    let ledger = SqliteLedger::open(SqliteOptions::new(&path)).await.unwrap();
    let others = vec![transfer("p3", "alice", "bob", 40).into(), transfer("p4", "alice", "bob", 1).into()];
    do_all(&ledger, others).await;
    let head = chained(&ledger).await;
    assert_eq!(head.sequence, kept.sequence);
    for (kept, holds) in [(None, true), (Some(&first), true), (Some(&kept), false)] {
        let verified = ledger.verify(kept, &mut |_| ()).await.unwrap();
        assert_eq!(verified.is_intact(), holds, "{kept:?}: {:?}", verified.breach);
    }
    ledger.close().await;
}

#[tokio::test]
async fn a_clock_that_goes_back_books_no_earlier() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000));
    let options = SqliteOptions::temporary().unwrap().clock(Arc::new(clock.clone()));
    let ledger = SqliteLedger::open(options).await.unwrap();
    do_all(&ledger, openings()).await;
    let mut booked = Vec::new();
    for (n, seconds) in [1_000, 10, 999, 2_000, 1_500].into_iter().enumerate() {
        match seconds {
            // Set ahead so far, it would not be believed: the time passes.
            2_000 => clock.advance(Duration::from_secs(1_001)),
            _ => clock.set(Timestamp::from_seconds(seconds)),
        }
        let hold = format!("h{n}");
        let commands = vec![
            transfer(&format!("p{n}"), "cash", "alice", 10).into(),
            place(&hold, 5).into(),
            Command::Void(hold_id(&hold)),
        ];
        let receipts = do_all(&ledger, commands).await;
        booked.extend(receipts.iter().map(|receipt| receipt.booked_at.seconds()));
    }
    let expected: Vec<i64> = [1_000; 9].into_iter().chain([2_000; 6]).collect();
    assert_eq!(booked, expected);
    let balance = async |seconds| {
        let at = AsOf::Booked(Timestamp::from_seconds(seconds));
        ledger.balance_at(&account("alice"), at, Consistency::Current).await.unwrap()
    };
    assert_eq!((balance(999).await, balance(1_999).await, balance(2_000).await), (eur(0), eur(30), eur(50)));
    assert!(ledger.verify(None, &mut |_| ()).await.unwrap().is_intact());
}
