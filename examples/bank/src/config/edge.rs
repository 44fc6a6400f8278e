//! What the file says about the gateway.

use std::path::PathBuf;

use bank_gateway::{ClientAddress, GatewayBuilder, Quota};

use super::fault::Fault;
use super::keys;
use super::settings::Settings;
use crate::args::Part;

/// Proxies, quotas, and where services run.
#[derive(Debug)]
pub(crate) struct EdgeSettings {
    proxies: ClientAddress,
    address_limit: Option<Quota>,
    limits: Vec<(&'static str, Quota)>,
    upstreams: [Option<Endpoints>; 4],
}

/// Where the copies of a service run.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(crate) addresses: Vec<String>,
    pub(crate) authorities: Option<PathBuf>,
}

impl EdgeSettings {
    pub(super) fn of(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        let proxies = settings.list("edge.trusted_proxies").unwrap_or_default();
        let proxies = ClientAddress::behind(proxies.iter().map(String::as_str)).unwrap_or_else(|error| {
            faults.push(settings.fault("edge.trusted_proxies", error.to_string()));
            ClientAddress::default()
        });
        let limits = keys::names_in("edge.limits").into_iter();
        let upstreams = Part::SERVICES.map(|part| {
            let path = format!("edge.upstreams.{}", part.name());
            let addresses = settings.list(&format!("{path}.endpoints"));
            let authorities = settings.path(&format!("{path}.authorities"));
            if addresses.is_none()
                && authorities.is_some()
                && !settings.is_broken(&format!("{path}.endpoints"))
            {
                let message = "is for `endpoints` with https, and there are none; add them";
                faults.push(settings.fault(&format!("{path}.authorities"), message));
            }
            addresses.map(|addresses| Endpoints { addresses, authorities })
        });
        Self {
            proxies,
            address_limit: settings.quota("edge.address_limit"),
            limits: limits
                .filter_map(|class| Some((class, settings.quota(&format!("edge.limits.{class}"))?)))
                .collect(),
            upstreams,
        }
    }

    /// Says it to a builder.
    pub(crate) fn apply(&self, builder: GatewayBuilder) -> GatewayBuilder {
        let builder = builder.client_address(self.proxies.clone());
        let builder = match self.address_limit {
            Some(quota) => builder.address_limit(quota),
            None => builder,
        };
        self.limits.iter().fold(builder, |builder, (class, quota)| builder.rate_limit(*class, *quota))
    }

    /// Where a service runs, if not where its own section says.
    pub(crate) fn upstream(&self, part: Part) -> Option<&Endpoints> {
        let at = Part::SERVICES.iter().position(|service| *service == part)?;
        self.upstreams[at].as_ref()
    }
}
