//! Starts what was asked for, serves until a signal comes, and ends in order.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bank_gateway::{Gateway, PerCore, Tls};
use bank_sdk::serve::{Limits, Plain, serve};
use bank_stores::Items;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::{Command, Options, Part, TlsChoice};
use crate::banner::Welcome;
use crate::config::{self, Config};
use crate::demo::DemoUsers;
use crate::edge::{Ground, Services, gateway};
use crate::files::Files;
use crate::parts::{self, Around, LateGateway, Running};
use crate::progress::Progress;
use crate::seal::{self, Seal};
use crate::store_calls::StoreCalls;
use crate::terminal::print;
use crate::{Fatal, backup, logging, stores};

/// How long a thread that hashed a password waits for the next one; as in the gateway, so that its end gives 19 MiB back.
const IDLE: Duration = Duration::from_millis(1_200);
/// How often a part without an admin listener logs what its caches count.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn run(command: Command) -> Result<(), Fatal> {
    let answer = match command {
        Command::Run(options) => return serve_until_stopped(options),
        Command::Print(text) => text,
        Command::Check { options, started, as_json } => config::check(options, started, as_json)?,
        Command::ShowConfig { options, as_json } => config::show(&options, as_json)?,
        Command::ConfigReference => config::reference(),
        Command::VerifyAudit { file, head, as_json } => {
            crate::audit_command::verify(&file, head.as_deref(), as_json)?
        }
        Command::Status { options, as_json } => {
            let config = Config::read_beside(options)?;
            alone(crate::status::run(config.admin, as_json))?
        }
        Command::Ledger { what, options, as_json } => {
            let config = finished(options)?;
            alone(crate::ledger::run(&what, &config, as_json))?
        }
        Command::Seal { what, options, as_json } => {
            let config = finished(options)?;
            alone(crate::seal_command::run(&what, &config, as_json))?
        }
        Command::User(what, options) => {
            let config = finished(options)?;
            alone(crate::users::run(what, &config))?
        }
        Command::Doctor { options, as_json } => {
            let config = Config::read_beside(options)?;
            alone(crate::doctor::run(&config, as_json))?
        }
        Command::Backup { directory, without, options } => {
            let config = finished(options)?;
            alone(backup::backup(&config, &directory, &without, &mut bars()))?
        }
        Command::Restore { directory, what, options } => {
            let config = Config::read_beside(options)?;
            alone(backup::restore(&config, &directory, &what, &mut bars()))?
        }
        Command::Seed(seed, options) => {
            let config = finished(options)?;
            alone(crate::seed::run(seed, &config))?
        }
    };
    if !answer.is_empty() {
        print(answer.trim_end());
    }
    Ok(())
}

/// The configuration of a command that is not for data that is half restored.
fn finished(options: Options) -> Result<Config, Fatal> {
    let config = Config::read_beside(options)?;
    backup::check_finished(&config.data)?;
    Ok(config)
}

/// A bar for each step of a longer piece of work.
fn bars() -> impl FnMut(&'static str, u64, u64) + Send {
    let mut current: Option<(&'static str, Progress)> = None;
    move |step, done, of| {
        if current.as_ref().is_none_or(|(name, _)| *name != step) {
            current = Some((step, Progress::new(step, "done")));
        }
        if let Some((_, bar)) = &mut current {
            bar.at(done, of);
        }
    }
}

/// A command beside the bank, on one thread.
fn alone<T>(work: impl Future<Output = Result<T, Fatal>>) -> Result<T, Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fatal::caused("no runtime can be started", &error))?;
    runtime.block_on(work)
}

/// The bank, or a part of it.
fn serve_until_stopped(options: Options) -> Result<(), Fatal> {
    let config = Config::read(options)?;
    backup::check_finished(&config.data)?;
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(IDLE)
        .enable_all()
        .build()
        .map_err(|error| Fatal::caused("no runtime can be started", &error))?;
    runtime.block_on(async {
        let files = Files::open(&config.data)?;
        match config.part {
            None => everything(&config, files).await,
            Some(Part::Gateway) => gateway_alone(&config, files).await,
            Some(part) => part_alone(&config, files, part).await,
        }
    })
}

