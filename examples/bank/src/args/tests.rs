use std::path::PathBuf;

use clap::CommandFactory as _;

use super::*;

fn parsed(line: &str) -> Result<Command, Fatal> {
    parse(std::iter::once("bank").chain(line.split_whitespace()).map(OsString::from))
}

fn options(line: &str) -> Options {
    match parsed(line).unwrap_or_else(|error| panic!("{line}: {error}")) {
        Command::Run(options)
        | Command::Status { options, .. }
        | Command::Ledger { options, .. }
        | Command::Seal { options, .. }
        | Command::User(_, options)
        | Command::Check { options, .. } => options,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn options_stand_in_any_order_before_and_behind_commands() {
    for line in [
        "--data d ledger verify --json",
        "ledger --data d verify",
        "ledger verify --data d",
        "ledger verify --head 1:0000000000000000000000000000000000000000000000000000000000000000 --data=d",
        "--data d seal status",
        "seal status --data d",
        "user --data d list",
    ] {
        assert_eq!(options(line).data.unwrap(), PathBuf::from("d"), "{line}");
    }
    for line in
        ["--listen 127.0.0.1:1 gateway --demo --data d", "--demo --data d gateway --listen 127.0.0.1:1"]
    {
        let options = options(line);
        assert_eq!((options.part, options.demo), (Some(Part::Gateway), true), "{line}");
        assert_eq!(options.listen.as_deref(), Some("127.0.0.1:1"), "{line}");
    }
    assert_eq!(options("--admin 127.0.0.1:1 status").admin, options("status --admin 127.0.0.1:1").admin);
}

#[test]
fn demo_is_a_flag_that_can_be_turned_off_and_takes_nothing_else() {
    for (line, is_on) in [("", false), ("--demo", true), ("--demo=true", true), ("--demo=false", false)] {
        assert_eq!(options(line).demo, is_on, "{line}");
    }
    for line in ["--demo=yes", "--demo=", "--demo=0"] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(error.contains("true, false"), "{error}");
    }
}

#[test]
fn an_option_that_is_given_twice_is_refused_wherever_it_stands() {
    for line in [
        "--data a --data b",
        "--data a gateway --data b",
        "--demo gateway --demo",
        "--admin 1 status --admin=2",
    ] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(error.contains("twice") || error.contains("multiple times"), "{line}: {error}");
    }
}

#[test]
fn an_option_that_means_nothing_for_a_command_is_refused() {
    for line in [
        "--demo ledger verify",
        "--listen 127.0.0.1:1 user list",
        "--internal 1 status",
        "--tls dev seal status",
    ] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(error.contains("is for a bank that is started"), "{line}: {error}");
    }
}

#[test]
fn what_is_misspelled_is_answered_with_what_was_meant() {
    for (line, meant) in [
        ("--listne 127.0.0.1:1", "--listen"),
        ("leger verify", "ledger"),
        ("ledger verfy", "verify"),
        ("user list --jsn", "--json"),
    ] {
        let error = parsed(line).unwrap_err().to_string();
        assert!(
            error.contains("similar") && error.contains(meant) && !error.contains('\n'),
            "{line}: {error}"
        );
    }
    assert!(parsed("ledger verfy").unwrap_err().to_string().ends_with("see `bank ledger --help`"));
}

#[test]
fn every_command_explains_itself_and_every_option_says_what_it_is() {
    fn walk(command: &clap::Command, path: &str) {
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} explains nothing", argument.get_id());
        }
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name());
            assert!(inner.get_about().is_some(), "{path} explains nothing");
            walk(inner, &path);
        }
    }
    walk(&Cli::command(), "bank");
}
