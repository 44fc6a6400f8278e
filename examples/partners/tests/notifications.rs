//! What the service promises, without a socket.
