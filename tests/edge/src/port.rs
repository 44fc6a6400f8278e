//! A port that stays free for the program it is meant for.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of 127.0.0.1 that is given to nobody else for as long as this value lives, however often its server is started, killed
/// and started again on it. Nobody listens on it until that server does.
///
/// A port that was chosen and released may be anybody's by the time its server binds it: the next connection's of any program of
/// this machine. This one stays bound. As it does not listen, a server that reuses addresses (as PostgreSQL and tokio's listeners
/// do) can be bound to it too.
#[derive(Debug)]
pub struct HeldPort {
    number: u16,
    /// Elsewhere no two sockets can be bound to one port, and it is released.
    _held: Option<Socket>,
}

impl HeldPort {
    /// A port that was free until now.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let number = socket.local_addr().unwrap().as_socket_ipv4().unwrap().port();
        Self { number, _held: cfg!(target_os = "linux").then_some(socket) }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

impl Default for HeldPort {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_held_port_is_its_servers_alone_before_during_and_between_its_lives() {
        let held = HeldPort::new();
        for _ in 0..2 {
            assert!(TcpStream::connect(held.address()).is_err(), "nobody listens yet");
            let server = TcpListener::bind(held.address()).unwrap();
            TcpStream::connect(held.address()).unwrap();
            drop(server);
        }
        let others: Vec<_> = (0..500).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        assert!(others.iter().all(|other| other.local_addr().unwrap() != held.address()));
    }
}
