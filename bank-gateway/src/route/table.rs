//! The table itself.
//!
//! A foreign server may take two spellings of a path for one: `/V1/Admin/` for `/v1/admin`. A request for it must not pass by
//! the route of `/v1/admin` because `/{*rest}` of the same server fits its spelling. So a route of a foreign upstream stands for
//! all spellings of its path, among the routes that lead to the same server: the most specific one in any spelling serves the
//! request, unless the one that was found asks for more of its caller.

use std::collections::BTreeMap;
use std::sync::Arc;

use bank_sdk::declaration::{Access, Method};
use bank_sdk::http::Body;
use http::Request;
use http::header::HOST;

use super::Conditions;
use super::canonical::{has_field, has_parameter, is_host_of, path_in_one_spelling, without_last_slash};
use super::entry::{Entry, Matcher, NoRoute};
use super::tree::{Template, Tree};
use crate::outbound::Origin;

/// All routes, found in time that does not depend on their number.
pub(crate) struct Table<P> {
    index: Arc<Index>,
    entries: Vec<Arc<Entry<P>>>,
}

/// The matchers of all routes. What is done with requests is no business of theirs: tables of several kinds share one.
struct Index {
    exact: Tree,
    /// The routes of foreign servers, under their paths in one spelling.
    respelled: Option<Tree>,
}

impl<P> Table<P> {
    /// The table, or every fault.
    pub(crate) fn build(routes: Vec<(Matcher, P)>) -> Result<Self, Vec<String>> {
        let (matchers, payloads): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let (index, matchers) = Index::build(matchers)?;
        let entry = |(matcher, payload)| Arc::new(Entry { matcher, payload });
        Ok(Self { index: Arc::new(index), entries: matchers.into_iter().zip(payloads).map(entry).collect() })
    }

    /// The route of a request.
    #[inline]
    pub(crate) fn find(&self, request: &Request<Body>) -> Result<&Arc<Entry<P>>, NoRoute> {
        self.index.find(request).map(|matcher| &self.entries[matcher.number()])
    }

    /// The same routes with something else for each.
    pub(crate) fn map<Q>(&self, payload: impl Fn(&P) -> Q) -> Table<Q> {
        let of = |entry: &Arc<Entry<P>>| {
            Arc::new(Entry { matcher: entry.matcher.clone(), payload: payload(&entry.payload) })
        };
        Table { index: self.index.clone(), entries: self.entries.iter().map(of).collect() }
    }

    /// All routes, as they were declared.
    pub(crate) fn entries(&self) -> &[Arc<Entry<P>>] {
        &self.entries
    }
}

impl Index {
    fn build(matchers: Vec<Matcher>) -> Result<(Self, Vec<Arc<Matcher>>), Vec<String>> {
        let yields = yields(&matchers);
        let placed = |(number, (matcher, yields)): (usize, (Matcher, bool))| {
            Arc::new(matcher.in_table(number, yields))
        };
        let all: Vec<_> = matchers.into_iter().zip(yields).enumerate().map(placed).collect();
        let exact = by_template(&all, |matcher| Some(matcher.path.clone()));
        let mut faults = ambiguities(&exact, is_ambiguous);
        let respelled = by_template(&all, |matcher| {
            matcher.origin.as_ref().map(|_| template_in_one_spelling(&matcher.path))
        });
        faults.extend(ambiguities(&respelled, is_guarded_in_one_spelling_only));
        let (exact, more) = Tree::build(exact);
        faults.extend(more);
        let respelled = (!respelled.is_empty()).then(|| Tree::build(respelled).0);
        if faults.is_empty() { Ok((Self { exact, respelled }, all)) } else { Err(faults) }
    }

    fn find(&self, request: &Request<Body>) -> Result<&Arc<Matcher>, NoRoute> {
        let (path, method) = (request.uri().path(), Method::serving(request.method()));
        let found = self.exact.find(path, method, |matcher| matcher.when.fit(request))?;
        let (Some(respelled), Some(origin), true) = (&self.respelled, &found.origin, found.yields()) else {
            return Ok(found);
        };
        let leads_there = |matcher: &Matcher| matcher.origin.as_ref().is_some_and(|own| own.is_same(origin));
        let other = respelled.find(&path_in_one_spelling(path), method, |matcher| {
            leads_there(matcher) && matcher.when.fit(request)
        });
        match other {
            Err(NoRoute::NotFound) => Ok(found),
            Err(no) => Err(no),
            Ok(other) if Arc::ptr_eq(found, other) => Ok(found),
            Ok(other) if template_in_one_spelling(&found.path) == template_in_one_spelling(&other.path) => {
                Ok(found)
            }
            Ok(other) if is_as_strict(&other.info.access, &found.info.access) => Ok(other),
            Ok(other) if is_as_strict(&found.info.access, &other.info.access) => Ok(found),
            // Each asks for something that the other does not: neither may be passed by.
            Ok(_) => Err(NoRoute::NotFound),
        }
    }
}

type Templates = BTreeMap<String, Vec<Arc<Matcher>>>;

