//! Every key that the program knows. The reference in `docs/configuration.md` is made from this table.

use super::key::Preset::{Is, Without};
use super::key::{Key, Kind, Preset};

/// For how many days events may be kept: a hundred years.
const MAX_KEEP_DAYS: i64 = 36_500;
const MAX_GATEWAYS: i64 = 1_000;
const MAX_THREADS: i64 = 1_024;

const POSTGRES: Kind = Kind::Store(&["postgres", "postgresql"], "postgres://USER@HOST/DATABASE");
const DYNAMODB: Kind = Kind::Store(&["dynamodb"], "dynamodb:TABLE");
const MONGODB: Kind = Kind::Store(&["mongodb", "mongodb+srv"], "mongodb://HOST/DATABASE");
const REDIS: Kind = Kind::Store(&["redis", "rediss", "redis-cluster", "rediss-cluster"], "redis://HOST");
const NO_DYNAMODB: Kind =
    Kind::Refused("DynamoDB takes none; credentials and region come from the environment");
const NO_MONGODB: Kind = Kind::Refused("MongoDB takes none; name all servers in its address");

const FILE: Preset = Without("a file in the data directory");
const FOUND: Preset = Without("the service's `listen`");
const SYSTEM: Preset = Without("the system's authorities");

const fn key(path: &'static str, kind: Kind, preset: Preset, what: &'static str) -> Key {
    Key { path, kind, preset, what }
}

