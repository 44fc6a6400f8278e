//! What a test of the gateway needs, and nothing of the bank: a gateway behind a real socket, a client that can send
//! anything, and an upstream that records what reaches it.
//!
//! What a test finds wrong ends it with a panic that says what was seen.

#![allow(clippy::unwrap_used, reason = "this package is tests only: what fails here fails the test")]

mod client;
mod edge;
mod http2;
mod port;
mod proxy;
mod rebuilt;
mod recorder;
mod wait;
mod wire;

pub use client::{Client, Connection, Event, Events, Request, Response, raw};
pub use edge::{Edge, OneKey, identity_keys, is_rebuilt};
pub use port::HeldPort;
pub use proxy::Proxy;
pub use recorder::{Received, Recorder, Reply};
pub use wait::{patience, until, until_ok};
pub use wire::{Wire, told_upstream};
