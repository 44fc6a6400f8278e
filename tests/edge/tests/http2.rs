//! What HTTP/2 connections may cost, and that what comes by them looks as it does by HTTP/1.1.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod socket;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bank_gateway::{Quota, Upstream};
use bank_sdk::serve::Limits;
use bank_sdk::{Api, Empty, Endpoint};
use bytes::Bytes;
use edge_tests::{Edge, Recorder, identity_keys, until};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket::Server;
use tokio::time::Instant;

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(60);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[a, b, c, kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// A frame of the server.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection whose every frame is the test's own.
struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// With these settings, each a number and a value.
    fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut frames = Self { stream };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        frames.send(&frame(SETTINGS, 0, 0, &payload)).unwrap();
        frames
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// `GET path` on this stream, with plain literals.
    fn get(&mut self, stream: u32, path: &str) {
        let mut block = vec![0x82, 0x86, 0x01, 1, b'a', 0x04, u8::try_from(path.len()).unwrap()];
        block.extend_from_slice(path.as_bytes());
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)).unwrap();
    }

    fn next(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Ok(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame that holds.
    fn find(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> io::Result<Frame> {
        loop {
            let frame = self.next()?;
            if wanted(&frame) {
                return Ok(frame);
            }
        }
    }

    /// Waits for the end of the answer on a stream, and tells the size of its body.
    fn answer(&mut self, stream: u32) -> io::Result<usize> {
        let mut size = 0;
        self.find(|frame| {
            if frame.kind == DATA && frame.stream == stream {
                size += frame.payload.len();
            }
            frame.stream == stream && matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
        })?;
        Ok(size)
    }

    /// Reads until the connection ends, and tells the reason that was given, if one was.
    fn ends(&mut self) -> Option<u32> {
        let mut reason = None;
        loop {
            match self.next() {
                Ok(frame) if frame.kind == GOAWAY => reason = Some(frame.number(4)),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the connection goes on")
                }
                Err(_) => return reason,
            }
        }
    }

    /// Whether it lasts this long, whatever comes meanwhile; PINGs are answered.
    fn lasts(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.next() {
                Ok(ping) if ping.kind == PING && ping.flags & ACK == 0 => {
                    if self.send(&frame(PING, ACK, 0, &ping.payload)).is_err() {
                        return false;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }
}

/// A client by hyper, which sends what it is given.
async fn client(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(uri: &str) -> http::request::Builder {
    http::Request::get(uri)
}

async fn status(sender: &mut SendRequest<Full<Bytes>>, request: http::request::Builder) -> u16 {
    sender.send_request(request.body(Full::default()).unwrap()).await.unwrap().status().as_u16()
}

const SHOWN: Endpoint<Empty, Empty> = Endpoint::get("/v1/shown").public();

fn edge(upstream: &Recorder) -> Edge {
    Edge::start(|builder| {
        builder.rate_limit("default", Quota::per_second(10_000)).service(
            Api::new("shown").endpoint(SHOWN.declare()),
            Upstream::at([upstream.url()]).identity_keys(identity_keys()),
        )
    })
}

#[test]
fn the_host_of_a_request_reaches_upstreams_alike_on_both_protocols() {
    let upstream = Recorder::start();
    let edge = edge(&upstream);
    let client_1 = edge.client();
    client_1.send(edge_tests::Request::get("/v1/shown").header("host", "bank.example:8443")).expect(200);
    edge.runtime().block_on(async {
        let mut sender = client(client_1.address()).await;
        assert_eq!(status(&mut sender, get("http://bank.example:8443/v1/shown")).await, 200);
    });
    let hosts: Vec<_> =
        upstream.received().iter().map(|request| request.header("host").unwrap().to_owned()).collect();
    assert_eq!(hosts, ["bank.example:8443", "bank.example:8443"]);
}

#[test]
fn a_service_sees_the_authority_as_host() {
    let server = Server::start(Limits::default());
    server.runtime().block_on(async {
        let mut sender = client(server.address()).await;
        let told = async |sender: &mut SendRequest<Full<Bytes>>, request: http::request::Builder| {
            let answer = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        let one = told(&mut sender, get("http://bank.example/")).await;
        assert!(one.starts_with("host=bank.example "), "{one}");
        let both = told(&mut sender, get("http://bank.example/").header("host", "other.example")).await;
        assert!(both.starts_with("host=other.example "), "one that is there is left to be judged: {both}");
    });
}

#[test]
fn s2_data_of_unknown_length_is_passed_on_with_any_method() {
    let upstream = Recorder::start();
    let edge = edge(&upstream);
    let mut frames = Frames::connect(edge.client().address(), &[]);
    let block = [&[0x82, 0x86, 0x01, 1, b'a', 0x04, 9][..], b"/v1/shown"].concat();
    frames.send(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
    frames.send(&frame(DATA, END_STREAM, 1, b"abc")).unwrap();
    frames.answer(1).unwrap();
    // Refused or passed on, and never the half of it.
    for request in upstream.received() {
        assert_eq!((&request.body[..], request.whole), (&b"abc"[..], true));
    }
    let before = upstream.count();
    frames.send(&frame(HEADERS, END_HEADERS, 3, &block)).unwrap();
    frames.send(&frame(DATA, 0, 3, b"abc")).unwrap();
    frames.send(&frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes())).unwrap();
    frames.send(&frame(PING, 0, 0, &[0; 8])).unwrap();
    frames.find(|frame| frame.kind == PING && frame.flags == ACK).unwrap();
    assert!(upstream.received().iter().skip(before).all(|request| !request.whole));
}

#[test]
fn s36_an_idle_connection_ends_whatever_it_says_about_being_alive() {
    let limits = Limits::default()
        .idle_timeout(Duration::from_millis(1_500))
        .ping_interval(Duration::from_millis(100));
    let server = Server::start(limits);
    let mut frames = Frames::connect(server.address(), &[]);
    frames.get(1, "/");
    frames.answer(1).unwrap();
    let start = Instant::now();
    assert!(!frames.lasts(LONG / 2), "PINGs of the server that are answered are no requests");
    assert!(start.elapsed() > Duration::from_millis(1_000), "{:?}", start.elapsed());

    let mut silent = Frames::connect(server.address(), &[]);
    silent.get(1, "/");
    silent.answer(1).unwrap();
    silent.ends();
}

#[test]
fn s36_a_connection_on_which_a_request_is_under_way_does_not_end() {
    let limits = Limits::default().idle_timeout(SHORT).handshake_timeout(SHORT).header_read_timeout(SHORT);
    let server = Server::start(limits);
    let mut frames = Frames::connect(server.address(), &[]);
    frames.get(1, "/wait");
    assert!(frames.lasts(SHORT * 4));
    server.seen.go.notify_one();
    frames.stream.set_read_timeout(Some(LONG)).unwrap();
    frames.answer(1).unwrap();
}

#[test]
fn s7_a_connection_without_a_request_ends() {
    let server = Server::start(Limits::default().handshake_timeout(SHORT));
    Frames::connect(server.address(), &[]).ends();
    let mut frames = Frames::connect(server.address(), &[]);
    frames.send(&frame(HEADERS, 0, 1, &[0x82])).unwrap();
    frames.ends();
}

#[test]
fn s7_a_head_that_does_not_end_ends_its_connection() {
    let server = Server::start(Limits::default().header_read_timeout(SHORT));
    for start in [
        frame(HEADERS, END_STREAM, 3, &[0x82]),
        frame(HEADERS, END_STREAM | END_HEADERS, 3, &[0x82, 0x86])[..10].to_vec(),
        frame(SETTINGS, 0, 0, &[0; 6])[..4].to_vec(),
    ] {
        let mut frames = Frames::connect(server.address(), &[]);
        frames.get(1, "/wait");
        frames.send(&start).unwrap();
        frames.ends();
    }
}

#[test]
fn s7_the_number_of_fields_has_one_bound_on_both_protocols() {
    for fields in [100, 40] {
        let server = Server::start(Limits::default().header_fields(fields));
        server.runtime().block_on(async {
            let mut sender = client(server.address()).await;
            let with = |name: &str, count: usize| {
                (0..count)
                    .fold(get("http://a/"), |request, number| request.header(name, format!("a{number}=b")))
            };
            for name in ["x", "cookie"] {
                assert_eq!(status(&mut sender, with(name, fields)).await, 200, "{name}");
                let seen = server.requests();
                assert_eq!(status(&mut sender, with(name, fields + 1)).await, 431, "{name}");
                assert_eq!(status(&mut sender, with(name, 600)).await, 431, "{name}");
                assert_eq!(server.requests(), seen, "{name}: no service sees it");
            }
            assert_eq!(status(&mut sender, get("http://a/")).await, 200, "the connection goes on");
        });
    }
}

#[test]
fn s7_the_size_of_a_head_is_exact_on_http_2() {
    let server = Server::start(Limits::default().header_bytes(8_192));
    server.runtime().block_on(async {
        let mut sender = client(server.address()).await;
        // RFC 9113 §6.5.2: 32 for each field, its name and its value.
        let fixed: usize =
            [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", "")]
                .iter()
                .map(|(name, value)| 32 + name.len() + value.len())
                .sum();
        let with = |bytes: usize| get("http://a/").header("x", "y".repeat(bytes - fixed));
        assert_eq!(status(&mut sender, with(8_192)).await, 200);
        assert_eq!(status(&mut sender, with(8_193)).await, 431);
        let target = |bytes: usize| get(&format!("http://a/{}", "y".repeat(bytes - fixed + 33)));
        let mut sender = client(server.address()).await;
        assert_eq!(status(&mut sender, target(8_192)).await, 200);
        assert_eq!(status(&mut sender, target(8_193)).await, 431);
    });
}

#[test]
fn s36_floods_of_refused_heads_end_their_connection() {
    let server = Server::start(Limits::default());
    // One field that both know, again and again: more of them than there may be, and more bytes.
    for fields in [101, 900, 2_000] {
        let block = [&[0x82, 0x86, 0x84, 0x01, 1, b'a'][..], &vec![0x90; fields]].concat();
        let mut frames = Frames::connect(server.address(), &[]);
        let mut answered = 0;
        let reason = loop {
            let stream = answered * 2 + 1;
            if frames.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)).is_err() {
                break frames.ends();
            }
            match frames
                .find(|frame| frame.kind == GOAWAY || (frame.kind == HEADERS && frame.stream == stream))
            {
                Ok(answer) if answer.kind == GOAWAY => break Some(answer.number(4)),
                Ok(_) => answered += 1,
                Err(_) => break None,
            }
        };
        assert_eq!(reason, Some(CALM), "{fields} fields");
        assert!((10..150).contains(&answered), "{fields} fields: {answered} were refused one by one");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
fn s36_floods_of_control_frames_end_their_connection() {
    let server = Server::start(Limits::default());
    for (name, flood) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS acknowledged", frame(SETTINGS, ACK, 0, &[])),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PING acknowledged", frame(PING, ACK, 0, &[0; 8])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of a stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("RST_STREAM", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("unknown", frame(0xee, 0, 0, b"grease")),
    ] {
        let mut frames = Frames::connect(server.address(), &[]);
        frames.get(1, "/");
        frames.answer(1).unwrap();
        let start = Instant::now();
        let many = flood.repeat(100);
        let mut sent = 0;
        while sent < 2_000 && frames.send(&many).is_ok() {
            sent += 100;
        }
        let reason = frames.ends();
        // Some of these are faults in themselves, for which hyper has a reason of its own.
        assert!(reason.is_some(), "{name}");
        if !matches!(name, "SETTINGS acknowledged" | "RST_STREAM") {
            assert_eq!(reason, Some(CALM), "{name}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{name}");
        let mut others = Frames::connect(server.address(), &[]);
        others.get(1, "/");
        others.answer(1).unwrap();
    }
}

#[test]
fn s36_empty_data_is_bounded_and_an_upload_is_not() {
    let server = Server::start(Limits::default());
    let mut frames = Frames::connect(server.address(), &[]);
    let block = [0x83, 0x86, 0x84, 0x01, 1, b'a'];
    frames.send(&frame(HEADERS, END_HEADERS, 1, &block)).unwrap();
    for _ in 0..2_000 {
        if frames.send(&frame(DATA, 0, 1, &[])).is_err() {
            break;
        }
    }
    assert_eq!(frames.ends(), Some(CALM));

    server.runtime().block_on(async {
        let mut sender = client(server.address()).await;
        let body = Full::new(Bytes::from(vec![b'x'; 4_000_000]));
        let request = http::Request::post("http://a/").body(body).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let told = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&told).ends_with("body=4000000"));
    });
}

#[test]
fn many_requests_with_the_frames_that_clients_send_are_served() {
    let server = Server::start(Limits::default());
    let mut frames = Frames::connect(server.address(), &[]);
    for number in 0..3_000_u32 {
        let stream = number * 2 + 1;
        frames.send(&frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1])).unwrap();
        frames.get(stream, "/");
        frames.send(&frame(WINDOW_UPDATE, 0, stream, &1_000_u32.to_be_bytes())).unwrap();
        let read = frames.answer(stream).unwrap();
        // As much as was read, for all streams.
        frames.send(&frame(WINDOW_UPDATE, 0, 0, &u32::try_from(read).unwrap().to_be_bytes())).unwrap();
    }
    assert_eq!(server.requests(), 3_000);
}

#[test]
fn a_download_whose_every_frame_is_acknowledged_is_served() {
    let server = Server::start(Limits::default());
    let mut frames = Frames::connect(server.address(), &[]);
    for number in 0..40_u32 {
        let stream = number * 2 + 1;
        frames.get(stream, "/large");
        let mut left = 200_000;
        while left > 0 {
            let data = frames.find(|frame| frame.kind == DATA).unwrap();
            left -= data.payload.len();
            if !data.payload.is_empty() {
                let size = u32::try_from(data.payload.len()).unwrap().to_be_bytes();
                frames.send(&frame(WINDOW_UPDATE, 0, 0, &size)).unwrap();
                frames.send(&frame(WINDOW_UPDATE, 0, stream, &size)).unwrap();
            }
        }
    }
}

#[test]
fn s36_windows_and_streams_are_as_the_limits_say() {
    let limits =
        Limits::default().streams(7).stream_window(70_000).connection_window(100_000).header_bytes(9_000);
    let server = Server::start(limits);
    let mut frames = Frames::connect(server.address(), &[]);
    let (mut settings, mut window) = (None, None);
    while settings.is_none() || window.is_none() {
        let frame = frames.next().unwrap();
        match frame.kind {
            SETTINGS if frame.flags & ACK == 0 => settings = Some(frame),
            WINDOW_UPDATE if frame.stream == 0 => window = Some(frame.number(0)),
            _ => {}
        }
    }
    let settings = settings.unwrap();
    let value = |number: u16| {
        settings
            .payload
            .chunks(6)
            .find(|entry| entry[..2] == number.to_be_bytes())
            .map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    assert_eq!((value(3), value(4)), (Some(7), Some(70_000)));
    assert!(value(6).is_some_and(|list| (9_000..=9_001).contains(&list)));
    assert_eq!(window, Some(100_000 - 65_535));
}

#[test]
fn s7_a_reader_that_never_opens_its_window_is_cut() {
    let limits = Limits::default().write_timeout(SHORT).idle_timeout(LONG);
    let server = Server::start(limits);
    for (name, path, window) in [
        ("nothing of a large answer", "/large", 0),
        ("nothing of a small answer", "/", 0),
        ("the beginning of a large answer", "/large", 10),
        // Small enough to be whole in the buffers of the connection.
        ("the beginning of a small answer", "/", 10),
        ("the beginning of an endless answer", "/endless", 100),
    ] {
        let mut frames = Frames::connect(server.address(), &[(4, window)]);
        for stream in [1, 3, 5] {
            frames.get(stream, path);
        }
        frames.ends();
        until("the answers to be given up", || (server.endless() == 0).then_some(()));
        let _ = name;
    }
}

#[test]
fn s7_a_reader_that_opens_its_window_byte_by_byte_is_cut() {
    let server = Server::start(Limits::default().write_timeout(SHORT * 2).idle_timeout(LONG));
    let mut frames = Frames::connect(server.address(), &[(4, 1)]);
    frames.get(1, "/large");
    let mut writer = frames.stream.try_clone().unwrap();
    let more = std::thread::spawn(move || {
        let mut updates = 0;
        while writer.write_all(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).is_ok() && updates < 600 {
            updates += 1;
            std::thread::sleep(SHORT / 4);
        }
        updates
    });
    frames.ends();
    drop(frames);
    assert!(more.join().unwrap() < 600, "a byte now and then is no progress");
}

#[test]
fn a_slow_reader_is_served() {
    let server = Server::start(Limits::default().write_timeout(SHORT).write_progress(1_000));
    let mut frames = Frames::connect(server.address(), &[(4, 2_000)]);
    frames.get(1, "/large");
    let (mut left, start) = (200_000, Instant::now());
    while left > 0 {
        let data = frames.find(|frame| frame.kind == DATA).unwrap();
        left -= data.payload.len();
        // Slow, but for many times the time in which something has to be read.
        std::thread::sleep(Duration::from_millis(20));
        if !data.payload.is_empty() {
            let size = u32::try_from(data.payload.len()).unwrap().to_be_bytes();
            frames
                .send(&[frame(WINDOW_UPDATE, 0, 0, &size), frame(WINDOW_UPDATE, 0, 1, &size)].concat())
                .unwrap();
        }
    }
    assert!(start.elapsed() > SHORT * 3, "{:?}", start.elapsed());
}

#[test]
fn a_drain_waits_for_no_client_that_does_not_answer_it() {
    let mut server = Server::start(Limits::default().drain_timeout(LONG));
    let mut idle = Frames::connect(server.address(), &[]);
    idle.get(1, "/");
    idle.answer(1).unwrap();
    let took = server.drained();
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(idle);
}
