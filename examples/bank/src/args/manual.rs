//! The manual page.

use clap::CommandFactory as _;

use super::verbs::Cli;
use crate::Fatal;

/// One manual for the program and all of its commands.
pub(super) fn manual() -> Result<String, Fatal> {
    let mut page = Vec::new();
    let mut whole = Cli::command();
    whole.build();
    clap_mangen::Man::new(whole.clone()).render(&mut page).map_err(Fatal::new)?;
    for command in whole.get_subcommands() {
        section_of(command, &mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A section for a command, and one for each of those below it.
fn section_of(command: &clap::Command, page: &mut Vec<u8>) -> Result<(), Fatal> {
    if command.get_name() == "help" {
        return Ok(());
    }
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    man.render_synopsis_section(&mut text).map_err(Fatal::new)?;
    man.render_options_section(&mut text).map_err(Fatal::new)?;
    let text = String::from_utf8_lossy(&text).replace(".SH SYNOPSIS\n", "").replace(".SH OPTIONS\n", "");
    page.extend_from_slice(format!(".SH \"{name}\"\n{about}.\n.PP\n{text}").as_bytes());
    command.get_subcommands().try_for_each(|inner| section_of(inner, page))
}
