//! Which server stands behind a foreign upstream, as far as that is known.

use std::sync::Arc;

use tokio::sync::watch;

/// The server behind a foreign upstream.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// At these addresses.
    At(Arc<[String]>),
    /// At the addresses that are found.
    Discovered(watch::Receiver<Vec<String>>),
    /// In this process: which one it is cannot be told.
    InProcess,
}

impl Origin {
    /// Whether it may be the same server as another: one address in common is enough.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::InProcess, Self::InProcess) => true,
            (Self::At(own), Self::At(other)) => share(own, other),
            (Self::At(own), Self::Discovered(found)) | (Self::Discovered(found), Self::At(own)) => {
                share(own, &found.borrow())
            }
            (Self::Discovered(own), Self::Discovered(other)) => {
                own.same_channel(other) || share(&own.borrow(), &other.borrow())
            }
            _ => false,
        }
    }
}

fn share(own: &[String], other: &[String]) -> bool {
    let is_one = |one: &String, other: &String| {
        one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
    };
    own.iter().any(|one| other.iter().any(|other| is_one(one, other)))
}
