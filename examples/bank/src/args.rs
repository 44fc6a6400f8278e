//! The command line.

use std::path::PathBuf;

use bank_stores::ledger::ChainHead;

use crate::Fatal;

/// Where data is kept where nobody says.
pub(crate) const DATA: &str = "./bank-data";

pub(crate) const HELP: &str = "\
bank [OPTIONS]                the whole bank in one process
bank gateway [OPTIONS]        one part alone: gateway, accounts, transactions, identity or partners
bank audit verify FILE        checks the chain of an audit file
bank ledger verify            checks the ledger in --data: its chain, and balances against entries;
                              with --head N:HASH also against a head of the chain that was kept
bank ledger backup FILE       copies it, beside a bank that runs, and verifies the copy
bank ledger restore FILE      puts a verified copy in its place, while no bank runs
bank seal status              tells under which master key the data keys of each part are
bank seal rotate              makes a new master key; a bank that runs takes it up by itself
bank seal retire KEY          removes an old master key that nothing is under any more
bank seal shred CUSTOMER      makes what is sealed of a customer unreadable for good, while no bank runs
bank seal reseal              seals what was written in the clear before, while no bank runs

Options:
  --config FILE       where the parts find each other, limits and addresses (TOML)
  --data DIR          where data and keys are kept (./bank-data)
  --listen ADDR       address to serve (127.0.0.1:8080); port 0 picks a free one
  --admin ADDR        address of the admin pages (127.0.0.1:9090)
  --internal ADDR     address for calls between parts (gateway alone; 127.0.0.1:7070)
  --tls dev|CERT,KEY  serve TLS, with a certificate for development or with these files
  --demo              make the users alice, bob, teller, auditor and operator once, and print their passwords
  --help              this text

Logs go to standard error; BANK_LOG sets their level, for example BANK_LOG=info.";

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Run(Options),
    VerifyAudit(PathBuf),
    Ledger(Ledger, PathBuf),
    Seal(SealCommand, Options),
    Help,
}

/// What is done with the ledger in a data directory.
#[derive(Debug)]
pub(crate) enum Ledger {
    Verify(Option<ChainHead>),
    Backup(PathBuf),
    Restore(PathBuf),
}

/// What is done with the keys that data is sealed with.
#[derive(Debug)]
pub(crate) enum SealCommand {
    Status,
    Rotate,
    Retire(String),
    Shred(String),
    Reseal,
}

#[derive(Debug, Default)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Gateway,
    Accounts,
    Transactions,
    Identity,
    Partners,
}

impl Part {
    pub(crate) const SERVICES: [Self; 4] =
        [Self::Accounts, Self::Transactions, Self::Identity, Self::Partners];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Accounts => "accounts",
            Self::Transactions => "transactions",
            Self::Identity => "identity",
            Self::Partners => "partners",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Gateway].into_iter().chain(Self::SERVICES).find(|part| part.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsChoice {
    Development,
    Files(PathBuf, PathBuf),
}

impl TlsChoice {
    pub(crate) fn parse(text: &str) -> Result<Self, Fatal> {
        match text.split_once(',') {
            Some((certificate, key)) => Ok(Self::Files(certificate.into(), key.into())),
            None if text == "dev" => Ok(Self::Development),
            None => {
                Err(Fatal::new(format!("--tls {text}: give `dev`, or a certificate and a key as CERT,KEY")))
            }
        }
    }
}

pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, Fatal> {
    let mut arguments = arguments.peekable();
    if arguments.peek().is_some_and(|word| word == "audit") {
        return match arguments.skip(1).collect::<Vec<_>>().as_slice() {
            [verify, file] if verify == "verify" => Ok(Command::VerifyAudit(file.into())),
            _ => Err(Fatal::new("say `bank audit verify FILE`")),
        };
    }
    if arguments.peek().is_some_and(|word| word == "ledger") {
        return ledger(&arguments.skip(1).collect::<Vec<_>>());
    }
    if arguments.peek().is_some_and(|word| word == "seal") {
        return seal(&arguments.skip(1).collect::<Vec<_>>());
    }
    let mut options = Options::default();
    if let Some(part) = arguments.peek().and_then(|word| Part::parse(word)) {
        options.part = Some(part);
        arguments.next();
    }
    while let Some(argument) = arguments.next() {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        let mut value = || {
            inline
                .clone()
                .or_else(|| arguments.next())
                .ok_or_else(|| Fatal::new(format!("{name} needs a value; see --help")))
        };
        match name.as_str() {
            "--config" => options.config = Some(value()?.into()),
            "--data" => options.data = Some(value()?.into()),
            "--listen" => options.listen = Some(value()?),
            "--admin" => options.admin = Some(value()?),
            "--internal" => options.internal = Some(value()?),
            "--tls" => options.tls = Some(TlsChoice::parse(&value()?)?),
            "--demo" => options.demo = true,
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(Fatal::new(format!("`{name}` is not known; see --help"))),
        }
    }
    Ok(Command::Run(options))
}

fn seal(words: &[String]) -> Result<Command, Fatal> {
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut options = Options::default();
    while let [.., name @ ("--config" | "--data"), value] = words[..] {
        let given = Some(PathBuf::from(value));
        match name {
            "--config" => options.config = given,
            _ => options.data = given,
        }
        words.truncate(words.len() - 2);
    }
    let what = match words[..] {
        ["status"] => SealCommand::Status,
        ["rotate"] => SealCommand::Rotate,
        ["retire", key] => SealCommand::Retire(key.to_owned()),
        ["shred", customer] => SealCommand::Shred(customer.to_owned()),
        ["reseal"] => SealCommand::Reseal,
        _ => {
            return Err(Fatal::new(
                "say `bank seal status|rotate|retire KEY|shred CUSTOMER|reseal [--config FILE] [--data DIR]`",
            ));
        }
    };
    Ok(Command::Seal(what, options))
}

fn ledger(words: &[String]) -> Result<Command, Fatal> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (words, data) = match words[..] {
        [ref words @ .., "--data", data] => (words, data),
        ref words => (words, DATA),
    };
    let what = match *words {
        ["verify"] => Ledger::Verify(None),
        ["verify", "--head", head] => {
            Ledger::Verify(Some(head.parse().map_err(|error| Fatal::caused("--head", &error))?))
        }
        ["backup", file] => Ledger::Backup(file.into()),
        ["restore", file] => Ledger::Restore(file.into()),
        _ => {
            return Err(Fatal::new(
                "say `bank ledger verify [--head N:HASH]|backup FILE|restore FILE [--data DIR]`",
            ));
        }
    };
    Ok(Command::Ledger(what, data.into()))
}
