//! Identity tokens made fast: what stays the same from request to request is encoded once.
//!
//! A token's payload is JSON in base64url, in three parts: what one operation has in common, what one request has of its own,
//! and who calls. Spaces between them, which JSON allows, fill the first two up to whole groups of three bytes, so that each
//! part is encoded by itself and the first and the last can be kept.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bank_stores::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::MAX_LIFETIME;
use crate::Principal;

/// Who states identities to whom, for which operation: the part of a token that every request of an operation shares.
#[derive(Clone)]
pub struct Statement(Arc<str>);

impl Statement {
    /// Identities of `issuer` for one operation, such as `POST /v1/transfers`, of the service `audience`.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, operation: &str) -> Self {
        let mut json =
            format!(r#"{{"iss":{},"aud":{},"op":{},"#, quoted(issuer), quoted(audience), quoted(operation));
        let mut encoded = String::new();
        encode_whole_groups(&mut json, &mut encoded);
        Self(encoded.into())
    }
}

impl fmt::Debug for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Statement")
    }
}

thread_local!(
    /// Where this thread writes what one request has of its own.
    static JSON: Cell<String> = const { Cell::new(String::new()) }
);

/// Appends the payload of one request's token.
pub(super) fn payload(
    into: &mut String,
    statement: &Statement,
    request_id: &str,
    now: Timestamp,
    who: Option<&str>,
) {
    into.push_str(&statement.0);
    let issued_at = now.seconds();
    let mut json = JSON.take();
    json.clear();
    json.push_str(r#""rid":"#);
    if request_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        json.push('"');
        json.push_str(request_id);
        json.push('"');
    } else {
        json.push_str(&quoted(request_id));
    }
    json.push_str(r#","iat":"#);
    json.push_str(itoa::Buffer::new().format(issued_at));
    json.push_str(r#","exp":"#);
    json.push_str(itoa::Buffer::new().format(issued_at + MAX_LIFETIME.as_secs() as i64));
    match who {
        None => {
            json.push('}');
            URL_SAFE_NO_PAD.encode_string(&json, into);
        }
        Some(who) => {
            json.push(',');
            encode_whole_groups(&mut json, into);
            into.push_str(who);
        }
    }
    JSON.set(json);
}

fn encode_whole_groups(json: &mut String, into: &mut String) {
    while !json.len().is_multiple_of(3) {
        json.push(' ');
    }
    URL_SAFE_NO_PAD.encode_string(json, into);
}

fn quoted(text: &str) -> String {
    // A text always serializes.
    serde_json::to_string(text).unwrap_or_default()
}

const SHARDS: usize = 16;
const EACH: usize = 512;

/// Principals as they stand in tokens. A scheme gives the same `Arc` for a credential that it knows, so that a principal is
/// encoded once and not for each of its requests; one that is gone is forgotten.
pub(super) struct Encoded {
    hasher: RandomState,
    shards: [Mutex<HashMap<usize, Known>>; SHARDS],
}

struct Known {
    principal: Weak<Principal>,
    text: Arc<str>,
}

impl Encoded {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The end of a token's payload that says who calls.
    pub(super) fn of(&self, principal: &Arc<Principal>) -> Arc<str> {
        let place = Arc::as_ptr(principal).addr();
        let shard = &self.shards[self.hasher.hash_one(place) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shard.get(&place)
            // Only a living value is at its place; a dead one's may be another's by now.
            && known.principal.upgrade().is_some_and(|known| Arc::ptr_eq(&known, principal))
        {
            return known.text.clone();
        }
        let json = serde_json::to_string(&**principal).unwrap_or_default();
        let text: Arc<str> = URL_SAFE_NO_PAD.encode(format!(r#""prn":{json}}}"#)).into();
        if shard.len() >= EACH {
            shard.retain(|_, known| known.principal.strong_count() > 0);
            while shard.len() >= EACH {
                let Some(any) = shard.keys().next().copied() else { break };
                shard.remove(&any);
            }
        }
        shard.insert(place, Known { principal: Arc::downgrade(principal), text: text.clone() });
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Identity, IdentityKeys};
    use super::*;

    #[test]
    fn a_token_made_of_parts_says_what_one_made_at_once_does() {
        let keys = IdentityKeys::new([("k", [7; 32])]).unwrap();
        let principals = [
            None,
            Some(Arc::new(Principal::customer("cus_1"))),
            Some(Arc::new(Principal::service("a\"b").with_scope("x").with_actor("ä"))),
        ];
        for audience in ["a", "ab", "abc", "\"\\ü"] {
            let statement = Statement::new("gate", audience, "GET /v1/{id}");
            for (request, seconds) in [("req_1", 0), ("req \"2\"", -5), ("", 1_700_000_000)] {
                let now = Timestamp::from_seconds(seconds);
                for principal in &principals {
                    for _ in 0..2 {
                        let token = keys.state(&statement, request, now, principal.as_ref());
                        let whole = Identity::new("gate", audience, "GET /v1/{id}", request, now);
                        assert_eq!(keys.verify(&token).unwrap(), whole.for_principal(principal.clone()));
                    }
                }
            }
        }
    }

    #[test]
    fn encoded_principals_are_bounded_and_never_another_s() {
        let encoded = Encoded::new();
        let mut held = Vec::new();
        for number in 0..SHARDS * EACH * 2 {
            let principal = Arc::new(Principal::customer(number.to_string()));
            let text = encoded.of(&principal);
            let json = URL_SAFE_NO_PAD.decode(&*text).unwrap();
            assert!(String::from_utf8(json).unwrap().contains(&format!("\"sub\":\"{number}\"")));
            // Every other place is free for the next.
            if number % 2 == 0 {
                held.push(principal);
            }
        }
        let kept: usize = encoded.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * EACH, "{kept}");
    }
}
