//! What one server takes on: every bound of [`serve`](super::serve()), with its default.
//!
//! ```
//! use bank_sdk::serve::Limits;
//! use std::time::Duration;
//!
//! let limits = Limits::default()
//!     .idle_timeout(Duration::from_secs(120))
//!     .connections_from("10.0.0.0/8".parse()?, 16_384);
//! assert!(limits.check().is_ok());
//! assert!(limits.streams(0).check().is_err());
//! # Ok::<(), bank_sdk::serve::InvalidNetwork>(())
//! ```

use std::io;
use std::time::Duration;

use super::Network;

/// The largest window that HTTP/2 knows (RFC 9113 §6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The window of a connection that HTTP/2 begins with; it cannot be made smaller.
const FIRST_WINDOW: u32 = 65_535;

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// What one server takes on.
        ///
        /// Each field has a method of the same name that sets it. [`check`](Self::check) says which value cannot be served
        /// with; a server that is given such limits ends with that error before it accepts anybody.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// Bounds for the connections of some networks, in the place of `connections_per_address`. Default: none.
            pub networks: Vec<(Network, usize)>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ networks: Vec::new() }
            }
        }

        impl Limits {
            $($(#[doc = $doc])+ #[must_use] pub fn $name(mut self, value: $type) -> Self {
                self.$name = value;
                self
            })+
        }
    };
}

limits! {
    /// Connections in all. Further ones wait to be accepted. Default: 16,384. At least 1.
    connections: usize = 16_384;
    /// Connections of one address (of IPv6: of one /64). Further ones are closed. Of the last quarter of all places an
    /// address gets another one only while more are left than it holds, so that a few addresses never take them all.
    /// Default: 4,096. At least 1.
    connections_per_address: usize = 4_096;
    /// Time for the PROXY header, the first bytes and the TLS handshake together, and then for the first request to begin.
    /// Default: 10 s. More than zero.
    handshake_timeout: Duration = Duration::from_secs(10);
    /// Time for the head of a request on HTTP/1.1, from its first byte to its last. Default: 10 s. More than zero.
    header_read_timeout: Duration = Duration::from_secs(10);
    /// Time without a request after which a connection is closed; on HTTP/2 PINGs do not count. Keep it above the keep-alive
    /// time of the load balancer in front (60 s is usual), or that one sends requests into closing connections. While fewer than
    /// an eighth of the places are free it is `header_read_timeout`, where that is shorter. Default: 75 s. More than zero.
    idle_timeout: Duration = Duration::from_secs(75);
    /// Time in which a client must read `write_progress` bytes while more wait for it. On HTTP/2 it holds for each stream
    /// whose window is closed too. After it the connection is cut. Default: 60 s. More than zero.
    write_timeout: Duration = Duration::from_secs(60);
    /// Bytes that a client must read in each `write_timeout`, while more wait for it. Default: 4,096. At least 1.
    write_progress: u32 = 4_096;
    /// Unsent bytes that the kernel takes for one connection (`TCP_NOTSENT_LOWAT`; Linux and Android only). It bounds what
    /// slow readers hold, and lets the server see that they make progress. Default: 131,072. At least 16,384.
    unsent_bytes: u32 = 128 * 1024;
    /// The largest head of a request in bytes; beyond it the answer is 431. On HTTP/1.1 what is counted is the head as it is
    /// written, on HTTP/2 the size of the field list by RFC 9113 §6.5.2 (name, value and 32 for each field).
    /// Default: 32,768. At least 1,024.
    header_bytes: usize = 32 * 1024;
    /// The largest number of header fields on either protocol; beyond it the answer is 431. Each crumb of a cookie on HTTP/2
    /// counts as one. Default: 100. From 1 to 1,000.
    header_fields: usize = 100;
    /// HTTP/2 streams at once on one connection. Default: 128. From 1 to 65,536.
    streams: u32 = 128;
    /// Bytes that a client may send on one HTTP/2 stream before they are read. Default: 65,536. From 1 to 2³¹-1.
    stream_window: u32 = 64 * 1024;
    /// Bytes that a client may send on all streams of an HTTP/2 connection before they are read.
    /// Default: 262,144. From 65,535 to 2³¹-1.
    connection_window: u32 = 256 * 1024;
    /// Bytes of an answer that wait in one HTTP/2 stream for the client's window. A single chunk of a body that is larger is
    /// kept whole. Default: 65,536. From 1 to 2³²-1.
    stream_send_buffer: u32 = 64 * 1024;
    /// HTTP/2 control frames (SETTINGS, PING, WINDOW_UPDATE, PRIORITY, RST_STREAM, CONTINUATION, unknown ones, and DATA that
    /// is empty or tiny) that a connection may send at once. A request costs four of them until it is served, and 32 where it
    /// is refused for its fields or a fault; answers and the bytes sent earn some back. Beyond it the connection ends with GOAWAY ENHANCE_YOUR_CALM. Default: 1,024. At least 64,
    /// and at least four times `streams`.
    control_frames: u32 = 1_024;
    /// Control frames that a connection may send in each second in the long run. Default: 128. At least 1.
    control_frames_per_second: u32 = 128;
    /// Streams that a client reset before they were taken up, on one HTTP/2 connection at once; beyond it the connection
    /// ends. Default: 20. At least 1.
    pending_resets: usize = 20;
    /// Streams that this side reset for faults of the client, over the life of an HTTP/2 connection; beyond it the connection
    /// ends. Default: 1,024. At least 1.
    faulty_streams: usize = 1_024;
    /// How often a PING asks whether an HTTP/2 client is still there. Default: 30 s. More than zero.
    ping_interval: Duration = Duration::from_secs(30);
    /// Time for the answer to that PING. Default: 10 s. More than zero.
    ping_timeout: Duration = Duration::from_secs(10);
    /// Whether services may upgrade connections of HTTP/1.1 (`hyper::upgrade`). Such a connection keeps its place among all;
    /// its service ends it, also when the server [drains](super::Connection::drain), which waits for it as for a request.
    /// Where they may not, a service finds nothing to upgrade in its request. It costs nothing where no service does so.
    /// Default: yes.
    upgrades: bool = true;
    /// Time between the request to shut down and the last connection that is accepted. In between all is served as before, and
    /// [`Connection::is_leaving`](super::Connection::is_leaving) lets a readiness check say 503, so that load balancers turn
    /// away before connections are refused. Default: none. Any.
    drain_grace: Duration = Duration::ZERO;
    /// How long requests may go on after the last connection was accepted. Default: 10 s. Any.
    drain_timeout: Duration = Duration::from_secs(10);
}

