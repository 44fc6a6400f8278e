//! What stands between clients and a server, and hands on what they say, or does not.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Hands bytes on in both directions, for as long as the program runs.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: Arc<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    /// So many answers of the server are still to be dropped, each with its connection.
    drop: AtomicU64,
    /// So many were.
    dropped: AtomicU64,
    /// How long each answer is kept back, in microseconds.
    delay: AtomicU64,
    /// What the question says that is kept back, and how long; whoever asks it is cut off at once.
    strand: Mutex<Option<(String, Duration)>>,
    /// Whether connections are refused.
    refuse: AtomicBool,
    /// The port of the server that new connections lead to.
    server: AtomicU16,
}

impl Proxy {
    /// Stands in front of the server on this port of the same machine.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start(server: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let orders = Arc::new(Orders { server: AtomicU16::new(server), ..Orders::default() });
        let given = orders.clone();
        spawn(move || {
            for client in listener.incoming().flatten() {
                let orders = given.clone();
                // A server that is dead refuses; so does its proxy then.
                spawn(move || {
                    if orders.refuse.load(Ordering::Relaxed) {
                        return;
                    }
                    let server = SocketAddr::from(([127, 0, 0, 1], orders.server.load(Ordering::Relaxed)));
                    if let Ok(server) = TcpStream::connect(server) {
                        // Whatever ends it, both ends hear of it.
                        let _ = relay(&client, &server, &orders);
                        let _ = server.shutdown(Shutdown::Both);
                    }
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Self { port, orders })
    }

    /// The address of a server, by way of this.
    #[must_use]
    pub fn instead_of(&self, url: &str, server: u16) -> String {
        url.replacen(&format!(":{server}/"), &format!(":{}/", self.port), 1)
    }

    /// The next answers get lost after what they answer has been done, and their connections with them.
    pub fn lose(&self, answers: u64) {
        self.orders.drop.store(answers, Ordering::Relaxed);
    }

    /// Every answer comes so much later.
    pub fn delay(&self, time: Duration) {
        self.orders.delay.store(time.as_micros() as u64, Ordering::Relaxed);
    }

    /// The next question that has this word in it reaches the server so much later, and whoever asks is cut off at once.
    ///
    /// # Panics
    /// Never: nobody panics who has the lock.
    pub fn strand(&self, word: &str, time: Duration) {
        *self.orders.strand.lock().unwrap() = Some((word.to_owned(), time));
    }

    /// Whether new connections are refused.
    pub fn refuse(&self, refuse: bool) {
        self.orders.refuse.store(refuse, Ordering::Relaxed);
    }

    /// New connections lead to another server, as a name does that was resolved anew.
    pub fn lead_to(&self, server: u16) {
        self.orders.server.store(server, Ordering::Relaxed);
    }

    /// Nothing is disturbed any more; tells how many answers were lost since the last time.
    pub fn calm(&self) -> u64 {
        self.lose(0);
        self.delay(Duration::ZERO);
        self.orders.dropped.swap(0, Ordering::Relaxed)
    }
}

/// Relays one connection until either end closes it.
fn relay(client: &TcpStream, server: &TcpStream, orders: &Arc<Orders>) -> std::io::Result<()> {
    for stream in [client, server] {
        stream.set_nodelay(true)?;
    }
    let (mut asking, mut asked) = (client.try_clone()?, server.try_clone()?);
    let given = orders.clone();
    spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read) = asking.read(&mut bytes) {
            let has = |word: &str| bytes[..read].windows(word.len()).any(|part| part == word.as_bytes());
            let late = given.strand.lock().unwrap().take_if(|(word, _)| has(word)).map(|(_, time)| time);
            if let Some(time) = late {
                let _ = asking.shutdown(Shutdown::Both);
                sleep(time);
            }
            if read == 0 || asked.write_all(&bytes[..read]).is_err() {
                break;
            }
            if late.is_some() {
                // Until the server has done it.
                sleep(Duration::from_millis(300));
                break;
            }
        }
        let _ = asked.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes)?;
        let lost = orders.drop.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if read == 0 || lost.is_ok() {
            orders.dropped.fetch_add(u64::from(read > 0), Ordering::Relaxed);
            return Ok(());
        }
        sleep(Duration::from_micros(orders.delay.load(Ordering::Relaxed)));
        to.write_all(&bytes[..read])?;
    }
}