/// The whole bank in this process.
async fn everything(config: &Config, files: Files) -> Result<(), Fatal> {
    let front = Front::bind(config)?;
    let demo = config.demo.then(|| DemoUsers::load_or_create(&files)).transpose()?;
    let late = LateGateway::default();
    let calls = StoreCalls::default();
    let seal = Seal::open(&config.seal, &files, true).await?.counted(calls.clone());
    let around = Around::here(files.clone(), late.clone(), seal, calls.clone());
    let accounts = parts::accounts(&around, config.place(Part::Accounts), config.keep_events).await?;
    let transactions =
        parts::transactions(&around, config.place(Part::Transactions), config.keep_events).await?;
    let cache = stores::shared_cache(&config.shared).await?;
    let identity = parts::identity(&around, config.place(Part::Identity), cache, demo.as_ref()).await?;
    let partners = parts::partners(&around, config.place(Part::Partners)).await?;
    let services = [&accounts, &transactions, &identity.running, &partners].map(|part| part.service.clone());
    let port = front.public.address().port();
    let ground = Ground { files, items: identity.items, port, cache: Some(identity.cache), calls };
    let gateway = gateway(config, &ground, Services::Here(services.into())).await?;
    late.arrive(gateway.internal());
    let demo = demo.map(|demo| Demo { users: demo, known: identity::Users::new(ground.items.clone()) });
    front.serve(config, &gateway, demo.as_ref(), None).await?;
    end(&[accounts, transactions, identity.running, partners]).await;
    Ok(())
}

/// The gateway, in front of parts that are processes of their own.
async fn gateway_alone(config: &Config, files: Files) -> Result<(), Fatal> {
    let front = Front::bind(config)?;
    let internal = bind("--internal", config.internal).await?;
    let demo = config.demo.then(|| DemoUsers::load_or_create(&files)).transpose()?;
    let calls = StoreCalls::default();
    let items: Arc<dyn Items> = stores::identity_readers(&files, config.place(Part::Identity)).await?;
    let items = calls.items(Part::Identity.name(), items);
    // Identity keeps its data keys beside its data.
    let seal = Seal::open(&config.seal, &files, true).await?;
    let keys = seal.keys_in(Part::Identity, items.clone());
    stores::waiting("identity has not made its keys yet", || keys.ready()).await?;
    let items: Arc<dyn Items> = Arc::new(seal::items(items, &keys, Part::Identity));
    let cache = stores::shared_cache(&config.shared).await?;
    let cache = cache.map(|shared| seal::cache(calls.cache(Part::Identity.name(), shared), &keys));
    let ground = Ground { files, items, port: front.public.address().port(), cache, calls };
    let gateway = gateway(config, &ground, Services::There).await?;
    let demo = demo.map(|demo| Demo { users: demo, known: identity::Users::new(ground.items.clone()) });
    front.serve(config, &gateway, demo.as_ref(), Some(internal)).await
}

/// One service.
async fn part_alone(config: &Config, files: Files, part: Part) -> Result<(), Fatal> {
    let listener = bind("--listen", config.listen).await?;
    let demo = config.demo.then(|| DemoUsers::load_or_create(&files)).transpose()?;
    // A part by itself has no admin listener: its calls have spans, and what its caches count is in its log.
    let calls = StoreCalls::default();
    let logging = tokio::spawn(calls.clone().log(LOGGED_EVERY));
    let seal = Seal::open(&config.seal, &files, true).await?.counted(calls.clone());
    let around = Around::there(files, config.internal, seal, calls)?;
    let running = match part {
        Part::Accounts => parts::accounts(&around, config.place(Part::Accounts), config.keep_events).await?,
        Part::Transactions => {
            parts::transactions(&around, config.place(Part::Transactions), config.keep_events).await?
        }
        Part::Identity => {
            let cache = stores::shared_cache(&config.shared).await?;
            let identity =
                parts::identity(&around, config.place(Part::Identity), cache, demo.as_ref()).await?;
            if let Some(demo) = &demo {
                demo.print();
            }
            identity.running
        }
        Part::Partners => parts::partners(&around, config.place(Part::Partners)).await?,
        Part::Gateway => return Ok(()),
    };
    let stop = stop_signal()?;
    announce("listening", "http", listener.local_addr().map_err(Fatal::new)?);
    serve(listener, running.service.clone()).shutdown(stop).await.map_err(Fatal::new)?;
    logging.abort();
    end(&[running]).await;
    Ok(())
}

