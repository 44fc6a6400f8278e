//! A credential in the address ends up in logs, histories and referrers (S16).

use std::sync::Arc;

use bank_sdk::Problem;

use crate::exchange::Exchange;
use crate::step::{Flow, Refusal, Step};

/// Refuses a credential in the address with 400 (`credential_in_query`).
///
/// ```
/// use bank_gateway::identity::NoCredentialInQuery;
/// use bank_gateway::{Exchange, Step};
/// use bank_sdk::http::Body;
/// use http::Request;
///
/// let passes = |step: &NoCredentialInQuery| {
///     let mut exchange = Exchange::new(Request::get("/?token=abc").body(Body::empty()).unwrap());
///     step.before(&mut exchange, &mut ()).is_ok()
/// };
/// assert!(!passes(&NoCredentialInQuery::default()));
/// // A link in a mail has a token that is no credential here.
/// assert!(passes(&NoCredentialInQuery::default().but("token")));
/// ```
#[derive(Clone, Debug, Default)]
pub struct NoCredentialInQuery {
    harmless: Arc<[String]>,
}

impl NoCredentialInQuery {
    /// A parameter of this name is none.
    #[must_use]
    pub fn but(mut self, name: impl Into<String>) -> Self {
        self.harmless = self.harmless.iter().cloned().chain([name.into()]).collect();
        self
    }
}

impl Step for NoCredentialInQuery {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        if exchange.request.uri().query().is_some_and(|query| has_credential(query, &self.harmless)) {
            let problem =
                Problem::bad_request("a credential must not stand in the address: it ends up in logs");
            return Err(problem.with_code("credential_in_query").into());
        }
        Ok(Flow::Pass)
    }
}

/// Names under which credentials are put into addresses (RFC 6750 §2.3, which RFC 9700 forbids).
fn has_credential(query: &str, harmless: &[String]) -> bool {
    query.split(['&', ';']).any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = if name.contains('%') { &*unescape(name) } else { name };
        ["access_token", "api_key", "apikey", "token", "password", "refresh_token"]
            .iter()
            .filter(|credential| !harmless.iter().any(|name| name == *credential))
            .any(|credential| name.eq_ignore_ascii_case(credential))
    })
}

/// The text with its escapes of ASCII characters undone; others do not matter here.
fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if byte.is_ascii() => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_a_credential_in_the_address_is_refused_unless_the_route_says_that_it_is_none() {
        for query in ["token=1", "a&ToKeN=1", "a=1;token=2", "t%6fken=1", "password", "a=1&access_token=x"] {
            assert!(has_credential(query, &[]), "{query}");
        }
        let harmless = ["token".to_owned()];
        assert!(!has_credential("tokens=1&a=token", &[]) && !has_credential("token=1", &harmless));
        assert!(has_credential("token=1&password=2", &harmless));
    }
}
