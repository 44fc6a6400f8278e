//! What stands in a token, and what of it is asked for (S9; RFC 9068, RFC 8725).

use bank_sdk::{Principal, PrincipalKind};
use bank_stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::identity::strict_json::parse_object;

/// Clocks may differ by so many seconds.
const LEEWAY: i64 = 10;
/// Header members that would make us fetch, unpack or skip something. Their presence decides, whatever their value.
const REFUSED: [&str; 8] = ["crit", "jku", "x5u", "jwk", "x5c", "zip", "b64", "enc"];

/// A token in its three parts, none of which is believed yet.
pub(super) struct Parts<'a> {
    pub(super) signed: &'a str,
    header: &'a str,
    payload: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        (!payload.contains('.')).then_some(Self { signed, header, payload, signature })
    }

    pub(super) fn header(&self) -> Option<Header> {
        Header::read(&decode(self.header)?)
    }

    pub(super) fn claims(&self) -> Option<Claims> {
        decode(self.payload).map(Claims)
    }
}

fn decode(part: &str) -> Option<Map<String, Value>> {
    parse_object(&URL_SAFE_NO_PAD.decode(part).ok()?)
}

/// What of a header is used.
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) key: String,
    /// In lower case, without `application/`.
    pub(super) typ: Option<String>,
}

impl Header {
    fn read(header: &Map<String, Value>) -> Option<Self> {
        if REFUSED.iter().any(|name| header.contains_key(*name)) {
            return None;
        }
        let typ = match header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(media_type(typ)),
            Some(_) => return None,
        };
        let text = |name: &str| header.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Some(Self { algorithm: text("alg")?, key: text("kid")?, typ })
    }
}

/// A `typ` as it is compared (RFC 7515 §4.1.9): without regard to case, `application/` may be left out.
pub(super) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(ToOwned::to_owned).unwrap_or(typ)
}

/// The claims of a token whose signature holds, as its issuer wrote them.
///
/// ```
/// # use bank_gateway::identity::{Claims, Jwt, KeySet};
/// # use bank_sdk::{Principal, PrincipalKind};
/// # fn example(keys: KeySet) -> Jwt {
/// Jwt::new(keys).issuer("https://id.example/realms/bank").audience("bank").token_type("JWT").claims(
///     |claims: &Claims, principal: &mut Principal| {
///         principal.roles = claims.texts("/realm_access/roles");
///         principal.tenant = claims.text("/organization").map(ToOwned::to_owned);
///         if claims.text("/azp") == Some("partner-api") {
///             principal.kind = PrincipalKind::Partner;
///         }
///     },
/// )
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// All of them.
    #[must_use]
    pub const fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The value at a JSON pointer (RFC 6901), such as `/realm_access/roles`. A name that has a `/` in it, such as
    /// `https://bank.example/roles`, is found by [`as_map`](Self::as_map), or as `/https:~1~1bank.example~1roles`.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        let mut names = pointer.strip_prefix('/')?.split('/');
        let unescape = |name: &str| name.replace("~1", "/").replace("~0", "~");
        let first = self.0.get(&unescape(names.next()?))?;
        names.try_fold(first, |value, name| value.get(unescape(name)))
    }

    /// The text at a pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer)?.as_str()
    }

    /// The texts at a pointer: those of a list, or the words of a text, as `scope` has them. None where there is neither.
    #[must_use]
    pub fn texts(&self, pointer: &str) -> Vec<String> {
        self.at(pointer).and_then(texts).unwrap_or_default()
    }

    /// Whether the token is from this issuer and for this audience, as its claims say.
    pub(super) fn is_meant(&self, issuer: &str, audience_claim: &str, audience: &str) -> bool {
        let for_us = match self.0.get(audience_claim) {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => {
                several.iter().all(Value::is_string) && several.iter().any(|one| one == audience)
            }
            _ => false,
        };
        for_us && self.0.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    /// Whether it holds now; and until when, in seconds.
    pub(super) fn hold(&self, now: i64) -> Option<i64> {
        let number = |name: &str| self.0.get(name).and_then(Value::as_i64);
        let (expires, issued) = (number("exp")?, number("iat")?);
        let not_before = match self.0.get("nbf") {
            None => i64::MIN,
            Some(value) => value.as_i64()?,
        };
        let latest = now.saturating_add(LEEWAY);
        let holds = now < expires.saturating_add(LEEWAY)
            && issued <= latest
            && not_before <= latest
            && self.0.get("sub").and_then(Value::as_str).is_some_and(|subject| !subject.is_empty())
            // A token that is bound to a key proves nothing without the proof.
            && self.0.get("cnf").is_none_or(|bound| bound.as_object().is_some_and(Map::is_empty));
        holds.then_some(expires)
    }

    /// Who calls, by the claims of RFC 9068; `None` where one of them is of another type, unless `lenient`: another issuer
    /// may mean something else by the same name. `credential` names the token in records.
    pub(super) fn principal(&self, credential: String, lenient: bool) -> Option<Principal> {
        let get = |name: &str| self.0.get(name).filter(|value| !(lenient && value.is_null()));
        let text = |name: &str| match get(name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(_) => lenient.then_some(None),
        };
        let list = |name: &str| match get(name) {
            None => Some(Vec::new()),
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                Some(values.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
            }
            Some(_) => lenient.then(Vec::new),
        };
        let subject = self.0.get("sub").and_then(Value::as_str)?;
        let mut principal = Principal::new(subject, PrincipalKind::Customer);
        principal.scopes = words(&text("scope")?.unwrap_or_default());
        principal.roles = list("roles")?;
        principal.session = text("sid")?;
        principal.acr = text("acr")?;
        principal.amr = list("amr")?;
        principal.auth_time = match get("auth_time") {
            None => None,
            Some(value) => match value.as_i64() {
                Some(seconds) => Some(Timestamp::from_seconds(seconds)),
                None if lenient => None,
                None => return None,
            },
        };
        principal.tenant = text("tenant")?;
        principal.credential = Some(credential);
        Some(principal)
    }
}

impl std::fmt::Debug for Claims {
    /// Names alone: values are personal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(words(text)),
        Value::Array(values) => {
            Some(values.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect())
        }
        _ => None,
    }
}
