//! The bank as a process of its own, on a real disk, with customers who have money.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use accounts::wire::{Account, NewAccount, NewDeposit};
use bank_sdk::IdempotencyKey;
use bank_sdk::client::{Client, ConnectOptions, Connections};
use bank_stores::{Currency, Money, SystemRandom, random};
use http::Uri;
use identity::wire::{Credentials, NewCustomer};
use tempfile::TempDir;
use tokio::process::Command;

use crate::Failure;
use crate::process::{Process, Usage};

/// Limits that are counted and never reached; everything else is as it comes.
const CONFIGURATION: &str = r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[edge]
address_limit = { per_second = 1000000, burst = 1000000 }

[edge.limits]
default = { per_second = 1000000, burst = 1000000 }
login = { per_second = 1000000, burst = 1000000 }
registration = { per_second = 1000000, burst = 1000000 }
"#;

/// A running bank with its data in a new directory. Both go when it is dropped.
#[derive(Debug)]
pub struct Bank {
    process: Process,
    address: Uri,
    passwords: BTreeMap<String, String>,
    data: TempDir,
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Customer {
    /// The session's access token.
    pub token: String,
    /// The account.
    pub account: String,
}

impl Bank {
    /// Starts `bank --demo` with its data in a new directory below `directory`.
    ///
    /// # Errors
    /// A bank that does not come up.
    pub async fn start(program: &Path, directory: &Path) -> Result<Self, Failure> {
        Self::start_with(program, directory, "").await
    }

    /// The same with more sections in its file, which may say that its data is elsewhere.
    ///
    /// # Errors
    /// A bank that does not come up.
    pub async fn start_with(program: &Path, directory: &Path, sections: &str) -> Result<Self, Failure> {
        let data = tempfile::Builder::new().prefix("bank-bench-").tempdir_in(directory)?;
        let file = data.path().join("bank.toml");
        std::fs::write(&file, format!("{CONFIGURATION}\n{sections}"))?;
        let mut command = Command::new(program);
        command.arg("--demo").arg("--config").arg(&file).arg("--data").arg(data.path().join("data"));
        let mut process = Process::start("bank", command)?;
        let mut passwords = BTreeMap::new();
        let address = process
            .line("listening on ", |line| {
                if let ["demo", user, password] = line.split(' ').collect::<Vec<_>>()[..] {
                    passwords.insert(user.to_owned(), password.to_owned());
                }
            })
            .await?;
        Ok(Self { process, address: address.parse()?, passwords, data })
    }

    /// A connection of its own.
    ///
    /// # Errors
    /// An address that is none.
    pub fn connect(&self) -> Result<Connections, Failure> {
        Ok(Connections::new(&self.address, ConnectOptions::default())?)
    }

    /// One of the demo's users, signed in.
    ///
    /// # Errors
    /// A user that is not there.
    pub async fn demo_user(&self, name: &str) -> Result<Client, Failure> {
        let password =
            self.passwords.get(name).ok_or_else(|| format!("the bank printed no password of {name}"))?;
        let connections = self.connect()?;
        let token = sign_in(&connections, name, password).await?;
        Ok(Client::new(connections).bearer(&token)?)
    }

    /// So many new customers, each with an account into which the teller paid `money`.
    ///
    /// # Errors
    /// The first call that is refused.
    pub async fn customers(&self, count: usize, money: Money) -> Result<Vec<Customer>, Failure> {
        let teller = self.demo_user("teller").await?;
        let connections = self.connect()?;
        let mut customers = Vec::with_capacity(count);
        for number in 0..count {
            let (username, password) = (format!("customer-{number}"), random::id(&SystemRandom::new(), ""));
            let new = NewCustomer {
                username: username.clone(),
                password: password.as_str().into(),
                name: format!("Customer {number}"),
                email: format!("{username}@bank.example"),
            };
            Client::new(connections.clone()).call(identity::endpoints::REGISTER, &new).send().await?;
            let token = sign_in(&connections, &username, &password).await?;
            let customer = Client::new(connections.clone()).bearer(&token)?;
            let new = NewAccount::new(money.currency());
            let account: Account =
                customer.call(accounts::endpoints::OPEN, &new).key(&new_key()?).send().await?;
            let deposit = NewDeposit { account: account.id.clone(), amount: money, reference: None };
            teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&new_key()?).send().await?;
            customers.push(Customer { token, account: account.id });
        }
        Ok(customers)
    }

    /// What the process has used.
    ///
    /// # Errors
    /// A bank that is gone.
    pub fn usage(&self) -> io::Result<Usage> {
        self.process.usage()
    }

    /// Ends the process, then removes its data.
    ///
    /// # Errors
    /// What the system says.
    pub async fn end(self) -> io::Result<()> {
        self.process.end().await?;
        self.data.close()
    }
}

async fn sign_in(connections: &Connections, username: &str, password: &str) -> Result<String, Failure> {
    let credentials = Credentials { username: Some(username.to_owned()), password: Some(password.into()) };
    let client = Client::new(connections.clone());
    let tokens = client.call(identity::endpoints::SIGN_IN, &credentials).send().await?;
    Ok(tokens.access_token.expose().to_owned())
}

/// A key that was never used.
///
/// # Errors
/// None: such a key is always of the form.
pub fn new_key() -> Result<IdempotencyKey, Failure> {
    let key = random::id(&SystemRandom::new(), "");
    IdempotencyKey::parse(&key).map_err(|problem| problem.to_string().into())
}

/// Euros.
#[must_use]
pub const fn euros(whole: i64) -> Money {
    Money::from_minor(whole * 100, Currency::EUR)
}

/// The bank's program: `given`, or the one that was built beside this program.
///
/// # Errors
/// Where there is none, with what to do.
pub fn program(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    let own = std::env::current_exe()?;
    // Benches lie one directory below programs.
    let beside = own.ancestors().skip(1).take(2).map(|directory| directory.join("bank"));
    let found = beside.into_iter().find(|program| program.is_file());
    found.ok_or_else(|| "the bank is not built; run cargo build --release -p bank".into())
}

/// The directory for data: `given`, or `/var/tmp`. One that is kept in memory is refused, since nothing there is durable.
///
/// # Errors
/// A directory that is not on a disk.
pub fn on_disk(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let directory = given.unwrap_or_else(|| "/var/tmp".into()).canonicalize()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    match file_system(&mounts, &directory) {
        Some("tmpfs" | "ramfs") => {
            Err(format!("{} is kept in memory; give --directory on a disk", directory.display()).into())
        }
        _ => Ok(directory),
    }
}

/// The kind of file system that holds a directory: that of the deepest mount above it, the last one where several are equal.
fn file_system<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let above = fields.filter_map(|fields| match fields[..] {
        [_, place, kind, ..] if directory.starts_with(place) => Some((place.len(), kind)),
        _ => None,
    });
    above.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_no_disk() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), Some("tmpfs"));
        assert_eq!(file_system(mounts, Path::new("/tmpx")), Some("ext4"));
    }
}
