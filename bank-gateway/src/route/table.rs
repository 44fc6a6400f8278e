//! The table itself: a radix tree of path templates, and at each leaf the routes that share the template.

use std::collections::BTreeMap;
use std::sync::Arc;

use bank_sdk::declaration::Method;
use bank_sdk::http::Body;
use http::Request;
use http::header::HOST;

use super::{Conditions, Entry};

/// All routes, found in time that does not depend on their number.
#[derive(Debug, Default)]
pub(crate) struct Table {
    tree: matchit::Router<Vec<Arc<Entry>>>,
    all: Vec<Arc<Entry>>,
}

/// Why a request has no route.
#[derive(Debug)]
pub(crate) enum NoRoute {
    NotFound,
    /// The path is known under other methods.
    Method(Vec<Method>),
}

impl Table {
    /// The table, or every fault.
    pub(crate) fn build(entries: Vec<Entry>) -> Result<Self, Vec<String>> {
        let all: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
        let mut paths: BTreeMap<&str, Vec<Arc<Entry>>> = BTreeMap::new();
        for entry in &all {
            paths.entry(&entry.path).or_default().push(entry.clone());
        }
        let mut faults = Vec::new();
        let mut tree = matchit::Router::new();
        for (path, mut candidates) in paths {
            for (at, one) in candidates.iter().enumerate() {
                if let Some(other) = candidates[..at].iter().find(|other| is_ambiguous(one, other)) {
                    faults.push(format!(
                        "{} {} and {} {} could both serve the same request; give one a condition that the other lacks",
                        other.service, other.operation, one.service, one.operation
                    ));
                }
            }
            // Stable: the more conditions, the earlier.
            candidates.sort_by_key(|entry| std::cmp::Reverse(weight(&entry.when)));
            let names: Vec<_> = candidates.iter().map(|entry| entry.service.clone()).collect();
            if let Err(error) = tree.insert(path, candidates) {
                faults.push(format!("{} {path}: {error}", names.join(", ")));
            }
        }
        if faults.is_empty() { Ok(Self { tree, all }) } else { Err(faults) }
    }

    /// The route of a request.
    pub(crate) fn find(&self, request: &Request<Body>) -> Result<&Arc<Entry>, NoRoute> {
        let found = self.tree.at(request.uri().path()).map_err(|_| NoRoute::NotFound)?;
        let mut fitting = found.value.iter().filter(|entry| entry.when.fit(request)).peekable();
        if fitting.peek().is_none() {
            return Err(NoRoute::NotFound);
        }
        let method = Method::serving(request.method());
        let serves = |entry: &&Arc<Entry>| entry.method.is_none() || entry.method == method;
        fitting
            .clone()
            .find(serves)
            .ok_or_else(|| NoRoute::Method(fitting.filter_map(|entry| entry.method).collect()))
    }

    /// All routes, as they were declared.
    pub(crate) fn entries(&self) -> &[Arc<Entry>] {
        &self.all
    }
}

fn weight(when: &Conditions) -> (bool, usize) {
    (when.host.is_some(), when.headers.len() + when.query.len())
}

/// Whether some request fits both and neither is more specific.
fn is_ambiguous(one: &Entry, other: &Entry) -> bool {
    let methods = one.method.is_none() || other.method.is_none() || one.method == other.method;
    let exclude = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        a.iter().any(|(name, value)| b.get(name).is_some_and(|other| other != value))
    };
    methods
        && weight(&one.when) == weight(&other.when)
        && (one.when.host == other.when.host)
        && !exclude(&one.when.headers, &other.when.headers)
        && !exclude(&one.when.query, &other.when.query)
}

impl Conditions {
    fn fit(&self, request: &Request<Body>) -> bool {
        self.host
            .as_deref()
            .is_none_or(|host| host_of(request).is_some_and(|own| own.eq_ignore_ascii_case(host)))
            && self.headers.iter().all(|(name, value)| {
                request.headers().get(name).is_some_and(|held| held.as_bytes() == value.as_bytes())
            })
            && self.query.iter().all(|(name, value)| {
                let query = request.uri().query().unwrap_or_default();
                query.split('&').any(|pair| pair.split_once('=') == Some((name, value)))
            })
    }
}

