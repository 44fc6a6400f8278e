//! A route in force.

use std::sync::Arc;

use bank_sdk::declaration::Method;
use bank_sdk::{Problem, method_not_allowed};

use super::{Conditions, RouteInfo};
use crate::outbound::Origin;

/// A route in force, and what is done with its requests.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) info: Arc<RouteInfo>,
    /// Nothing for every method.
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) when: Conditions,
    /// The server behind, where it may take several spellings of a path for one.
    pub(crate) origin: Option<Origin>,
    /// Whether a more specific route to the same server may want what this one's template fits; the table finds out.
    pub(crate) yields: bool,
    pub(crate) payload: P,
}

/// Why a request has no route.
#[derive(Debug)]
pub(crate) enum NoRoute {
    NotFound,
    /// The path is known under other methods.
    Method(Vec<Method>),
}

impl NoRoute {
    /// What the caller is told.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::not_found(),
            Self::Method(methods) => method_not_allowed(methods),
        }
    }
}
