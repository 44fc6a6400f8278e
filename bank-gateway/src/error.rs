//! Why a gateway cannot be built: every fault at once, each with what to change.

use std::fmt;

/// A gateway that would not do what was asked for is not built.
#[derive(Debug)]
pub struct BuildError {
    faults: Vec<String>,
}

impl BuildError {
    pub(crate) const fn new(faults: Vec<String>) -> Self {
        Self { faults }
    }

    /// Each fault, with what to change.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway cannot be built: ")?;
        f.write_str(&self.faults.join("; "))
    }
}

impl std::error::Error for BuildError {}
