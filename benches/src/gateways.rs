//! Our gateways: one that only passes on, one that does everything it is for, and one in front of a service in its own
//! process.

use std::net::SocketAddr;
use std::sync::Arc;

use bank_gateway::identity::{Jwt, KeySet};
use bank_gateway::{Gateway, GatewayBuilder, Quota, Route, Upstream};
use bank_sdk::declaration::Method;
use bank_sdk::identity::IdentityKeys;
use bank_sdk::{Access, Api, BankService, Call, Empty, Endpoint, Endpoints, Problem, Service};
use jsonwebtoken::jwk::JwkSet;

use crate::Failure;
use crate::tokens::{AUDIENCE, ISSUER, Issuer, SCOPE};

/// The one path that is called.
pub const PATH: &str = "/v1/kilobyte";

/// What the gateways with a pipeline offer there.
pub const OPERATION: Endpoint<Empty, Empty> = Endpoint::get(PATH).scope(SCOPE);

/// A quota that is counted and never used up.
#[must_use]
pub const fn huge() -> Quota {
    Quota::per_second(100_000_000).burst(100_000_000)
}

/// Passes everything on to a server that is no service of the bank, to whoever asks.
///
/// # Errors
/// What does not fit together.
pub fn bare(upstream: SocketAddr) -> Result<Gateway, Failure> {
    let route = Route::all("/v1/{*rest}").access(Access::Public);
    Ok(generous().route(route, at(upstream).foreign()).build()?)
}

/// Checks the token, decides by scope, counts against the caller's quota, and tells the service who calls with an identity
/// token that is made for each request.
///
/// # Errors
/// What does not fit together.
pub fn full(trusted: &JwkSet, upstream: SocketAddr) -> Result<Gateway, Failure> {
    Ok(full_among(trusted, upstream, 1)?.build()?)
}

/// The same among so many routes, not built yet.
///
/// # Errors
/// Keys that cannot be used.
pub fn full_among(trusted: &JwkSet, upstream: SocketAddr, routes: usize) -> Result<GatewayBuilder, Failure> {
    let keys = IdentityKeys::new([("1", [7; 32])])?;
    let builder = authenticated(trusted)?.service(Kilobyte::api(), at(upstream).identity_keys(keys));
    Ok((1..routes).fold(builder, |builder, number| {
        let route = Route::new(Method::Get, format!("/v1/others/{number}/{{id}}")).access(Access::Public);
        builder.route(route, at(upstream).foreign())
    }))
}

/// The same, in front of a service in this process.
///
/// # Errors
/// What does not fit together.
pub fn local(issuer: &Issuer) -> Result<Gateway, Failure> {
    let service = Service::local(Kilobyte)?;
    Ok(authenticated(issuer.keys())?.service(service.api().clone(), Upstream::local(service)).build()?)
}

/// A gateway that knows the tokens that these keys verify, before it knows any service.
///
/// # Errors
/// Keys that cannot be used.
pub fn authenticated(trusted: &JwkSet) -> Result<GatewayBuilder, Failure> {
    let jwt = Jwt::new(KeySet::fixed(trusted)?).issuer(ISSUER).audience(AUDIENCE);
    Ok(generous().name("gateway").authenticate(jwt))
}

fn generous() -> GatewayBuilder {
    Gateway::builder().address_limit(huge()).rate_limit("default", huge())
}

fn at(address: SocketAddr) -> Upstream {
    Upstream::at([format!("http://{address}")])
}

/// A service that does nothing.
#[derive(Debug)]
pub struct Kilobyte;

impl Kilobyte {
    async fn answer(self: Arc<Self>, _: Call<Empty>) -> Result<Empty, Problem> {
        Ok(Empty {})
    }
}

impl BankService for Kilobyte {
    fn api() -> Api {
        Api::new("kilobyte").endpoint(OPERATION.declare())
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(OPERATION, Self::answer)
    }
}
