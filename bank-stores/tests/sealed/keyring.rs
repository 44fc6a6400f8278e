//! The file with master keys.

use std::sync::Arc;

use bank_stores::ErrorKind;
use bank_stores::seal::{KeyMaterial, KeyProvider, Keyring};

#[tokio::test]
async fn whoever_makes_the_file_at_once_gets_the_same_keys() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys/seal.json");
    let makers: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Keyring::load_or_create(path).unwrap())
        })
        .collect();
    let rings: Vec<Keyring> = makers.into_iter().map(|maker| maker.join().unwrap()).collect();
    let key = KeyMaterial::generate();
    let wrapped = rings[0].wrap(&key, "k1").await.unwrap();
    for ring in &rings {
        assert_eq!(ring.unwrap(&wrapped, "k1").await.unwrap().expose(), key.expose());
        assert_eq!(ring.unwrap(&wrapped, "k2").await.unwrap_err().kind(), ErrorKind::Denied);
    }
    let files: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files, [path], "no draft is left");
}

#[tokio::test]
async fn a_process_takes_up_the_keys_that_another_one_adds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seal.json");
    let (here, there) = (Keyring::load_or_create(&path).unwrap(), Keyring::load_or_create(&path).unwrap());
    let first = here.current().await.unwrap();
    let key = KeyMaterial::generate();
    let old = there.wrap(&key, "k").await.unwrap();
    let second = here.rotate().unwrap();
    assert_eq!(there.current().await.unwrap(), second);
    assert_eq!(there.names().unwrap(), [second.clone(), first.clone()]);
    let new = there.wrap(&key, "k").await.unwrap();
    assert_eq!((old.master.as_str(), new.master.as_str()), (&*first, &*second));
    for wrapped in [&old, &new] {
        assert_eq!(here.unwrap(wrapped, "k").await.unwrap().expose(), key.expose());
    }
    assert_eq!(there.retire(&second).unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(there.retire("unknown").unwrap_err().kind(), ErrorKind::NotFound);
    there.retire(&first).unwrap();
    assert_eq!(here.unwrap(&old, "k").await.unwrap_err().kind(), ErrorKind::Denied);
    assert!(here.unwrap(&new, "k").await.is_ok());
}

#[tokio::test]
async fn the_keys_of_another_keyring_open_and_the_current_one_stays() {
    let directory = tempfile::tempdir().unwrap();
    let ring = |name: &str| Keyring::load_or_create(directory.path().join(name)).unwrap();
    let (here, there) = (ring("here.json"), ring("there.json"));
    let key = KeyMaterial::generate();
    let wrapped = there.wrap(&key, "k").await.unwrap();
    let current = here.current().await.unwrap();
    assert_eq!(here.unwrap(&wrapped, "k").await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(here.adopt(&there).unwrap(), std::slice::from_ref(&wrapped.master));
    assert_eq!(here.unwrap(&wrapped, "k").await.unwrap().expose(), key.expose());
    assert_eq!(here.current().await.unwrap(), current);
    assert!(here.adopt(&there).unwrap().is_empty());
}

#[tokio::test]
async fn changes_at_once_are_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seal.json");
    let ring = Arc::new(Keyring::load_or_create(&path).unwrap());
    let rotating: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Keyring::load_or_create(path).unwrap().rotate().unwrap())
        })
        .collect();
    let mut made: Vec<String> = rotating.into_iter().map(|rotating| rotating.join().unwrap()).collect();
    made.sort();
    let mut names = ring.names().unwrap();
    assert!(made.contains(&names[0]));
    names.sort();
    assert_eq!(names.len(), 9);
    assert!(made.iter().all(|name| names.contains(name)));
}

/// A file that nobody writes into answers nobody: a pipe stands for a disk that hangs.
#[cfg(unix)]
#[tokio::test(flavor = "current_thread")]
async fn a_disk_that_hangs_stops_no_other_task() {
    use std::io::Write as _;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seal.json");
    let ring = Keyring::load_or_create(&path).unwrap();
    let content = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap();
    assert!(made.success());
    let (go, asked) = std::sync::mpsc::channel();
    let writing = std::thread::spawn(move || {
        // Where the reader does hold up this test, it is let go after a while, and the test fails.
        let _ = asked.recv_timeout(std::time::Duration::from_secs(20));
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&content).unwrap();
    });
    let reading = tokio::spawn({
        let ring = ring.clone();
        async move { ring.current().await }
    });
    // This task shares the only thread with the one that reads.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!reading.is_finished());
    go.send(()).unwrap();
    assert!(reading.await.unwrap().unwrap().starts_with("master_"));
    writing.join().unwrap();
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_only_and_shows_in_no_message() {
    use std::fs::{Permissions, metadata, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seal.json");
    let ring = Keyring::load_or_create(&path).unwrap();
    ring.rotate().unwrap();
    assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let secrets: Vec<&str> =
        json["keys"].as_object().unwrap().values().map(|key| key.as_str().unwrap()).collect();
    assert_eq!(secrets.len(), 2);
    set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let refused = Keyring::load_or_create(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let damaged = Keyring::load_or_create(&path).unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Damaged);
    for shown in [format!("{ring:?}"), format!("{refused:?}"), format!("{damaged:?}")] {
        assert!(secrets.iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}
