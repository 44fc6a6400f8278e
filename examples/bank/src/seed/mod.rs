//! `bank seed`: a bank that looks lived in. The services run in this process by a clock that begins some weeks ago, and everybody's
//! payments go through them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bank_gateway::{Gateway, Quota, Upstream};
use bank_sdk::client::{CallError, Client};
use bank_sdk::stores::{Currency, Money};
use bank_sdk::{IdempotencyKey, Principal};
use bank_stores::embedded::{SqliteLedger, SqliteOptions};
use bank_stores::{Clock, Ledger as _, ManualClock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::Fatal;
use crate::args::{Part, Seed};
use crate::config::Config;
use crate::demo::new_password;
use crate::files::{Files, replace};
use crate::parts::{self, Around, GATEWAY, LateGateway, Running};
use crate::progress::Progress;
use crate::seal::Seal;
use crate::store_calls::StoreCalls;
use crate::stores::LEDGER;

mod as_anybody;
mod plan;

use as_anybody::AsAnybody;
use plan::{Payment, Plan};

/// So many payments of one hour are made side by side.
const AT_ONCE: usize = 16;
/// Everything is asked for by one process that may.
const NO_LIMIT: Quota = Quota::per_second(10_000_000);
/// In seconds.
const DAY: i64 = 24 * 3_600;

/// What was asked for, as `keys/seed.json` keeps it, so that it can be repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    customers: u32,
    days: u32,
    /// When the first day begins, in seconds since 1970.
    begins: i64,
    /// The password of all of them.
    password: String,
    is_done: bool,
}

/// Does it, and says what there is now.
pub(crate) async fn run(seed: Seed, config: &Config) -> Result<String, Fatal> {
    for part in [Part::Accounts, Part::Transactions, Part::Identity] {
        if let Some(at) = config.place(part) {
            return Err(Fatal::new(format!(
                "{}: seeding is for files of a data directory, not for servers",
                at.name
            )));
        }
    }
    let files = Files::open(&config.data)?;
    let path = files.path("keys/seed.json");
    let mut kept = kept(&path, seed, &files).await?;
    let plan = Plan::new(kept.customers, kept.days);
    if !kept.is_done {
        let clock = ManualClock::at(Timestamp::from_seconds(kept.begins));
        let bank = Bank::start(config, files, clock, plan, &kept.password).await?;
        let done = bank.live().await;
        bank.end().await;
        done?;
        kept.is_done = true;
        keep(&path, &kept)?;
        return Ok(said(&kept, &bank.plan));
    }
    Ok(format!("it was done before: {}", said(&kept, &plan)))
}

fn said(kept: &Kept, plan: &Plan) -> String {
    let somebody = plan.actors.last().map(|actor| actor.username.as_str()).unwrap_or_default();
    format!(
        "{} customers, {} payments in {} days; sign in as {somebody}, for one: the password of all of them is {}",
        kept.customers,
        plan.payments.len(),
        kept.days,
        kept.password
    )
}

fn keep(path: &Path, kept: &Kept) -> Result<(), Fatal> {
    let text = serde_json::to_vec(kept).map_err(Fatal::new)?;
    replace(path, &text).map_err(|error| Fatal::caused(path.display(), &error))
}

/// What was begun before, or is begun now.
async fn kept(path: &Path, Seed { customers, days }: Seed, files: &Files) -> Result<Kept, Fatal> {
    match std::fs::read(path) {
        Ok(text) => {
            let kept: Kept =
                serde_json::from_slice(&text).map_err(|error| Fatal::caused(path.display(), &error))?;
            if (kept.customers, kept.days) != (customers, days) {
                return Err(Fatal::new(format!(
                    "this bank was seeded with --customers {} --days {}; give these again, or other data (--data DIR)",
                    kept.customers, kept.days
                )));
            }
            return Ok(kept);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Fatal::caused(path.display(), &error)),
    }
    let ledger = files.path(LEDGER);
    if ledger.is_file() {
        let opened = SqliteLedger::open(SqliteOptions::new(&ledger).read_only()).await;
        let head = opened.map_err(|error| Fatal::caused(ledger.display(), &error))?.chain().await;
        let head = head.map_err(|error| Fatal::caused(ledger.display(), &error))?;
        if head.sequence + head.pending > 0 {
            return Err(Fatal::new(
                "something is booked in this ledger, which does not go back in time; seed a bank that is new (--data DIR), and start it \
                 with --demo afterwards",
            ));
        }
    }
    // The last day is yesterday.
    let today = SystemClock::new().now().seconds().div_euclid(DAY) * DAY;
    let begins = today - i64::from(days) * DAY;
    let kept = Kept { customers, days, begins, password: new_password(), is_done: false };
    keep(path, &kept)?;
    Ok(kept)
}

/// The services, and everybody who has an account.
struct Bank {
    plan: Arc<Plan>,
    clock: ManualClock,
    begins: Timestamp,
    parts: Vec<Running>,
    gateway: Gateway,
    /// Their ids, in the order of the plan.
    customers: Vec<String>,
}

