//! A radix tree of path templates, and at each leaf the routes that share the template.
//!
//! A template fits a path segment by segment. Of several that do, the most specific comes first: at the first segment where
//! they differ, a literal over a parameter over the rest. Where no route of it wants the request, as they are all for another
//! host, the next one is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bank_sdk::declaration::Method;

use super::entry::{Matcher, NoRoute};

/// The routes of all templates.
pub(super) struct Tree {
    router: matchit::Router<usize>,
    leaves: Vec<Leaf>,
}

/// The routes of one template.
struct Leaf {
    template: Template,
    /// Those with more conditions come first.
    matchers: Vec<Arc<Matcher>>,
    /// Less specific templates that fit some of the same paths, the most specific first.
    wider: Vec<usize>,
}

impl Tree {
    /// The tree of these templates; the faults are those of templates that cannot stand beside each other.
    pub(super) fn build(templates: BTreeMap<String, Vec<Arc<Matcher>>>) -> (Self, Vec<String>) {
        let (mut router, mut leaves, mut faults) = (matchit::Router::new(), Vec::new(), Vec::new());
        for (path, matchers) in templates {
            if let Err(error) = router.insert(&*path, leaves.len()) {
                let names: Vec<_> = matchers.iter().map(|matcher| &*matcher.info.service).collect();
                faults.push(format!("{} {path}: {error}", names.join(", ")));
            }
            leaves.push(Leaf { template: Template::of(&path), matchers, wider: Vec::new() });
        }
        let ranks: Vec<Vec<u8>> = leaves.iter().map(|leaf: &Leaf| leaf.template.rank()).collect();
        for at in 0..leaves.len() {
            let is_wider = |other: &usize| {
                ranks[at] < ranks[*other] && leaves[at].template.meets(&leaves[*other].template)
            };
            let mut wider: Vec<usize> = (0..leaves.len()).filter(is_wider).collect();
            wider.sort_by_key(|&other| &ranks[other]);
            leaves[at].wider = wider;
        }
        (Self { router, leaves }, faults)
    }

    /// The first route for this path and method that wants the request, from the most specific template that has any which
    /// does.
    pub(super) fn find(
        &self,
        path: &str,
        method: Option<Method>,
        wants: impl Fn(&Matcher) -> bool,
    ) -> Result<&Arc<Matcher>, NoRoute> {
        let first = self.router.at(path).map_err(|_| NoRoute::NotFound)?;
        let first = &self.leaves[*first.value];
        let wider = first.wider.iter().map(|&at| &self.leaves[at]);
        for leaf in std::iter::once(first).chain(wider.filter(|leaf| leaf.template.fits(path))) {
            let mut wanting = leaf.matchers.iter().filter(|matcher| wants(matcher)).peekable();
            if wanting.peek().is_none() {
                continue;
            }
            let serves = |matcher: &&Arc<Matcher>| matcher.method.is_none() || matcher.method == method;
            return wanting
                .clone()
                .find(serves)
                .ok_or_else(|| NoRoute::Method(wanting.filter_map(|matcher| matcher.method).collect()));
        }
        Err(NoRoute::NotFound)
    }
}

/// A path template, taken apart.
#[derive(Debug)]
pub(super) struct Template(Vec<Segment>);

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter,
    Rest,
}

impl Template {
    pub(super) fn of(path: &str) -> Self {
        let segment = |text: &str| match text.strip_prefix('{') {
            Some(name) if name.starts_with('*') => Segment::Rest,
            Some(_) => Segment::Parameter,
            None => Segment::Literal(text.to_owned()),
        };
        Self(path.split('/').skip(1).map(segment).collect())
    }

    /// How specific it is: what is smaller comes first.
    fn rank(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0_u8,
            Segment::Parameter => 1,
            Segment::Rest => 2,
        };
        self.0.iter().map(rank).collect()
    }

    /// Whether another template is more specific and fits some of the same paths.
    pub(super) fn yields_to(&self, other: &Self) -> bool {
        other.rank() < self.rank() && self.meets(other)
    }

    fn fits(&self, path: &str) -> bool {
        let mut segments = path.split('/').skip(1);
        for own in &self.0 {
            let fits = match (own, segments.next()) {
                (_, None) => false,
                (Segment::Literal(literal), Some(segment)) => literal == segment,
                (Segment::Parameter, Some(segment)) => !segment.is_empty(),
                (Segment::Rest, Some(segment)) => return !segment.is_empty(),
            };
            if !fits {
                return false;
            }
        }
        segments.next().is_none()
    }

    /// Whether some path fits both.
    fn meets(&self, other: &Self) -> bool {
        let (mut own, mut other) = (self.0.iter(), other.0.iter());
        loop {
            let meet = match (own.next(), other.next()) {
                (None, None) => return true,
                (None, _) | (_, None) => return false,
                (Some(one), Some(another)) => match (one, another) {
                    (Segment::Literal(one), Segment::Literal(another)) => one == another,
                    (Segment::Literal(text), Segment::Rest) | (Segment::Rest, Segment::Literal(text)) => {
                        return !text.is_empty();
                    }
                    (Segment::Literal(text), _) | (_, Segment::Literal(text)) => !text.is_empty(),
                    (Segment::Rest, _) | (_, Segment::Rest) => return true,
                    (Segment::Parameter, Segment::Parameter) => true,
                },
            };
            if !meet {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fit_paths_and_meet_as_the_router_sees_it() {
        let fits = |template: &str, path: &str| {
            let mut router = matchit::Router::new();
            router.insert(template, ()).unwrap();
            let expected = router.at(path).is_ok();
            assert_eq!(Template::of(template).fits(path), expected, "{template} {path}");
            expected
        };
        let templates =
            ["/", "/a", "/a/", "/{id}", "/a/{id}", "/{id}/b", "/a/b", "/{*rest}", "/a/{*rest}", "/a/{id}/c"];
        let paths = ["/", "/a", "/a/", "/b", "/a/b", "/a/b/", "/b/b", "/a/b/c", "/a/x/c/d"];
        for one in templates {
            for other in templates {
                let both = paths.iter().any(|path| fits(one, path) && fits(other, path));
                assert_eq!(Template::of(one).meets(&Template::of(other)), both, "{one} {other}");
            }
        }
    }
}
