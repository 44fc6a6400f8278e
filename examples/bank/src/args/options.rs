//! Options that several commands have.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::Args;

use super::Part;
use crate::Fatal;

/// Where the configuration and the data are.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct PlaceOptions {
    /// Where the parts find each other, limits and addresses (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where data and keys are kept [default: ./bank-data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

/// How a bank, or a part of it, is run.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct RunOptions {
    /// The address to serve; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// The address of the admin pages [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,
    /// The address for calls between parts that are processes of their own [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDR")]
    pub(super) internal: Option<String>,
    /// Serves TLS: `dev` for a certificate for development, or these two files
    #[arg(long, value_name = "dev|CERT,KEY", value_parser = TlsChoice::parse)]
    pub(super) tls: Option<TlsChoice>,
    /// Makes the users alice, bob, teller, auditor and operator once, and prints their passwords
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) demo: Option<bool>,
}

impl RunOptions {
    /// With what was said behind the command.
    pub(super) fn with(self, own: Self) -> Self {
        Self {
            listen: own.listen.or(self.listen),
            admin: own.admin.or(self.admin),
            internal: own.internal.or(self.internal),
            tls: own.tls.or(self.tls),
            demo: own.demo.or(self.demo),
        }
    }

    pub(super) fn at(self, place: PlaceOptions, part: Option<Part>) -> Options {
        let Self { listen, admin, internal, tls, demo } = self;
        let PlaceOptions { config, data } = place;
        Options { part, config, data, listen, admin, internal, tls, demo: demo.unwrap_or_default() }
    }

    /// A command that runs nothing is given no other option of those that are for running.
    pub(super) fn nothing_but(&self, allowed: &[&str]) -> Result<(), Fatal> {
        let given = [
            ("--listen", self.listen.is_some()),
            ("--admin", self.admin.is_some()),
            ("--internal", self.internal.is_some()),
            ("--tls", self.tls.is_some()),
            ("--demo", self.demo.is_some()),
        ];
        match given.into_iter().find(|(option, is_given)| *is_given && !allowed.contains(option)) {
            Some((option, _)) => {
                Err(Fatal::usage(format!("{option} is for a bank that is started; take it out here")))
            }
            None => Ok(()),
        }
    }
}

/// The first option that stands there twice.
pub(super) fn repeated(arguments: &[OsString]) -> Option<&'static str> {
    let names = ["--config", "--data", "--listen", "--admin", "--internal", "--tls", "--demo", "--json"];
    names.into_iter().find(|name| {
        let is_it = |argument: &&OsString| {
            argument
                .to_str()
                .and_then(|text| text.strip_prefix(name))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        arguments.iter().take_while(|argument| *argument != "--").filter(is_it).count() > 1
    })
}

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) part: Option<Part>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<String>,
    pub(crate) admin: Option<String>,
    pub(crate) internal: Option<String>,
    pub(crate) tls: Option<TlsChoice>,
    pub(crate) demo: bool,
}

/// Which certificate is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsChoice {
    Development,
    Files(PathBuf, PathBuf),
}

impl TlsChoice {
    /// Reads `dev` or `CERT,KEY`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(',') {
            Some((certificate, key)) => Ok(Self::Files(certificate.into(), key.into())),
            None if text == "dev" => Ok(Self::Development),
            None => Err(format!("`{text}` is neither; give `dev`, or a certificate and a key as CERT,KEY")),
        }
    }
}

impl fmt::Display for TlsChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Development => f.write_str("dev"),
            Self::Files(certificate, key) => write!(f, "{},{}", certificate.display(), key.display()),
        }
    }
}
