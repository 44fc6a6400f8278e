//! What a file of records promises.

use bank_stores::Timestamp;

use super::*;
use crate::observe::audit::{Verified, Verifier, verify};

const KEY: [u8; 32] = [7; 32];

fn record(what: &str) -> Record {
    let mut record = Record::new(Timestamp::from_seconds(1), "req_1", what, 401);
    record.who = Some("cus_1".to_owned());
    record
}

fn all(audit: &AuditFile, what: &str) {
    what.chars().for_each(|what| audit.record(record(&what.to_string())));
}

/// A directory that is gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bank-audit-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn s27_a_changed_removed_or_moved_record_is_found() {
    let directory = Directory::new("changed");
    let path = directory.file();
    for part in ["ab", "c"] {
        all(&AuditFile::open(&path).unwrap(), part);
    }
    assert_eq!(verify(&path, None).unwrap().records, 3);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"at\":\"torn by a cra")).unwrap();
    let torn = verify(&path, None).unwrap();
    assert_eq!((torn.records, torn.is_torn), (3, true));
    let audit = AuditFile::open(&path).unwrap();
    assert!(AuditFile::open(&path).is_err(), "one process appends");
    drop(audit);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    let lines: Vec<&str> = whole.lines().collect();
    for bad in [
        whole.replace("\"b\"", "\"x\""),
        whole.replace("\"status\":401,", "\"status\":401,\"more\":1,"),
        whole.replacen("\"status\":401", "\"status\": 401", 1),
        [lines[0], lines[2]].join("\n"),
        [lines[1], lines[0], lines[2]].join("\n"),
        [lines[0], lines[1], lines[1], lines[2]].join("\n"),
        lines[1..].join("\n"),
    ] {
        std::fs::write(&path, bad).unwrap();
        assert!(verify(&path, None).is_err());
    }
}

#[test]
fn s27_a_head_that_was_kept_with_its_number_has_to_be_in_its_place() {
    let directory = Directory::new("numbered");
    let path = directory.file();
    all(&AuditFile::open(&path).unwrap(), "abc");
    let Verified { records, last, .. } = verify(&path, None).unwrap();
    all(&AuditFile::open(&path).unwrap(), "d");
    let at = |number| Verifier::new(&path).expected_head_at(number, last.clone()).verify();
    assert_eq!(at(records).unwrap().records, 4);
    assert!(at(records - 1).is_err() && at(records + 1).is_err());
}

#[test]
fn s27_what_is_cut_off_at_the_end_is_found_by_a_head_that_was_kept() {
    let directory = Directory::new("head");
    let path = directory.file();
    let audit = AuditFile::open(&path).unwrap();
    all(&audit, "abc");
    drop(audit);
    let head = verify(&path, None).unwrap().last;
    assert_eq!(AuditFile::open(&path).unwrap().status().head, head);
    all(&AuditFile::open(&path).unwrap(), "d");
    assert_eq!(verify(&path, Some(&head)).unwrap().records, 4, "newer records may follow");
    let whole = std::fs::read_to_string(&path).unwrap();
    let cut: String = whole.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, cut).unwrap();
    assert_eq!(verify(&path, None).unwrap().records, 2);
    assert!(verify(&path, Some(&head)).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn s27_without_the_key_nobody_makes_a_chain_that_holds() {
    let directory = Directory::new("key");
    let path = directory.file();
    let open = |key: &[u8]| AuditFile::builder(&path).key(key).open();
    assert!(open(&[7; 31]).is_err(), "a short key is none");
    all(&open(&KEY).unwrap(), "ab");
    all(&open(&KEY).unwrap(), "c");
    assert_eq!(Verifier::new(&path).key(&KEY).verify().unwrap().records, 3);
    for other in [Verifier::new(&path), Verifier::new(&path).key(&[8; 32])] {
        assert!(other.verify().is_err());
    }
    assert!(AuditFile::open(&path).is_err() && open(&[8; 32]).is_err(), "a chain has one key");
    // Whoever can write the file computes all hashes anew.
    std::fs::remove_file(&path).unwrap();
    all(&AuditFile::open(&path).unwrap(), "xyz");
    assert!(verify(&path, None).is_ok());
    assert!(Verifier::new(&path).key(&KEY).verify().is_err());
}

#[test]
fn a_rotated_chain_goes_on_over_all_files() {
    let directory = Directory::new("rotated");
    let path = directory.file();
    let open = || AuditFile::builder(&path).rotate_at(400).sync_every(Duration::ZERO).open().unwrap();
    for round in 0..6 {
        let audit = open();
        all(&audit, "abc");
        drop(audit);
        assert_eq!(verify(&path, None).unwrap().records, (round + 1) * 3);
    }
    let names = directory.names();
    assert!(names.len() > 2, "{names:?}");
    assert_eq!(names[1], "audit.jsonl.000001");
    let head = verify(&path, None).unwrap().last;
    assert_eq!(open().status().head, head, "also where the newest file is empty");

    // The same file under two names, as a crash in the middle of a rotation leaves it.
    let last = directory.0.join(format!("audit.jsonl.{:06}", names.len()));
    std::fs::hard_link(&path, &last).unwrap();
    assert_eq!(verify(&path, Some(&head)).unwrap().records, 18);
    drop(open());
    assert!(!last.exists());

    // An old file that was moved away is missed, unless one says where the chain begins.
    let oldest = directory.0.join("audit.jsonl.000001");
    let lines = std::fs::read_to_string(&oldest).unwrap();
    let end: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    std::fs::remove_file(&oldest).unwrap();
    assert!(verify(&path, None).is_err());
    let rest = Verifier::new(&path).after(end["hash"].as_str().unwrap()).verify().unwrap();
    assert_eq!(rest.records, 18 - lines.lines().count() as u64);
    assert_eq!(rest.last, head);
}

#[test]
fn a_long_record_is_cut_by_nothing() {
    let directory = Directory::new("long");
    let path = directory.file();
    let long = "x".repeat(300_000);
    for _ in 0..2 {
        AuditFile::open(&path).unwrap().record(record(&long));
    }
    assert_eq!(verify(&path, None).unwrap().records, 2);
}

#[tokio::test]
async fn what_is_recorded_durably_is_in_the_file_when_it_is_told() {
    let directory = Directory::new("durable");
    let path = directory.file();
    let audit = AuditFile::builder(&path).sync_every(Duration::from_secs(3_600)).open().unwrap();
    audit.record_durably(record("a")).await.unwrap();
    assert_eq!(verify(&path, None).unwrap().records, 1);
    let status = audit.status();
    assert_eq!((status.written, status.lost, status.waiting, status.is_available), (1, 0, 0, true));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn what_cannot_be_written_is_counted_and_told() {
    let audit = AuditFile::open(Path::new("/dev/full")).unwrap();
    assert!(audit.check().is_ok(), "nothing has been tried");
    assert!(audit.record_durably(record("a")).await.is_err());
    assert!(audit.check().is_err());
    audit.record(record("b"));
    assert!(audit.record_durably(record("c")).await.is_err());
    let status = audit.status();
    assert_eq!((status.written, status.lost, status.is_available), (0, 3, false));
    assert!(status.error.is_some());
}

#[test]
fn lost_records_stand_in_the_chain_as_lost() {
    let directory = Directory::new("lost");
    let path = directory.file();
    let audit = AuditFile::open(&path).unwrap();
    audit.shared.lost.fetch_add(3, Ordering::Relaxed);
    audit.record(record("a"));
    drop(audit);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().next().unwrap().contains("\"reason\":\"lost 3\""), "{text}");
    assert_eq!(verify(&path, None).unwrap().records, 2);
}
