//! The variables of the environment that begin with `BANK_`.

use std::collections::BTreeMap;

use super::fault::{Fault, Origin};
use super::keys::{KEYS, names_in};
use crate::spelling::{is_near, nearest};

/// Variables of others: of the tests, and of the stores' own tests.
const FOREIGN: [&str; 2] = ["BANK_TEST_", "BANK_STORES_"];
/// Of what Kubernetes tells of a service that is called `bank-gateway`, say.
const OF_SERVICES: [&str; 2] = ["_SERVICE_", "_PORT"];

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

    /// What is meant for the bank, by the section that it names or nearly names, and is not known: what is wrong with each.
    pub(super) fn unknown(&self) -> Vec<Fault> {
        let known: Vec<String> = KEYS.iter().filter(|key| key.is_used()).map(|key| key.variable()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let sections: Vec<String> =
            names_in("").iter().map(|name| format!("BANK_{}", name.to_uppercase())).collect();
        let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
        let is_ours = |name: &str| {
            let within = |section: &&str| {
                name.strip_prefix(*section).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
            };
            let section = name.splitn(3, '_').take(2).collect::<Vec<_>>().join("_");
            sections.iter().any(within) || is_near(&section, &sections) || is_near(name, &known)
        };
        let is_foreign = |name: &str| {
            FOREIGN.iter().any(|start| name.starts_with(start))
                || OF_SERVICES.iter().any(|part| name.contains(part))
        };
        let unknown = self
            .0
            .keys()
            .filter(|name| !known.contains(&name.as_str()) && !is_foreign(name) && is_ours(name));
        unknown
            .map(|name| {
                let message = format!("there is no such key{}", nearest(name, &known));
                Fault::whole(Origin::Environment(name.clone()), message)
            })
            .collect()
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(variables: T) -> Self {
        let ours = |(name, value): &(String, String)| name.starts_with("BANK_") && !value.is_empty();
        Self(variables.into_iter().filter(ours).collect())
    }
}
