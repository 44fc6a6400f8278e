//! A gateway or another proxy as a process of its own, which ends with the one that started it.

use std::net::SocketAddr;

use bank_gateway::{Gateway, PerCore};
use bank_sdk::serve::{Limits, Plain};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

use crate::Failure;

/// A runtime of one thread.
///
/// # Errors
/// What the system says.
pub fn one_thread() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Serves a gateway as the bank does, with one thread, and prints where.
///
/// # Errors
/// A server that ends.
#[allow(clippy::print_stdout, reason = "whoever started this process reads it")]
pub async fn thread_a_core(gateway: Gateway) -> Result<(), Failure> {
    let server = PerCore::bind(SocketAddr::from(([127, 0, 0, 1], 0)), 1)?;
    println!("listening on {}", server.address());
    until_parent_ends(server.serve(gateway, Plain, Limits::default(), std::future::pending())).await
}

/// A parent that ends in whatever way closes our standard input.
///
/// # Errors
/// A server that ends.
pub async fn until_parent_ends<T>(serving: impl Future<Output = T>) -> Result<(), Failure> {
    let mut byte = [0];
    tokio::select! {
        _ = serving => Err("the server ended".into()),
        _ = async { tokio::io::stdin().read(&mut byte).await } => Ok(()),
    }
}
