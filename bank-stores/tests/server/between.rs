//! A proxy between a store and its server: it records what is sent, loses replies, and ends connections before a request arrives.

#![allow(dead_code, reason = "each program uses a part")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A proxy on a port of this machine.
#[derive(Clone, Default)]
pub(crate) struct Between {
    pub(crate) port: u16,
    sent: Arc<Mutex<Vec<u8>>>,
    fault: Arc<Mutex<Fault>>,
}

/// What happens to the next so many requests that contain a text.
#[derive(Default)]
struct Fault {
    text: Vec<u8>,
    times: u32,
    meets: Meets,
}

/// What a request may meet.
#[derive(Clone, Copy, Default, PartialEq)]
enum Meets {
    /// It arrives, and its reply does.
    #[default]
    Nothing,
    /// The server executes it, and the connection ends without a reply.
    LostReply,
    /// The connection ends before the server reads it.
    LostRequest,
}

impl Between {
    /// A proxy in front of the server on this port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self { port: listener.local_addr().unwrap().port(), ..Self::default() };
        let accepting = between.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let between = accepting.clone();
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        between.pass(client, server).await;
                    }
                });
            }
        });
        between
    }

    /// The next so many requests that contain this text are executed, and their connections end without a reply.
    pub(crate) fn lose(&self, text: &str, times: u32) {
        self.set(text, times, Meets::LostReply);
    }

    /// The connections of the next so many requests that contain this text end before the server reads them.
    pub(crate) fn lose_requests(&self, text: &str, times: u32) {
        self.set(text, times, Meets::LostRequest);
    }

    /// Nothing is lost from now on.
    pub(crate) fn heal(&self) {
        self.set("", 0, Meets::Nothing);
    }

    /// How many faults are still to come.
    pub(crate) fn left(&self) -> u32 {
        self.fault.lock().unwrap().times
    }

    /// All that was sent to the server so far.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.sent.lock().unwrap().clone()
    }

    fn set(&self, text: &str, times: u32, meets: Meets) {
        *self.fault.lock().unwrap() = Fault { text: text.as_bytes().to_vec(), times, meets };
    }

    async fn pass(&self, mut client: TcpStream, mut server: TcpStream) {
        let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
        let mut is_lost = false;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(read @ 1..) = read else { return };
                    match self.meets(&asked[..read]) {
                        Meets::LostRequest => return,
                        Meets::LostReply => is_lost = true,
                        Meets::Nothing => {}
                    }
                    self.sent.lock().unwrap().extend_from_slice(&asked[..read]);
                    if server.write_all(&asked[..read]).await.is_err() {
                        return;
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(read @ 1..) = read else { return };
                    // It was executed: nobody is told.
                    if is_lost || client.write_all(&answered[..read]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn meets(&self, asked: &[u8]) -> Meets {
        let mut fault = self.fault.lock().unwrap();
        if fault.times == 0 || !contains(asked, &fault.text) {
            return Meets::Nothing;
        }
        fault.times -= 1;
        fault.meets
    }
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
