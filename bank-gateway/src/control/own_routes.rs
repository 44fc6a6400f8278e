//! What the gateway answers itself: whether it lives, whether it can serve, and what it offers.

use std::sync::Arc;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::readiness::Readiness;
use crate::edge::Own;
use crate::exchange::Facts;

/// Alive, as long as it answers.
pub(crate) fn health() -> Own {
    Arc::new(|_: &Facts| Box::pin(async { Ok(json(&json!({ "status": "alive" }))) }))
}

/// Ready while all its parts are, and its server does not drain. The reasons are for the admin listener.
pub(crate) fn readiness(readiness: Arc<Readiness>) -> Own {
    Arc::new(move |facts: &Facts| {
        let readiness = readiness.clone();
        let draining = facts.connection().is_some_and(|connection| connection.is_leaving());
        Box::pin(async move {
            if draining {
                let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this server is about to end");
                return Err(problem.with_code("draining"));
            }
            match readiness.reasons().await.is_empty() {
                true => Ok(json(&json!({ "status": "ready" }))),
                false => Err(Problem::unavailable()),
            }
        })
    })
}

/// The document of all services.
pub(crate) fn document(document: &serde_json::Value) -> Own {
    let bytes = bytes::Bytes::from(document.to_string());
    Arc::new(move |_: &Facts| {
        let bytes = bytes.clone();
        Box::pin(async move { Ok(with_type(Body::from(bytes), "application/json")) })
    })
}

pub(crate) fn json(value: &serde_json::Value) -> Response<Body> {
    with_type(Body::from(value.to_string()), "application/json")
}

pub(crate) fn with_type(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
