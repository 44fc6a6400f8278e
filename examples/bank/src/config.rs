//! Addresses, directories and limits: from the file, from the command line, or what holds where neither says anything.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bank_gateway::{WhenAway, config};
use serde::Deserialize;

use crate::Fatal;
use crate::args::{DATA, Options, Part, TlsChoice};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// For how many days events are kept where nobody says, and at most: a hundred years.
const KEEP_DAYS: i64 = 30;
const MAX_KEEP_DAYS: i64 = 36_500;
const MAX_GATEWAYS: u32 = 1_000;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    gateway: GatewaySection,
    accounts: LedgerSection,
    transactions: PartSection,
    identity: PartSection,
    partners: PartSection,
    events: EventsSection,
    shared: SharedSection,
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
struct PartSection {
    listen: Option<String>,
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

/// What all copies of a part share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SharedSection {
    /// Where sessions are cached and their ends are told: a `redis://` or `redis-cluster://` address.
    cache: Option<String>,
    /// Where gateways count together; such an address, too.
    limits: Option<String>,
    /// How many gateways there are.
    gateways: Option<u32>,
    /// What becomes of requests while `limits` does not answer.
    when_limits_are_away: Option<LimitsAway>,
    /// A file with the authorities that may have signed the servers' certificates.
    authorities: Option<PathBuf>,
    /// What all keys begin with.
    prefix: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LimitsAway {
    Share,
    Pass,
    Refuse,
}

impl SharedSection {
    fn checked(self) -> Result<Shared, Fatal> {
        if self.limits.is_none() && (self.gateways.is_some() || self.when_limits_are_away.is_some()) {
            return Err(Fatal::new("[shared] says how gateways count together, but not where: add `limits`"));
        }
        let is_used = self.limits.is_some() || self.cache.is_some();
        if !is_used && (self.authorities.is_some() || self.prefix.is_some()) {
            return Err(Fatal::new(
                "[shared] names `authorities` or a `prefix`, but neither `cache` nor `limits`",
            ));
        }
        let gateways = self.gateways.map(|gateways| {
            let number = NonZeroU32::new(gateways).filter(|gateways| gateways.get() <= MAX_GATEWAYS);
            number.ok_or_else(|| {
                Fatal::new(format!("[shared] gateways = {gateways}: give 1 to {MAX_GATEWAYS}"))
            })
        });
        let when_away = match (self.when_limits_are_away.unwrap_or(LimitsAway::Share), gateways.transpose()?)
        {
            (LimitsAway::Share, Some(gateways)) => WhenAway::Share(gateways),
            // Without their number each would let pass all of a quota.
            (LimitsAway::Share, None) if self.limits.is_some() => {
                return Err(Fatal::new(
                    "[shared] limits: say how many `gateways` there are, which share a quota",
                ));
            }
            (LimitsAway::Share | LimitsAway::Refuse, _) => WhenAway::Refuse,
            (LimitsAway::Pass, _) => WhenAway::Pass,
        };
        let prefix = self.prefix.unwrap_or_else(|| "bank".to_owned());
        Ok(Shared {
            cache: self.cache,
            limits: self.limits,
            when_away,
            authorities: self.authorities,
            prefix,
        })
    }
}

/// What all copies of a part share. An address may hold a password.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) cache: Option<String>,
    pub(crate) limits: Option<String>,
    pub(crate) when_away: WhenAway,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) prefix: String,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LedgerSection {
    listen: Option<String>,
    /// Where the ledger is kept: a `postgres://` address; a file in the data directory where it is left out.
    store: Option<String>,
    /// Where it is read that need not be current.
    store_readers: Option<String>,
    /// A file with the authorities that may have signed the server's certificate.
    store_authorities: Option<PathBuf>,
}

/// Where the ledger is kept, if not in the data directory. An address may hold a password.
#[derive(Clone)]
pub(crate) struct LedgerStore {
    pub(crate) url: String,
    pub(crate) readers: Option<String>,
    pub(crate) authorities: Option<PathBuf>,
}

impl std::fmt::Debug for LedgerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LedgerStore")
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
    pub(crate) ledger: Option<LedgerStore>,
    pub(crate) shared: Shared,
    /// How long events are kept, at least.
    pub(crate) keep_events: Duration,
    services: [String; 4],
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
        let LedgerSection { store, store_readers: readers, store_authorities: authorities, .. } =
            file.accounts;
        let ledger = match store {
            Some(url) => Some(LedgerStore { url, readers, authorities }),
            None if readers.is_some() || authorities.is_some() => {
                return Err(Fatal::new("[accounts] names readers or authorities of a store, but no `store`"));
            }
            None => None,
        };
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
            ledger,
            shared: file.shared.checked()?,
            keep_events: file.events.keep()?,
            services,
        };
        config.check()?;
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
            include_str!("../five.toml"),
            include_str!("../limits.toml"),
            include_str!("../postgres.toml"),
            include_str!("../redis.toml"),
        ];
        let operating = include_str!("../../../docs/operating.md");
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

    #[test]
    fn what_is_shared_is_said_whole() {
        let shared =
            |text: &str| toml::from_str::<File>(&format!("[shared]\n{text}")).unwrap().shared.checked();
        let limits = "limits = \"redis://127.0.0.1\"\n";
        let gateways = |number| NonZeroU32::new(number).map(WhenAway::Share);
        assert_eq!(Some(shared(&format!("{limits}gateways = 3")).unwrap().when_away), gateways(3));
        let refuse = format!("{limits}when_limits_are_away = \"refuse\"");
        assert_eq!(shared(&refuse).unwrap().when_away, WhenAway::Refuse);
        for (text, said) in [
            ("gateways = 2".to_owned(), "add `limits`"),
            ("when_limits_are_away = \"pass\"".to_owned(), "add `limits`"),
            (limits.to_owned(), "say how many `gateways`"),
            (format!("{limits}gateways = 0"), "give 1 to 1000"),
            (format!("{limits}gateways = 1001"), "give 1 to 1000"),
            ("authorities = \"ca.pem\"".to_owned(), "neither `cache` nor `limits`"),
            ("prefix = \"north\"".to_owned(), "neither `cache` nor `limits`"),
        ] {
            let refused = shared(&text).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
        let secret = shared("cache = \"redis://:secret@127.0.0.1\"").unwrap();
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
