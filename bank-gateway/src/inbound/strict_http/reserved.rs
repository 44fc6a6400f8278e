//! Which field names only the gateway may use (S5): its own, and those by which other proxies tell a server who calls, from
//! where, and with which method.
//!
//! Servers behind may fold `_` into `-`, so a name is compared with both spellings. A team adds names of its own with
//! [`StrictHttp::reserve`](super::StrictHttp::reserve).

use std::sync::{Arc, LazyLock};

use http::HeaderMap;

use super::known::KNOWN;

/// Whole names.
const NAMES: &[&str] = &[
    // The gateway's own.
    "x-request-id",
    // Where a request comes from.
    "cdn-real-ip",
    "cdn-src-ip",
    "client-ip",
    "do-connecting-ip",
    "proxy-client-ip",
    "x-client-ip",
    "x-clientip",
    "x-cluster-client-ip",
    "x-host",
    "x-http-host-override",
    "x-proxyuser-ip",
    "x-true-client-ip",
    "x-webobjects-remote-addr",
    "z-forwarded-for",
    // Who calls.
    "smuser",
    "x-anonymous-consumer",
    "x-client-dn",
    "x-client-issuer",
    "x-client-s-dn",
    "x-client-san",
    "x-client-subject",
    "x-client-verify",
    "x-endpoint-api-userinfo",
    "x-forwarded",
    "x-email",
    "x-groups",
    "x-principal",
    "x-role",
    "x-roles",
    "x-scope-orgid",
    "x-scopes",
    "x-sub",
    "x-subject",
    "x-uid",
    "x-upn",
    // What a server does by a field instead of by its configuration.
    "proxy",
    "x-method",
    "x-script-name",
    "x-sendfile-type",
];

/// Beginnings of names.
const PREFIXES: &[&str] = &[
    // The gateway's own.
    "bank-",
    "x-bank-",
    // Where a request comes from.
    "ali-cdn-",
    "cf-",
    "fastly-",
    "fly-",
    "forwarded",
    "incap-",
    "true-client-",
    "wl-proxy-",
    "x-akamai-",
    "x-appengine-",
    "x-azure-",
    "x-cluster-client",
    "x-envoy-",
    "x-forward",
    "x-original-",
    "x-nf-",
    "x-originating-",
    "x-proxy-",
    "x-real-",
    "x-remote-",
    "x-sucuri-",
    "x-vercel-",
    // Who calls.
    "authenticated-",
    "client-cert",
    "impersonate-",
    "iv-",
    "mellon-",
    "oidc-",
    "remote-",
    "shib-",
    "sm-user",
    "sm-universalid",
    "ssl-client-",
    "tailscale-",
    "tls-client-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-apigateway-",
    "x-arr-",
    "x-auth-email",
    "x-auth-group",
    "x-auth-request-",
    "x-auth-role",
    "x-auth-subject",
    "x-auth-user",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-consumer-",
    "x-credential-",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-identity",
    "x-impersonate",
    "x-jwt-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-mtls-",
    "x-oidc-",
    "x-pomerium-",
    "x-saml-",
    "x-spiffe-",
    "x-ssl-",
    "x-tls-client-",
    "x-user",
    "x-vouch-",
    "x-webauth-",
    // What a server does by a field instead of by its request line or configuration.
    "http-",
    "x-accel-",
    "x-http-method",
    "x-method-override",
    "x-middleware-",
    "x-rewrite-",
];

/// The rules, found by the first byte of a name, or by the third where the name begins with `x-`.
#[derive(Clone, Debug)]
pub(crate) struct Reserved {
    rules: Vec<Vec<Rule>>,
    /// A bit for each beginning of three bytes, so that most names need no look at the rules.
    beginnings: [u64; BEGINNINGS / 64],
    /// Whether a rule reaches one of the [usual names](super::known::KNOWN).
    pub(super) has_known: bool,
    /// Fields that the team's own checks read.
    end_to_end: Vec<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    text: Box<str>,
    is_prefix: bool,
}

/// A name that is longer cannot be spelled anew on the stack; with a `_` in it, it is removed.
const LONGEST: usize = 128;

impl Reserved {
    /// What is reserved without a word of the team.
    pub(crate) fn standard() -> &'static Arc<Self> {
        static STANDARD: LazyLock<Arc<Reserved>> = LazyLock::new(|| {
            let mut reserved = Reserved {
                rules: vec![Vec::new(); BUCKETS],
                beginnings: [0; BEGINNINGS / 64],
                has_known: false,
                end_to_end: Vec::new(),
            };
            NAMES.iter().for_each(|name| reserved.add(name, false));
            PREFIXES.iter().for_each(|prefix| reserved.add(prefix, true));
            Arc::new(reserved)
        });
        &STANDARD
    }

    /// Adds a field that is for a check or for the server behind.
    pub(crate) fn add_end_to_end(&mut self, name: &str) {
        self.end_to_end.push(name.to_ascii_lowercase().into_boxed_str());
    }

    /// Whether a check of the team's own reads this field.
    pub(super) fn is_end_to_end(&self, name: &str) -> bool {
        self.end_to_end.iter().any(|own| **own == *name)
    }

    /// Adds a rule. A text without a character says nothing.
    pub(crate) fn add(&mut self, text: &str, is_prefix: bool) {
        let text = text.to_ascii_lowercase().replace('_', "-").into_boxed_str();
        if text.is_empty() {
            return;
        }
        let rule = Rule { text, is_prefix };
        match beginning(rule.text.as_bytes()) {
            Some(bit) => self.beginnings[bit / 64] |= 1 << (bit % 64),
            // It may be the beginning of many.
            None => self.beginnings = [u64::MAX; BEGINNINGS / 64],
        }
        self.has_known |= KNOWN.iter().any(|name| rule.fits(name));
        // What these prefixes begin stands in many buckets.
        if is_prefix && matches!(&*rule.text, "x" | "x-") {
            self.rules.iter_mut().for_each(|bucket| bucket.push(rule.clone()));
        } else {
            let bucket = bucket(rule.text.as_bytes());
            self.rules[bucket].push(rule);
        }
    }

    /// Whether a name in lower case, spelled with `-`, is reserved.
    pub(crate) fn has(&self, name: &str) -> bool {
        let found = self.rules[bucket(name.as_bytes())]
            .iter()
            .any(|rule| if rule.is_prefix { name.starts_with(&*rule.text) } else { name == &*rule.text });
        // A caller may only shorten its time.
        found && name != "bank-timeout-ms"
    }
}

