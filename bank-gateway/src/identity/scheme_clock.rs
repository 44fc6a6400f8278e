//! The time as a scheme sees it.

use std::sync::Arc;

use bank_stores::{Clock, SystemClock, Timestamp};

/// The clock that a scheme was given, or else that of the gateway which accepts it.
#[derive(Clone, Debug)]
pub(crate) struct SchemeClock {
    clock: Arc<dyn Clock>,
    is_given: bool,
}

impl SchemeClock {
    /// The scheme was given this one.
    pub(crate) fn given(clock: Arc<dyn Clock>) -> Self {
        Self { clock, is_given: true }
    }

    /// The gateway's, where none was given.
    pub(crate) fn or(&self, gateway: &Arc<dyn Clock>) -> Self {
        if self.is_given { self.clone() } else { Self { clock: gateway.clone(), is_given: false } }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Default for SchemeClock {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock::new()), is_given: false }
    }
}