impl Limits {
    /// The bound for connections of an address in this network, such as that of a load balancer, whose connections are those
    /// of many clients. The first network that contains an address counts; with `usize::MAX` only the bound in all is left.
    #[must_use]
    pub fn connections_from(mut self, network: Network, bound: usize) -> Self {
        self.networks.push((network, bound));
        self
    }

    /// Which of these cannot be served with, if any.
    ///
    /// # Errors
    /// The first value out of its bounds.
    pub fn check(&self) -> Result<(), InvalidLimits> {
        let windows = 1..=LARGEST_WINDOW;
        let checks = [
            (self.connections > 0, "connections: at least 1"),
            (self.connections_per_address > 0, "connections_per_address: at least 1"),
            (!self.handshake_timeout.is_zero(), "handshake_timeout: more than zero"),
            (!self.header_read_timeout.is_zero(), "header_read_timeout: more than zero"),
            (!self.idle_timeout.is_zero(), "idle_timeout: more than zero"),
            (!self.write_timeout.is_zero(), "write_timeout: more than zero"),
            (self.write_progress > 0, "write_progress: at least 1"),
            (self.unsent_bytes >= 16_384, "unsent_bytes: at least 16,384"),
            (self.header_bytes >= 1_024, "header_bytes: at least 1,024"),
            ((1..=1_000).contains(&self.header_fields), "header_fields: from 1 to 1,000"),
            ((1..=65_536).contains(&self.streams), "streams: from 1 to 65,536"),
            (windows.contains(&self.stream_window), "stream_window: from 1 to 2³¹-1"),
            (
                self.connection_window >= FIRST_WINDOW && windows.contains(&self.connection_window),
                "connection_window: from 65,535 to 2³¹-1",
            ),
            (self.stream_send_buffer > 0, "stream_send_buffer: at least 1"),
            (
                self.control_frames >= 64 && self.control_frames >= self.streams.saturating_mul(4),
                "control_frames: at least 64, and four times streams",
            ),
            (self.control_frames_per_second > 0, "control_frames_per_second: at least 1"),
            (self.pending_resets > 0, "pending_resets: at least 1"),
            (self.faulty_streams > 0, "faulty_streams: at least 1"),
            (!self.ping_interval.is_zero(), "ping_interval: more than zero"),
            (!self.ping_timeout.is_zero(), "ping_timeout: more than zero"),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(InvalidLimits(rule)),
            None => Ok(()),
        }
    }

    /// The most bytes that windows and buffers of one HTTP/2 connection hold, whatever its client does: what it may send
    /// unread, what waits for it in streams and kernel, and a head for each stream. Of HTTP/1.1 it is far less. Chunks of
    /// answers that are larger than [`stream_send_buffer`](Self::stream_send_buffer) come on top.
    #[must_use]
    pub fn connection_bytes(&self) -> u64 {
        let streams = u64::from(self.streams);
        let heads = u64::try_from(self.header_bytes).unwrap_or(u64::MAX);
        u64::from(self.connection_window)
            .saturating_add(streams.saturating_mul(u64::from(self.stream_send_buffer).saturating_add(heads)))
            .saturating_add(u64::from(self.unsent_bytes))
    }
}

/// A limit that no server can hold to, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits: {0}")]
pub struct InvalidLimits(&'static str);

impl From<InvalidLimits> for io::Error {
    fn from(error: InvalidLimits) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_hold_say_which_and_why() {
        let good = Limits::default();
        assert_eq!(good.check(), Ok(()));
        let zero = Duration::ZERO;
        for (bad, named) in [
            (good.clone().connections(0), "connections:"),
            (good.clone().connections_per_address(0), "connections_per_address:"),
            (good.clone().idle_timeout(zero), "idle_timeout:"),
            (good.clone().write_timeout(zero), "write_timeout:"),
            (good.clone().header_bytes(1_000), "header_bytes:"),
            (good.clone().header_fields(0), "header_fields:"),
            (good.clone().connection_window(1), "connection_window:"),
            (good.clone().stream_window(u32::MAX), "stream_window:"),
            (good.streams(1_000), "control_frames:"),
        ] {
            let told = bad.check().unwrap_err().to_string();
            assert!(told.contains(named), "{told}");
        }
    }

    #[test]
    fn s36_the_memory_of_a_connection_has_a_bound() {
        assert!(Limits::default().connection_bytes() < 16 * 1024 * 1024);
    }
}
