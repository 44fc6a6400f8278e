//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

use super::key::label;

/// Who said a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody: it is what holds otherwise.
    Default,
    /// A place in a file; lines and columns count from one.
    File { file: Arc<str>, line: usize, column: usize },
    /// This variable of the environment.
    Environment(String),
    /// This option of the command line.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, .. } => write!(f, "{file}:{line}"),
            Self::Environment(variable) => f.write_str(variable),
            Self::Option(option) => f.write_str(option),
        }
    }
}

/// One thing that is wrong, and what would do.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) origin: Origin,
    /// The key, if it is one.
    pub(crate) key: Option<String>,
    pub(crate) message: String,
}

impl Fault {
    pub(super) fn new(origin: Origin, key: &str, message: impl Into<String>) -> Self {
        Self { origin, key: Some(key.to_owned()), message: message.into() }
    }

    /// About a file, or an option, as a whole.
    pub(super) fn whole(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, key: None, message: message.into() }
    }
}

/// On one line.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref().map(label);
        match (&self.origin, key) {
            (Origin::File { file, line, column }, key) => {
                write!(f, "{file}: line {line}, column {column}: ")?;
                if let Some(key) = key {
                    write!(f, "{key}: ")?;
                }
            }
            (Origin::Default, Some(key)) => write!(f, "{key}: ")?,
            (Origin::Default, None) => {}
            (Origin::Environment(variable), _) => write!(f, "{variable}: ")?,
            (Origin::Option(option), _) => write!(f, "{option}: ")?,
        }
        f.write_str(&self.message)
    }
}