/// In the order of the reference.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("data", Kind::Path, Is("\"./bank-data\""), "Where data and keys are kept"),
    key("gateway.listen", Kind::Address, Is("\"127.0.0.1:8080\""), "The address for customers; off loopback it needs `tls`"),
    key("gateway.admin", Kind::Address, Is("\"127.0.0.1:9090\""), "The address of the admin pages; loopback only"),
    key("gateway.internal", Kind::Address, Is("\"127.0.0.1:7070\""), "`bank gateway` alone: the address for calls between parts; loopback only"),
    key("gateway.tls", Kind::Tls, Without("plain HTTP"), "The certificate for customers"),
    key("gateway.threads", Kind::Number(1, MAX_THREADS), Without("one for each core"), "The threads that serve customers"),
    key("gateway.audit", Kind::Switch, Is("true"), "Whether requests are recorded in an audit file"),

    key("accounts.listen", Kind::Address, Is("\"127.0.0.1:7101\""), "`bank accounts` alone: where the gateway finds it"),
    key("accounts.store", POSTGRES, FILE, "Where the ledger is kept"),
    key("accounts.store_readers", POSTGRES, Without("`store`"), "Where the ledger is read that need not be current"),
    key("accounts.store_authorities", Kind::Path, SYSTEM, "A PEM file with who may have signed the server's certificate"),
    key("accounts.store_password_file", Kind::Path, Without("the password in `store`"), "A file with the server's password"),

    key("transactions.listen", Kind::Address, Is("\"127.0.0.1:7102\""), "`bank transactions` alone: where the gateway finds it"),
    key("transactions.store", DYNAMODB, FILE, "Where transfers are kept"),
    key("transactions.store_readers", NO_DYNAMODB, FILE, ""),
    key("transactions.store_authorities", NO_DYNAMODB, FILE, ""),
    key("transactions.store_password_file", NO_DYNAMODB, FILE, ""),

    key("identity.listen", Kind::Address, Is("\"127.0.0.1:7103\""), "`bank identity` alone: where the gateway finds it"),
    key("identity.store", DYNAMODB, FILE, "Where users and sessions are kept"),
    key("identity.store_readers", NO_DYNAMODB, FILE, ""),
    key("identity.store_authorities", NO_DYNAMODB, FILE, ""),
    key("identity.store_password_file", NO_DYNAMODB, FILE, ""),

    key("partners.listen", Kind::Address, Is("\"127.0.0.1:7104\""), "`bank partners` alone: where the gateway finds it"),
    key("partners.store", MONGODB, FILE, "Where notifications are kept"),
    key("partners.store_readers", NO_MONGODB, FILE, ""),
    key("partners.store_authorities", Kind::Path, SYSTEM, "A PEM file with who may have signed the server's certificate"),
    key("partners.store_password_file", Kind::Path, Without("the password in `store`"), "A file with the server's password"),

    key("events.keep_days", Kind::Number(1, MAX_KEEP_DAYS), Is("30"), "For how many days accounts and transactions keep events, at least"),

    key("shared.cache", REDIS, Without("memory of each gateway"), "Where sessions are cached, and their ends are told"),
    key("shared.limits", REDIS, Without("each gateway counts alone"), "Where gateways count together"),
    key("shared.gateways", Kind::Number(1, MAX_GATEWAYS), Without("to be given with `limits`"), "How many gateways there are"),
    key("shared.when_limits_are_away", Kind::OneOf(&["share", "pass", "refuse"]), Is("\"share\""), "What becomes of requests while `limits` does not answer"),
    key("shared.authorities", Kind::Path, SYSTEM, "A PEM file with who may have signed the servers' certificates"),
    key("shared.password_file", Kind::Path, Without("the passwords in the addresses"), "A file with the servers' password"),
    key("shared.prefix", Kind::Text, Is("\"bank\""), "What all names on these servers begin with"),

    key("seal.key_file", Kind::Path, Without("`keys/seal.json` in the data directory"), "The file with the master keys"),
    key("seal.kms", Kind::Text, Without("`key_file`"), "The ARN of a key of AWS KMS, instead of the file"),
    key("seal.kms_old", Kind::Texts, Is("[]"), "Keys of AWS KMS that older data keys are wrapped under"),
    key("seal.kms_endpoint", Kind::Text, Without("the region's"), "Where AWS KMS is reached"),
    key("seal.store", DYNAMODB, Without("one key for a part on a server"), "Where data keys are kept of parts whose own store is a server that is not DynamoDB"),
    key("seal.allow_unsealed", Kind::Texts, Is("[]"), "Parts whose data may be from before it was sealed: accounts, transactions, identity, partners"),

    key("log.level", Kind::LogLevel, Is("\"warn,bank_gateway::outbound=info,bank_sdk::outage=info\""), "What is logged; the variable is `BANK_LOG`"),
    key("log.format", Kind::OneOf(&["text", "json"]), Is("\"text\""), "How a line of the log is written"),

    key("edge.trusted_proxies", Kind::Networks, Is("[]"), "Proxies whose forwarding information is believed"),
    key("edge.address_limit", Kind::Quota, Is("{ per_second = 5000, burst = 10000 }"), "The quota of each address, before any expensive work"),
    key("edge.limits.default", Kind::Quota, Is("{ per_second = 100, burst = 200 }"), "The quota of each principal for all other calls"),
    key("edge.limits.login", Kind::Quota, Is("{ per_second = 10, burst = 30 }"), "Of each address, for logins and refreshes"),
    key("edge.limits.registration", Kind::Quota, Is("{ per_second = 10, burst = 100 }"), "Of each address, for registrations"),
    key("edge.limits.lookup", Kind::Quota, Is("{ per_minute = 30, burst = 15 }"), "Of each principal, for payees"),
    key("edge.limits.activity", Kind::Quota, Is("{ per_second = 10, burst = 50 }"), "Of each principal, for the activity of all accounts"),
    key("edge.limits.pages", Kind::Quota, Is("{ per_second = 200, burst = 400 }"), "Of each address, for the web pages"),
    key("edge.upstreams.accounts.endpoints", Kind::Endpoints, FOUND, "`bank gateway` alone: where accounts runs, where several copies do"),
    key("edge.upstreams.accounts.authorities", Kind::Path, SYSTEM, "A PEM file by which `https` endpoints are verified"),
    key("edge.upstreams.transactions.endpoints", Kind::Endpoints, FOUND, "The same for transactions"),
    key("edge.upstreams.transactions.authorities", Kind::Path, SYSTEM, "The same for transactions"),
    key("edge.upstreams.identity.endpoints", Kind::Endpoints, FOUND, "The same for identity"),
    key("edge.upstreams.identity.authorities", Kind::Path, SYSTEM, "The same for identity"),
    key("edge.upstreams.partners.endpoints", Kind::Endpoints, FOUND, "The same for partners"),
    key("edge.upstreams.partners.authorities", Kind::Path, SYSTEM, "The same for partners"),
];

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether it is a section.
pub(super) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The names that may stand in a section, each once.
pub(super) fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for key in KEYS.iter().filter(|key| key.is_used()) {
        let inside = match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        let name = inside.and_then(|rest| rest.split('.').next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}
