//! Another configuration, without dropping a request: validated whole, then swapped.
//!
//! What is in force stays in force when the new one has a fault. Requests on their way keep the one they began with.

use std::sync::Arc;

use crate::builder::GatewayBuilder;
use crate::gateway::Shared;
use crate::state::{Lasting, State};
use crate::{BuildError, Gateway};

impl Gateway {
    /// Puts another configuration in force, for this gateway and all its clones. Requests on their way keep the old one;
    /// limits, and the health of endpoints that stay, go on.
    ///
    /// # Errors
    /// Every fault; the old configuration stays in force.
    pub fn reload(&self, builder: GatewayBuilder) -> Result<(), BuildError> {
        let Shared { metrics, endpoints, buckets, .. } = &*self.shared;
        let state =
            State::build(builder, &Lasting { endpoints, metrics, buckets }).map_err(BuildError::new)?;
        self.shared.state.store(Arc::new(state));
        Ok(())
    }
}
