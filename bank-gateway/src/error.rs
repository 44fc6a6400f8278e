//! Why a gateway cannot be built: every fault at once, each with what to change.

use std::fmt;

/// A gateway that would not do what was asked for is not built.
pub struct BuildError {
    faults: Vec<String>,
}

impl BuildError {
    pub(crate) const fn new(faults: Vec<String>) -> Self {
        Self { faults }
    }

    pub(crate) fn one(fault: String) -> Self {
        Self::new(vec![fault])
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

/// The same as its `Display`: it is what `main` prints of an error that it returns.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_prints_what_to_change() {
        let error = BuildError::one("some routes need a credential; add .authenticate(…)".to_owned());
        assert_eq!(format!("{error:?}"), error.to_string());
        assert!(error.to_string().contains("add .authenticate(…)"));
    }
}
