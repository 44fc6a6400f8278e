//! Why there is no connection, or no response.

use std::io;

use http::Request;

use crate::http::Body;

/// Why no response came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// No connection could be made: nothing was sent. The request comes back.
    #[error("no connection could be made")]
    Connect {
        /// What the network said.
        #[source]
        source: io::Error,
        /// The request, whole.
        request: Box<Request<Body>>,
    },
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

/// Why no response came to a request that was lent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LentError {
    /// No connection could be made: nothing was sent, and the request stands in its place.
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
    /// As [`SendError::Lost`].
    #[error("the connection was lost before the response came")]
    Lost {
        /// What the connection said.
        #[source]
        source: hyper::Error,
        /// Whether it had served other requests before, and ended without a byte of this one's answer.
        reused: bool,
    },
}

impl LentError {
    pub(super) fn with(self, request: Request<Body>) -> SendError {
        match self {
            Self::Connect(source) => SendError::Connect { source, request: Box::new(request) },
            Self::Lost { source, reused } => SendError::Lost { source, reused },
        }
    }
}

/// Why a service over connections gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection could be made: nothing was sent.
    #[error("no connection could be made")]
    Connect(#[source] io::Error),
    /// The connection was lost after bytes had been sent.
    #[error("the connection was lost before the response came")]
    Lost(#[source] hyper::Error),
}

impl From<SendError> for TransportError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Connect { source, .. } => Self::Connect(source),
            SendError::Lost { source, .. } => Self::Lost(source),
        }
    }
}

/// An address that names no server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` {1}")]
pub struct InvalidAddress(pub(crate) String, pub(crate) &'static str);
