//! A proxy between a store and its server: it records what is sent, loses replies, and ends connections before a request arrives. What a
//! test asks for happens to the requests that it names; while the network is bad, it happens by chance.

#![allow(dead_code, clippy::print_stdout, reason = "each program uses a part, and tells what happened")]

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bank_stores::conformance::Numbers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A proxy on a port of this machine.
#[derive(Clone, Default)]
pub(crate) struct Between {
    pub(crate) port: u16,
    server: Arc<AtomicU16>,
    sent: Arc<Mutex<Vec<u8>>>,
    fault: Arc<Mutex<Fault>>,
    /// What decides by chance, while the network is bad.
    chance: Arc<Mutex<Option<Numbers>>>,
    met: Arc<Met>,
}

/// What was met by chance so far.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Connections that ended, at whatever moment.
    pub(crate) cuts: AtomicU64,
    /// Those of them whose request had been passed on, and whose reply was not.
    pub(crate) lost_replies: AtomicU64,
    /// Requests and replies that came late.
    pub(crate) delays: AtomicU64,
}

impl Met {
    /// A history whose network was good would prove less than it says.
    pub(crate) fn assert_bad(&self) {
        println!("{self:?}");
        let met = [&self.cuts, &self.lost_replies, &self.delays];
        assert!(met.iter().all(|met| met.load(Ordering::Relaxed) > 0), "the network was good: {self:?}");
    }
}

/// What happens to the next so many requests that contain a text.
#[derive(Default)]
struct Fault {
    text: Vec<u8>,
    times: u32,
    meets: Meets,
}

/// What a request, or a reply, may meet.
#[derive(Clone, Copy, Default, PartialEq)]
enum Meets {
    /// It arrives, and its reply does.
    #[default]
    Nothing,
    /// The server executes it, and the connection ends without a reply.
    LostReply,
    /// The connection ends before the other side reads it.
    LostRequest,
    /// The connection ends in the middle of it.
    Cut,
    /// The server executes it, and the connection ends in the middle of the reply.
    CutReply,
    /// It arrives so much later.
    Late(Duration),
}

/// While the network is bad: one of so many pieces is lost in each of three ways, and one of so many is late, by so many milliseconds at
/// most.
const ONE_IN: u64 = 150;
const LATE_ONE_IN: u64 = 20;
const LATE: u64 = 30;

impl Between {
    /// A proxy in front of the server on this port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let between = Self::open().await;
        between.lead_to(server);
        between
    }

    /// A proxy in front of a server that is told later, see [`Between::lead_to`].
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let accepting = between.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let between = accepting.clone();
                tokio::spawn(async move {
                    let server = between.server.load(Ordering::SeqCst);
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        // What is late is late by chance only.
                        let _ = (client.set_nodelay(true), server.set_nodelay(true));
                        between.pass(client, server).await;
                    }
                });
            }
        });
        between
    }

    /// The port of the server.
    pub(crate) fn lead_to(&self, server: u16) {
        self.server.store(server, Ordering::SeqCst);
    }

    /// The network is bad, as these numbers will have it, or good again.
    pub(crate) fn chance(&self, seed: Option<u64>) {
        *self.chance.lock().unwrap() = seed.map(Numbers::new);
    }

    /// What was met by chance.
    pub(crate) fn met(&self) -> &Met {
        &self.met
    }

    /// The next so many requests that contain this text are executed, and their connections end without a reply.
    pub(crate) fn lose(&self, text: &str, times: u32) {
        self.set(text, times, Meets::LostReply);
    }

    /// The connections of the next so many requests that contain this text end before the server reads them.
    pub(crate) fn lose_requests(&self, text: &str, times: u32) {
        self.set(text, times, Meets::LostRequest);
    }

    /// The next so many requests that contain this text are executed, and their connections end in the middle of the reply.
    pub(crate) fn cut_replies(&self, text: &str, times: u32) {
        self.set(text, times, Meets::CutReply);
    }

    /// Nothing is lost from now on.
    pub(crate) fn heal(&self) {
        self.set("", 0, Meets::Nothing);
    }

    /// How many faults are still to come.
    pub(crate) fn left(&self) -> u32 {
        self.fault.lock().unwrap().times
    }

    /// All that was sent to the server so far, while the network was good.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap().clone()
    }

    fn set(&self, text: &str, times: u32, meets: Meets) {
        *self.fault.lock().unwrap() = Fault { text: text.as_bytes().to_vec(), times, meets };
    }

    async fn pass(&self, mut client: TcpStream, mut server: TcpStream) {
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        let mut reply = Meets::Nothing;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(read @ 1..) = read else { return };
                    match self.meets(&asked[..read]) {
                        Meets::LostRequest => return,
                        meets @ (Meets::LostReply | Meets::CutReply) => reply = meets,
                        Meets::Cut => return drop(server.write_all(&asked[..read / 2]).await),
                        Meets::Late(time) => tokio::time::sleep(time).await,
                        Meets::Nothing => {}
                    }
                    if self.chance.lock().unwrap().is_none() {
                        self.sent.lock().unwrap().extend_from_slice(&asked[..read]);
                    }
                    if server.write_all(&asked[..read]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(read @ 1..) = read else { return };
                    // It was executed: nobody is told, or half of it.
                    let meets = if reply == Meets::Nothing { self.by_chance() } else { reply };
                    match meets {
                        Meets::LostRequest | Meets::LostReply => return,
                        Meets::Cut | Meets::CutReply => return drop(client.write_all(&answered[..read / 2]).await),
                        Meets::Late(time) => tokio::time::sleep(time).await,
                        Meets::Nothing => {}
                    }
                    if client.write_all(&answered[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn meets(&self, asked: &[u8]) -> Meets {
        let mut fault = self.fault.lock().unwrap();
        if fault.times == 0 || !contains(asked, &fault.text) {
            return self.by_chance();
        }
        fault.times -= 1;
        fault.meets
    }

    fn by_chance(&self) -> Meets {
        let mut chance = self.chance.lock().unwrap();
        let Some(numbers) = &mut *chance else { return Meets::Nothing };
        let meets = match numbers.below(ONE_IN) {
            0 => Meets::LostRequest,
            1 => Meets::LostReply,
            2 => Meets::Cut,
            _ if numbers.below(LATE_ONE_IN) == 0 => Meets::Late(Duration::from_millis(numbers.below(LATE))),
            _ => return Meets::Nothing,
        };
        let met = match meets {
            Meets::Late(_) => &self.met.delays,
            _ => &self.met.cuts,
        };
        met.fetch_add(1, Ordering::Relaxed);
        if meets == Meets::LostReply {
            self.met.lost_replies.fetch_add(1, Ordering::Relaxed);
        }
        meets
    }
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
