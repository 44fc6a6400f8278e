//! What the help says beside the commands and options themselves.

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;

pub(super) const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

pub(super) const ABOUT: &str = "A bank, whole in one process, or one part of it in each";

pub(super) const EXAMPLES: &str = "\
Examples:
  bank --demo                              a whole bank to try, with users and passwords
  bank --config /etc/bank.toml             the whole bank, as this file says
  bank check --config /etc/bank.toml       what is wrong with the file
  bank user add tilda --role teller        the first member of staff
  bank status                              how the bank on this machine is

Logs go to standard error; BANK_LOG sets their level, for example BANK_LOG=info. `bank --help` tells more.";

pub(super) const MORE: &str = "\
Examples:
  bank --demo                              a whole bank to try, with users and passwords
  bank --config /etc/bank.toml             the whole bank, as this file says
  bank gateway --config five.toml          one part of a bank of five processes
  bank check --config /etc/bank.toml       what is wrong with the file
  bank user add tilda --role teller        the first member of staff
  bank status                              how the bank on this machine is
  bank backup /backups/monday              a verified copy of everything, beside a bank that runs

Environment:
  Each key of the configuration file has a variable, which wins over the file: BANK_, its sections and its
  name in upper case, as BANK_GATEWAY_LISTEN or BANK_EDGE_LIMITS_LOGIN. `bank config reference` has them all.
  BANK_LOG          what is logged, for example info, or warn,bank_gateway::access=info
  BANK_LOG_FORMAT   text or json
  NO_COLOR          no colours

Exit status:
  0  it is done, and what was checked holds
  1  it could not be done, or what was checked does not hold
  2  the command line is wrong";

pub(super) const GATEWAY: &str = "\
Examples:
  bank gateway --config five.toml
  bank gateway --config five.toml --listen 127.0.0.1:8081 --admin 127.0.0.1:9091 --internal 127.0.0.1:7071";

pub(super) const STATUS: &str = "\
Examples:
  bank status
  bank status --admin 127.0.0.1:9091 --json

Ends with status 0 where the bank is ready or degraded, and with 1 where it is not ready or does not answer.";

pub(super) const CHECK: &str = "\
Examples:
  bank check --config /etc/bank.toml
  bank check gateway --config five.toml --json

Nothing is started, and nothing is connected to. Ends with status 1 where something is wrong.";

pub(super) const DOCTOR: &str = "\
Examples:
  bank doctor --data /var/lib/bank
  bank doctor --config /etc/bank.toml --json

Each line is ok, warn or fail. Ends with status 1 where one is fail.";

pub(super) const USER: &str = "\
Examples:
  bank user add tilda --role teller --name 'Tilda Teller' --generate
  bank user passwd tilda < password-file
  bank user role tilda teller auditor
  bank user disable tilda
  bank user list --json

Where users are in a file of the data directory, the bank has it to itself while it runs: stop it first. `list` works always.";

pub(super) const SEED: &str = "\
Examples:
  bank seed
  bank seed --customers 200 --days 365 --data ./big-bank

Stop the bank first. Salaries, rents, coffee and transfers stand at the days on which they were made. Repeated with
the same numbers, nothing is made twice.";

pub(super) const BACKUP: &str = "\
Examples:
  bank backup /backups/monday --data /var/lib/bank
  bank backup /backups/monday --config servers.toml --without transactions --without identity --without partners";

pub(super) const RESTORE: &str = "\
Examples:
  bank restore /backups/monday --data /mnt/new-disk
  bank restore /backups/monday --part partners
  bank restore /backups/monday --replace

Every file is checked before anything is changed. What to do when is in docs/operating.md, Runbook.";

pub(super) const LEDGER: &str = "\
Examples:
  bank ledger verify --data /var/lib/bank
  bank ledger verify --head 1204:5d41402abc4b2a76b9719d911017c592…
  bank ledger backup /backups/monday.db
  bank ledger restore /backups/monday.db";

pub(super) const AUDIT: &str = "\
Examples:
  bank audit verify bank-data/audit-8080.jsonl
  bank audit verify bank-data/audit-8080.jsonl --head 33:nL6Q7_yTNLMDtgjvvIBTX4s5T4yu-V8cp_xeeKdaRl8

The last line of the output is the head to keep elsewhere. With it, records that were cut off at the end are found.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  bank completions bash > ~/.local/share/bash-completion/completions/bank
  bank completions fish > ~/.config/fish/completions/bank.fish
  bank completions zsh > \"${fpath[1]}/_bank\"";
