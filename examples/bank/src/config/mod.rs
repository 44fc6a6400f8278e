//! Addresses, directories and limits: from the command line, the environment, the file, or what holds where none of them says anything.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::Fatal;
use crate::args::{Options, Part, TlsChoice};
use crate::logging::LogSettings;
use crate::seal::SealSection;
use crate::terminal::complain;

mod commands;
mod document;
mod edge;
mod environment;
mod fault;
mod key;
mod keys;
mod part;
mod reference;
mod settings;
mod shared;
mod value;

pub(crate) use commands::{check, show};
pub(crate) use edge::EdgeSettings;
pub(crate) use environment::Environment;
use fault::{Fault, Origin};
pub(crate) use part::Place;
pub(crate) use reference::reference;
use settings::Settings;
pub(crate) use shared::Shared;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Everything, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) part: Option<Part>,
    /// Where it was read, if in a file.
    pub(crate) file: Option<PathBuf>,
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) tls: Option<TlsChoice>,
    pub(crate) threads: usize,
    pub(crate) audit: bool,
    pub(crate) demo: bool,
    pub(crate) edge: EdgeSettings,
    pub(crate) shared: Shared,
    pub(crate) seal: SealSection,
    pub(crate) log: LogSettings,
    /// How long events are kept, at least.
    pub(crate) keep_events: Duration,
    services: [String; 4],
    places: [Option<Place>; 4],
}

/// A configuration with all that is to be said about it.
#[derive(Debug)]
pub(crate) struct Examined {
    settings: Settings,
    config: Config,
    faults: Vec<Fault>,
    /// What is ignored.
    notes: Vec<String>,
}

impl Config {
    /// For a bank that starts: what is ignored is said, and nothing may be wrong.
    pub(crate) fn read(options: Options) -> Result<Self, Fatal> {
        let Examined { config, faults, notes, .. } = Examined::starting(&options, &Environment::of_process());
        notes.iter().for_each(|note| complain(&format!("bank: {note}")));
        config.unless(faults)
    }

    /// For a command beside the bank: whatever only matters to one that starts is left out.
    pub(crate) fn read_beside(options: Options) -> Result<Self, Fatal> {
        let Examined { config, faults, .. } = Examined::of(&options, &Environment::of_process());
        config.unless(faults)
    }

    fn unless(self, faults: Vec<Fault>) -> Result<Self, Fatal> {
        match &*faults {
            [] => Ok(self),
            [fault] => Err(Fatal::new(fault)),
            [fault, others @ ..] => {
                let many = others.len();
                Err(Fatal::new(format!("{fault} (and {many} more; `bank check` names them all)")))
            }
        }
    }

    /// Where a service keeps its data, if not in the data directory.
    pub(crate) fn place(&self, part: Part) -> Option<&Place> {
        self.places[index(part)].as_ref()
    }

    /// The endpoints of a service that runs as a process of its own.
    pub(crate) fn endpoints(&self, part: Part) -> Vec<String> {
        match self.edge.upstream(part) {
            Some(upstream) => upstream.addresses.clone(),
            None => vec![format!("http://{}", self.services[index(part)])],
        }
    }

    /// What is said in clear text stays on this machine.
    fn loopback(&self, settings: &Settings, faults: &mut Vec<Fault>) {
        let mut local = |path: &str, option: &'static str, address: SocketAddr, advice: &str| {
            if !address.ip().is_loopback() {
                let message = format!("{address} is not on loopback; {advice}");
                faults.push(match settings.origin(path) {
                    Origin::Default => Fault::whole(Origin::Option(option), message),
                    origin => Fault::new(origin, path, message),
                });
            }
        };
        if matches!(self.part, None | Some(Part::Gateway)) {
            if self.tls.is_none() {
                local("gateway.listen", "--listen", self.listen, "add --tls dev or --tls CERT,KEY");
            }
            local("gateway.admin", "--admin", self.admin, "the admin pages are served there only");
            local(
                "gateway.internal",
                "--internal",
                self.internal,
                "calls between parts are not encrypted yet",
            );
        } else if let Some(part) = self.part {
            let path = format!("{}.listen", part.name());
            local(&path, "--listen", self.listen, "a part is reached through the gateway only");
        }
    }
}

impl Examined {
    /// All that is wrong with it, for whatever reads it.
    pub(crate) fn of(options: &Options, environment: &Environment) -> Self {
        let (settings, mut faults) = Settings::gather(options, environment);
        faults.extend(environment.unknown());
        Self::from(settings, faults, options)
    }

    /// The same, with what is wrong for a bank, or a part, that starts with it.
    pub(crate) fn starting(options: &Options, environment: &Environment) -> Self {
        let mut examined = Self::of(options, environment);
        examined.start(options);
        examined
    }

