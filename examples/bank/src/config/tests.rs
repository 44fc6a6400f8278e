use super::*;

use super::document::Document;

fn faults_of(text: &str, part: Option<Part>) -> Vec<String> {
    let options = Options { part, ..Options::default() };
    let (settings, faults) =
        Settings::of(Document::parse(text, "bank.toml"), &options, &Environment::default());
    let mut examined = Examined::from(settings, faults, &options);
    examined.start(&options);
    // What a program without servers cannot do is no fault of a file.
    examined
        .faults
        .iter()
        .map(ToString::to_string)
        .filter(|fault| !fault.contains("built without servers"))
        .collect()
}

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
    let guides =
        [include_str!("../../../../docs/operating.md"), include_str!("../../../../docs/configuration.md")];
    let mut shown = 0;
    for text in files.into_iter().chain(guides.into_iter().flat_map(blocks)) {
        let faults = faults_of(text, Some(Part::Gateway));
        // A piece of a file may lack what stands elsewhere in it.
        let faults: Vec<_> = faults.iter().filter(|fault| !fault.contains("add --tls")).collect();
        assert!(faults.is_empty(), "{faults:?} in\n{text}");
        shown += 1;
    }
    assert!(shown > 5, "the guides show none");
}

#[test]
fn every_fault_is_named_with_its_line_and_what_would_do() {
    let text = "\
data = \"x\"
[gateway]
threads = 0
audit = \"yes\"
[edge]
trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.0/99\"]
[edge.limits]
logn = { per_second = 1 }
login = { per_second = 1, per_minute = 1 }
[edge.upstreams.acounts]
endpoints = [\"http://127.0.0.1:1\"]
[shared]
when_limits_are_away = \"pas\"
";
    let faults = faults_of(text, None);
    let wanted = [
        ("line 3, column 11: [gateway] threads: 0 does not do", "1 to 1024"),
        ("line 4, column 9: [gateway] audit", "boolean"),
        ("line 6, column 34: [edge] trusted_proxies: `10.0.0.0/99`", "10.0.0.0/8"),
        ("line 8, column 1: [edge.limits] logn: is not known", "did you mean `login`?"),
        ("[edge.limits] login", "exactly one of"),
        ("line 10, column 17: [edge.upstreams] acounts", "did you mean `accounts`?"),
        ("line 13, column 24: [shared] when_limits_are_away", "did you mean `pass`?"),
    ];
    for ((place, advice), fault) in wanted.into_iter().zip(&faults) {
        assert!(
            fault.starts_with("bank.toml: ") && fault.contains(place) && fault.contains(advice),
            "{fault}"
        );
    }
    assert_eq!(faults.len(), wanted.len(), "{faults:#?}");
}

#[test]
fn what_contradicts_itself_is_said_where_it_stands() {
    for (text, part, said) in [
        ("[edge.upstreams.accounts]\nendpoints = [\"http://127.0.0.1:1\"]", None, "line 2"),
        ("[accounts]\nstore_password_file = \"p\"", None, "there is no `store`"),
        ("[partners]\nstore_authorities = \"p\"", None, "there is no `store`"),
        ("[identity]\nstore = \"dynamodb:t\"\nstore_password_file = \"p\"", None, "from the environment"),
        ("[partners]\nstore = \"mongodb://db/bank\"\nstore_readers = \"x\"", None, "MongoDB takes none"),
        ("[shared]\ngateways = 2", None, "add `limits`"),
        ("[shared]\nwhen_limits_are_away = \"pass\"", None, "add `limits`"),
        ("[shared]\nlimits = \"redis://h\"", None, "say how many `gateways`"),
        ("[shared]\nlimits = \"redis://h\"\ngateways = 1001", None, "give 1 to 1000"),
        ("[shared]\nauthorities = \"ca.pem\"", None, "neither `cache` nor `limits`"),
        ("[shared]\nprefix = \"north\"", None, "neither `cache` nor `limits`"),
        ("[seal]\nkms = \"arn\"\nkey_file = \"x\"", None, "line 1"),
        (
            "[gateway]\nadmin = \"0.0.0.0:1\"",
            Some(Part::Gateway),
            "[gateway] admin: 0.0.0.0:1 is not on loopback",
        ),
        ("[events]\nkeep_days = 36501", None, "give 1 to 36500"),
        ("gateway = 7", None, "write [gateway]"),
        ("[log]\nlevel = \"inof\"", None, "did you mean `info`?"),
        ("[log]\nformat = \"xml\"", None, "give one of text, json"),
    ] {
        let faults = faults_of(text, part);
        assert!(faults.len() == 1 && faults[0].contains(said), "{text}: {faults:?}");
    }
}

#[test]
fn a_store_of_another_kind_is_refused_by_its_scheme_and_without_its_password() {
    for (part, url, said) in [
        (
            "accounts",
            "mysql://user:s3cret@db/bank",
            "`mysql:` is not kept here; give an address of the form postgres://",
        ),
        ("accounts", "dynamodb:bank", "postgres://"),
        ("accounts", "postgresx://user:s3cret@db/bank", "postgres://"),
        ("transactions", "postgres://user:s3cret@db/bank", "dynamodb:TABLE"),
        ("identity", "mongodb://db/bank", "dynamodb:TABLE"),
        ("partners", "redis://db", "mongodb://"),
        ("seal", "sqlite:x", "dynamodb:TABLE"),
    ] {
        let faults = faults_of(&format!("[{part}]\nstore = {url:?}"), None);
        assert!(faults.len() == 1 && faults[0].contains(said), "{faults:?}");
        assert!(!faults[0].contains("s3cret"));
    }
}

#[test]
fn broken_toml_is_said_with_every_place() {
    let faults = faults_of("data = \n[gateway\nlisten = 1\n", None);
    assert!(faults.len() >= 2 && faults[0].contains("line 1") && faults[1].contains("line 2"), "{faults:?}");
}

#[test]
fn the_environment_has_the_last_word_on_every_key_of_the_file() {
    let environment: Environment = [
        ("BANK_SHARED_CACHE", "redis://there"),
        ("BANK_EVENTS_KEEP_DAYS", "7"),
        ("BANK_EDGE_TRUSTED_PROXIES", "10.0.0.1, 10.0.0.2"),
        ("BANK_EDGE_LIMITS_LOGIN", "{ per_minute = 1 }"),
        ("BANK_GATEWAY_AUDIT", "false"),
        ("BANK_GATEWAY_LISEN", "127.0.0.1:1"),
        ("BANK_TEST_SEED", "1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let options = Options::default();
    let file = "[shared]\ncache = \"redis://here\"\n[events]\nkeep_days = 1\n";
    let (settings, faults) = Settings::of(Document::parse(file, "f"), &options, &environment);
    let config = Examined::from(settings, faults, &options);
    assert!(config.faults.is_empty(), "{:?}", config.faults);
    assert_eq!(config.config.shared.cache.as_ref().unwrap().url, "redis://there");
    assert_eq!(config.config.keep_events, DAY * 7);
    assert!(!config.config.audit);
    let unknown = environment.unknown();
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert!(unknown[0].to_string().contains("did you mean `BANK_GATEWAY_LISTEN`?"), "{unknown:?}");
    let wrong: Environment = [("BANK_GATEWAY_THREADS".to_owned(), "many".to_owned())].into_iter().collect();
    let (_, faults) = Settings::of(Document::default(), &options, &wrong);
    assert!(faults[0].to_string().starts_with("BANK_GATEWAY_THREADS: give an integer"), "{faults:?}");
}

#[test]
fn a_variable_within_a_section_or_nearly_is_known_or_wrong() {
    let named = |name: &str| {
        let environment: Environment = [(name.to_owned(), "x".to_owned())].into_iter().collect();
        environment.unknown().first().map(ToString::to_string).unwrap_or_default()
    };
    for (name, meant) in [
        ("BANK_ACOUNTS_STORE", "BANK_ACCOUNTS_STORE"),
        ("BANK_ACCOUNTS_STROE", "BANK_ACCOUNTS_STORE"),
        ("BANK_SEAL_KEYFILE", "BANK_SEAL_KEY_FILE"),
        ("BANK_DTA", "BANK_DATA"),
    ] {
        let said = named(name);
        assert!(said.starts_with(name) && said.contains(&format!("did you mean `{meant}`?")), "{said}");
    }
    for name in [
        "BANK_LOG",
        "BANK_TEST_SEED",
        "BANK_STORES_SEED",
        "BANK_URL",
        "BANK_GATEWAY_SERVICE_HOST",
        "BANK_ACCOUNTS_PORT",
    ] {
        assert_eq!(named(name), "", "{name}");
    }
}
