//! The gateway once more, as a team would build it: of its public layers, one `StepLayer` a step, with `ServiceBuilder`.

use std::convert::Infallible;

use bank_gateway::control::{Parts, RoutePart};
use bank_gateway::edge::{EdgeSteps, RouteSteps};
use bank_gateway::{Step, StepLayer};
use bank_sdk::http::Body;
use http::{Request, Response};
use tower::ServiceBuilder;
use tower::util::BoxCloneSyncService;

type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn layer<T: Step>(step: T) -> StepLayer<T> {
    StepLayer::new(step)
}

/// The layers of the guide, from the outside in, around the routes.
pub(crate) fn rebuilt(
    parts: Parts,
) -> BoxCloneSyncService<Request<hyper::body::Incoming>, Response<Body>, Infallible> {
    let Parts { edge, routes, .. } = parts;
    let EdgeSteps { name, security, record, cors, guard, client, address_limit, strict, loops, preflights } =
        edge;
    let service = ServiceBuilder::new()
        .layer(layer(name))
        .layer(layer(security))
        .layer(layer(record))
        .layer(layer(cors))
        .layer(layer(guard))
        .layer(layer(client))
        .layer(layer(address_limit))
        .layer(layer(strict))
        .layer(layer(loops))
        .layer(layer(preflights))
        .service(routes.map(route));
    BoxCloneSyncService::new(service)
}

/// The layers of one route, around what serves it.
fn route(part: &RoutePart) -> Boxed {
    let RouteSteps {
        total,
        deadline,
        upgrade,
        same_site,
        address_quota,
        query,
        body,
        front,
        login,
        authenticate,
        authorize,
        quota,
        own,
        key,
        sessions,
        credentials,
        rewrite,
        forwarded,
        fields,
        trace,
        principal,
        mint,
    } = RouteSteps::clone(&part.steps);
    let inner = ServiceBuilder::new()
        .layer(layer(quota))
        .layer(layer(own))
        .layer(layer(key))
        .layer(layer(sessions))
        .layer(layer(credentials))
        .layer(layer(rewrite))
        .layer(layer(forwarded))
        .layer(layer(fields))
        .layer(layer(trace))
        .layer(layer(principal))
        .layer(layer(mint))
        .service(part.service.clone());
    let service = ServiceBuilder::new()
        .layer(layer(total))
        .layer(layer(deadline))
        .layer(layer(upgrade))
        .layer(layer(same_site))
        .layer(layer(address_quota))
        .layer(layer(query))
        .layer(layer(body))
        .layer(layer(front))
        .layer(layer(login))
        .layer(layer(authenticate))
        .layer(layer(authorize))
        .service(BoxCloneSyncService::<Request<Body>, Response<Body>, Infallible>::new(inner));
    BoxCloneSyncService::new(service)
}
