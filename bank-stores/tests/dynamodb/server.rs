//! DynamoDB Local for the tests.

#![allow(dead_code, reason = "each program uses a part")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use bank_stores::dynamodb::DynamoOptions;

use crate::running::{Running, fetched};

/// A running server, with its data in files of its own or in memory.
pub(crate) struct Server {
    pub(crate) running: Running,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Nothing where there is none to start.
    pub(crate) fn start(durable: bool) -> Option<Self> {
        let programs = fetched("dynamodb")?;
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| programs.join(name).display().to_string();
        let data = directory.path().display().to_string();
        let running = Running::start(directory.path(), |port| {
            let mut command = vec![
                "java".to_owned(),
                // The tests of a machine share it.
                "-Xmx512m".to_owned(),
                "-XX:TieredStopAtLevel=1".to_owned(),
                format!("-Djava.library.path={}", path("native")),
                "-cp".to_owned(),
                path("lib/*"),
                "software.amazon.dynamodb.services.local.main.ServerRunner".to_owned(),
                "-disableTelemetry".to_owned(),
                "-sharedDb".to_owned(),
                "-port".to_owned(),
                port.to_string(),
            ];
            if durable {
                command.extend(["-dbPath".to_owned(), data.clone()]);
            } else {
                command.push("-inMemory".to_owned());
            }
            command
        });
        Some(Self { running, _directory: directory })
    }
}

/// The server that the tests of this program share.
pub(crate) fn shared() -> Option<u16> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(false)).as_ref().map(|server| server.running.port)
}

/// A table of its own on the server at this port, made when it is opened; with patience for a slow machine.
pub(crate) fn fresh(port: u16) -> DynamoOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    table(port, &format!("bank-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn table(port: u16, name: &str) -> DynamoOptions {
    let patience = Duration::from_secs(30);
    DynamoOptions::new(name)
        .unwrap()
        .endpoint(&format!("http://127.0.0.1:{port}"))
        .unwrap()
        .create(true)
        .connect_timeout(patience)
        .response_timeout(patience)
        .deadline(2 * patience)
}

/// The service's own client, for what no store does.
pub(crate) async fn client(port: u16) -> Client {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("local"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .credentials_provider(Credentials::new("local", "local", None, None, "tests"));
    Client::new(&loader.load().await)
}