impl Bank {
    async fn start(
        config: &Config,
        files: Files,
        clock: ManualClock,
        plan: Plan,
        password: &str,
    ) -> Result<Self, Fatal> {
        let (late, calls) = (LateGateway::default(), StoreCalls::default());
        let seal = Seal::open(&config.seal, &files, true).await?;
        let begins = clock.now();
        let around = Around::here(files.clone(), late.clone(), seal, calls).by(Arc::new(clock.clone()));
        let accounts = parts::accounts(&around, None, config.keep_events).await?;
        let transactions = parts::transactions(&around, None, config.keep_events).await?;
        let parts::IdentityParts { running: identity, service, .. } =
            parts::identity(&around, None, None, None).await?;
        let mut bar = Progress::new("customers", "customers");
        let mut people = HashMap::new();
        let mut customers = Vec::new();
        for (number, actor) in plan.actors.iter().enumerate() {
            let email = format!("{}@bank.example", actor.username);
            let new = identity::NewUser {
                username: &actor.username,
                password,
                name: &actor.name,
                email: &email,
                roles: &[],
            };
            let user = service.seed_user(new).await.map_err(Fatal::new)?;
            let mut principal = Principal::customer(&user.id);
            principal.scopes.clone_from(&user.scopes);
            people.insert(user.id.clone(), Arc::new(principal));
            customers.push(user.id);
            bar.at(number as u64 + 1, plan.actors.len() as u64);
        }
        let teller = Principal::customer("cus_seed_teller").with_role("teller");
        people.insert(TELLER.to_owned(), Arc::new(teller));
        let mut builder =
            Gateway::builder().name(GATEWAY).authenticate(AsAnybody::new(people)).address_limit(NO_LIMIT);
        for class in ["default", "login", "registration", "lookup", "activity", "pages"] {
            builder = builder.rate_limit(class, NO_LIMIT);
        }
        for part in Part::SERVICES {
            builder = builder.caller(part.name(), files.caller_keys(part.name())?);
        }
        // Nobody signs in here, and nobody looks for payees.
        for part in [&accounts, &transactions] {
            builder = builder.service(part.service.api().clone(), Upstream::local(part.service.clone()));
        }
        let gateway = builder.build().map_err(Fatal::new)?;
        late.arrive(gateway.internal());
        let parts = vec![accounts, transactions, identity];
        Ok(Self { plan: Arc::new(plan), clock, begins, parts, gateway, customers })
    }

    /// Everybody opens an account, and then one day follows the other.
    async fn live(&self) -> Result<(), Fatal> {
        let failed =
            |error: CallError| Fatal::caused("seeding stopped, and goes on where it is said again", &error);
        let mut accounts = Vec::new();
        for (at, customer) in self.customers.iter().enumerate() {
            let new = accounts::wire::NewAccount::new(Currency::EUR).name("Everyday");
            let client = self.client(customer)?;
            let opened = client
                .call(accounts::endpoints::OPEN, &new)
                .key(&key(&format!("seed-account-{at}"))?)
                .send()
                .await;
            accounts.push(opened.map_err(failed)?.id);
        }
        let deposit = accounts::wire::NewDeposit {
            account: accounts[Plan::PAYROLL].clone(),
            amount: Money::from_minor(self.plan.payroll_cents, Currency::EUR),
            reference: Some("Opening capital".to_owned()),
        };
        let teller = self.client(TELLER)?;
        let deposited =
            teller.call(accounts::endpoints::DEPOSIT, &deposit).key(&key("seed-capital")?).send().await;
        deposited.map_err(failed)?;

        let accounts = Arc::new(accounts);
        let mut bar = Progress::new("payments", "payments");
        let plan = self.plan.clone();
        let mut done = 0;
        for hour in plan.payments.chunk_by(|one, other| one.at == other.at) {
            let now = self.begins.saturating_add(hour[0].at);
            self.clock.advance(now.since(self.clock.now()));
            for together in hour.chunks(AT_ONCE) {
                let mut paying = JoinSet::new();
                for payment in together {
                    let client = self.client(&self.customers[payment.from])?;
                    paying.spawn(pay(client, payment.clone(), accounts.clone()));
                }
                while let Some(paid) = paying.join_next().await {
                    paid.map_err(Fatal::new)??;
                }
                done += together.len();
                bar.at(done as u64, plan.payments.len() as u64);
            }
        }
        Ok(())
    }

    fn client(&self, customer: &str) -> Result<Client, Fatal> {
        Client::new(self.gateway.clone()).bearer(customer).map_err(Fatal::new)
    }

    async fn end(&self) {
        crate::run::end(&self.parts).await;
    }
}

/// Who pays the capital in.
const TELLER: &str = "teller";

async fn pay(client: Client, payment: Payment, accounts: Arc<Vec<String>>) -> Result<(), Fatal> {
    let transfer = transactions::wire::NewTransfer {
        from: accounts[payment.from].clone(),
        to: accounts[payment.to].clone(),
        amount: Money::from_minor(payment.cents, Currency::EUR),
        reference: Some(payment.reference.to_owned()),
    };
    let sent = client.call(transactions::endpoints::CREATE, &transfer).key(&key(&payment.key)?).send().await;
    match sent {
        // Some lack the money for it, as in life.
        Ok(_) => Ok(()),
        Err(error) => Err(Fatal::caused("seeding stopped, and goes on where it is said again", &error)),
    }
}

fn key(text: &str) -> Result<IdempotencyKey, Fatal> {
    IdempotencyKey::parse(text).map_err(Fatal::new)
}