impl Rule {
    fn fits(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&*self.text) } else { name == &*self.text }
    }
}

const BUCKETS: usize = 64;
const BEGINNINGS: usize = 1_024;

/// A number for the first three bytes of a name, or for the third to fifth where it begins with `x-`; nothing where there are
/// fewer.
const fn beginning(name: &[u8]) -> Option<usize> {
    let (one, two, three) = match name {
        [b'x', b'-', one, two, three, ..] => (*one, *two, *three),
        [b'x', b'-', ..] => return None,
        [one, two, three, ..] => (*one, *two, *three),
        _ => return None,
    };
    Some((one as usize * 37 + two as usize * 11 + three as usize) % BEGINNINGS)
}

const fn bucket(name: &[u8]) -> usize {
    match name {
        [b'x', b'-', third, ..] => 32 + (*third & 31) as usize,
        [first, ..] => (*first & 31) as usize,
        [] => 0,
    }
}

/// What `check` says of a name spelled with `-` in the place of `_`.
pub(crate) fn is_folded(name: &str, check: impl FnOnce(&str) -> bool) -> bool {
    let mut folded = [0; LONGEST];
    let Some(folded) = folded.get_mut(..name.len()) else { return true };
    for (to, from) in folded.iter_mut().zip(name.bytes()) {
        *to = if from == b'_' { b'-' } else { from };
    }
    std::str::from_utf8(folded).is_ok_and(check)
}

/// Whether a field name is the gateway's, in any spelling.
pub(crate) fn is_reserved(name: &str) -> bool {
    let reserved = Reserved::standard();
    if name.contains('_') {
        return is_folded(name, |name| reserved.has(name) || name == "bank-timeout-ms");
    }
    reserved.has(name)
}

/// Removes, in any spelling, what only the gateway may say to a service.
pub(crate) fn remove_reserved(headers: &mut HeaderMap) {
    remove_where(headers, is_reserved);
}

/// Removes the fields whose names fit.
pub(crate) fn remove_where(headers: &mut HeaderMap, fits: impl Fn(&str) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| fits(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_identity_address_and_override_fields_of_other_makes_are_reserved() {
        for name in [
            "client-cert",
            "client-cert-chain",
            "ssl-client-cert",
            "ssl-client-s-dn",
            "x-ssl-client-cert",
            "x-arr-clientcert",
            "remote-user",
            "remote_user",
            "x-remote-user",
            "x-auth-user",
            "x-auth-request-email",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-goog-iap-jwt-assertion",
            "x-goog-authenticated-user-email",
            "true-client-ip",
            "cf-connecting-ip",
            "cf_connecting_ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-original-host",
            "x-original-url",
            "x-original-forwarded-for",
            "x-rewrite-url",
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "forwarded",
            "forwarded-for",
            "x-forwarded",
            "x-forwarded-port",
            "x-forward-for",
            "x-real-ip",
            "x-real-port",
            "x-envoy-external-address",
            "x-user",
            "x-user-id",
            "x-identity-sub",
            "x-bank-role",
            "bank-identity",
            "bank_identity",
            "bank_timeout_ms",
            "x-request-id",
            "x_request_id",
            "x-host",
            "x-forwarded-client-cert",
            "x-ms-client-principal",
            "x-consumer-username",
            "iv-user",
            "sm_user",
            "proxy",
            "x-middleware-subrequest",
            "x-accel-mapping",
            "impersonate-user",
            "fastly-client-ip",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "accept",
            "authorization",
            "bank-timeout-ms",
            "cache-control",
            "content-type",
            "cookie",
            "host",
            "idempotency-key",
            "origin",
            "range",
            "referer",
            "sec-fetch-site",
            "traceparent",
            "user-agent",
            "x-api-key",
            "x-correlation-id",
            "x-csrf-token",
            "x-version",
            "x",
            "x-",
            "client-version",
            "x-client-version",
            "x-auth-token",
            "http",
            "remote",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn every_rule_is_found_and_more_can_be_added() {
        for name in NAMES {
            assert!(is_reserved(name), "{name}");
        }
        for prefix in PREFIXES {
            assert!(is_reserved(&format!("{prefix}zz")), "{prefix}");
        }
        let mut own = Reserved::clone(Reserved::standard());
        own.add("X_Tenant", false);
        own.add("Team-", true);
        own.add("", true);
        assert!(own.has("x-tenant") && own.has("team-name") && own.has("remote-user"));
        assert!(!own.has("x-tenant-name") && !own.has("team") && !own.has("accept"));
        own.add("x-", true);
        assert!(own.has("x-anything") && own.has("x-") && !own.has("accept"));
    }
}
