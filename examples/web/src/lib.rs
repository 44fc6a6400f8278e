//! The reference bank's front end: a page for customers at `/`, a page to read and try the API at `/docs`.
//!
//! Both are plain files without a build step, compiled into the program and served like any other service.

mod assets;

use std::sync::Arc;

use bank_sdk::http::{Body, is_known};
use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Problem, Reply};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use http::{HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assets::{Asset, Assets};

/// The bank.
pub const HOME: Endpoint<Empty, Empty> =
    Endpoint::get("/").summary("The web bank").public().limit_class("pages").page("text/html");
/// The API, to read and to try.
pub const DOCS: Endpoint<Empty, Empty> = Endpoint::get("/docs")
    .summary("The API, to read and to try")
    .public()
    .limit_class("pages")
    .page("text/html");
/// What the pages are made of.
pub const ASSET: Endpoint<AssetName, Empty> =
    Endpoint::get("/assets/{name}").summary("A part of the pages").public().limit_class("pages").page("*/*");

/// Nothing but our own files runs, and nothing frames the bank.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; \
                      require-trusted-types-for 'script'";

/// Which file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AssetName {
    name: String,
}

/// What the front end offers.
#[must_use]
pub fn api() -> Api {
    Api::new("web").endpoint(HOME.declare()).endpoint(DOCS.declare()).endpoint(ASSET.declare())
}

/// The front end as a service.
#[derive(Debug, Default)]
pub struct Web {
    assets: Assets,
}

impl Web {
    /// The front end.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    async fn home(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Empty>, Problem> {
        self.file("index.html", &call)
    }

    async fn docs(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Empty>, Problem> {
        self.file("docs.html", &call)
    }

    async fn asset(self: Arc<Self>, call: Call<AssetName>) -> Result<Reply<Empty>, Problem> {
        self.file(&call.input.name, &call)
    }

    fn file<I>(&self, name: &str, call: &Call<I>) -> Result<Reply<Empty>, Problem> {
        let Asset { bytes, media_type, tag } = self.assets.find(name).ok_or_else(Problem::not_found)?;
        let known = is_known(&call.headers, tag);
        let mut response = Response::new(if known { Body::empty() } else { Body::from(*bytes) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(ETAG, tag.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(Reply::raw(response))
    }
}

impl BankService for Web {
    fn api() -> Api {
        api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new().bind(HOME, Self::home).bind(DOCS, Self::docs).bind(ASSET, Self::asset)
    }
}

#[cfg(test)]
mod tests {
    use bank_sdk::testing::Harness;
    use http::Request;
    use http::header::IF_NONE_MATCH;
    use tower::Service as _;

    use super::*;

    #[tokio::test]
    async fn a_page_that_the_browser_holds_is_not_sent_again_whoever_weakened_its_tag() {
        let harness = Harness::new(Web::new()).unwrap();
        let ask = async |held: &str| {
            let request = Request::get("/").header(IF_NONE_MATCH, held).body(Body::empty()).unwrap();
            harness.transport(None).call(request).await.unwrap()
        };
        let whole = ask("\"none\"").await;
        assert_eq!(whole.status(), 200);
        let tag = whole.headers()[ETAG].to_str().unwrap().to_owned();
        for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let answer = ask(&held).await;
            assert_eq!(answer.status(), 304, "{held}");
            assert_eq!(answer.headers()[ETAG], *tag);
            assert!(answer.into_body().read(0).await.unwrap().is_empty());
        }
        assert_eq!(ask(&format!("X/{tag}")).await.status(), 200);
    }
}
