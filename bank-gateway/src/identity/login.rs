//! The user name and password of a login, in `Authorization: Basic` (RFC 7617) or in a JSON body, and what of the body is left
//! for the service.

use bank_sdk::Problem;
use bank_sdk::http::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::Body as _;
use serde_json::{Map, Value};

use super::{authorization, is_authorization, strict_json};
use crate::problem::{unreadable_body, wrong_password};

const MAX_BODY: usize = 16 * 1024;
/// Fields that say what a body is word for word: they are untrue once it is another.
const ABOUT_THE_WORDS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// What somebody proves who they are with.
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
    /// Whether a refusal may offer Basic: the request brought it, and no script sent it. For a script's request a browser
    /// would open a box of its own over the page.
    pub(super) offers_basic: bool,
}

impl Login {
    /// Reads the login of a request. Its body stays whole if `redacts` is false, else without the password.
    pub(super) async fn read(request: &mut Request<Body>, redacts: bool) -> Result<Self, Problem> {
        let is_basic = is_authorization(request.headers(), "basic");
        let offers_basic = is_basic && !is_sent_by_script(request.headers());
        if request.headers().contains_key(AUTHORIZATION) {
            let pair = authorization(request.headers(), "basic").and_then(pair);
            let (username, password) = pair.ok_or_else(|| wrong_password(offers_basic))?;
            if !request.body().is_end_stream() {
                refuse_second_password(request).await?;
            }
            return Ok(Self { username, password, offers_basic });
        }
        let bytes = read_body(request).await?;
        check_encoding(request.headers())?;
        let mut members = strict_json::parse_object(&bytes).ok_or_else(unreadable)?;
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let (username, password) = text("username").zip(text("password")).ok_or_else(unreadable)?;
        if redacts {
            members.remove("password");
            replace_body(request, &members);
        } else {
            *request.body_mut() = Body::from(bytes);
        }
        Ok(Self { username, password, offers_basic })
    }
}

fn pair(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

/// A password in the body beside that in the field is a second credential (S16), and would go on to the service.
async fn refuse_second_password(request: &mut Request<Body>) -> Result<(), Problem> {
    let bytes = read_body(request).await?;
    if strict_json::parse_object(&bytes).is_some_and(|members| members.contains_key("password")) {
        let problem = Problem::bad_request("the request carries two credentials; send one");
        return Err(problem.with_code("two_credentials"));
    }
    *request.body_mut() = Body::from(bytes);
    Ok(())
}

async fn read_body(request: &mut Request<Body>) -> Result<Bytes, Problem> {
    let body = std::mem::take(request.body_mut());
    body.read(MAX_BODY).await.map_err(|error| unreadable_body(&error))
}

/// What changes a body's meaning is read: a body that is coded, or of another type, is not taken for JSON.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let is = |value: &HeaderValue, accepted: &[&str]| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        accepted.iter().any(|one| essence.eq_ignore_ascii_case(one))
    };
    let is_plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| is(value, &["identity"]));
    let is_json = headers.get_all(CONTENT_TYPE).iter().all(|value| is(value, &["application/json"]));
    if is_plain && is_json {
        return Ok(());
    }
    let problem =
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be `application/json`, not coded");
    Err(problem.with_code("unsupported_media_type"))
}

fn replace_body(request: &mut Request<Body>, members: &Map<String, Value>) {
    // A map of JSON values is always written.
    let bytes = serde_json::to_vec(members).unwrap_or_default();
    let headers = request.headers_mut();
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    for name in ABOUT_THE_WORDS {
        headers.remove(name);
    }
    *request.body_mut() = Body::from(bytes);
}

fn unreadable() -> Problem {
    Problem::bad_request("give `username` and `password` as JSON, or use HTTP Basic")
        .with_code("invalid_input")
}

/// Whether a page's script sent it (Fetch Metadata).
fn is_sent_by_script(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode != "navigate")
}
