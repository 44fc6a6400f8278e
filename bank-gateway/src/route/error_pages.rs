//! Refusals as pages, for people who open an address in a browser.

use aws_lc_rs::digest::{SHA256, digest};
use bank_sdk::Problem;
use bank_sdk::http::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use http::{HeaderValue, Response, StatusCode};

use super::Render;
use crate::exchange::Facts;

/// The forms of a refusal; the first for clients that say nothing, or do not care.
const OFFERS: [&str; 3] = ["application/problem+json", "application/json", PAGE];
const PAGE: &str = "text/html";

/// All that a page loads. The policy allows it by its hash.
const STYLE: &str = "\
:root{color-scheme:light dark;font:100%/1.5 system-ui,sans-serif}\
body{margin:0;color:light-dark(#14211c,#e8efea);background:light-dark(#f5f4ef,#0d1311)}\
main{max-width:32rem;margin:0 auto;padding:15vh 1.25rem 2rem;overflow-wrap:anywhere}\
h1{margin:0 0 .5rem;font-size:1.75rem;line-height:1.2}\
p{margin:0 0 1rem}\
a{color:light-dark(#0b5d44,#7fd8b4)}\
small{color:light-dark(#55605a,#a3aea8)}";

/// Shows a refusal as a small page to clients that would rather have `text/html` than JSON (RFC 9110 §12.5.1), as browsers say of
/// an address that somebody opens. All others get the problem document, which is what scripts of a page and clients that accept
/// `*/*` want.
///
/// Status and header fields are the same in both forms. A page says the problem's detail, its code and the request's id, and has
/// a link home; it runs no script and loads nothing. Only refusals of the gateway become pages: an error that a service answers
/// with is passed on as it is.
///
/// ```
/// use bank_gateway::{ErrorPages, Gateway};
/// use bank_sdk::http::Body;
/// use http::Request;
/// use tower::ServiceExt;
///
/// # let runtime = tokio::runtime::Runtime::new().unwrap();
/// # runtime.block_on(async {
/// let gateway = Gateway::builder().render(ErrorPages::new("The Bank")).build()?;
/// let nowhere = |accept: &str| {
///     Request::get("/nowhere").header("host", "bank.example").header("accept", accept).body(Body::empty())
/// };
/// let seen = gateway.clone().oneshot(nowhere("text/html, */*;q=0.8")?).await?;
/// assert_eq!((seen.status().as_u16(), &seen.headers()["content-type"]), (404, &"text/html; charset=utf-8".parse()?));
/// let read = gateway.oneshot(nowhere("*/*")?).await?;
/// assert_eq!((read.status().as_u16(), &read.headers()["content-type"]), (404, &"application/problem+json".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ErrorPages {
    site: String,
    home: String,
    policy: HeaderValue,
}

impl ErrorPages {
    /// Pages of the site of this name, with a link to `/`.
    pub fn new(site: &str) -> Self {
        let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        // Base64 always fits.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        Self { site: escaped(site), home: "/".to_owned(), policy }
    }

    /// Where the link leads: the path of the page at which people begin.
    pub fn home(mut self, path: &str) -> Self {
        self.home = escaped(path);
        self
    }

    fn page(&self, problem: &Problem, request: &str) -> String {
        let Self { site, home, .. } = self;
        let status = problem.status();
        let name = status.canonical_reason().unwrap_or("Error");
        let (heading, detail) = (heading(status), escaped(&sentence(problem.detail())));
        let code = escaped(problem.code().unwrap_or("unspecified"));
        let (number, request) = (status.as_u16(), escaped(request));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n\
             <title>{name} – {site}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>{heading}</h1>\n<p>{detail}</p>\n<p><a href=\"{home}\">Go to {site}</a></p>\n\
             <p><small>{number} {name} · <code>{code}</code><br>Request <code>{request}</code></small></p>\n\
             </main>\n</body>\n</html>\n"
        )
    }
}

