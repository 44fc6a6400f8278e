//! The variables of the environment that begin with `BANK_`.

use std::collections::BTreeMap;

use super::keys::{KEYS, names_in};
use crate::spelling::nearest;

/// Variables and their values. An empty one is as good as none.
#[derive(Debug, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Of this process.
    pub(crate) fn of_process() -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
    }

    pub(super) fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }

    /// What looks as if it were meant for the bank, and is not known: one line each.
    pub(super) fn ignored(&self) -> Vec<String> {
        let known: Vec<String> = KEYS.iter().filter(|key| key.is_used()).map(|key| key.variable()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let sections: Vec<String> = names_in("").iter().map(|name| name.to_uppercase()).collect();
        let is_ours = |name: &str| {
            let rest = name.strip_prefix("BANK_");
            rest.is_some_and(|rest| {
                sections.iter().any(|section| {
                    rest.strip_prefix(section.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
                })
            })
        };
        let unknown = self.0.keys().filter(|name| is_ours(name) && !known.contains(&name.as_str()));
        unknown.map(|name| format!("{name} is not known and ignored{}", nearest(name, &known))).collect()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let ours = |(name, value): &(String, String)| name.starts_with("BANK_") && !value.is_empty();
        Self(variables.into_iter().filter(ours).collect())
    }
}
