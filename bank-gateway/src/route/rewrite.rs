//! Another path, and other fields, for what goes on.

use bank_sdk::Problem;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::exchange::{Exchange, Facts};
use crate::inbound::check_path;
use crate::step::{Answer, Flow, Refusal, Step};

/// Sends requests on under another path. The query stays, and the new path is held to the same rules as the old one (S3).
///
/// ```
/// use bank_gateway::{Rewrite, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(Rewrite::strip_prefix("/reports").then_prefix("/v2")))
///     .service_fn(|request: Request<Body>| async move {
///         assert_eq!(request.uri(), "/v2/daily?day=1");
///         Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
///     });
/// let request = Request::get("/reports/daily?day=1").body(Body::empty()).unwrap();
/// assert_eq!(service.oneshot(request).await.unwrap().status(), 200);
/// # });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    strip: String,
    prefix: String,
}

impl Rewrite {
    /// Without this beginning of the path. A path that does not begin so stays as it is.
    pub fn strip_prefix(prefix: impl Into<String>) -> Self {
        Self { strip: prefix.into(), prefix: String::new() }
    }

    /// With this beginning.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::default().then_prefix(prefix)
    }

    /// With this beginning after that.
    #[must_use]
    pub fn then_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What keeps it from making paths.
    pub(crate) fn fault(&self) -> Option<String> {
        let wrong = [&self.strip, &self.prefix].into_iter().find(|part| {
            !part.is_empty() && (!part.starts_with('/') || part.ends_with('/') || check_path(part).is_err())
        })?;
        Some(format!(
            "`{wrong}` is no beginning of a path: it has to start with `/`, and not to end with one"
        ))
    }

    fn path(&self, path: &str) -> String {
        let rest = match path.strip_prefix(&*self.strip) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => path,
        };
        let path = format!("{}{rest}", self.prefix);
        if path.is_empty() { "/".to_owned() } else { path }
    }
}

impl Step for Rewrite {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let uri = exchange.request.uri();
        let mut target = self.path(uri.path());
        check_path(&target)?;
        if let Some(query) = uri.query() {
            target.push('?');
            target.push_str(query);
        }
        let target: Uri = target.parse().map_err(|_| Problem::not_found())?;
        *exchange.request.uri_mut() = target;
        Ok(Flow::Pass)
    }
}

/// Sets or removes fields of the request that goes on, and of its answer.
#[derive(Clone, Debug, Default)]
pub struct ChangeFields {
    pub(crate) request: Vec<(HeaderName, Option<HeaderValue>)>,
    pub(crate) answer: Vec<(HeaderName, Option<HeaderValue>)>,
}

impl ChangeFields {
    pub(crate) const fn is_empty(&self) -> bool {
        self.request.is_empty() && self.answer.is_empty()
    }

    /// What this says after what `other` says.
    pub(crate) fn over(mut self, other: &Self) -> Self {
        self.request.splice(..0, other.request.iter().cloned());
        self.answer.splice(..0, other.answer.iter().cloned());
        self
    }
}

impl Step for ChangeFields {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        change(exchange.request.headers_mut(), &self.request);
        exchange.facts.forget_found();
        Ok(Flow::Pass)
    }

    fn after(&self, (): (), _: &Facts, answer: &mut Answer) {
        if let Ok(response) = answer {
            change(response.headers_mut(), &self.answer);
        }
    }
}

fn change(headers: &mut HeaderMap, fields: &[(HeaderName, Option<HeaderValue>)]) {
    for (name, value) in fields {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None => drop(headers.remove(name)),
        }
    }
}
