//! The command line of the measuring programs: `--name value` pairs.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;

use crate::Failure;

/// Runs a measuring program, which is told the part that it plays (the word before all options) and its options, and says
/// whether its bounds hold. `--help` is answered here.
#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the program's purpose")]
pub fn program(
    name: &str,
    help: &str,
    run: impl FnOnce(Option<String>, Arguments) -> Result<bool, Failure>,
) -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    if words.peek().is_some_and(|word| word == "--help") {
        println!("{help}");
        return ExitCode::SUCCESS;
    }
    let part = words.next_if(|word| !word.starts_with("--"));
    match Arguments::parse(words).and_then(|arguments| run(part, arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Arguments that nobody has asked for yet.
#[derive(Debug)]
pub struct Arguments {
    values: BTreeMap<String, String>,
}

impl Arguments {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    /// A name without `--`, or without a value.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = arguments.into_iter();
        let mut values = BTreeMap::new();
        while let Some(name) = arguments.next() {
            if !name.starts_with("--") {
                return Err(format!("`{name}` is not known; options are --name value").into());
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            values.insert(name, value);
        }
        Ok(Self { values })
    }

    /// The value of an option, where it is given.
    ///
    /// # Errors
    /// A value that is none of this type.
    pub fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.values.remove(name) else { return Ok(None) };
        let parsed = value.parse().map_err(|_| format!("{name} {value} cannot be read"))?;
        Ok(Some(parsed))
    }

    /// Refuses what nobody asked for.
    ///
    /// # Errors
    /// An option that does not exist.
    pub fn finish(self) -> Result<(), Failure> {
        match self.values.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("{name} is not known").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_refused() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(ToString::to_string));
        let mut arguments = parse(&["--rounds", "7"]).unwrap();
        assert_eq!(arguments.take::<u32>("--rounds").unwrap(), Some(7));
        assert!(arguments.finish().is_ok());
        assert!(parse(&["--round", "7"]).unwrap().finish().is_err());
        assert!(parse(&["--rounds"]).is_err() && parse(&["rounds"]).is_err());
        assert!(parse(&["--rounds", "x"]).unwrap().take::<u32>("--rounds").is_err());
    }
}
