//! Addresses, directories and limits: from the file, from the command line, or what holds where neither says anything.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use bank_gateway::config;
use serde::Deserialize;

use crate::Fatal;
use crate::args::{DATA, Options, Part, TlsChoice};
use crate::seal::SealSection;

mod part;
mod shared;

use part::PartSection;
pub(crate) use part::Place;
pub(crate) use shared::Shared;
use shared::SharedSection;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// For how many days events are kept where nobody says, and at most: a hundred years.
const KEEP_DAYS: i64 = 30;
const MAX_KEEP_DAYS: i64 = 36_500;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    gateway: GatewaySection,
    accounts: PartSection,
    transactions: PartSection,
    identity: PartSection,
    partners: PartSection,
    events: EventsSection,
    shared: SharedSection,
    /// With which keys data is sealed.
    seal: SealSection,
    /// Limits, trusted proxies, and where services run.
    edge: config::Config,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GatewaySection {
    listen: Option<String>,
    admin: Option<String>,
    internal: Option<String>,
    tls: Option<String>,
    threads: Option<usize>,
    audit: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EventsSection {
    keep_days: Option<i64>,
}

impl EventsSection {
    fn keep(&self) -> Result<Duration, Fatal> {
        let days = self.keep_days.unwrap_or(KEEP_DAYS);
        match u32::try_from(days) {
            Ok(some @ 1..) if days <= MAX_KEEP_DAYS => Ok(DAY * some),
            _ => Err(Fatal::new(format!(
                "[events] keep_days = {days}: give 1 to {MAX_KEEP_DAYS}, for how many days events are kept"
            ))),
        }
    }
}

/// Everything, checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) part: Option<Part>,
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) internal: SocketAddr,
    pub(crate) tls: Option<TlsChoice>,
    pub(crate) threads: usize,
    pub(crate) audit: bool,
    pub(crate) demo: bool,
    pub(crate) edge: config::Config,
    pub(crate) shared: Shared,
    pub(crate) seal: SealSection,
    /// How long events are kept, at least.
    pub(crate) keep_events: Duration,
    services: [String; 4],
    places: [Option<Place>; 4],
}

impl Config {
    pub(crate) fn read(options: Options) -> Result<Self, Fatal> {
        let file: File = match &options.config {
            Some(path) => config::read(path).map_err(Fatal::new)?,
            None => File::default(),
        };
        let listens =
            [&file.accounts.listen, &file.transactions.listen, &file.identity.listen, &file.partners.listen];
        let services: [String; 4] = std::array::from_fn(|at| {
            listens[at].clone().unwrap_or_else(|| format!("127.0.0.1:{}", 7_101 + at))
        });
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let sections = [&file.accounts, &file.transactions, &file.identity, &file.partners];
        let mut places = [const { None }; 4];
        for ((place, section), part) in places.iter_mut().zip(sections).zip(Part::SERVICES) {
            *place = section.place(part, &environment)?;
        }
        let own = match options.part {
            None | Some(Part::Gateway) => {
                file.gateway.listen.clone().unwrap_or_else(|| "127.0.0.1:8080".to_owned())
            }
            Some(part) => services[index(part)].clone(),
        };
        let tls = match (options.tls, &file.gateway.tls) {
            (Some(tls), _) => Some(tls),
            (None, Some(text)) => Some(TlsChoice::parse(text)?),
            (None, None) => None,
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let config = Self {
            part: options.part,
            data: options.data.or(file.data).unwrap_or_else(|| DATA.into()),
            listen: address("--listen", &options.listen.unwrap_or(own))?,
            admin: address(
                "--admin",
                &options.admin.or(file.gateway.admin).unwrap_or_else(|| "127.0.0.1:9090".to_owned()),
            )?,
            internal: address(
                "--internal",
                &options.internal.or(file.gateway.internal).unwrap_or_else(|| "127.0.0.1:7070".to_owned()),
            )?,
            tls,
            threads: file.gateway.threads.unwrap_or(cores),
            audit: file.gateway.audit.unwrap_or(true),
            demo: options.demo,
            edge: file.edge,
            places,
            shared: file.shared.checked(&environment)?,
            seal: file.seal,
            keep_events: file.events.keep()?,
            services,
        };
        config.check()?;
        config.seal.check()?;
        Ok(config)
    }

    /// What is said in clear text stays on this machine.
    fn check(&self) -> Result<(), Fatal> {
        let serves_customers = self.part.is_none() || self.part == Some(Part::Gateway);
        let local = |name: &str, address: SocketAddr, advice: &str| {
            if address.ip().is_loopback() {
                return Ok(());
            }
            Err(Fatal::new(format!("{name} {address} is not on loopback; {advice}")))
        };
        if serves_customers {
            if self.tls.is_none() {
                local("--listen", self.listen, "add --tls dev or --tls CERT,KEY")?;
            }
            local("--admin", self.admin, "the admin pages are served there only")?;
            return local("--internal", self.internal, "calls between parts are not encrypted yet");
        }
        if self.tls.is_some() {
            return Err(Fatal::new("--tls is for the gateway; the parts behind it listen on loopback"));
        }
        local("--listen", self.listen, "a part is reached through the gateway only")
    }

    /// Where a service keeps its data, if not in the data directory.
    pub(crate) fn place(&self, part: Part) -> Option<&Place> {
        self.places[index(part)].as_ref()
    }

    /// The endpoints of a service that runs as a process of its own.
    pub(crate) fn endpoints(&self, part: Part) -> Vec<String> {
        match self.edge.upstreams.get(part.name()) {
            Some(upstream) => upstream.endpoints.clone(),
            None => vec![format!("http://{}", self.services[index(part)])],
        }
    }
}

fn index(part: Part) -> usize {
    Part::SERVICES.iter().position(|service| *service == part).unwrap_or_default()
}

fn address(name: &str, text: &str) -> Result<SocketAddr, Fatal> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| Fatal::new(format!("{name} {text}: give an address such as 127.0.0.1:8080")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blocks of TOML in a guide.
    fn blocks(guide: &str) -> impl Iterator<Item = &str> {
        guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next())
    }

    #[test]
    fn every_configuration_that_is_shown_is_one_that_the_program_reads() {
        let files = [
            include_str!("../../five.toml"),
            include_str!("../../limits.toml"),
            include_str!("../../aws.toml"),
            include_str!("../../servers.toml"),
        ];
        let operating = include_str!("../../../../docs/operating.md");
        let mut shown = 0;
        for text in files.into_iter().chain(blocks(operating)) {
            toml::from_str::<File>(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
            shown += 1;
        }
        assert!(shown > 3, "the guide shows none");
    }

    #[test]
    fn days_to_keep_events_that_make_no_sense_are_refused_with_what_to_give() {
        let keep = |text: &str| toml::from_str::<File>(text).unwrap().events.keep();
        assert_eq!(keep("").unwrap(), DAY * 30);
        assert_eq!(keep("[events]\nkeep_days = 1").unwrap(), DAY);
        assert_eq!(keep("[events]\nkeep_days = 36500").unwrap(), DAY * 36_500);
        for days in ["0", "-1", "36501", "9223372036854775807"] {
            let refused = keep(&format!("[events]\nkeep_days = {days}")).unwrap_err().to_string();
            assert!(refused.contains("give 1 to 36500") && refused.contains(days), "{refused}");
        }
        for nonsense in ["keep_days = \"30\"", "keep_days = 1.5", "days = 30"] {
            assert!(toml::from_str::<File>(&format!("[events]\n{nonsense}")).is_err(), "{nonsense}");
        }
    }
}
