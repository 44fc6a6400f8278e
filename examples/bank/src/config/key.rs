//! What a key of the configuration is: its name, what may stand there, and what holds without it.

use std::fmt::Write as _;

/// A key of the configuration file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its sections and its name, with dots between them.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) preset: Preset,
    /// What it is for, in one sentence without its full stop.
    pub(crate) what: &'static str,
}

/// What holds where nobody says anything.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Preset {
    /// This value, as it stands in the file.
    Is(&'static str),
    /// No value; what then happens, for the reference.
    Without(&'static str),
}

/// What may stand in the place of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Path,
    Switch,
    /// A whole number, from the first to the second.
    Number(i64, i64),
    OneOf(&'static [&'static str]),
    /// `HOST:PORT`.
    Address,
    /// `dev`, or a certificate and a key.
    Tls,
    /// How much is logged.
    LogLevel,
    /// Where data is kept: an address that begins with one of these schemes, and an example. It may hold a password.
    Store(&'static [&'static str], &'static str),
    /// IP addresses and networks.
    Networks,
    /// `http://host:port` and `https://host:port`.
    Endpoints,
    Texts,
    Quota,
    /// Known, and of no use here: why.
    Refused(&'static str),
}

impl Kind {
    /// What a value is made of.
    pub(super) const fn type_name(self) -> &'static str {
        match self {
            Self::Switch => "boolean",
            Self::Number(..) => "integer",
            Self::Networks | Self::Endpoints | Self::Texts => "list of strings",
            Self::Quota => "table",
            _ => "string",
        }
    }

    /// Which values there are, for the reference.
    pub(super) fn range(self) -> String {
        match self {
            Self::Switch => "`true`, `false`".to_owned(),
            Self::Number(least, most) => format!("{least} to {most}"),
            Self::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Path => "a path".to_owned(),
            Self::Address => "`HOST:PORT`; port 0 picks a free one".to_owned(),
            Self::Tls => "`dev`, or `CERT,KEY`".to_owned(),
            Self::LogLevel => {
                "`off`, `error`, `warn`, `info`, `debug`, `trace`; `TARGET=LEVEL`; several with commas"
                    .to_owned()
            }
            Self::Store(_, example) => format!("such as `{example}`"),
            Self::Networks => "addresses and networks, such as `10.0.0.0/8`".to_owned(),
            Self::Endpoints => "at least one of `http://HOST:PORT`, `https://HOST:PORT`".to_owned(),
            Self::Quota => {
                "one of `per_second`, `per_minute`, `per_hour`, and perhaps `burst`; each from 1".to_owned()
            }
            Self::Text | Self::Texts | Self::Refused(_) => "any".to_owned(),
        }
    }

    /// Whether it may hold a password.
    pub(super) const fn is_secret(self) -> bool {
        matches!(self, Self::Store(..))
    }
}

impl Key {
    /// The variable of the environment that has the last word: the sections and the name in upper case. How much is logged
    /// has the short name that it always had.
    pub(super) fn variable(&self) -> String {
        if self.path == "log.level" {
            return "BANK_LOG".to_owned();
        }
        self.path.split('.').fold("BANK".to_owned(), |mut name, word| {
            // What is written into text never fails.
            let _ = write!(name, "_{}", word.to_uppercase());
            name
        })
    }

    /// Whether it stands in the reference.
    pub(super) const fn is_used(&self) -> bool {
        !matches!(self.kind, Kind::Refused(_))
    }
}

/// How a key is named to people: `[edge.limits] login`.
pub(super) fn label(path: &str) -> String {
    match path.rsplit_once('.') {
        Some((section, name)) => format!("[{section}] {name}"),
        None => path.to_owned(),
    }
}
