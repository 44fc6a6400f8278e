//! A bank that was built with files only: whatever names a server is told how to build one that has them.

use std::sync::Arc;

use bank_stores::{Cache, Documents, ItemsScan, Ledger, Limits};

use super::Opened;
use crate::Fatal;
use crate::config::Place;

fn without(at: &Place) -> Fatal {
    Fatal::new(format!(
        "{}: this bank was built without servers; build it with `cargo build -p bank --features servers`",
        at.name
    ))
}

pub(super) async fn ledger(at: &Place) -> Result<Opened<dyn Ledger>, Fatal> {
    Err(without(at))
}

pub(super) async fn items(at: &Place) -> Result<Opened<dyn ItemsScan>, Fatal> {
    Err(without(at))
}

pub(super) async fn documents(at: &Place) -> Result<Opened<dyn Documents>, Fatal> {
    Err(without(at))
}

pub(super) async fn cache(at: &Place, _: &str) -> Result<Arc<dyn Cache>, Fatal> {
    Err(without(at))
}

pub(super) async fn limits(at: &Place, _: &str) -> Result<Arc<dyn Limits>, Fatal> {
    Err(without(at))
}
