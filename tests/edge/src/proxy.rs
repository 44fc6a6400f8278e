//! What stands between clients and a server, and hands on what they say, or does not.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::wait::{patience, until};

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
    /// A word of the question that is to be stranded.
    strand: Mutex<Option<String>>,
    /// The question that is stranded: to be told when it may go on, and to tell when it was answered.
    stranded: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
    /// Whether connections are refused.
    refuse: AtomicBool,
    /// The port of the server that new connections lead to.
    server: AtomicU16,
    /// The clients that are connected, by the order in which they came.
    clients: Mutex<HashMap<u64, TcpStream>>,
}

impl Orders {
    /// Notes a client, and says which server it is led to. Whoever is led to the old one is noted before [`Proxy::lead_to`] returns.
    fn welcome(&self, number: u64, client: &TcpStream) -> std::io::Result<u16> {
        let mut clients = self.clients.lock().unwrap();
        clients.insert(number, client.try_clone()?);
        Ok(self.server.load(Ordering::Relaxed))
    }
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
            for (number, client) in (0..).zip(listener.incoming().flatten()) {
                let orders = given.clone();
                // A server that is dead refuses; so does its proxy then.
                spawn(move || {
                    if orders.refuse.load(Ordering::Relaxed) {
                        return;
                    }
                    let server = orders.welcome(number, &client);
                    let server = server.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
                    if let Ok(server) = server.and_then(TcpStream::connect) {
                        // Whatever ends it, both ends hear of it.
                        let _ = relay(&client, &server, &orders);
                        let _ = server.shutdown(Shutdown::Both);
                    }
                    let _ = client.shutdown(Shutdown::Both);
                    orders.clients.lock().unwrap().remove(&number);
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

    /// The next question that has this word in it stays on its way until [`Proxy::deliver`], and whoever asks is cut off at once.
    ///
    /// # Panics
    /// Never: nobody panics who has the lock.
    pub fn strand(&self, word: &str) {
        *self.orders.strand.lock().unwrap() = Some(word.to_owned());
    }

    /// The question that was stranded reaches the server at last; returns when the server has done with it.
    ///
    /// # Panics
    /// Where no question came to be stranded, or the server does not answer.
    #[track_caller]
    pub fn deliver(&self) {
        let (go_on, answered) =
            until("a question that is stranded", || self.orders.stranded.lock().unwrap().take());
        go_on.send(()).unwrap();
        answered.recv_timeout(patience()).unwrap();
    }

    /// Whether new connections are refused.
    pub fn refuse(&self, refuse: bool) {
        self.orders.refuse.store(refuse, Ordering::Relaxed);
    }

    /// New connections lead to another server, as a name does that was resolved anew.
    ///
    /// # Panics
    /// Never: nobody panics who has the lock.
    pub fn lead_to(&self, server: u16) {
        let _clients = self.orders.clients.lock().unwrap();
        self.orders.server.store(server, Ordering::Relaxed);
    }

    /// Ends every connection that there is, also one that is still being made.
    ///
    /// # Panics
    /// Never: nobody panics who has the lock.
    pub fn cut(&self) {
        for client in self.orders.clients.lock().unwrap().values() {
            // It may have ended by itself.
            let _ = client.shutdown(Shutdown::Both);
        }
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
    // So often something was heard from the server, its end included.
    let heard = Arc::new(AtomicU64::new(0));
    let hears = heard.clone();
    spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read) = asking.read(&mut bytes) {
            let has = |word: &str| bytes[..read].windows(word.len()).any(|part| part == word.as_bytes());
            let late = given.strand.lock().unwrap().take_if(|word| has(word)).is_some();
            let answered = late.then(|| {
                let (go_on, may_go_on) = mpsc::channel();
                let (answered, is_answered) = mpsc::channel();
                *given.stranded.lock().unwrap() = Some((go_on, is_answered));
                let _ = asking.shutdown(Shutdown::Both);
                // Nobody delivers it where the test is over.
                let _ = may_go_on.recv();
                (answered, hears.load(Ordering::SeqCst))
            });
            if read == 0 || asked.write_all(&bytes[..read]).is_err() {
                break;
            }
            if let Some((answered, before)) = answered {
                // Until the server has done it, or closes the connection instead.
                while hears.load(Ordering::SeqCst) == before {
                    sleep(Duration::from_millis(1));
                }
                let _ = answered.send(());
                break;
            }
        }
        let _ = asked.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (server, client);
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut bytes);
        heard.fetch_add(1, Ordering::SeqCst);
        let read = read?;
        let lost = orders.drop.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if read == 0 || lost.is_ok() {
            orders.dropped.fetch_add(u64::from(read > 0), Ordering::Relaxed);
            return Ok(());
        }
        sleep(Duration::from_micros(orders.delay.load(Ordering::Relaxed)));
        to.write_all(&bytes[..read])?;
    }
}
