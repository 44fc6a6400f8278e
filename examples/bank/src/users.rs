//! `bank user`: staff at the terminal, by the data of identity.

use std::io::{BufRead as _, IsTerminal as _};
use std::sync::Arc;

use bank_stores::embedded::{MemoryCache, SqliteItems, SqliteOptions};
use bank_stores::{Cache, Items, ItemsScan, SystemClock, SystemRandom};
use console::Term;
use identity::{Identity, SigningKey, User, Users};
use serde_json::json;

use crate::Fatal;
use crate::args::{Part, Role, UserCommand};
use crate::config::Config;
use crate::demo::new_password;
use crate::files::Files;
use crate::seal::{self, Seal};
use crate::stores::{self, Close, IDENTITY};

/// Does it, and says what was done.
pub(crate) async fn run(what: UserCommand, config: &Config) -> Result<String, Fatal> {
    if !config.data.is_dir() {
        return Err(Fatal::new(format!(
            "{}: there is no data; say where with --data DIR",
            config.data.display()
        )));
    }
    let files = Files::open(&config.data)?;
    match what {
        UserCommand::List { as_json } => list(config, &files, as_json).await,
        UserCommand::Add(new) => {
            // Asked for first: nobody else waits meanwhile.
            let (password, is_generated) = password(new.password.generate)?;
            let opened = Opened::open(config, &files).await?;
            let roles = names(&new.roles);
            let email = new.email.unwrap_or_else(|| format!("{}@bank.example", new.username));
            let user = identity::NewUser {
                username: &new.username,
                password: &password,
                name: new.name.as_deref().unwrap_or(&new.username),
                email: &email,
                roles: &roles,
            };
            let added = opened.identity.add_user(user).await;
            let added = opened.closed(added).await?;
            Ok(format!("{} is added, {}{}", added.username, roles_of(&added), shown(&password, is_generated)))
        }
        UserCommand::Password { username, generate } => {
            let (password, is_generated) = password(generate)?;
            let opened = Opened::open(config, &files).await?;
            let changed = opened.identity.set_password(&username, &password).await;
            opened.closed(changed).await?;
            let shown = shown(&password, is_generated);
            Ok(format!("{username} has another password, and their sessions have ended{shown}"))
        }
        UserCommand::Roles { username, roles } => {
            let opened = Opened::open(config, &files).await?;
            let changed = opened.identity.set_roles(&username, &names(&roles)).await;
            let changed = opened.closed(changed).await?;
            Ok(format!("{username} is there {}, and their sessions have ended", roles_of(&changed)))
        }
        UserCommand::Disable { username, is_disabled } => {
            let opened = Opened::open(config, &files).await?;
            let changed = opened.identity.set_disabled(&username, is_disabled).await;
            opened.closed(changed).await?;
            Ok(match is_disabled {
                true => format!("{username} cannot sign in any more, and their sessions have ended"),
                false => format!("{username} can sign in again"),
            })
        }
    }
}

/// Identity's data, to be written.
struct Opened {
    identity: Identity,
    close: Arc<dyn Close>,
}

impl Opened {
    async fn open(config: &Config, files: &Files) -> Result<Self, Fatal> {
        let at = config.place(Part::Identity);
        // A bank that never ran has no master key yet. One that ran has lost it where it is missing, and another one opens nothing.
        let data = [IDENTITY, stores::LEDGER, stores::TRANSACTIONS, stores::PARTNERS];
        let is_new = at.is_none() && !data.iter().any(|file| files.path(file).exists());
        let seal = Seal::open(&config.seal, files, is_new).await?;
        let opened = match at {
            Some(_) => stores::items(files, IDENTITY, at).await?,
            None => {
                let path = files.path(IDENTITY);
                let items = SqliteItems::open(SqliteOptions::new(&path)).await;
                let items = Arc::new(items.map_err(|error| in_use(&path, &error))?);
                stores::Opened { role: items.clone() as Arc<dyn ItemsScan>, close: items }
            }
        };
        let keys = seal.keys_in(Part::Identity, opened.role.clone());
        seal::ready(&keys).await?;
        let items: Arc<dyn Items> = Arc::new(seal::items(opened.role, &keys, Part::Identity));
        let key = SigningKey::load_or_create(files.path("keys/signing.key"))
            .map_err(|error| Fatal::caused("identity", &error))?;
        // Gateways look at the user itself whenever they look at a session: nobody has to be told.
        let cache: Arc<dyn Cache> = Arc::new(MemoryCache::with_capacity(64 * 1024));
        let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()));
        Ok(Self { identity: Identity::new(items, cache, key, clock, random), close: opened.close })
    }

    /// Closes the store, whatever came of it.
    async fn closed(self, done: Result<User, bank_sdk::Problem>) -> Result<User, Fatal> {
        self.close.close().await;
        done.map_err(|problem| Fatal::new(problem.detail()))
    }
}

