//! The bank's front door: which credentials hold, how often one may call, and where the services are.

use std::sync::Arc;

use bank_gateway::audit::AuditFile;
use bank_gateway::identity::{Jwt, KeySet, Passwords, Sessions};
use bank_gateway::{ErrorPages, Gateway, GatewayBuilder, Policy, ReadyCheck, SharedLimits, Upstream};
use bank_sdk::Service;
use bank_sdk::client::Client;
use bank_stores::items::Key;
use bank_stores::{Cache, Consistency, Items};

use crate::Fatal;
use crate::about::About;
use crate::args::Part;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::files::Files;
use crate::name_caller::NameCaller;
use crate::parts::GATEWAY;
use crate::store_calls::StoreCalls;
use crate::stores::{shared_limits, waiting};
use crate::used_sessions::used_sessions;

/// What the gateway stands on.
pub(crate) struct Ground {
    pub(crate) files: Files,
    /// Identity's data.
    pub(crate) items: Arc<dyn Items>,
    /// The port that customers reach, which tells the audit files of several gateways apart.
    pub(crate) port: u16,
    /// Where sessions that ended are told: in the same process, or to all.
    pub(crate) cache: Option<Arc<dyn Cache>>,
    /// What the stores of this process were asked.
    pub(crate) calls: StoreCalls,
}

/// Where the services are.
pub(crate) enum Services {
    Here(Vec<Service>),
    There,
}

pub(crate) async fn gateway(config: &Config, ground: &Ground, services: Services) -> Result<Gateway, Fatal> {
    let (used, teller) = used_sessions();
    let credentials = Credentials::new(ground.items.clone(), ground.cache.clone(), used);
    let sessions = Sessions::new(credentials.clone()).plain_cookie_on_loopback();
    if let Some(cache) = &ground.cache {
        tokio::spawn(sessions.clone().follow(cache.clone(), identity::SESSIONS_ENDED));
    }
    let keys_file = ground.files.path("jwks.json");
    let keys = waiting("identity has not told its keys yet", || {
        let file = keys_file.clone();
        async move { KeySet::file(file) }
    })
    .await?;
    let jwt = Jwt::new(keys).issuer(identity::ISSUER).audience(identity::AUDIENCE).sessions(sessions.clone());
    let (mut passwords, limits) = (Passwords::new(credentials), shared_limits(&config.shared).await?);
    let limits = limits.map(|limits| ground.calls.limits(Part::Gateway.name(), limits));
    if let Some(limits) = &limits {
        passwords = passwords.shared_failures(limits.clone());
    }
    let mut builder = Gateway::builder()
        .name(GATEWAY)
        .authenticate(jwt)
        .authenticate(sessions)
        .passwords(passwords)
        .policy(Policy::new().front_step(NameCaller))
        .render(ErrorPages::new("Reference Bank"))
        .openapi_info(crate::openapi::info())
        .ready_check("identity's data", readable(ground.items.clone()))
        .metrics_text({
            let calls = ground.calls.clone();
            move || calls.render()
        });
    builder = config.edge.apply(builder);
    if let Some(limits) = limits {
        builder = builder.shared_limits(SharedLimits::new(limits, config.shared.when_away));
    }
    if config.audit {
        let name = format!("audit-{}.jsonl", ground.port);
        let audit = AuditFile::open(&ground.files.path(&name))
            .map_err(|error| Fatal::new(format!("{name}: {error}")))?;
        builder = builder.audit(Arc::new(audit));
    }
    let about = About::new();
    builder = builder.metrics_text(move || about.render());
    for part in Part::SERVICES.into_iter().chain([Part::Gateway]) {
        builder = builder.caller(part.name(), ground.files.caller_keys(part.name())?);
    }
    builder = match services {
        Services::Here(services) => services.into_iter().fold(builder, |builder, service| {
            builder.service(service.api().clone(), Upstream::local(service))
        }),
        Services::There => remote(config, &ground.files, builder)?,
    };
    let web = Service::local(web::Web::new()).map_err(Fatal::new)?;
    let gateway = builder.service(web::api(), Upstream::local(web)).build().map_err(Fatal::new)?;
    let (own, keys) = (Part::Gateway.name(), ground.files.caller_keys(Part::Gateway.name())?);
    tokio::spawn(teller.tell(Client::new(gateway.internal()).as_service(own, GATEWAY, keys)));
    Ok(gateway)
}

fn remote(config: &Config, files: &Files, mut builder: GatewayBuilder) -> Result<GatewayBuilder, Fatal> {
    for part in Part::SERVICES {
        let api = match part {
            Part::Accounts => accounts::api(),
            Part::Transactions => transactions::api(),
            Part::Identity => identity::api(),
            Part::Partners => partners::api(),
            Part::Gateway => continue,
        };
        let mut upstream =
            Upstream::at(config.endpoints(part)).identity_keys(files.identity_keys(part.name())?);
        if let Some(authorities) = config.edge.upstream(part).and_then(|named| named.authorities.as_ref()) {
            let tls = bank_gateway::tls::client_config(authorities)
                .map_err(|error| Fatal::caused(part.name(), &error))?;
            upstream = upstream.tls(tls);
        }
        builder = builder.service(api, upstream);
    }
    Ok(builder)
}

/// Whether a store answers.
fn readable(items: Arc<dyn Items>) -> ReadyCheck {
    ReadyCheck::new(move || {
        let items = items.clone();
        async move {
            let asked = items.get(&Key::new("ready", "check"), Consistency::Any).await;
            asked.map(|_| ()).map_err(|error| error.to_string())
        }
    })
}
