//! A route in force.

use std::sync::Arc;

use bank_sdk::declaration::Method;
use bank_sdk::{Problem, method_not_allowed};

use super::{Conditions, RouteInfo};
use crate::outbound::Origin;

/// A route in force, and what is done with its requests.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) matcher: Arc<Matcher>,
    pub(crate) payload: P,
}

/// Which requests a route takes, and what is known of it.
#[derive(Debug)]
pub(crate) struct Matcher {
    pub(crate) info: Arc<RouteInfo>,
    /// Nothing for every method.
    pub(crate) method: Option<Method>,
    pub(crate) path: String,
    pub(crate) when: Conditions,
    /// The server behind, where it may take several spellings of a path for one.
    pub(crate) origin: Option<Origin>,
    /// Its place among the routes of its table.
    number: usize,
    /// Whether a more specific route to the same server may want what this one's template fits.
    yields: bool,
}

impl Matcher {
    pub(crate) fn new(
        info: Arc<RouteInfo>,
        method: Option<Method>,
        path: String,
        when: Conditions,
        origin: Option<Origin>,
    ) -> Self {
        Self { info, method, path, when, origin, number: 0, yields: false }
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    pub(super) const fn yields(&self) -> bool {
        self.yields
    }

    /// What its table finds out.
    pub(super) fn in_table(self, number: usize, yields: bool) -> Self {
        Self { number, yields, ..self }
    }
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
