//! Another configuration, without dropping a request: validated whole, then swapped.
//!
//! What is in force stays in force when the new one has a fault. Requests on their way keep the one they began with.

use std::sync::Arc;

use super::builder::GatewayBuilder;
use super::plan::State;
use crate::{BuildError, Gateway};

impl Gateway {
    /// Puts another configuration in force, for this gateway and all its clones. Requests on their way keep the old one;
    /// limits, metrics, and the health of endpoints that stay go on.
    ///
    /// What a scheme remembers belongs to the scheme: give the builder clones of the `Jwt`, `Passwords` and `Sessions` that are
    /// in force, so that known tokens, failures and ended sessions are not forgotten. The clock, the number of buckets and the
    /// budget of the inside are of the first build: a builder that says otherwise is refused.
    ///
    /// # Errors
    /// Every fault; the old configuration stays in force.
    pub fn reload(&self, builder: GatewayBuilder) -> Result<(), BuildError> {
        let mut faults = self.shared.lasting.cannot_change(&builder);
        let built = match State::build(builder, &self.shared.lasting) {
            Ok(state) if faults.is_empty() => {
                self.shared.state.store(Arc::new(state));
                Ok(())
            }
            Ok(_) => Err(BuildError::new(faults)),
            Err(more) => {
                faults.extend(more);
                Err(BuildError::new(faults))
            }
        };
        // Of what was in force, or would have been.
        let state = self.shared.state.load();
        self.shared.lasting.metrics.sweep(state.routes().map(|route| (&*route.service, &*route.operation)));
        built
    }
}
