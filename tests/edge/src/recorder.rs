//! A real HTTP upstream that records, byte for byte, what reaches it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wait::until;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Answer with this status, these fields and this body.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// Read it all, and close the connection without an answer.
    Vanish,
    /// Answer 200 after this time.
    Late(Duration),
    /// Read it all, and answer nothing until the caller hangs up.
    Never,
    /// Answer 200 with a head and half of its body, and keep the rest for this time.
    Stall(Duration),
    /// Answer 200 with these pieces, each after so long.
    Dribble(Vec<(Duration, Vec<u8>)>),
    /// Send these bytes, and close the connection.
    Raw(Vec<u8>),
}

impl Reply {
    /// 200 with a small JSON body.
    #[must_use]
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// This status with a small JSON body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Answer(status, vec![("content-type".to_owned(), "application/json".to_owned())], b"{}".to_vec())
    }

    /// Adds a field to an answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request line.
    pub line: String,
    /// Each field as it was written.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The trailers behind its chunks.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end.
    pub whole: bool,
    /// How many requests its connection had brought before.
    pub before: usize,
}

impl Received {
    /// Every value of a field, whatever its spelling.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The one value of a field.
    ///
    /// # Panics
    /// Where it stands more than once.
    #[must_use]
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "`{name}` arrived more than once: {:?}", self.headers);
        all.first().copied()
    }
}

type Script = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// The upstream. It stops listening with this value.
pub struct Recorder {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    stopped: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Recorder {
    /// Answers everything with 200.
    #[must_use]
    pub fn start() -> Self {
        Self::answering(|_| Reply::ok())
    }

    /// Does with each request as `script` says, which may take its time: by then it has been recorded.
    #[must_use]
    pub fn answering(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (received, stopped) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (script, sink, stop): (Script, _, _) = (Arc::new(script), received.clone(), stopped.clone());
        let connections = Arc::<AtomicUsize>::default();
        let open = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (script, sink, open) = (script.clone(), sink.clone(), open.clone());
                open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // A client that goes away ends only its connection.
                    let _ = serve(&stream, &script, &sink);
                    let _ = stream.shutdown(Shutdown::Both);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, received, stopped, connections }
    }

    /// Its address as `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The only request that arrived.
    ///
    /// # Panics
    /// Where there were others, or none.
    #[must_use]
    #[track_caller]
    pub fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Waits until so many have arrived.
    ///
    /// # Panics
    /// Where they do not.
    #[track_caller]
    pub fn until_count(&self, count: usize) {
        until(&format!("{count} requests"), || (self.count() >= count).then_some(()));
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is to stop.
        let _ = TcpStream::connect(self.address);
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("address", &self.address).finish_non_exhaustive()
    }
}

fn serve(stream: &TcpStream, script: &Script, sink: &Mutex<Vec<Received>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    for before in 0.. {
        let Some(mut request) = read(&mut reader)? else { return Ok(()) };
        request.before = before;
        // It has arrived, whenever it is answered.
        sink.lock().unwrap().push(request.clone());
        let reply = script(&request);
        if !request.whole {
            return Ok(());
        }
        let (status, headers, body) = match reply {
            Reply::Answer(status, headers, body) => (status, headers, body),
            Reply::Vanish => return Ok(()),
            Reply::Never => return io::copy(&mut reader, &mut io::sink()).map(drop),
            Reply::Stall(time) => {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 200 Recorded\r\ncontent-length: 10\r\n\r\nhalf.")?;
                std::thread::sleep(time);
                return Ok(());
            }
            Reply::Raw(bytes) => {
                let mut stream = stream;
                return stream.write_all(&bytes);
            }
            Reply::Dribble(pieces) => {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 200 Recorded\r\ntransfer-encoding: chunked\r\n\r\n")?;
                for (time, piece) in pieces {
                    std::thread::sleep(time);
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                    stream.write_all(&[&piece, &b"\r\n"[..]].concat())?;
                }
                stream.write_all(b"0\r\n\r\n")?;
                continue;
            }
            Reply::Late(time) => {
                std::thread::sleep(time);
                (200, Vec::new(), Vec::new())
            }
        };
        let mut answer = format!("HTTP/1.1 {status} Recorded\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str("\r\n");
        let mut stream = stream;
        stream.write_all(answer.as_bytes())?;
        stream.write_all(&body)?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Received>> {
    let Some(line) = read_line(reader)? else { return Ok(None) };
    let mut headers = Vec::new();
    while let Some(field) = read_line(reader)?.filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once(':').ok_or_else(|| io::Error::other("no field"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request =
        Received { line, headers, body: Vec::new(), trailers: Vec::new(), whole: true, before: 0 };
    let chunked = request.all("transfer-encoding").contains(&"chunked");
    let length = request.all("content-length").first().and_then(|length| length.parse().ok()).unwrap_or(0);
    let read = if chunked {
        read_chunks(reader, &mut request.body, &mut request.trailers)
    } else {
        read_exactly(reader, length, &mut request.body)
    };
    request.whole = read.is_ok();
    Ok(Some(request))
}

fn read_exactly(reader: &mut BufReader<&TcpStream>, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let read = reader.take(length as u64).read_to_end(into)?;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_chunks(
    reader: &mut BufReader<&TcpStream>,
    into: &mut Vec<u8>,
    trailers: &mut Vec<(String, String)>,
) -> io::Result<()> {
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            break;
        }
        read_exactly(reader, size, into)?;
        read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other("no field"))?;
        trailers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_line(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}
