//! The reference bank's front end: a page for customers at `/`, a page to read and try the API at `/docs`.
//!
//! Both are plain files, compiled into the program and served like any other service: no framework, no bundler. What is
//! edited under `assets/` is what a browser runs; `build.rs` only puts versions into addresses and compresses.

mod assets;
mod coding;
#[cfg(test)]
mod messages;

use std::sync::Arc;

use bank_sdk::{Api, BankService, Call, Empty, Endpoint, Endpoints, Problem, Reply};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assets::{Assets, Lifetime, VERSION};

/// The bank.
pub const HOME: Endpoint<Empty, Empty> =
    Endpoint::get("/").summary("The web bank").public().limit_class("pages").page("text/html");
/// The API, to read and to try.
pub const DOCS: Endpoint<Empty, Empty> = Endpoint::get("/docs")
    .summary("The API, to read and to try")
    .public()
    .limit_class("pages")
    .page("text/html");
/// What the pages are made of, in whichever version runs.
pub const ASSET: Endpoint<AssetName, Empty> =
    Endpoint::get("/assets/{name}").summary("A part of the pages").public().limit_class("pages").page("*/*");
/// What the pages are made of, in the version that the address names. A browser asks for each once.
pub const VERSIONED_ASSET: Endpoint<VersionedAsset, Empty> = Endpoint::get("/assets/{version}/{name}")
    .summary("A part of the pages, in one version")
    .public()
    .limit_class("pages")
    .page("*/*");

/// Which file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AssetName {
    name: String,
}

/// Which file in which version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionedAsset {
    version: String,
    name: String,
}

/// What the front end offers.
#[must_use]
pub fn api() -> Api {
    Api::new("web")
        .endpoint(HOME.declare())
        .endpoint(DOCS.declare())
        .endpoint(ASSET.declare())
        .endpoint(VERSIONED_ASSET.declare())
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
        self.file("index.html", Lifetime::Revalidated, &call.headers)
    }

    async fn docs(self: Arc<Self>, call: Call<Empty>) -> Result<Reply<Empty>, Problem> {
        self.file("docs.html", Lifetime::Revalidated, &call.headers)
    }

    async fn asset(self: Arc<Self>, call: Call<AssetName>) -> Result<Reply<Empty>, Problem> {
        self.file(&call.input.name, Lifetime::Revalidated, &call.headers)
    }

    /// Another version's file is not here, and must not be answered with this one's: modules of two versions do not fit.
    async fn versioned_asset(self: Arc<Self>, call: Call<VersionedAsset>) -> Result<Reply<Empty>, Problem> {
        if call.input.version != VERSION {
            return Err(Problem::not_found());
        }
        self.file(&call.input.name, Lifetime::Immutable, &call.headers)
    }

    fn file(&self, name: &str, lifetime: Lifetime, asked: &HeaderMap) -> Result<Reply<Empty>, Problem> {
        self.assets.serve(name, lifetime, asked).map(Reply::raw).ok_or_else(Problem::not_found)
    }
}

impl BankService for Web {
    fn api() -> Api {
        api()
    }

    fn endpoints() -> Endpoints<Self> {
        Endpoints::new()
            .bind(HOME, Self::home)
            .bind(DOCS, Self::docs)
            .bind(ASSET, Self::asset)
            .bind(VERSIONED_ASSET, Self::versioned_asset)
    }
}

#[cfg(test)]
mod tests {
    use bank_sdk::http::Body;
    use bank_sdk::testing::Harness;
    use http::header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, VARY,
    };
    use http::{HeaderName, Request, Response};
    use tower::Service as _;

    use super::*;

    async fn ask(path: &str, headers: &[(HeaderName, &str)]) -> Response<Body> {
        let harness = Harness::new(Web::new()).unwrap();
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        harness.transport(None).call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_that_the_browser_holds_is_not_sent_again_whoever_weakened_its_tag() {
        let whole = ask("/", &[(IF_NONE_MATCH, "\"none\"")]).await;
        assert_eq!(whole.status(), 200);
        let tag = whole.headers()[ETAG].to_str().unwrap().to_owned();
        for held in [tag.clone(), format!("W/{tag}"), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let answer = ask("/", &[(IF_NONE_MATCH, held.as_str())]).await;
            assert_eq!(answer.status(), 304, "{held}");
            assert_eq!(answer.headers()[ETAG], *tag);
            assert!(answer.into_body().read(0).await.unwrap().is_empty());
        }
        assert_eq!(ask("/", &[(IF_NONE_MATCH, format!("X/{tag}").as_str())]).await.status(), 200);
    }

    #[tokio::test]
    async fn a_file_comes_compressed_to_whom_can_read_it_so_with_a_tag_of_its_own() {
        let plain = ask("/", &[]).await;
        let brotli = ask("/", &[(ACCEPT_ENCODING, "gzip, br")]).await;
        assert_eq!(plain.headers().get(CONTENT_ENCODING), None);
        assert_eq!(brotli.headers()[CONTENT_ENCODING], "br");
        assert_eq!(brotli.headers()[VARY], "accept-encoding");
        assert_eq!(brotli.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_ne!(plain.headers()[ETAG], brotli.headers()[ETAG]);
        let sizes =
            (plain.into_body().read(1 << 20).await.unwrap(), brotli.into_body().read(1 << 20).await.unwrap());
        assert!(sizes.1.len() * 2 < sizes.0.len());
        assert_eq!(ask("/", &[(ACCEPT_ENCODING, "gzip")]).await.headers()[CONTENT_ENCODING], "gzip");
    }

    #[tokio::test]
    async fn a_file_whose_address_names_its_version_is_kept_for_ever_and_a_page_is_asked_for_again() {
        let asset = ask(&format!("/assets/{VERSION}/app.js"), &[]).await;
        assert_eq!(asset.status(), 200);
        assert!(asset.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        for path in ["/", "/docs", "/assets/app.js"] {
            let page = ask(path, &[]).await;
            assert_eq!(page.headers()[CACHE_CONTROL], "no-cache", "{path}");
            assert!(page.headers().contains_key(CONTENT_SECURITY_POLICY));
        }
    }

    #[tokio::test]
    async fn a_file_of_another_version_is_not_found_rather_than_mixed_with_this_one() {
        assert_eq!(ask("/assets/0000000000000000/app.js", &[]).await.status(), 404);
        assert_eq!(ask(&format!("/assets/{VERSION}/nothing.js"), &[]).await.status(), 404);
    }
}
