//! What MongoDB's role costs beside the calls of its driver for the same work, with the same concerns: reads of one document are
//! linearizable, pages are what a majority has, writes wait for a majority and its journals. The server of MongoDB's protocol that the
//! tests use is started by the program.
//!
//! | Aim | At most |
//! | --- | --- |
//! | a role's call against the driver's: latency | 1.15 times |
//! | the same: CPU of this process | 15 µs more |
#![allow(clippy::print_stdout, reason = "the program's purpose")]
#![allow(clippy::float_arithmetic, reason = "times and ratios, never money")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bank_benches::Failure;
use bank_benches::arguments::{Arguments, program};
use bank_benches::calls::{CPU_AIM, Compared, LATENCY_AIM, Plan, Work, compare};
use bank_benches::process::unless_signalled;
use bank_stores::documents::{Collection as Declaration, DocumentChange, DocumentWrite, Find};
use bank_stores::mongodb::{MongoDocuments, MongoOptions};
use bank_stores::{Clock as _, Consistency, Documents as _, DocumentsExt as _, PageRequest, SystemClock};
use bank_tests::JavaServer;
use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};
use mongodb::{Client, Collection};
use serde_json::{Value, json};

const HELP: &str = "\
mongodb_calls [OPTIONS]

Options:
  --seconds N     how long each turn is (1)
  --rounds N      how many turns each way has (5)
  --in-flight N   how many calls at once (1)";

/// As the bank's own program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DATABASE: &str = "bench";
const COLLECTION: &str = "partners";
/// How many documents there are to be read.
const HELD: u64 = 500;
/// How many a page has.
const PAGE: u32 = 50;
/// How long the role waits for an answer.
const DEADLINE: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Get,
    Replace,
    Find,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Get, "get / find_one"),
    (Kind::Replace, "replace / replace_one"),
    (Kind::Find, "find / find, 50 documents"),
];

/// The role and the driver on one collection.
#[derive(Debug)]
struct Calls {
    documents: MongoDocuments,
    driver: Collection<Document>,
    next: AtomicU64,
    /// The version of each caller's own document, which the role replaces.
    versions: Vec<AtomicU64>,
    /// Each caller's own document, which the driver replaces, and its version.
    rows: Vec<(Document, AtomicI64)>,
}

fn main() -> ExitCode {
    program("mongodb_calls", HELP, |_, arguments| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(unless_signalled(run(arguments)))
    })
}

async fn run(mut arguments: Arguments) -> Result<bool, Failure> {
    let plan = Plan::take(&mut arguments)?;
    arguments.finish()?;
    let start = || JavaServer::mongo("mongodb_calls");
    let server = tokio::task::block_in_place(start).ok_or("there is no server of MongoDB's protocol")?;
    let work = Arc::new(Calls::prepare(server.port(), plan.in_flight).await?);
    let compared = compare(&work, &KINDS, &plan).await?;
    println!(
        "calls, {} in flight, {} rounds of {} s; medians, and the lowest and highest round; aims: at most {LATENCY_AIM} of the latency, {CPU_AIM} µs more CPU\n{}",
        plan.in_flight,
        plan.rounds,
        plan.time.as_secs(),
        Compared::title()
    );
    compared.iter().for_each(|compared| println!("{compared}"));
    work.documents.close().await;
    Ok(true)
}

