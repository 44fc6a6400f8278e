//! As much of WebSocket (RFC 6455) as a test of upgrades needs, by hand: a client, and a server that echoes.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What every handshake of these tests begins with.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const TEXT: u8 = 0x81;
const MASK: [u8; 4] = [1, 2, 3, 4];
/// In which a byte that must not come would come.
const QUIET: Duration = Duration::from_millis(200);

/// What a server answers to a key.
pub(crate) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A head: its first line, and its fields with names in lower case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// One side of a connection.
pub(crate) struct Socket {
    stream: BufReader<TcpStream>,
}

impl Socket {
    fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(edge_tests::patience())).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Asks for `path` with these fields, and sends `early` without waiting for the answer.
    pub(crate) fn ask(to: SocketAddr, path: &str, fields: &str, early: &[u8]) -> (Self, Head) {
        let mut socket = Self::of(TcpStream::connect(to).unwrap());
        let head = format!("GET {path} HTTP/1.1\r\nhost: bank.example\r\n{fields}\r\n");
        socket.write(&[head.as_bytes(), early].concat()).unwrap();
        let head = socket.head().unwrap();
        (socket, head)
    }

    /// Opens a WebSocket.
    pub(crate) fn open(to: SocketAddr, path: &str, more: &str) -> Self {
        let (socket, head) = Self::ask(to, path, &handshake(more), b"");
        assert_eq!(head.status(), 101, "{head:?}");
        socket
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut head = Head::default();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => return Ok(head),
                first if head.first.is_empty() => first.clone_into(&mut head.first),
                field => {
                    let (name, value) = field.split_once(':').unwrap();
                    head.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }

    /// The body of an answer that says how long it is.
    pub(crate) fn body(&mut self, head: &Head) -> String {
        let mut body = vec![0; head.all("content-length")[0].parse().unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Sends text, masked as a client's is.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.write(&frame(text))
    }

    /// The text that comes next; nothing where the connection ends.
    pub(crate) fn hear(&mut self) -> io::Result<Option<String>> {
        let mut head = [0; 2];
        match self.stream.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        assert_eq!(head[0], TEXT);
        let mut mask = [0; 4];
        if head[1] & 0x80 != 0 {
            self.stream.read_exact(&mut mask)?;
        }
        let mut text = vec![0; usize::from(head[1] & 0x7f)];
        self.stream.read_exact(&mut text)?;
        text.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        Ok(Some(String::from_utf8(text).unwrap()))
    }

    /// Whether the other side ends the connection, whatever it says before.
    pub(crate) fn ends(&mut self) -> bool {
        loop {
            match self.hear() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// The fields of a handshake, and more.
pub(crate) fn handshake(more: &str) -> String {
    format!(
        "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\
         sec-websocket-protocol: chat\r\n{more}"
    )
}

/// Text as a client sends it.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![TEXT, 0x80 | u8::try_from(text.len()).unwrap()];
    frame.extend(MASK);
    frame.extend(text.bytes().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    frame
}

/// A server of WebSockets that echoes text. It answers `/plain` with 200, `/other` with a protocol that nobody asked for, and
/// everything else with 101, whatever was asked.
pub(crate) struct Echo {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What a server of WebSockets saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) heads: Vec<Head>,
    /// Bytes that came before it had answered.
    pub(crate) early: usize,
    pub(crate) open: usize,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let sink = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sink = sink.clone();
                // A client that goes away ends only its connection.
                std::thread::spawn(move || drop(serve(stream, &sink)));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen<R>(&self, look: impl FnOnce(&Seen) -> R) -> R {
        look(&self.seen.lock().unwrap())
    }

    /// Waits until so many connections speak WebSocket.
    #[track_caller]
    pub(crate) fn until_open(&self, count: usize) {
        edge_tests::until(&format!("{count} open connections"), || {
            self.seen(|seen| seen.open == count).then_some(())
        });
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut socket = Socket::of(stream);
    loop {
        let head = socket.head()?;
        seen.lock().unwrap().heads.push(head.clone());
        socket.stream.get_ref().set_read_timeout(Some(QUIET))?;
        let early = socket.stream.fill_buf().map_or(0, <[u8]>::len);
        socket.stream.get_ref().set_read_timeout(Some(edge_tests::patience()))?;
        seen.lock().unwrap().early += early;
        let path = head.first.split(' ').nth(1).unwrap().to_owned();
        if path == "/plain" {
            socket.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain")?;
            continue;
        }
        let protocol = if path == "/other" { "h2c" } else { "websocket" };
        let accept = accept(head.all("sec-websocket-key").first().copied().unwrap_or_default());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade, x-hop\r\nupgrade: {protocol}\r\nx-hop: 1\r\n\
             sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\n"
        );
        // Its first text comes with the answer.
        let hello = [&[TEXT, 5], &b"hello"[..]].concat();
        socket.write(&[answer.as_bytes(), &hello].concat())?;
        seen.lock().unwrap().open += 1;
        let echoed = echo(&mut socket);
        seen.lock().unwrap().open -= 1;
        return echoed;
    }
}

fn echo(socket: &mut Socket) -> io::Result<()> {
    while let Some(text) = socket.hear()? {
        if text == "end" {
            return Ok(());
        }
        let head = [TEXT, u8::try_from(text.len()).map_err(io::Error::other)?];
        socket.write(&[&head, text.as_bytes()].concat())?;
    }
    Ok(())
}