    fn from(settings: Settings, mut faults: Vec<Fault>, options: &Options) -> Self {
        let further = &mut faults;
        let services: [String; 4] = std::array::from_fn(|at| {
            settings.text(&format!("{}.listen", Part::SERVICES[at].name())).unwrap_or_default()
        });
        let own = match options.part {
            None | Some(Part::Gateway) => "gateway.listen".to_owned(),
            Some(part) => format!("{}.listen", part.name()),
        };
        let tls = settings.text("gateway.tls").and_then(|text| TlsChoice::parse(&text).ok());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = settings.number("gateway.threads").and_then(|number| usize::try_from(number).ok());
        let days = settings.number("events.keep_days").and_then(|days| u32::try_from(days).ok());
        let seal = SealSection {
            key_file: settings.path("seal.key_file"),
            kms: settings.text("seal.kms"),
            kms_old: settings.list("seal.kms_old").unwrap_or_default(),
            allow_unsealed: settings.list("seal.allow_unsealed").unwrap_or_default(),
            kms_endpoint: settings.text("seal.kms_endpoint"),
            store: settings.text("seal.store"),
        };
        if let Err(error) = seal.check() {
            let message = error.to_string();
            let message = message.strip_prefix("[seal] ").unwrap_or(&message).to_owned();
            further.push(Fault::new(settings.origin("seal"), "seal", message));
        }
        let config = Config {
            part: options.part,
            file: options.config.clone(),
            data: settings.path("data").unwrap_or_default(),
            listen: address(&settings, &own, "--listen", further),
            admin: address(&settings, "gateway.admin", "--admin", further),
            internal: address(&settings, "gateway.internal", "--internal", further),
            tls,
            threads: threads.unwrap_or(cores),
            audit: settings.switch("gateway.audit"),
            demo: options.demo,
            edge: EdgeSettings::of(&settings, further),
            places: Part::SERVICES.map(|part| Place::of(part, &settings, further)),
            shared: Shared::of(&settings, further),
            seal,
            log: LogSettings {
                level: settings.text("log.level").unwrap_or_default(),
                is_json: settings.text("log.format").as_deref() == Some("json"),
            },
            keep_events: DAY * days.unwrap_or(1),
            services,
        };
        Self { settings, config, faults, notes: Vec::new() }
    }

    /// What means nothing for what is started, or cannot be.
    fn start(&mut self, options: &Options) {
        let (settings, faults) = (&self.settings, &mut self.faults);
        let part = options.part;
        let mut useless = |is_given: bool, option: &'static str, message: String| {
            if is_given {
                faults.push(Fault::whole(Origin::Option(option), message));
            }
        };
        match part {
            None => {
                let message = "the whole bank in one process has no calls between parts; it is for one part alone, as in `bank gateway`";
                useless(options.internal.is_some(), "--internal", message.to_owned());
                for part in Part::SERVICES {
                    let path = format!("edge.upstreams.{}.endpoints", part.name());
                    if settings.is_said(&path) {
                        let message = format!(
                            "the whole bank in one process has {0} in itself; start `bank gateway` and `bank {0}`, or take it out",
                            part.name()
                        );
                        faults.push(settings.fault(&path, message));
                    }
                }
            }
            Some(Part::Gateway) => {}
            Some(part) => {
                let name = part.name();
                let message = format!("is for the gateway; `bank {name}` has no admin pages");
                useless(options.admin.is_some(), "--admin", message);
                let message = format!("is for the gateway; `bank {name}` listens on loopback behind it");
                useless(options.tls.is_some(), "--tls", message);
                // Whoever starts all parts with the same options means no harm.
                if options.demo && part != Part::Identity {
                    self.notes.push(format!(
                        "--demo means nothing to `bank {name}` and is ignored; give it to identity and to the gateway"
                    ));
                }
            }
        }
        self.config.loopback(settings, &mut self.faults);
        self.servers(part);
    }

    /// Whether this program was built with what the file names.
    fn servers(&mut self, part: Option<Part>) {
        if cfg!(feature = "servers") {
            return;
        }
        let mut needed: Vec<String> = Part::SERVICES
            .iter()
            .filter(|service| part.is_none_or(|part| part == **service))
            .map(|service| format!("{}.store", service.name()))
            .collect();
        needed.extend(["shared.cache", "shared.limits", "seal.store", "seal.kms"].map(str::to_owned));
        for path in needed.iter().filter(|path| self.settings.is_said(path)) {
            let message =
                "this bank was built without servers; build it with `cargo build -p bank --features servers`";
            self.faults.push(self.settings.fault(path, message));
        }
    }
}

fn index(part: Part) -> usize {
    Part::SERVICES.iter().position(|service| *service == part).unwrap_or_default()
}

fn address(settings: &Settings, path: &str, option: &'static str, faults: &mut Vec<Fault>) -> SocketAddr {
    let text = settings.text(path).unwrap_or_default();
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.unwrap_or_else(|| {
        let message = format!("{text}: give an address such as 127.0.0.1:8080");
        faults.push(match settings.origin(path) {
            Origin::Option(_) => Fault::whole(Origin::Option(option), message),
            origin => Fault::new(origin, path, message),
        });
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

#[cfg(test)]
mod tests;