/// The matchers under the template that each has, those with more conditions first.
fn by_template(all: &[Arc<Matcher>], template: impl Fn(&Matcher) -> Option<String>) -> Templates {
    let mut templates = Templates::new();
    for matcher in all {
        if let Some(template) = template(matcher) {
            templates.entry(template).or_default().push(matcher.clone());
        }
    }
    for matchers in templates.values_mut() {
        // Stable: the more conditions, the earlier.
        matchers.sort_by_key(|matcher| std::cmp::Reverse(weight(&matcher.when)));
    }
    templates
}

/// A fault for each two routes of one template of which it cannot be said which serves a request.
fn ambiguities(templates: &Templates, is_ambiguous: impl Fn(&Matcher, &Matcher) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for matchers in templates.values() {
        for (at, one) in matchers.iter().enumerate() {
            if let Some(other) = matchers[..at].iter().find(|other| is_ambiguous(one, other)) {
                faults.push(format!(
                    "{} {} and {} {} could both serve the same request; give one a condition that the other lacks",
                    other.info.service, other.info.operation, one.info.service, one.info.operation
                ));
            }
        }
    }
    faults
}

/// For each of these routes, whether another one leads to the same server, and fits some of the same paths more specifically.
fn yields(matchers: &[Matcher]) -> Vec<bool> {
    let foreign: Vec<_> = matchers
        .iter()
        .map(|matcher| {
            let template = || Template::of(&template_in_one_spelling(&matcher.path));
            matcher.origin.as_ref().map(|origin| (origin, matcher.path.contains('{'), template()))
        })
        .collect();
    let yields = |own: &Option<(&Origin, bool, Template)>| match own {
        Some((origin, true, template)) => foreign
            .iter()
            .flatten()
            .any(|(server, _, other)| server.is_same(origin) && template.yields_to(other)),
        _ => false,
    };
    foreign.iter().map(yields).collect()
}

fn template_in_one_spelling(template: &str) -> String {
    let segment = |text: &str| match text.strip_prefix('{') {
        Some(name) if name.starts_with('*') => "{*rest}".to_owned(),
        Some(_) => "{parameter}".to_owned(),
        None => path_in_one_spelling(text),
    };
    let path = template.split('/').map(segment).collect::<Vec<_>>().join("/");
    without_last_slash(path)
}

/// Whether two routes to one foreign server differ only in spelling, and in whom they let pass.
fn is_guarded_in_one_spelling_only(one: &Matcher, other: &Matcher) -> bool {
    let same_server =
        one.origin.as_ref().zip(other.origin.as_ref()).is_some_and(|(one, other)| one.is_same(other));
    same_server
        && one.path != other.path
        && (one.method.is_none() || other.method.is_none() || one.method == other.method)
        && one.when == other.when
        && one.info.access != other.info.access
}

/// Whether whoever passes `one` would pass `other` as well.
fn is_as_strict(one: &Access, other: &Access) -> bool {
    match (one, other) {
        _ if one == other => true,
        (_, Access::Public) => true,
        (Access::Authenticated { .. }, Access::Optional) => true,
        (
            Access::Authenticated { scopes, roles },
            Access::Authenticated { scopes: other_scopes, roles: other_roles },
        ) => {
            other_scopes.iter().all(|scope| scopes.contains(scope))
                && (other_roles.is_empty()
                    || !roles.is_empty() && roles.iter().all(|role| other_roles.contains(role)))
        }
        _ => false,
    }
}

fn weight(when: &Conditions) -> (bool, usize) {
    (when.host.is_some(), when.headers.len() + when.query.len())
}

/// Whether some request fits both and neither is more specific.
fn is_ambiguous(one: &Matcher, other: &Matcher) -> bool {
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
        self.host.as_deref().is_none_or(|host| authority_of(request).is_some_and(|own| is_host_of(own, host)))
            && self.headers.iter().all(|(name, value)| has_field(request.headers(), name, value))
            && self.query.iter().all(|(name, value)| {
                request.uri().query().is_some_and(|query| has_parameter(query, name, value))
            })
    }
}

/// The host with its port.
fn authority_of(request: &Request<Body>) -> Option<&str> {
    match request.headers().get(HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri().authority().map(http::uri::Authority::as_str),
    }
}

#[cfg(test)]
mod tests {
    use bank_sdk::Access;

    use super::*;
    use crate::observe::Metrics;
    use crate::route::{Route, RouteInfo};
    use crate::traffic::Times;

    fn entry(name: &str, route: Route) -> (Matcher, ()) {
        let declared = &route.declaration;
        let info = RouteInfo {
            service: name.into(),
            operation: declared.operation().into(),
            access: Access::Public,
            idempotency: declared.idempotency,
            limit_class: declared.limit_class.clone(),
            times: Times::default(),
            body_limit: 0,
            stream: false,
            long_poll: false,
            upgrade: false,
            is_bank_service: true,
            render: None,
            metrics: Metrics::new().route(name, &declared.operation()),
        };
        let method = (!route.all_methods).then_some(declared.method);
        (Matcher::new(Arc::new(info), method, declared.path.clone(), route.when, None), ())
    }

    fn found(table: &Table<()>, request: http::request::Builder) -> String {
        match table.find(&request.body(Body::empty()).unwrap()) {
            Ok(entry) => entry.matcher.info.service.to_string(),
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
        .ok()
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
        .err()
        .unwrap();
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
        .err()
        .unwrap();
        assert!(faults[0].contains("/x/{name}"), "{faults:?}");
    }
}
