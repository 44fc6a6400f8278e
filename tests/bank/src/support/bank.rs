//! The bank as it is run: one process, or five and a second gateway.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use super::customer::{Customer, euros};
use super::process::Process;
use super::servers::{Places, Servers};
use edge_tests::{Client, HeldPort, Request, until, until_ok};

/// How a bank is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All in one process.
    One,
    /// A process for each part, and a second gateway.
    Five,
    /// The same on servers, and two copies of every part.
    OnServers,
}

/// A process of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything.
    All,
    /// The edge.
    Gateway,
    /// Another copy of the edge.
    SecondGateway,
    /// The ledger's service.
    Accounts,
    /// Another copy of it.
    SecondAccounts,
    /// The transfers' service.
    Transactions,
    /// Another copy of it.
    SecondTransactions,
    /// The users' and sessions' service.
    Identity,
    /// Another copy of it.
    SecondIdentity,
    /// The notifications' service.
    Partners,
    /// Another copy of it.
    SecondPartners,
}

impl Part {
    const FIVE: [Self; 6] = [
        Self::Identity,
        Self::Accounts,
        Self::Transactions,
        Self::Partners,
        Self::Gateway,
        Self::SecondGateway,
    ];

    const ON_SERVERS: [Self; 10] = [
        Self::Identity,
        Self::SecondIdentity,
        Self::Accounts,
        Self::SecondAccounts,
        Self::Transactions,
        Self::SecondTransactions,
        Self::Partners,
        Self::SecondPartners,
        Self::Gateway,
        Self::SecondGateway,
    ];

    /// Of which service it is another copy, and at which of the bank's ports it listens.
    const fn copy_of(self) -> Option<(&'static str, usize)> {
        match self {
            Self::SecondAccounts => Some(("accounts", 7)),
            Self::SecondTransactions => Some(("transactions", 8)),
            Self::SecondIdentity => Some(("identity", 9)),
            Self::SecondPartners => Some(("partners", 10)),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::All => "bank",
            Self::Gateway => "gateway",
            Self::SecondGateway => "gateway-2",
            Self::Accounts => "accounts",
            Self::SecondAccounts => "accounts-2",
            Self::Transactions => "transactions",
            Self::SecondTransactions => "transactions-2",
            Self::Identity => "identity",
            Self::SecondIdentity => "identity-2",
            Self::Partners => "partners",
            Self::SecondPartners => "partners-2",
        }
    }

    /// Where it answers customers, the `listening on` line is followed by one for the admin listener.
    const fn is_edge(self) -> bool {
        matches!(self, Self::All | Self::Gateway | Self::SecondGateway)
    }
}

/// A bank that runs, on a data directory of its own.
#[derive(Debug)]
pub struct Bank {
    program: PathBuf,
    shape: Shape,
    directory: TempDir,
    more: Vec<String>,
    variables: Vec<(String, String)>,
    processes: HashMap<Part, Process>,
    edges: HashMap<Part, Addresses>,
    /// Where its processes listen, in every life that they have.
    ports: Vec<HeldPort>,
    staff: Mutex<HashMap<String, Customer>>,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    outside: SocketAddr,
    admin: SocketAddr,
}

impl Bank {
    /// Starts a bank with its demo users, and waits until it serves.
    #[must_use]
    pub fn start(program: &Path, shape: Shape) -> Self {
        Self::start_with(program, shape, &["--demo"])
    }

    /// Starts a bank with these arguments on every command line.
    #[must_use]
    pub fn start_with(program: &Path, shape: Shape, more: &[&str]) -> Self {
        Self::start_configured(program, shape, more, "")
    }

    /// Starts a bank of several processes with more in the file that tells them where each other is.
    #[must_use]
    pub fn start_configured(program: &Path, shape: Shape, more: &[&str], configuration: &str) -> Self {
        let places = match shape {
            Shape::OnServers => Servers::shared("the bank on servers").expect("who asks has looked").places(),
            _ => Places::default(),
        };
        Self::start_in(program, shape, more, configuration, &places)
    }

    /// Starts a bank of one process with these arguments, and these variables in its environment.
    #[must_use]
    pub fn start_with_variables(program: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut bank = Self::new(program, Shape::One, more);
        bank.variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        bank.start_missing();
        bank
    }

    /// Starts two copies of each part, with its demo users, on servers of the test's own.
    #[must_use]
    pub fn start_on(program: &Path, servers: &Servers) -> Self {
        Self::start_in(program, Shape::OnServers, &["--demo"], "", &servers.places())
    }

    fn start_in(program: &Path, shape: Shape, more: &[&str], configuration: &str, places: &Places) -> Self {
        let mut bank = Self::new(program, shape, more);
        if shape != Shape::One {
            bank.ports.resize_with(11, HeldPort::new);
            std::fs::write(bank.config(), bank.parts_in(places) + configuration).unwrap();
        }
        bank.start_missing();
        bank
    }

