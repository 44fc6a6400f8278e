//! Why there is no connection, or no response.

use std::io;

/// Why no response came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection could be made: nothing was sent.
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
    /// The server says that it has done nothing with the request: it refused the stream, or ends the connection and named a
    /// last request before this one (RFC 9113 §8.7). The request is gone.
    #[error("the server did nothing with the request")]
    Refused(#[source] hyper::Error),
    /// The connection was lost after bytes had been sent: the request may have had an effect.
    #[error("the connection was lost before the response came")]
    Lost {
        /// What the connection said.
        #[source]
        source: hyper::Error,
        /// Whether it had served other requests before, and ended without a byte of this one's answer: its server may have
        /// closed it before it saw the request (RFC 9112 §9.3.1).
        reused: bool,
    },
}

/// An address that names no server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` {1}")]
pub struct InvalidAddress(pub(crate) String, pub(crate) &'static str);
