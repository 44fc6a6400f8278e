//! Whom the endpoints of `https` addresses are verified by. Without the feature `tls` it says nothing.

use bank_sdk::client::{ConnectOptions, InvalidAddress};
use http::Uri;

use super::Forward;

/// By what `https` endpoints are verified, if they are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    #[cfg(feature = "tls")]
    pub(crate) config: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Trust {
    #[cfg(feature = "tls")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.config, &other.config) {
            (None, None) => true,
            (Some(own), Some(other)) => std::sync::Arc::ptr_eq(own, other),
            _ => false,
        }
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self, reason = "with the feature they may differ")]
    pub(crate) const fn is_same(&self, _: &Self) -> bool {
        true
    }

    /// Connections to an `https` address; nothing where it is not said whom to trust.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(
        &self,
        uri: &Uri,
        connect: &ConnectOptions,
    ) -> Option<Result<Forward, InvalidAddress>> {
        let config = self.config.clone()?;
        Some(Forward::tls(uri, connect.clone(), config))
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self, reason = "with the feature it may be said")]
    pub(crate) const fn secure(
        &self,
        _: &Uri,
        _: &ConnectOptions,
    ) -> Option<Result<Forward, InvalidAddress>> {
        None
    }
}