/// Ends what runs beside the services, then closes their stores.
pub(crate) async fn end(parts: &[Running]) {
    parts.iter().flat_map(|part| &part.background).for_each(tokio::task::JoinHandle::abort);
    for part in parts {
        for store in &part.stores {
            store.close().await;
        }
    }
}

/// The demo's users, and where it is seen who is there.
struct Demo {
    users: DemoUsers,
    known: identity::Users,
}

/// The addresses that the gateway serves, bound before anything else is done: what is in use is found out at once.
struct Front {
    public: PerCore,
    admin: std::net::TcpListener,
}

impl Front {
    fn bind(config: &Config) -> Result<Self, Fatal> {
        let in_use = |name: &str, address, error: &dyn std::error::Error| {
            Fatal::caused(format!("{name} {address}"), error)
        };
        let public = PerCore::bind(config.listen, config.threads)
            .map_err(|e| in_use("--listen", config.listen, &e))?;
        let admin = std::net::TcpListener::bind(config.admin)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| in_use("--admin", config.admin, &error))?;
        Ok(Self { public, admin })
    }

    /// Serves until a signal comes and requests in flight are done.
    async fn serve(
        self,
        config: &Config,
        gateway: &Gateway,
        demo: Option<&Demo>,
        internal: Option<TcpListener>,
    ) -> Result<(), Fatal> {
        let admin = TcpListener::from_std(self.admin).map_err(Fatal::new)?;
        let stop = stop_signal()?;
        let (stopping, stopped) = watch::channel(false);
        let until_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            }
        };
        let admin_address = admin.local_addr().map_err(Fatal::new)?;
        let admin = tokio::spawn(serve(admin, gateway.admin()).shutdown(until_stopped()).into_future());
        let internal = internal.map(|listener| {
            tokio::spawn(serve(listener, gateway.internal()).shutdown(until_stopped()).into_future())
        });
        let address = self.public.address();
        let signal = until_stopped();
        let (server, served) = (self.public, gateway.clone());
        let tls = tls(config)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let public = tokio::spawn(async move {
            match tls {
                Some(tls) => server.serve(served, tls, Limits::default(), signal).await,
                None => server.serve(served, Plain, Limits::default(), signal).await,
            }
        });
        if let Some(demo) = demo {
            demo.users.fund(gateway, &demo.known).await?;
            demo.users.print();
        }
        announce("admin", "http", admin_address);
        announce("listening", scheme, address);
        if let Some(demo) = demo
            && std::io::stdout().is_terminal()
        {
            let welcome = Welcome {
                bank: format!("{scheme}://{address}"),
                admin: format!("http://{admin_address}/admin/"),
                data: &config.data,
                users: demo.users.users(),
            };
            print(&welcome.to_string());
        }
        stop.await;
        stopping.send_replace(true);
        public.await.map_err(Fatal::new)?.map_err(Fatal::new)?;
        admin.await.map_err(Fatal::new)?.map_err(Fatal::new)?;
        if let Some(internal) = internal {
            internal.await.map_err(Fatal::new)?.map_err(Fatal::new)?;
        }
        Ok(())
    }
}

fn tls(config: &Config) -> Result<Option<Tls>, Fatal> {
    let tls = match &config.tls {
        None => return Ok(None),
        Some(TlsChoice::Development) => Tls::development(&config.data.join("tls")),
        Some(TlsChoice::Files(certificate, key)) => Tls::files(certificate, key),
    };
    tls.map(Some).map_err(|error| Fatal::caused("--tls", &error))
}

async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, Fatal> {
    TcpListener::bind(address).await.map_err(|error| Fatal::caused(format!("{name} {address}"), &error))
}

/// Completes at SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Fatal> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Fatal::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fatal::new)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn announce(what: &str, scheme: &str, address: SocketAddr) {
    print(&format!("{what} on {scheme}://{address}"));
}
