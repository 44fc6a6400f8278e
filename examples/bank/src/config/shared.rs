//! What gateways, and copies of a part, share.

use std::num::NonZeroU32;

use bank_gateway::WhenAway;

use super::fault::Fault;
use super::part::Place;
use super::settings::Settings;

/// What all copies of a part share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Option<Place>,
    pub(crate) limits: Option<Place>,
    pub(crate) when_away: WhenAway,
    pub(crate) prefix: String,
}

impl Shared {
    pub(super) fn of(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        let (cache, limits) = (settings.text("shared.cache"), settings.text("shared.limits"));
        let mut idle = |path: &str, message: &str| {
            if settings.is_said(path) {
                faults.push(settings.fault(path, message));
            }
        };
        let are_broken = settings.is_broken("shared.limits");
        if limits.is_none() && !are_broken {
            for path in ["shared.gateways", "shared.when_limits_are_away"] {
                idle(path, "says how gateways count together, but not where: add `limits`");
            }
        }
        if limits.is_none() && cache.is_none() && !are_broken && !settings.is_broken("shared.cache") {
            for path in ["shared.authorities", "shared.password_file", "shared.prefix"] {
                idle(path, "is for a server, but neither `cache` nor `limits` names one");
            }
        }
        let gateways = settings.number("shared.gateways");
        let gateways = gateways.and_then(|number| u32::try_from(number).ok()).and_then(NonZeroU32::new);
        let away = settings.text("shared.when_limits_are_away").unwrap_or_default();
        let when_away = match (&*away, gateways) {
            ("share", Some(gateways)) => WhenAway::Share(gateways),
            // Without their number each would let pass all of a quota.
            ("share", None) if limits.is_some() && !settings.is_broken("shared.gateways") => {
                let message = "say how many `gateways` there are, which share a quota";
                faults.push(settings.fault("shared.limits", message));
                WhenAway::Refuse
            }
            ("pass", _) => WhenAway::Pass,
            _ => WhenAway::Refuse,
        };
        let place = |name: &str, url: Option<String>| {
            url.map(|url| Place {
                name: format!("[shared] {name}"),
                url,
                readers: None,
                authorities: settings.path("shared.authorities"),
                password_file: settings.path("shared.password_file"),
            })
        };
        Self {
            cache: place("cache", cache),
            limits: place("limits", limits),
            when_away,
            prefix: settings.text("shared.prefix").unwrap_or_default(),
        }
    }
}
