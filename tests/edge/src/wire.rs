//! How the clients of a test program speak to its gateways: it is told by the program's name, since the same tests are programs
//! of each.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// What is spoken to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// HTTP/1.1 over TLS.
    Http1Tls,
    /// HTTP/2 over TLS.
    Http2Tls,
}

impl Wire {
    /// What this program speaks.
    #[must_use]
    pub fn of_this_program() -> Self {
        let program = std::env::current_exe().unwrap();
        let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A hash follows.
        let prefixes = [
            ("over_tls_http1-", Self::Http1Tls),
            ("over_tls-", Self::Http2Tls),
            ("over_http2-", Self::Http2),
        ];
        prefixes.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or(Self::Http1, |(_, wire)| *wire)
    }

    /// Whether it is HTTP/2: no test writes its bytes by hand there.
    #[must_use]
    pub const fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    /// Whether it is TLS.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }

    /// The same without TLS.
    pub(crate) const fn plain(self) -> Self {
        match self {
            Self::Http1 | Self::Http1Tls => Self::Http1,
            Self::Http2 | Self::Http2Tls => Self::Http2,
        }
    }

    /// What a client trusts, and says that it speaks.
    pub(crate) fn trust(self) -> Arc<ClientConfig> {
        let authority = certificates().join("ca.pem");
        let trusted = bank_gateway::tls::client_config(&authority).unwrap();
        let mut config = ClientConfig::clone(&trusted);
        let protocol = if self.is_http2() { "h2" } else { "http/1.1" };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }
}

/// The name in the certificate.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Where this program keeps its certificate for development.
pub(crate) fn certificates() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        std::env::temp_dir().join(format!(
            "edge-tests-{}",
            std::env::current_exe().map_or_else(
                |_| String::new(),
                |program| program
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default(),
            )
        ))
    })
}

/// The bytes of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// TLS shakes hands with the first byte.
    pub(crate) fn new(wire: Wire, socket: TcpStream) -> io::Result<Self> {
        if !wire.is_tls() {
            return Ok(Self::Plain(socket));
        }
        let client = ClientConnection::new(wire.trust(), server_name()).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(client, socket))))
    }

    pub(crate) fn set_read_timeout(&self, time: Duration) {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        };
        socket.set_read_timeout(Some(time)).unwrap();
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(stream) => match stream.read(buf) {
                // A server that cuts a connection says no farewell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// What a gateway of this program tells an upstream of the way that a request came: `Via`, scheme and host.
///
/// # Panics
/// Where the request does not get through.
#[must_use]
pub fn told_upstream() -> [Option<String>; 3] {
    let upstream = crate::Recorder::start();
    let edge = crate::Edge::start(|builder| {
        let route = bank_gateway::Route::all("/{*rest}").access(bank_sdk::Access::Public);
        builder.route(route, bank_gateway::Upstream::at([upstream.url()]).foreign())
    });
    edge.client().send(crate::Request::get("/x").header("host", "bank.example")).expect(200);
    let seen = upstream.only();
    ["via", "x-forwarded-proto", "host"].map(|name| seen.header(name).map(str::to_owned))
}
