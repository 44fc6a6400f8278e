//! The ledger, and how far its events were taken.

use std::sync::Arc;

use bank_stores::embedded::{SqliteDocuments, SqliteItems, SqliteLedger, SqliteOptions};
use bank_stores::outbox::{Edge, Position};
use bank_stores::{Consistency, Documents, ErrorKind, Ledger, Outbox};
use serde::Deserialize;

use super::Finding;
use crate::args::Part;
use crate::config::Config;
use crate::stores::{LEDGER, PARTNERS, TRANSACTIONS};

/// So many commands behind its end a chain is at work still.
const PENDING: u64 = 10_000;
/// So many events behind, a consumer does not keep up.
const BEHIND: u64 = 10_000;

pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![keys(config)];
    // Said only where it is so: nobody waits for a restore.
    if let Err(error) = crate::backup::check_finished(&config.data) {
        findings.push(Finding::fail(
            "restore",
            error.to_string(),
            "nothing else works here until it is done",
        ));
    }
    let mut sources: Vec<(&'static str, Arc<dyn Outbox>)> = Vec::new();
    let file = |part: Part, name: &str| {
        let path = config.data.join(name);
        (config.place(part).is_none() && path.is_file()).then(|| SqliteOptions::new(path).read_only())
    };
    if let Some(options) = file(Part::Accounts, LEDGER) {
        match SqliteLedger::open(options).await {
            Ok(ledger) => {
                findings.extend(ledger_findings(&ledger).await);
                sources.push(("accounts", Arc::new(ledger)));
            }
            Err(error) => findings.push(damaged("ledger", &error)),
        }
    } else {
        findings.push(elsewhere("ledger", config, Part::Accounts));
    }
    if let Some(options) = file(Part::Transactions, TRANSACTIONS) {
        match SqliteItems::open(options).await {
            Ok(items) => sources.push(("transactions", Arc::new(items))),
            Err(error) => findings.push(damaged("transfers", &error)),
        }
    } else {
        findings.push(elsewhere("transfers", config, Part::Transactions));
    }
    if let Some(options) = file(Part::Partners, PARTNERS) {
        match SqliteDocuments::open(options).await {
            Ok(documents) => {
                for &(name, ref outbox) in &sources {
                    findings.push(consumer(name, &**outbox, &documents).await);
                }
            }
            Err(error) => findings.push(damaged("notifications", &error)),
        }
    } else {
        findings.push(elsewhere("notifications", config, Part::Partners));
    }
    findings
}

/// Without these nothing opens that is there.
fn keys(config: &Config) -> Finding {
    const WHAT: &str = "keys";
    let has_data = config.data.join(LEDGER).is_file() || config.data.join(TRANSACTIONS).is_file();
    let mut wanted = vec![
        config.data.join("keys/derivation-accounts.key"),
        config.data.join("keys/derivation-transactions.key"),
    ];
    if config.seal.kms.is_none() {
        wanted.push(config.seal.key_file.clone().unwrap_or_else(|| config.data.join("keys/seal.json")));
    }
    let missing: Vec<String> =
        wanted.iter().filter(|path| !path.is_file()).map(|path| path.display().to_string()).collect();
    match missing.is_empty() {
        true => Finding::ok(WHAT, "those that data cannot do without are there"),
        false if has_data => Finding::fail(
            WHAT,
            format!("{} is not there", missing.join(", ")),
            "put it back from the backup before the bank starts",
        ),
        false => Finding::ok(WHAT, "they are made when the bank first starts"),
    }
}

async fn ledger_findings(ledger: &SqliteLedger) -> Vec<Finding> {
    let chain = match ledger.chain().await {
        Ok(head) if head.pending > PENDING => Finding::warn(
            "chain of the ledger",
            format!("{} commands are not in it yet; its head is {head}", head.pending),
            "where the number grows, run `bank ledger verify`",
        ),
        Ok(head) => Finding::ok("chain of the ledger", format!("its head is {head}")),
        Err(error) => damaged("chain of the ledger", &error),
    };
    let balance = match ledger.trial_balance(Consistency::Current).await {
        Ok(trial) if trial.is_balanced() => Finding::ok("balance of the ledger", "everything sums to zero"),
        Ok(_) => Finding::fail(
            "balance of the ledger",
            "it does not sum to zero",
            "stop the bank, keep a copy of the directory, and run `bank ledger verify`",
        ),
        Err(error) => damaged("balance of the ledger", &error),
    };
    vec![chain, balance]
}

#[derive(Deserialize)]
struct Taken {
    position: Position,
}

/// How far notifications are behind the events of a service.
async fn consumer(name: &'static str, outbox: &dyn Outbox, documents: &dyn Documents) -> Finding {
    const AGAIN: &str = "nothing to do: all of its events are taken again, and told once";
    let what =
        if name == "accounts" { "notifications from accounts" } else { "notifications from transactions" };
    let shards = match outbox.shards().await {
        Ok(shards) => shards,
        Err(error) => return damaged(what, &error),
    };
    let mut behind = 0;
    for shard in shards {
        let newest = match outbox.edge(shard, Edge::Newest).await {
            Ok(newest) => newest,
            Err(error) => return damaged(what, &error),
        };
        let held = match documents.get("positions", &format!("{name}:{shard}"), Consistency::Current).await {
            Ok(held) => held.and_then(|document| document.read::<Taken>().ok()),
            // Partners has not begun yet.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return damaged(what, &error),
        };
        match held.map(|taken| taken.position) {
            None => behind += newest.number(),
            Some(held) if held > newest => {
                let found = format!("are {} events ahead of {name}", held.number() - newest.number());
                return Finding::warn(
                    what,
                    found,
                    "the store was put back from an older copy; all of its events are taken again",
                );
            }
            Some(held) if held <= newest => behind += newest.number() - held.number(),
            Some(_) => {
                return Finding::warn(what, "were taken from another file than the one that is there", AGAIN);
            }
        }
    }
    match behind {
        0 => Finding::ok(what, "everything is told"),
        behind if behind > BEHIND => Finding::warn(
            what,
            format!("are {behind} events behind"),
            "look into the log of partners, where the bank runs",
        ),
        behind => Finding::ok(what, format!("are {behind} events behind")),
    }
}

fn elsewhere(what: &'static str, config: &Config, part: Part) -> Finding {
    match config.place(part) {
        Some(at) => Finding::ok(what, format!("on the server of {}, which is not looked at here", at.name)),
        None => Finding::ok(what, "there is none yet"),
    }
}

fn damaged(what: &'static str, error: &bank_stores::Error) -> Finding {
    let found = crate::Fatal::caused("it cannot be read", error).to_string();
    Finding::fail(what, found, "run `bank ledger verify`, and put a backup back if it does not hold")
}