    /// A bank that is not started.
    fn new(program: &Path, shape: Shape, more: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("bank-test-").tempdir().unwrap();
        Self {
            program: program.to_owned(),
            shape,
            directory,
            more: more.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            processes: HashMap::new(),
            edges: HashMap::new(),
            ports: Vec::new(),
            staff: Mutex::default(),
        }
    }

    /// Where its data is.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The file that tells five processes where each other is.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("bank.toml")
    }

    fn parts_in(&self, places: &Places) -> String {
        let at: Vec<SocketAddr> = self.ports.iter().map(HeldPort::address).collect();
        let mut text = format!(
            "data = {:?}\n[gateway]\nlisten = \"{}\"\nadmin = \"{}\"\ninternal = \"{}\"\n",
            self.data(),
            at[0],
            at[1],
            at[2]
        );
        let Places { accounts, transactions, identity, partners, shared } = places;
        let services = [
            ("accounts", accounts),
            ("transactions", transactions),
            ("identity", identity),
            ("partners", partners),
        ];
        for (index, (name, place)) in services.into_iter().enumerate() {
            text += &format!("[{name}]\nlisten = \"{}\"\n{place}", at[3 + index]);
            if self.shape == Shape::OnServers {
                let (one, other) = (at[3 + index], at[7 + index]);
                text +=
                    &format!("[edge.upstreams.{name}]\nendpoints = [\"http://{one}\", \"http://{other}\"]\n");
            }
        }
        text + shared
    }

    /// The processes that this bank has.
    #[must_use]
    pub const fn parts(&self) -> &'static [Part] {
        match self.shape {
            Shape::One => &[Part::All],
            Shape::Five => &Part::FIVE,
            Shape::OnServers => &Part::ON_SERVERS,
        }
    }

    fn arguments(&self, part: Part) -> Vec<String> {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let data = self.data().display().to_string();
        let config = self.config().display().to_string();
        let anywhere = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let mut arguments = match part {
            Part::All => [own(&["--data", &data]), own(&anywhere)].concat(),
            Part::SecondGateway => {
                [own(&["gateway", "--config", &config]), own(&anywhere), own(&["--internal", "127.0.0.1:0"])]
                    .concat()
            }
            part if let Some((service, port)) = part.copy_of() => {
                let listen = self.ports[port].address().to_string();
                own(&[service, "--config", &config, "--listen", &listen])
            }
            part => own(&[part.name(), "--config", &config]),
        };
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    /// Starts every process that does not run, and waits until all of them serve.
    pub fn start_missing(&mut self) {
        let missing: Vec<Part> =
            self.parts().iter().copied().filter(|part| !self.processes.contains_key(part)).collect();
        for part in &missing {
            let process = Process::start_with(
                &self.program,
                &self.arguments(*part),
                part.name(),
                self.directory.path(),
                &self.variables,
            );
            self.processes.insert(*part, process);
        }
        for part in missing {
            let process = self.processes.get_mut(&part).unwrap();
            let outside = address(&process.printed("listening on "));
            if part.is_edge() {
                let admin = address(&process.printed("admin on "));
                self.edges.insert(part, Addresses { outside, admin });
            }
        }
        let client = self.client();
        until("the bank to be ready", || {
            let ready = self.edges.keys().all(|part| {
                let client = self.client_of(*part);
                client.try_send(Request::get("/readyz")).is_ok_and(|answer| answer.status == 200)
            });
            (ready && client.try_send(Request::get("/healthz")).is_ok_and(|answer| answer.status == 200))
                .then_some(())
        });
    }

    /// Ends a process as a power cut would.
    pub fn kill(&mut self, part: Part) {
        self.processes.remove(&part).unwrap().kill();
    }

    /// Asks every process to end, and returns how each did.
    pub fn stop(&mut self) -> Vec<(Part, std::process::ExitStatus)> {
        for process in self.processes.values() {
            process.signal("TERM");
        }
        let mut ended: Vec<_> =
            self.processes.drain().map(|(part, mut process)| (part, process.ended())).collect();
        ended.sort_by_key(|(part, _)| part.name());
        ended
    }

    /// Sends a signal to one process.
    pub fn signal(&self, part: Part, name: &str) {
        self.processes[&part].signal(name);
    }

    /// How a process ends that was told to.
    pub fn ended(&mut self, part: Part) -> std::process::ExitStatus {
        self.processes.remove(&part).unwrap().ended()
    }

    /// Whether a process runs.
    pub fn is_running(&mut self, part: Part) -> bool {
        self.processes.get_mut(&part).is_some_and(Process::is_running)
    }

    /// The memory that a process holds, in kilobytes (`VmRSS`).
    #[must_use]
    pub fn memory(&self, part: Part) -> u64 {
        self.processes[&part].memory()
    }

    /// What a process printed.
    #[must_use]
    pub fn printed(&self, part: Part) -> Vec<String> {
        self.processes[&part].lines()
    }

    /// What a process wrote to standard error, in all its lives.
    #[must_use]
    pub fn errors(&self, part: Part) -> String {
        let file = self.directory.path().join(format!("{}.stderr", part.name()));
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// A client of all gateways.
    #[must_use]
    pub fn client(&self) -> Client {
        let mut edges: Vec<_> = self.edges.iter().collect();
        edges.sort_by_key(|(part, _)| part.name());
        Client::new(edges.into_iter().map(|(_, addresses)| addresses.outside).collect())
    }

    /// A client of one gateway.
    #[must_use]
    pub fn client_of(&self, part: Part) -> Client {
        Client::new(vec![self.edges[&part].outside])
    }

    /// A client of the admin listener.
    #[must_use]
    pub fn admin(&self) -> Client {
        let part = if self.shape == Shape::One { Part::All } else { Part::Gateway };
        Client::new(vec![self.edges[&part].admin])
    }

    /// The address of that listener.
    #[must_use]
    pub fn admin_address(&self) -> String {
        let part = if self.shape == Shape::One { Part::All } else { Part::Gateway };
        self.edges[&part].admin.to_string()
    }

    /// A client of the listener on which services call the gateway; there is one with five processes only.
    #[must_use]
    pub fn internal(&self) -> Option<Client> {
        let text = std::fs::read_to_string(self.config()).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("internal = "))?;
        Some(Client::new(vec![line.trim_matches('"').parse().unwrap()]))
    }

    /// The password of a demo user, as printed.
    ///
    /// # Panics
    /// Where none was printed.
    #[must_use]
    pub fn demo_password(&self, name: &str) -> String {
        let start = format!("demo {name} ");
        // What it printed may still be on its way.
        until_ok("the password of a demo user", || {
            let lines: Vec<String> = self.processes.values().flat_map(Process::lines).collect();
            let found = lines.iter().find_map(|line| Some(line.strip_prefix(&start)?.to_owned()));
            found.ok_or_else(|| format!("no `{start}…` among {lines:?}"))
        })
    }

    /// A member of staff, signed in once for all tests.
    #[must_use]
    pub fn staff(&self, name: &str) -> Customer {
        let mut staff = self.staff.lock().unwrap();
        if let Some(known) = staff.get(name) {
            return known.clone();
        }
        let signed_in = Customer::sign_in(&self.client(), name, &self.demo_password(name));
        staff.insert(name.to_owned(), signed_in.clone());
        signed_in
    }

    /// A new customer with a name of their own, signed in.
    #[must_use]
    pub fn customer(&self) -> Customer {
        Customer::register(&self.client())
    }

    /// A new customer with an account in euros that holds this many cents.
    #[must_use]
    pub fn customer_with(&self, cents: i64) -> (Customer, String) {
        let customer = self.customer();
        let account = customer.open_account("EUR");
        if cents > 0 {
            self.deposit(&account, cents);
        }
        (customer, account)
    }

    /// Pays cash into an account.
    pub fn deposit(&self, account: &str, cents: i64) {
        let body = serde_json::json!({ "account": account, "amount": euros(cents) });
        self.staff("teller")
            .post_keyed("/v1/deposits", &super::customer::fresh("deposit"), &body)
            .expect(201);
    }
}

fn address(url: &str) -> SocketAddr {
    let rest = url.split_once("://").unwrap_or_else(|| panic!("no address: {url}")).1;
    rest.trim_end_matches('/').parse().unwrap_or_else(|_| panic!("no address: {url}"))
}

/// The bank that the tests of one program share. It ends with that program.
#[must_use]
pub fn shared(program: &Path, module: &str) -> &'static Bank {
    static SHARED: OnceLock<Bank> = OnceLock::new();
    let shape = match module {
        module if module.starts_with("five_processes") => Shape::Five,
        module if module.starts_with("on_servers") => Shape::OnServers,
        _ => Shape::One,
    };
    SHARED.get_or_init(|| Bank::start(program, shape))
}

/// Runs the program to its end, and returns its status and what it wrote to standard output and standard error.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn exit_of(program: &Path, arguments: &[&str], directory: &Path) -> (Option<i32>, String, String) {
    let output =
        Command::new(program).args(arguments).current_dir(directory).env_remove("BANK_LOG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The one line that a refusal to start consists of.
///
/// # Panics
/// Where there are more, or none.
#[must_use]
#[track_caller]
pub fn line_of(errors: &str) -> &str {
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 1, "one line was promised: {errors}");
    lines[0]
}