impl Calls {
    /// Writes what is read and replaced.
    async fn prepare(port: u16, callers: usize) -> Result<Self, Failure> {
        let url = format!("mongodb://127.0.0.1:{port}/{DATABASE}");
        let documents = MongoDocuments::open(MongoOptions::new(&url)?).await?;
        documents.declare(&Declaration::new(COLLECTION).unique("email", ["email"]).sorted("name")).await?;
        for number in 0..HELD {
            insert(&documents, &held(number)).await?;
        }
        let driver = driver(&url).await?.database(DATABASE).collection(&format!("documents.{COLLECTION}"));
        let (mut versions, mut rows) = (Vec::new(), Vec::new());
        for caller in 0..callers {
            let version = insert(&documents, &format!("z-role-{caller}")).await?;
            versions.push(AtomicU64::new(version));
            let id = format!("z-driver-{caller}");
            insert(&documents, &id).await?;
            let row: Document = driver.find_one(doc! { "_id": &id }).await?.ok_or_else(|| missing(&id))?;
            let version = row.get_i64("v")?;
            rows.push((row, AtomicI64::new(version)));
        }
        Ok(Self { documents, driver, next: AtomicU64::new(0), versions, rows })
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    async fn driver_get(&self) -> Result<(), Failure> {
        let id = held(self.next() % HELD);
        let call = self
            .driver
            .find_one(doc! { "_id": &id })
            .projection(doc! { "k": 0, "s": 0, "w": 0, "f": 0 })
            .read_concern(ReadConcern::linearizable())
            .max_time(DEADLINE);
        call.await?.map(drop).ok_or_else(|| missing(&id))
    }

    /// The row that the role's replacing leaves, at the version that was read.
    async fn driver_replace(&self, caller: usize) -> Result<(), Failure> {
        let (row, held) = &self.rows[caller];
        let (expected, number) = (held.load(Ordering::Relaxed), self.next());
        let version = i64::try_from(number)? | 1 << 62;
        let mut row = row.clone();
        row.insert("v", version);
        row.insert("w", format!("driver-{number}"));
        let filter = doc! { "_id": row.get_str("_id")?, "v": expected };
        let replaced = self.driver.replace_one(filter, row).write_concern(write_concern()).await?;
        held.store(version, Ordering::Relaxed);
        if replaced.matched_count == 1 { Ok(()) } else { Err("replace_one found another version".into()) }
    }

    async fn driver_find(&self) -> Result<(), Failure> {
        let now = SystemClock::new().now().micros();
        let alive = doc! { "$or": [ { "x": { "$exists": false } }, { "x": { "$gt": now } } ] };
        let mut cursor = self
            .driver
            .find(doc! { "$and": [alive] })
            .sort(doc! { "_id": 1 })
            .limit(i64::from(PAGE) + 1)
            .projection(doc! { "k": 0, "w": 0, "f": 0 })
            .read_concern(ReadConcern::majority())
            .await?;
        let mut found = Vec::new();
        while cursor.advance().await? {
            found.push(cursor.deserialize_current()?);
        }
        if found.len() == PAGE as usize + 1 {
            Ok(())
        } else {
            Err(format!("find gave {}", found.len()).into())
        }
    }
}

impl Work for Calls {
    type Kind = Kind;

    async fn by_role(&self, kind: Kind, caller: usize) -> Result<(), Failure> {
        match kind {
            Kind::Get => {
                let id = held(self.next() % HELD);
                let found = self.documents.get(COLLECTION, &id, Consistency::Current).await?;
                found.map(drop).ok_or_else(|| missing(&id))
            }
            Kind::Replace => {
                let (number, version) = (self.next(), &self.versions[caller]);
                let id = format!("z-role-{caller}");
                let replace = DocumentChange::replace(&*id, version.load(Ordering::Relaxed), &body(&id))?;
                let write = DocumentWrite::new(format!("role-{number}"), replace);
                version.store(self.documents.write_one(COLLECTION, write).await?.version, Ordering::Relaxed);
                Ok(())
            }
            Kind::Find => {
                let find = Find::all().page(PageRequest::first(PAGE));
                match self.documents.find(COLLECTION, &find).await?.items.len() {
                    found if found == PAGE as usize => Ok(()),
                    found => Err(format!("the page has {found} documents").into()),
                }
            }
        }
    }

    async fn by_driver(&self, kind: Kind, caller: usize) -> Result<(), Failure> {
        match kind {
            Kind::Get => self.driver_get().await,
            Kind::Replace => self.driver_replace(caller).await,
            Kind::Find => self.driver_find().await,
        }
    }
}

/// A client with the settings that the role's own has.
async fn driver(url: &str) -> Result<Client, Failure> {
    let mut options = ClientOptions::parse(url).await?;
    options.direct_connection = Some(true);
    options.app_name = Some("bank-benches".to_owned());
    options.connect_timeout = Some(Duration::from_secs(2));
    options.server_selection_timeout = Some(Duration::from_secs(2));
    options.max_pool_size = Some(32);
    options.max_connecting = Some(4);
    options.write_concern = Some(write_concern());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Ok(Client::with_options(options)?)
}

fn write_concern() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .w_timeout(Duration::from_secs(2))
        .build()
}

/// The version of a new document.
async fn insert(documents: &MongoDocuments, id: &str) -> Result<u64, Failure> {
    let insert = DocumentChange::insert(id, &body(id))?;
    Ok(documents.write_one(COLLECTION, DocumentWrite::new(format!("insert-{id}"), insert)).await?.version)
}

fn held(number: u64) -> String {
    format!("partner-{number:06}")
}

fn body(id: &str) -> Value {
    json!({
        "email": format!("{id}@example.com"),
        "name": format!("Partner {id}"),
        "active": true,
        "limits": { "daily": 100_000, "monthly": 1_000_000 },
        "tags": ["bench", "partner"],
        "note": "x".repeat(120),
    })
}

fn missing(id: &str) -> Failure {
    format!("{id} is not there").into()
}
