//! A small blocking HTTP client of our own. Its HTTP/1.1 shares no code with the bank, sends whatever a test wants sent, and
//! shows every byte of the answer. Where a program is to speak HTTP/2 or TLS ([`Wire`]), the same requests are sent so.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::http2::Http2;
use crate::wait::patience;
use crate::wire::{Stream, Wire};

/// How long an answer may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// A request to be sent.
#[derive(Clone, Debug)]
#[must_use]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Any method and target, just as they are given.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.to_owned(), target: target.into(), headers: Vec::new(), body: None }
    }

    /// `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    /// `POST`.
    pub fn post(target: impl Into<String>) -> Self {
        Self::new("POST", target)
    }

    /// `DELETE`.
    pub fn delete(target: impl Into<String>) -> Self {
        Self::new("DELETE", target)
    }

    /// Adds a field.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With an access token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Under this idempotency key.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", format!("\"{key}\""))
    }

    /// With a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// With any body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(crate) fn bytes_of_body(&self) -> Option<&[u8]> {
        self.body.as_deref()
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            let _ = write!(head, "host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let body = self.body.as_deref().unwrap_or_default();
        if self.body.is_some() && !self.has("content-length") && !self.has("transfer-encoding") {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The fields in their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The first field of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {} {}", self.status, self.text()))
    }

    /// The body as JSON of an answer with this status.
    ///
    /// # Panics
    /// With another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The code of a problem with this status, which has all that RFC 9457 and the contract ask for.
    ///
    /// # Panics
    /// Where it is no such problem.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let document = self.json();
        assert_eq!(document["status"], status, "{document}");
        for member in ["type", "title", "detail"] {
            assert!(
                document[member].as_str().is_some_and(|text| !text.is_empty()),
                "no `{member}`: {document}"
            );
        }
        assert_eq!(document["instance"].as_str(), self.header("x-request-id"), "{document}");
        document["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends each request over a connection of its own, from one local address.
#[derive(Clone, Debug)]
pub struct Client {
    addresses: Vec<SocketAddr>,
    from: Ipv4Addr,
    wire: Wire,
    /// Whose turn it is.
    turn: Arc<AtomicU32>,
}

impl Client {
    /// A client with a loopback address of its own, so that limits by address count it alone. Given several servers it
    /// asks them in turn.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let [_, _, high, low] = (next % 60_000 + 1).to_be_bytes();
        // Test programs run beside each other: the process gives the second byte.
        let process = 1 + (std::process::id() % 250) as u8;
        Self {
            addresses,
            from: Ipv4Addr::new(127, process, high, low),
            wire: Wire::Http1,
            turn: Arc::default(),
        }
    }

    /// The same client, which speaks otherwise.
    #[must_use]
    pub fn over(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    /// The server that is asked first.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Connects to one of the servers.
    ///
    /// # Errors
    /// Where nobody listens.
    pub fn connect(&self) -> io::Result<Connection> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize;
        Connection::open(self.addresses[turn % self.addresses.len()], self.from, self.wire)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where the connection is refused or lost.
    pub fn try_send(&self, request: Request) -> io::Result<Response> {
        self.connect()?.exchange(&request.header("connection", "close"))
    }

    /// Sends a request.
    ///
    /// # Panics
    /// Where there is no answer.
    #[track_caller]
    pub fn send(&self, request: Request) -> Response {
        let shown = format!("{} {}", request.method, request.target);
        self.try_send(request).unwrap_or_else(|error| panic!("{shown}: no answer: {error}"))
    }

    /// Sends a request again as long as the answer is 429, after the time that it names.
    ///
    /// # Panics
    /// Where there is no answer.
    #[track_caller]
    pub fn send_patiently(&self, request: &Request) -> Response {
        loop {
            let response = self.send(request.clone());
            if response.status != 429 {
                return response;
            }
            let wait = response.header("retry-after").and_then(|text| text.parse().ok()).unwrap_or(1);
            std::thread::sleep(Duration::from_secs(wait));
        }
    }

    /// Opens a stream of events.
    ///
    /// # Panics
    /// Where the answer is no such stream.
    #[must_use]
    #[track_caller]
    pub fn events(&self, request: Request) -> Events {
        let mut connection = self.connect().unwrap();
        connection.write(&request.header("accept", "text/event-stream").bytes(&connection.host())).unwrap();
        let (status, headers) = connection.bytes().read_head().unwrap();
        let find = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!((status, find("content-type")), (200, Some("text/event-stream")));
        assert_eq!(find("transfer-encoding"), Some("chunked"));
        Events { connection, text: Vec::new() }
    }
}

/// One connection, for several requests or for bytes that are none.
#[derive(Debug)]
pub struct Connection {
    speaks: Speaks,
    peer: SocketAddr,
}

#[derive(Debug)]
enum Speaks {
    Http1(Bytes),
    Http2(Http2),
}

/// A connection whose every byte is the test's own.
#[derive(Debug)]
struct Bytes {
    stream: BufReader<Stream>,
}

impl Connection {
    fn open(to: SocketAddr, from: Ipv4Addr, wire: Wire) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // Where the system has but one loopback address, limits by address count all tests together.
        let _ = socket.bind(&SocketAddr::from((from, 0)).into());
        socket.connect_timeout(&to.into(), TIMEOUT)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let speaks = if wire.is_http2() {
            Speaks::Http2(Http2::new(wire, stream))
        } else {
            Speaks::Http1(Bytes { stream: BufReader::new(Stream::new(wire, stream)?) })
        };
        Ok(Self { speaks, peer: to })
    }

    fn bytes(&mut self) -> &mut Bytes {
        match &mut self.speaks {
            Speaks::Http1(bytes) => bytes,
            Speaks::Http2(_) => panic!("no test writes HTTP/2 byte by byte here"),
        }
    }

    fn host(&self) -> String {
        self.peer.to_string()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.bytes().stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Sends a request, and reads nothing.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn start(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.bytes(&self.host()))
    }

    /// Reads the head of an answer.
    ///
    /// # Errors
    /// Where the connection is lost before its end.
    pub fn read_status(&mut self) -> io::Result<u16> {
        self.bytes().read_head().map(|(status, _)| status)
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// Where the connection is lost before.
    pub fn read_bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.bytes().stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends a request and leaves the connection open where the server does.
    ///
    /// # Errors
    /// Where the connection is lost.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let host = self.host();
        if let Speaks::Http2(http2) = &mut self.speaks {
            return http2.exchange(request, &host);
        }
        // Who is refused early may find the connection closed while still writing; the answer is there all the same.
        let written = self.write(&request.bytes(&host));
        match self.read_response(request.method == "HEAD") {
            Err(error) => Err(written.err().unwrap_or(error)),
            read => read,
        }
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// Where the connection is lost before its end.
    pub fn read_response(&mut self, head_only: bool) -> io::Result<Response> {
        self.bytes().read_response(head_only)
    }
}

impl Bytes {
    fn read_response(&mut self, head_only: bool) -> io::Result<Response> {
        let (mut status, mut headers) = self.read_head()?;
        while (100..200).contains(&status) {
            (status, headers) = self.read_head()?;
        }
        let find = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if head_only || status == 204 || status == 304 {
            // Nothing follows.
        } else if find("transfer-encoding") == Some("chunked") {
            while self.read_chunk(&mut body, &mut trailers)? {}
        } else if let Some(length) = find("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Response { status, headers, body, trailers })
    }

    fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = self.read_line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {first:?}")))?;
        let mut headers = Vec::new();
        self.read_fields(&mut headers)?;
        Ok((status, headers))
    }

    fn read_fields(&mut self, into: &mut Vec<(String, String)>) -> io::Result<()> {
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(());
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| io::Error::other(format!("no field: {line:?}")))?;
            into.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// One chunk; false at the last, behind which there may be trailers.
    fn read_chunk(&mut self, into: &mut Vec<u8>, trailers: &mut Vec<(String, String)>) -> io::Result<bool> {
        let size = usize::from_str_radix(self.read_line()?.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            self.read_fields(trailers)?;
            return Ok(false);
        }
        let start = into.len();
        into.resize(start + size, 0);
        self.stream.read_exact(&mut into[start..])?;
        self.read_line()?;
        Ok(true)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

impl Connection {
    /// Whether the server has closed the connection, or does so soon.
    #[must_use]
    pub fn is_closed(&mut self) -> bool {
        self.closes_within(patience())
    }

    /// Whether the server closes the connection in this time, without another byte.
    #[must_use]
    pub fn closes_within(&mut self, time: Duration) -> bool {
        let stream = match &mut self.speaks {
            Speaks::Http1(bytes) => &mut bytes.stream,
            Speaks::Http2(http2) => return http2.ends_within(time),
        };
        stream.get_ref().set_read_timeout(time);
        match stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

impl Connection {
    /// Whether the server closes the connection in this time, whatever it says before.
    #[must_use]
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let stream = match &mut self.speaks {
            Speaks::Http1(bytes) => &mut bytes.stream,
            Speaks::Http2(http2) => return http2.ends_within(time),
        };
        let deadline = Instant::now() + time;
        let mut bytes = [0; 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            stream.get_ref().set_read_timeout(left);
            match stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// Sends bytes over a new connection and reads one answer, and says whether the server closed the connection after it. Where
/// the answer announces that, it is waited for; otherwise for a moment only.
///
/// # Errors
/// Where there is no answer.
pub fn raw(client: &Client, bytes: &[u8]) -> io::Result<(Response, bool)> {
    let mut connection = client.connect()?;
    let written = connection.write(bytes);
    let response = connection.read_response(bytes.starts_with(b"HEAD"));
    match response {
        Ok(response) => {
            let announced =
                response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            let time = if announced { patience() } else { Duration::from_millis(500) };
            let closed = connection.closes_within(time);
            Ok((response, closed))
        }
        Err(error) => Err(written.err().unwrap_or(error)),
    }
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id, by which the stream is resumed.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What it says.
    pub data: String,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    text: Vec<u8>,
}

impl Events {
    /// The next event that is not a comment; nothing where the stream ends.
    ///
    /// # Panics
    /// Where nothing comes and the stream does not end.
    #[must_use]
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.text.drain(..end + 2).collect();
                let event = parse(&String::from_utf8_lossy(&block));
                if !event.data.is_empty() {
                    return Some(event);
                }
            }
            match self.connection.bytes().read_chunk(&mut self.text, &mut Vec::new()) {
                Ok(true) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the stream neither tells anything nor ends")
                }
                // Its last chunk, or a connection that was cut.
                Ok(false) | Err(_) => return None,
            }
        }
    }

    /// The next event that fits.
    ///
    /// # Panics
    /// Where the stream ends before.
    #[track_caller]
    pub fn find(&mut self, what: &str, fits: impl Fn(&Event, &Value) -> bool) -> Event {
        loop {
            let event = self.next_event().unwrap_or_else(|| panic!("the stream ended before {what}"));
            let data = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            if fits(&event, &data) {
                return event;
            }
        }
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event { name: "message".to_owned(), ..Event::default() };
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut event.name),
            "data" => event.data.push_str(value),
            _ => {}
        }
    }
    event
}