/// The host without its port.
fn host_of(request: &Request<Body>) -> Option<&str> {
    let host = match request.headers().get(HOST) {
        Some(host) => host.to_str().ok()?,
        None => request.uri().authority()?.as_str(),
    };
    let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
    Some(&host[..end.unwrap_or(host.len())])
}

#[cfg(test)]
mod tests {
    use bank_sdk::Access;

    use super::*;
    use crate::metrics::Metrics;
    use crate::route::{Route, Target};

    fn entry(name: &str, route: Route) -> Entry {
        let route = route.access(Access::Public);
        let metrics = Metrics::new().route(name, &route.declaration.operation());
        let target = Target::Answer(Arc::new(|| Box::pin(async { http::Response::new(Body::empty()) })));
        let mut entry =
            Entry::of(&name.into(), &route.declaration, route.when, target, &"gate".into(), metrics).unwrap();
        if route.all_methods {
            entry.method = None;
        }
        entry
    }

    fn found(table: &Table, request: http::request::Builder) -> String {
        match table.find(&request.body(Body::empty()).unwrap()) {
            Ok(entry) => entry.service.to_string(),
            Err(NoRoute::NotFound) => "404".to_owned(),
            Err(NoRoute::Method(methods)) => format!("405 {methods:?}"),
        }
    }

    #[test]
    fn the_most_specific_route_wins() {
        let get = |path: &str| Route::new(Method::Get, path);
        let table = Table::build(vec![
            entry("rest", Route::all("/{*rest}")),
            entry("one", get("/v1/things/{id}")),
            entry("special", get("/v1/things/special")),
            entry("host", get("/v1/things/{id}").host("Partner.example")),
            entry("beta", get("/v1/things/{id}").header("x-version", "beta")),
            entry("other", get("/v1/others/{id}")),
            entry("query", get("/v1/others/{id}").query("kind", "a")),
            entry("post", Route::new(Method::Post, "/v1/things/{id}")),
        ])
        .unwrap();
        let request = |path: &str| Request::get(path).header("host", "bank.example:443");
        assert_eq!(found(&table, request("/v1/things/7")), "one");
        assert_eq!(found(&table, request("/v1/things/special")), "special");
        assert_eq!(found(&table, request("/v1/things/7").header("x-version", "beta")), "beta");
        assert_eq!(found(&table, request("/v1/things/7").header("x-version", "gamma")), "one");
        assert_eq!(found(&table, request("/v1/others/7?x=1&kind=a")), "query");
        assert_eq!(found(&table, request("/v1/others/7?kind=b")), "other");
        assert_eq!(
            found(&table, Request::get("/v1/things/7").header("host", "partner.example:8443")),
            "host"
        );
        assert_eq!(found(&table, request("/v1/things/7").method("POST")), "post");
        assert_eq!(found(&table, request("/v1/things/7").method("HEAD")), "one");
        assert_eq!(found(&table, request("/v1/things/7").method("DELETE")), "405 [Get, Post]");
        assert_eq!(found(&table, request("/elsewhere").method("DELETE")), "rest");
    }

    #[test]
    fn two_routes_that_could_both_win_are_an_error_that_names_both() {
        let route = |name, route: Route| entry(name, route);
        let faults = Table::build(vec![
            route("a", Route::new(Method::Get, "/x").header("k", "1")),
            route("b", Route::new(Method::Get, "/x").query("q", "1")),
        ])
        .unwrap_err();
        assert!(faults[0].contains("a GET /x and b GET /x"), "{faults:?}");
        assert!(
            Table::build(vec![
                route("a", Route::new(Method::Get, "/x").header("k", "1")),
                route("b", Route::new(Method::Get, "/x").header("k", "2")),
            ])
            .is_ok()
        );
        let faults = Table::build(vec![
            route("a", Route::new(Method::Get, "/x/{id}")),
            route("b", Route::new(Method::Get, "/x/{name}")),
        ])
        .unwrap_err();
        assert!(faults[0].contains("/x/{name}"), "{faults:?}");
    }
}
