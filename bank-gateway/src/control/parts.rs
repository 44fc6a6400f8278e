//! A description taken apart: its steps in their order, and its routes.

use std::fmt;
use std::sync::Arc;

use crate::Gateway;
use crate::edge::{EdgeSteps, RouteService, RouteSteps};
use crate::route::Routes;

/// The parts of a gateway: what [`Gateway`](crate::Gateway) is made of, for a team that orders them itself.
///
/// `tests/edge/tests/rebuilt.rs` builds a gateway of them with `ServiceBuilder`, a layer a step, which passes the gateway's own
/// black-box tests.
#[non_exhaustive]
pub struct Parts {
    /// What every request passes first.
    pub edge: EdgeSteps,
    /// The routes, each with its steps and where its requests go.
    pub routes: Routes<RoutePart>,
}

/// One route of a gateway.
#[derive(Clone)]
#[non_exhaustive]
pub struct RoutePart {
    /// What a request passes on the route.
    pub steps: Arc<RouteSteps>,
    /// Where it goes then.
    pub service: RouteService,
}

impl Gateway {
    /// The steps and routes of this gateway as it is configured now, each by itself, for a team that composes them differently.
    /// Limits, metrics and the health of endpoints are those of this gateway; a reload does not reach the parts.
    #[must_use]
    pub fn parts(&self) -> Parts {
        let state = self.shared.state.load();
        let routes = state.outside.map(|served| RoutePart {
            steps: served.steps.clone(),
            service: RouteService::new(served.target.clone()),
        });
        Parts { edge: state.edge.clone(), routes: Routes(Arc::new(routes)) }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl fmt::Debug for RoutePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutePart").field("service", &self.service).finish_non_exhaustive()
    }
}
