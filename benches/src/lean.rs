//! The least that a proxy on hyper does: one thread, connections that are kept, and no layer. What a gateway costs beyond it is
//! the gateway's own.

#![allow(clippy::future_not_send, reason = "it has one thread")]

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::{CONNECTION, HeaderName};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as client, SendRequest};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use crate::Failure;
use crate::serving::until_parent_ends;

/// What holds for one connection only.
const HOP_BY_HOP: [HeaderName; 2] = [CONNECTION, HeaderName::from_static("keep-alive")];

type Sender = SendRequest<Incoming>;

/// Connections to the upstream that nobody uses now.
#[derive(Clone)]
struct Pool {
    upstream: SocketAddr,
    idle: Rc<RefCell<Vec<Sender>>>,
}

/// Plays the proxy until the parent is gone, and prints where.
///
/// # Errors
/// A server that ends.
#[allow(clippy::print_stdout, reason = "whoever started this process reads it")]
pub async fn play(upstream: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    until_parent_ends(LocalSet::new().run_until(serve(listener, upstream))).await
}

/// Passes on what comes until the listener fails. It has to run on a [`LocalSet`].
///
/// # Errors
/// A listener that accepts nothing more.
pub async fn serve(listener: TcpListener, upstream: SocketAddr) -> io::Result<()> {
    let pool = Pool { upstream, idle: Rc::default() };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = pool.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| pool.pass_on(request));
            // A client that goes away ends its connection and nothing else.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Pool {
    async fn pass_on(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
        remove_hop_by_hop(request.headers_mut());
        let mut sender = self.take().await?;
        let mut response = sender.send_request(request).await?;
        remove_hop_by_hop(response.headers_mut());
        // It takes the next request when this answer has been read: hyper says so.
        self.idle.borrow_mut().push(sender);
        Ok(response)
    }

    async fn take(&self) -> Result<Sender, Failure> {
        let ready = {
            let mut idle = self.idle.borrow_mut();
            idle.retain(|sender| !sender.is_closed());
            idle.iter().rposition(Sender::is_ready).map(|at| idle.remove(at))
        };
        match ready {
            Some(sender) => Ok(sender),
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
