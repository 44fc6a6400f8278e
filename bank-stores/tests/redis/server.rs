//! Redis servers of the tests' own, on free ports, which end with the test program, however it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bank_stores::redis::RedisOptions;
use tokio::time::Instant;

/// A running server.
pub(crate) struct Server {
    pub(crate) port: u16,
    pid: String,
    arguments: Vec<String>,
    directory: tempfile::TempDir,
    /// A shell that ends the server when this end of its input is closed.
    _keeper: Child,
}

impl Server {
    /// Starts a server with these arguments; nothing, and a word why, where there is no `redis-server`.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            assert!(std::env::var_os("BANK_TEST_REQUIRE").is_none(), "no redis-server: install it");
            eprintln!("skipped: no redis-server: install it");
            return None;
        }
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let directory = tempfile::tempdir().unwrap();
        // Somebody else may take a port between the two.
        let started = (0..20).find_map(|_| {
            let port = free_port();
            // A cluster's nodes talk over a port of their own, 10,000 above.
            if port > 55_000 {
                return None;
            }
            let (keeper, pid) = run(port, &arguments, directory.path());
            answers(port, &pid).then_some((port, keeper, pid))
        });
        let (port, keeper, pid) = started.expect("a server starts");
        Some(Self { port, pid, arguments, directory, _keeper: keeper })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as a failing machine would.
    pub(crate) fn kill(&self) {
        self.signal("-KILL");
    }

    /// Lets it stand still, or go on.
    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid]).status().unwrap().success());
    }

    /// Starts it again, on the same port, with nothing in it but what it has on disk.
    pub(crate) fn restart(&mut self) {
        for _ in 0..100 {
            let (keeper, pid) = run(self.port, &self.arguments, self.directory.path());
            if answers(self.port, &pid) {
                (self._keeper, self.pid) = (keeper, pid);
                return;
            }
        }
        panic!("it does not start again");
    }

    /// What it answers to a command.
    pub(crate) fn ask(&self, command: &str) -> String {
        ask(self.port, command).expect("it answers")
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(port: u16, arguments: &[String], directory: &std::path::Path) -> (Child, String) {
    let script = "redis-server \"$@\" >log 2>&1 </dev/null & echo $!; read -r _; kill -KILL $! 2>/dev/null";
    let mut keeper = Command::new("sh")
        .args(["-c", script, "sh", "--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    (keeper, pid.trim().to_owned())
}

fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = vec![0; 65_536];
    let read = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// Whether this server, and no other, answers on this port.
fn answers(port: u16, pid: &str) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Ok(answer) = ask(port, "INFO server")
            && answer.contains("process_id:")
        {
            return answer.contains(&format!("process_id:{pid}\r"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// The server that the tests of this program share.
pub(crate) fn shared() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&[])).as_ref()
}

/// Makes a cluster of these three, and waits until each of them says that it is whole.
pub(crate) fn join(nodes: &[Server]) {
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        assert!(node.ask(&format!("CLUSTER ADDSLOTSRANGE {slots}")).starts_with("+OK"));
        assert!(node.ask(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port)).starts_with("+OK"));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !nodes.iter().all(|node| {
        let info = node.ask("CLUSTER INFO");
        info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
    }) {
        assert!(Instant::now() < deadline, "the cluster does not come together");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The cluster that the tests of this program share: three primaries.
pub(crate) fn cluster() -> Option<RedisOptions> {
    static CLUSTER: OnceLock<Option<Vec<Server>>> = OnceLock::new();
    let nodes = CLUSTER.get_or_init(|| {
        let nodes: Vec<Server> = (0..3)
            .map(|_| Server::start(&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]))
            .collect::<Option<_>>()?;
        join(&nodes);
        Some(nodes)
    });
    let urls: Vec<String> = nodes.as_ref()?.iter().map(Server::url).collect();
    Some(own(RedisOptions::cluster(urls.iter().map(String::as_str)).unwrap()))
}

/// A server's options, with keys that no other test has.
pub(crate) fn fresh(server: &Server) -> RedisOptions {
    own(RedisOptions::new(&server.url()).unwrap())
}

/// With patience for a slow machine.
fn own(options: RedisOptions) -> RedisOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let (prefix, patience) = (NUMBER.fetch_add(1, Ordering::Relaxed), Duration::from_secs(20));
    let options = options.connect_timeout(patience).response_timeout(patience);
    options.prefix(&format!("t{prefix}")).unwrap()
}
