//! A client and an upstream of plain sockets and threads, for counts: neither takes memory from the heap for a request, and
//! neither needs a runtime. What is counted beside them is the gateway's.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::upstream::SIZE;

/// The largest head, of a request or of an answer, with the body of an answer.
const BUFFER: usize = 16 * 1024;

/// Starts an upstream that answers [`SIZE`] bytes to whatever it is asked.
///
/// # Errors
/// A port or a thread that cannot be had.
pub fn upstream() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let serving = thread::Builder::new().name("connection".to_owned());
            // Without a thread the connection is closed, and its proxy answers with an error.
            drop(serving.spawn(move || drop(answer(stream))));
        }
    })?;
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut whole = format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {SIZE}\r\ndate: Sun, 29 Nov 2026 12:00:00 GMT\r\n\r\n")
        .into_bytes();
    whole.resize(whole.len() + SIZE, b'x');
    let mut buffer = [0; BUFFER];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            stream.write_all(&whole)?;
            filled = 0;
        }
    }
}

/// Connections that stay open, over which requests are sent in turn: one on each, then all answers are read.
#[derive(Debug)]
pub struct Caller {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Caller {
    /// Connects so often, for `GET path` as `wrk` asks it.
    ///
    /// # Errors
    /// What the network says.
    pub fn connect(address: SocketAddr, connections: usize, path: &str, token: &str) -> io::Result<Self> {
        let streams = (0..connections.max(1))
            .map(|_| {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            })
            .collect::<io::Result<_>>()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n");
        Ok(Self { streams, request: request.into_bytes(), buffer: vec![0; BUFFER] })
    }

    /// Sends so many requests on each connection.
    ///
    /// # Errors
    /// An answer other than 200 with [`SIZE`] bytes, or what the network says.
    pub fn send(&mut self, times: usize) -> io::Result<()> {
        for _ in 0..times {
            for stream in &mut self.streams {
                stream.write_all(&self.request)?;
            }
            for stream in &mut self.streams {
                read_answer(stream, &mut self.buffer)?;
            }
        }
        Ok(())
    }
}

fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        filled += read;
        let text = &buffer[..filled];
        if read == 0 || (filled >= 12 && !text.starts_with(b"HTTP/1.1 200")) {
            return Err(io::Error::other(String::from_utf8_lossy(text).into_owned()));
        }
        let head = text.windows(4).position(|end| end == b"\r\n\r\n");
        if head.is_some_and(|head| filled == head + 4 + SIZE) {
            return Ok(());
        }
    }
}
