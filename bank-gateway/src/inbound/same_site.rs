//! A page of another site may not sign its visitors in, nor send what changes something with their cookie (Fetch Metadata,
//! W3C working draft).

use bank_sdk::Problem;
use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, StatusCode};

use crate::exchange::{Exchange, Facts};
use crate::step::{Flow, Refusal, Step};

/// Refuses with 403 (`cross_site`) what a page of another site sends and what changes something: a login, and whatever carries a
/// cookie and is not safe or asks for another protocol, such as a WebSocket.
///
/// ```
/// use bank_gateway::{SameSite, StepLayer};
/// use bank_sdk::http::Body;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let service = ServiceBuilder::new()
///     .layer(StepLayer::new(SameSite::default()))
///     .service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
/// let post = Request::post("/").header("cookie", "a=b").header("sec-fetch-site", "cross-site");
/// assert_eq!(service.oneshot(post.body(Body::empty()).unwrap()).await.unwrap().status(), 403);
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SameSite {
    login: bool,
}

impl SameSite {
    /// In front of a login, which needs no cookie to change something.
    #[must_use]
    pub const fn login() -> Self {
        Self { login: true }
    }
}

impl Step for SameSite {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let headers = exchange.headers();
        let upgrades = exchange.facts.upgrade().is_some();
        let acts = upgrades || !exchange.request.method().is_safe();
        let changes = self.login || (acts && headers.contains_key(COOKIE));
        if !changes {
            return Ok(Flow::Pass);
        }
        let is_foreign = match headers.get("sec-fetch-site") {
            Some(site) => site == "cross-site",
            // A browser names the origin of whoever opens a WebSocket, and what they say there is bound by nothing else.
            None => upgrades && !is_own_origin(&exchange.facts, headers),
        };
        if is_foreign {
            let problem = Problem::new(StatusCode::FORBIDDEN, "a page of another site may not do this");
            return Err(problem.with_code("cross_site").into());
        }
        Ok(Flow::Pass)
    }
}

/// Whether `Origin`, where it stands there, is the host that was asked.
fn is_own_origin(facts: &Facts, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let asked = facts.origin().and_then(|origin| origin.host.as_ref()).or_else(|| headers.get(HOST));
    let authority =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| bare(host));
    let asked = asked.and_then(|host| host.to_str().ok()).map(bare);
    matches!((authority, asked), (Some(own), Some(asked)) if own.eq_ignore_ascii_case(asked))
}

/// Without a port that goes without saying.
fn bare(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}
