//! What is said about each key, and by whom: an option wins over the environment, which wins over the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bank_gateway::Quota;

use super::document::Document;
use super::environment::Environment;
use super::fault::{Fault, Origin};
use super::key::{Key, Kind, Preset};
use super::keys::{self, KEYS};
use super::value::Value;
use crate::args::{Options, Part};

/// The values of all keys.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    said: BTreeMap<&'static str, (Value, Origin)>,
    sections: BTreeMap<String, Origin>,
    /// Keys that somebody says something about that does not hold.
    broken: BTreeSet<String>,
}

impl Settings {
    /// From everybody who may say something, with what is wrong in it.
    pub(super) fn gather(options: &Options, environment: &Environment) -> (Self, Vec<Fault>) {
        let document = options.config.as_deref().map(Document::read).unwrap_or_default();
        Self::of(document, options, environment)
    }

    pub(super) fn of(document: Document, options: &Options, environment: &Environment) -> (Self, Vec<Fault>) {
        let Document { values, sections, mut faults } = document;
        let mut settings = Self { said: values, sections, broken: BTreeSet::new() };
        for key in KEYS {
            let variable = key.variable();
            if let Some(text) = environment.get(&variable) {
                settings.say(key, text, Origin::Environment(variable), &mut faults);
            }
        }
        let listen = match options.part {
            Some(part) if part != Part::Gateway => format!("{}.listen", part.name()),
            _ => "gateway.listen".to_owned(),
        };
        let tls = options.tls.as_ref().map(ToString::to_string);
        let data = options.data.as_ref().map(|data| data.display().to_string());
        for (path, option, text) in [
            ("data", "--data", data.as_ref()),
            (&*listen, "--listen", options.listen.as_ref()),
            ("gateway.admin", "--admin", options.admin.as_ref()),
            ("gateway.internal", "--internal", options.internal.as_ref()),
            ("gateway.tls", "--tls", tls.as_ref()),
        ] {
            if let (Some(text), Some(key)) = (text, keys::find(path)) {
                settings.say(key, text, Origin::Option(option), &mut faults);
            }
        }
        settings.broken = faults.iter().filter_map(|fault| fault.key.clone()).collect();
        (settings, faults)
    }

    fn say(&mut self, key: &'static Key, text: &str, origin: Origin, faults: &mut Vec<Fault>) {
        match Value::from_text(key.kind, text) {
            Ok(value) => {
                self.said.insert(key.path, (value, origin));
            }
            Err(wrong) => faults.push(Fault::new(origin, key.path, wrong.message)),
        }
    }

    /// The value of a key, if it has one, and who said it.
    pub(crate) fn effective(&self, key: &Key) -> (Option<Value>, Origin) {
        match self.said.get(key.path) {
            Some((value, origin)) => (Some(value.clone()), origin.clone()),
            None => (preset(key), Origin::Default),
        }
    }

    /// Whether somebody says something about this key.
    pub(super) fn is_said(&self, path: &str) -> bool {
        self.said.contains_key(path)
    }

    /// Whether what is said about it does not hold: nothing that hangs on it is a further fault.
    pub(super) fn is_broken(&self, path: &str) -> bool {
        self.broken.contains(path)
    }

    /// Who said this key, or where its section begins.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let said = self.said.get(path).map(|(_, origin)| origin);
        said.or_else(|| self.sections.get(path)).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn fault(&self, path: &str, message: impl Into<String>) -> Fault {
        Fault::new(self.origin(path), path, message)
    }

    fn value(&self, path: &str) -> Option<Value> {
        self.effective(keys::find(path)?).0
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.value(path)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    pub(super) fn number(&self, path: &str) -> Option<i64> {
        match self.value(path)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn switch(&self, path: &str) -> bool {
        matches!(self.value(path), Some(Value::Switch(true)))
    }

    pub(super) fn list(&self, path: &str) -> Option<Vec<String>> {
        match self.value(path)? {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn quota(&self, path: &str) -> Option<Quota> {
        match self.value(path)? {
            Value::Quota(quota, _) => Some(quota),
            _ => None,
        }
    }
}

fn preset(key: &Key) -> Option<Value> {
    let Preset::Is(text) = key.preset else { return None };
    let text = match key.kind {
        Kind::Switch | Kind::Number(..) | Kind::Quota | Kind::Networks | Kind::Endpoints | Kind::Texts => {
            text
        }
        _ => text.trim_matches('"'),
    };
    Value::from_text(key.kind, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_that_its_key_takes() {
        for key in KEYS {
            let has_one = matches!(key.preset, Preset::Is(_));
            assert_eq!(preset(key).is_some(), has_one, "{}", key.path);
        }
    }

    #[test]
    fn an_option_wins_over_the_environment_which_wins_over_the_file() {
        let file =
            "[gateway]\nadmin = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:1\"\ninternal = \"127.0.0.1:1\"\n";
        let environment = ["BANK_GATEWAY_ADMIN", "BANK_GATEWAY_LISTEN"]
            .map(|name| (name.to_owned(), "127.0.0.1:2".to_owned()));
        let options = Options { listen: Some("127.0.0.1:3".to_owned()), ..Options::default() };
        let (settings, faults) =
            Settings::of(Document::parse(file, "f"), &options, &environment.into_iter().collect());
        assert!(faults.is_empty(), "{faults:?}");
        let said = |path| (settings.text(path).unwrap(), settings.origin(path).to_string());
        assert_eq!(said("gateway.listen"), ("127.0.0.1:3".to_owned(), "--listen".to_owned()));
        assert_eq!(said("gateway.admin"), ("127.0.0.1:2".to_owned(), "BANK_GATEWAY_ADMIN".to_owned()));
        assert_eq!(said("gateway.internal"), ("127.0.0.1:1".to_owned(), "f:4".to_owned()));
        assert_eq!(said("shared.prefix"), ("bank".to_owned(), "default".to_owned()));
    }
}