impl Render for ErrorPages {
    fn render(&self, problem: Problem, facts: &Facts) -> Response<Body> {
        let wanted = facts.preferred(&OFFERS);
        let page = (wanted == Some(PAGE)).then(|| self.page(&problem, facts.id_text()));
        let mut response = problem.into_response(facts.id_text());
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        if let Some(page) = page {
            *response.body_mut() = Body::from(page);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        }
        response
    }
}

/// What has happened, in the words of somebody who only wanted to see a page.
fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Sign in first",
        StatusCode::FORBIDDEN => "This is not for you",
        StatusCode::NOT_FOUND => "There is nothing here",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        _ if status.is_server_error() => "This does not work right now",
        _ => "The request was refused",
    }
}

/// A detail begins in lower case and has no full stop, since programs put it into sentences of their own.
fn sentence(detail: &str) -> String {
    let mut rest = detail.chars();
    let mut sentence: String =
        rest.next().map(char::to_uppercase).into_iter().flatten().chain(rest).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Text that means only itself in HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, RETRY_AFTER};
    use http::{HeaderMap, Request};

    use super::*;

    async fn shown(accept: Option<&'static str>, problem: Problem) -> (HeaderMap, String) {
        let facts = Facts::begin(&Request::default());
        let fields = accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
        facts.keep_accept(&fields.into_iter().collect());
        let status = problem.status();
        let response = ErrorPages::new("A & B").home("/start?a=1&b").render(problem, &facts);
        assert_eq!(response.status(), status);
        let (head, body) = response.into_parts();
        (head.headers, String::from_utf8(body.read(10_000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn whoever_would_rather_have_html_than_json_gets_a_page() {
        for (accept, is_page) in [
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"), true),
            (Some("text/html"), true),
            (Some("text/*;q=0.5, */*;q=0.1"), true),
            (Some("application/json;q=0.8, text/html;q=0.9"), true),
            (Some("text/html;q=0.8, application/json;q=0.9"), false),
            (Some("text/html;q=0.8, application/problem+json"), false),
            (Some("text/html;q=0, */*"), false),
            (Some("application/json"), false),
            (Some("image/png"), false),
            (Some("*/*"), false),
            (None, false),
        ] {
            let (headers, text) = shown(accept, Problem::not_found()).await;
            assert_eq!(text.starts_with("<!doctype html>"), is_page, "{accept:?}");
            assert_eq!(headers[CONTENT_TYPE] == "text/html; charset=utf-8", is_page, "{accept:?}");
            assert_eq!(headers[CONTENT_TYPE] == "application/problem+json", !is_page, "{accept:?}");
            assert_eq!(headers[VARY], "accept", "{accept:?}");
        }
    }

    #[tokio::test]
    async fn a_page_says_what_the_document_says_and_nothing_in_it_is_markup() {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no <b>room</b> & no \"time\"")
            .with_code("over<loaded>")
            .with_retry_after(std::time::Duration::from_secs(7));
        let (headers, page) = shown(Some("text/html"), problem).await;
        assert_eq!(headers[RETRY_AFTER], "7");
        assert!(page.contains("<h1>This does not work right now</h1>"), "{page}");
        assert!(page.contains("<p>No &lt;b&gt;room&lt;/b&gt; &amp; no &quot;time&quot;.</p>"), "{page}");
        assert!(page.contains("503 Service Unavailable · <code>over&lt;loaded&gt;</code>"), "{page}");
        assert!(page.contains("<a href=\"/start?a=1&amp;b\">Go to A &amp; B</a>"), "{page}");
    }

    #[tokio::test]
    async fn a_page_runs_no_script_and_loads_nothing() {
        let (headers, page) = shown(Some("text/html"), Problem::not_found()).await;
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        assert!(page.contains(&format!("<style>{STYLE}</style>")), "{page}");
        assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
        assert!(!page.contains("<script") && !page.contains("src="), "{page}");
    }
}