fn in_use(path: &std::path::Path, error: &bank_stores::Error) -> Fatal {
    let text = Fatal::caused(path.display(), error).to_string();
    match text.contains("in use") {
        true => Fatal::new(format!(
            "{}: a bank that runs has users to itself; stop it (or `bank identity`), say this again, and start it",
            path.display()
        )),
        false => Fatal::new(text),
    }
}

async fn list(config: &Config, files: &Files, as_json: bool) -> Result<String, Fatal> {
    let at = config.place(Part::Identity);
    let items: Arc<dyn Items> = match at {
        Some(_) => stores::items(files, IDENTITY, at).await?.role,
        None => {
            let path = files.path(IDENTITY);
            if !path.is_file() {
                return Ok(if as_json { "[]".to_owned() } else { "there is nobody yet".to_owned() });
            }
            let items = SqliteItems::open(SqliteOptions::new(&path).read_only()).await;
            Arc::new(items.map_err(|error| Fatal::caused(path.display(), &error))?)
        }
    };
    let keys = Seal::open(&config.seal, files, false).await?.keys_in(Part::Identity, items.clone());
    let items: Arc<dyn Items> = Arc::new(seal::items(items, &keys, Part::Identity));
    let staff = Users::new(items).staff().await.map_err(|error| Fatal::caused("identity", &error))?;
    if as_json {
        let list = staff.iter().map(|user| {
            json!({
                "id": user.id,
                "username": user.username,
                "name": user.name,
                "email": user.email,
                "roles": user.roles,
                "disabled": user.disabled,
            })
        });
        return Ok(serde_json::Value::Array(list.collect()).to_string());
    }
    if staff.is_empty() {
        return Ok("there is no staff; add some with `bank user add NAME --role teller`".to_owned());
    }
    let row = |username: &str, roles: &str, state: &str, name: &str| {
        format!("{username:<20}{roles:<26}{state:<12}{name}")
    };
    let mut lines = vec![row("USER", "ROLES", "STATE", "NAME")];
    lines.extend(staff.iter().map(|user| {
        let state = if user.disabled { "locked out" } else { "active" };
        row(&user.username, &user.roles.join(", "), state, &user.name)
    }));
    Ok(lines.join("\n"))
}

/// A password that was made, asked for at a terminal, or read from standard input; and whether it was made.
fn password(generate: bool) -> Result<(String, bool), Fatal> {
    if generate {
        return Ok((new_password(), true));
    }
    let failed = |error| Fatal::caused("no password can be read", &error);
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let terminal = Term::stderr();
        let ask = |what: &str| {
            terminal.write_str(what)?;
            terminal.read_secure_line()
        };
        let once = ask("Password: ").map_err(failed)?;
        let twice = ask("Once more: ").map_err(failed)?;
        return match once == twice {
            true => Ok((once, false)),
            false => Err(Fatal::new("the two are not the same; nothing was changed")),
        };
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).map_err(failed)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Fatal::new("there is no password on standard input; write one there, or say --generate"));
    }
    Ok((password.to_owned(), false))
}

fn shown(password: &str, is_generated: bool) -> String {
    if is_generated { format!("\npassword {password}") } else { String::new() }
}

fn names(roles: &[Role]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = roles.iter().map(|role| role.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn roles_of(user: &User) -> String {
    match &*user.roles {
        [] => "without a role".to_owned(),
        roles => format!("as {}", roles.join(" and ")),
    }
}
