//! What gateways, and copies of a part, share.

use std::num::NonZeroU32;
use std::path::PathBuf;

use bank_gateway::WhenAway;
use serde::Deserialize;

use super::part::{Environment, Place};
use crate::Fatal;

const MAX_GATEWAYS: u32 = 1_000;

/// What all copies of a part share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SharedSection {
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
    /// A file with the servers' password, where the addresses have none.
    password_file: Option<PathBuf>,
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
    /// The environment has the last word on where the servers are.
    pub(super) fn checked(mut self, environment: Environment<'_>) -> Result<Shared, Fatal> {
        self.cache = environment("BANK_SHARED_CACHE").or(self.cache);
        self.limits = environment("BANK_SHARED_LIMITS").or(self.limits);
        if self.limits.is_none() && (self.gateways.is_some() || self.when_limits_are_away.is_some()) {
            return Err(Fatal::new("[shared] says how gateways count together, but not where: add `limits`"));
        }
        let is_used = self.limits.is_some() || self.cache.is_some();
        if !is_used && (self.authorities.is_some() || self.password_file.is_some() || self.prefix.is_some()) {
            return Err(Fatal::new(
                "[shared] names `authorities`, a `password_file` or a `prefix`, but neither `cache` nor `limits`",
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
        let (authorities, password_file) = (self.authorities, self.password_file);
        let place = |name: &str, url: Option<String>| {
            let (authorities, password_file) = (authorities.clone(), password_file.clone());
            url.map(|url| Place {
                name: format!("[shared] {name}"),
                url,
                readers: None,
                authorities,
                password_file,
            })
        };
        Ok(Shared {
            cache: place("cache", self.cache),
            limits: place("limits", self.limits),
            when_away,
            prefix,
        })
    }
}

/// What all copies of a part share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Option<Place>,
    pub(crate) limits: Option<Place>,
    pub(crate) when_away: WhenAway,
    pub(crate) prefix: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_said_whole() {
        let shared = |text: &str| toml::from_str::<SharedSection>(text).unwrap().checked(&|_| None);
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

    #[test]
    fn the_environment_has_the_last_word() {
        let environment = |name: &str| (name == "BANK_SHARED_CACHE").then(|| "redis://there".to_owned());
        let section: SharedSection = toml::from_str("cache = \"redis://here\"").unwrap();
        assert_eq!(section.checked(&environment).unwrap().cache.unwrap().url, "redis://there");
    }
}
