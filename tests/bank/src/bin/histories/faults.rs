//! What goes wrong in a history, by its seed: the client is killed, the server is killed, connections are cut, answers of the
//! server get lost after what they answer has been done, or come late.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use bank_tests::{Postgres, Proxy, patience};
use tokio::time::Instant;

use crate::client::PROCESSES;
use crate::plan::{Address, Chance, Failure};

/// The most lives that the client of one history has.
pub(crate) const LIVES: u64 = 5;
/// How long a client would go on that is to be killed.
const AMPLE: Duration = Duration::from_secs(300);
/// The longest that an answer is kept back.
const LATE: Duration = Duration::from_millis(20);
/// About how long a client takes to open its store.
const OPENING: Duration = Duration::from_millis(40);
/// Ends the connections of every process that has the ledger open.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'bank-stores'";

/// One history to be made.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) address: Address,
    pub(crate) directory: PathBuf,
    pub(crate) seed: u64,
    pub(crate) millis: u64,
}

impl Setting {
    /// The log of this name.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.jsonl"))
    }

    /// The logs that there are, in the order in which they were written, each with the number of its process; those of one life
    /// were written at the same time.
    pub(crate) fn logs(&self) -> Vec<Vec<(u64, PathBuf)>> {
        let one = |name: &str| vec![(0, self.log(name))];
        let of_life =
            |life| (0..PROCESSES).map(|process| (process, self.log(&client_log(process, life)))).collect();
        let groups = std::iter::once(one("setup")).chain((0..LIVES).map(of_life)).chain([one("resolve")]);
        let there =
            |group: Vec<(u64, PathBuf)>| group.into_iter().filter(|(_, path)| path.is_file()).collect();
        groups.map(there).collect()
    }
}

fn client_log(process: u64, life: u64) -> String {
    format!("client-{process}-{life}")
}

/// A server, and what its clients take for it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) postgres: Postgres,
    proxy: Proxy,
}

impl Server {
    pub(crate) fn start() -> Result<Self, Failure> {
        let postgres = Postgres::start("histories").ok_or("there is no PostgreSQL to try")?;
        let proxy = Proxy::start(postgres.port())?;
        Ok(Self { postgres, proxy })
    }

    /// The address for clients.
    pub(crate) fn url(&self) -> String {
        self.proxy.instead_of(&self.postgres.url(), self.postgres.port())
    }
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Made {
    pub(crate) client_kills: u64,
    pub(crate) server_kills: u64,
    /// Connections that were cut.
    pub(crate) cuts: u64,
    /// Answers that got lost.
    pub(crate) lost: u64,
    /// Times during which every answer came late.
    pub(crate) delays: u64,
}

/// Lets clients work, one life after another, and disturbs them. Where the store takes several writers, there are two at once in
/// every other life.
pub(crate) fn make(setting: &Setting, mut server: Option<&mut Server>) -> Result<Made, Failure> {
    let mut chance = Chance::new(setting.seed, 0);
    let mut made = Made::default();
    let lives = 2 + chance.below(LIVES - 1);
    let slice = Duration::from_millis(setting.millis) / lives as u32;
    for life in 0..lives {
        // The reader finds a store that was closed as often as one whose last client was killed.
        let by_itself = life + 1 == lives && chance.one_in(2);
        let time = if by_itself { slice } else { AMPLE };
        let other = match server.is_some() && chance.one_in(2) {
            true => Some(Client::start(setting, 1, life, time)?),
            false => None,
        };
        let mut client = Client::start(setting, 0, life, time)?;
        if !by_itself && chance.one_in(8) {
            sleep(chance.up_to(OPENING));
        } else {
            client.wait_until_open()?;
            if let Some(server) = server.as_deref_mut() {
                disturb(server, slice, &mut chance, &mut made);
            }
            if !by_itself {
                sleep(chance.up_to(slice));
            }
        }
        let mut clients = vec![client];
        clients.extend(other);
        // Either is killed first as often as the other.
        if chance.one_in(2) {
            clients.reverse();
        }
        for mut client in clients {
            if by_itself {
                client.wait_until_ended()?;
            } else {
                client.kill()?;
                made.client_kills += 1;
            }
        }
    }
    Ok(made)
}

/// Kills the server, cuts its connections, loses or delays its answers, or leaves it alone.
fn disturb(server: &mut Server, slice: Duration, chance: &mut Chance, made: &mut Made) {
    match chance.below(6) {
        0 => {
            sleep(chance.up_to(slice));
            server.postgres.kill();
            sleep(chance.up_to(OPENING));
            server.postgres.restart();
            made.server_kills += 1;
        }
        1 => {
            for _ in 0..=chance.below(3) {
                sleep(chance.up_to(slice / 2));
                made.cuts += server.postgres.sql(CUT).parse::<u64>().unwrap_or_default();
            }
        }
        2 | 3 => {
            for _ in 0..=chance.below(3) {
                sleep(chance.up_to(slice / 2));
                server.proxy.lose(1 + chance.below(3));
            }
            sleep(chance.up_to(slice / 4));
        }
        4 => {
            server.proxy.delay(chance.up_to(LATE));
            made.delays += 1;
            sleep(chance.up_to(slice));
        }
        _ => {}
    }
    made.lost += server.proxy.calm();
}

/// One life of the client. It ends with this value, and, by its input, when this process does.
struct Client {
    child: Child,
    log: PathBuf,
}

impl Client {
    fn start(setting: &Setting, process: u64, life: u64, time: Duration) -> Result<Self, Failure> {
        let log = setting.log(&client_log(process, life));
        let child = Command::new(std::env::current_exe()?)
            .arg("client")
            .args(setting.address.words())
            .args([setting.seed, time.as_millis() as u64, process, life].map(|number| number.to_string()))
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { child, log })
    }

    fn wait_until_open(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + patience();
        while !self.log.is_file() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("a client ended before it had opened the store: {status}").into());
            }
            if Instant::now() >= deadline {
                return Err("a client does not get to open the store".into());
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn wait_until_ended(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + patience();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("a client failed: {status}").into()),
                None if Instant::now() >= deadline => return Err("a client does not end".into()),
                None => sleep(Duration::from_millis(2)),
            }
        }
    }

    fn kill(&mut self) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("a client ended before it was killed: {status}").into());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It is gone already, except where something failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
