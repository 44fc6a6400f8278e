//! `Via` (RFC 9110 §7.6.3): each gateway on the way leaves its name, and a request that comes by again is a loop.

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::header::VIA;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};

use crate::exchange::{Exchange, Sought};
use crate::step::{Flow, Refusal, Step};

/// Adds this gateway's name to `Via`, and refuses with 508 `loop_detected` a request that has come by more often than it may.
///
/// One visit is allowed by default, so that a gateway may stand behind another one of the same name.
///
/// ```
/// use bank_gateway::{Exchange, Step};
/// use bank_gateway::inbound::LoopGuard;
/// use bank_sdk::http::Body;
/// use http::Request;
///
/// let guard = LoopGuard::new("edge");
/// let mut exchange = Exchange::new(Request::new(Body::empty()));
/// guard.before(&mut exchange, &mut ()).unwrap();
/// assert_eq!(exchange.headers()["via"], "1.1 edge");
/// guard.before(&mut exchange, &mut ()).unwrap();
/// let refused = guard.before(&mut exchange, &mut ()).unwrap_err();
/// assert_eq!(refused.problem().unwrap().status(), 508);
/// ```
#[derive(Clone, Debug)]
pub struct LoopGuard {
    pseudonym: String,
    /// The whole field, for HTTP/1.0, HTTP/1.1, HTTP/2 and HTTP/3.
    fields: [HeaderValue; 4],
    visits: usize,
}

impl LoopGuard {
    /// Under this name. What cannot stand in a host name becomes `-`.
    pub fn new(name: &str) -> Self {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
        let pseudonym: String = name.chars().map(allowed).collect();
        let pseudonym = if pseudonym.is_empty() { "gateway".to_owned() } else { pseudonym };
        let fields = ["1.0", "1.1", "2.0", "3.0"].map(|version| {
            let field = HeaderValue::try_from(format!("{version} {pseudonym}"));
            // Letters, digits and these three signs always fit.
            field.unwrap_or(HeaderValue::from_static("1.1 gateway"))
        });
        Self { pseudonym, fields, visits: 1 }
    }

    /// How often a request may have come by before.
    #[must_use]
    pub const fn visits(mut self, visits: usize) -> Self {
        self.visits = visits;
        self
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.count(headers) > self.visits {
            let problem = Problem::new(
                StatusCode::LOOP_DETECTED,
                "this request has come by here before: a gateway on its way leads back to this one",
            );
            return Err(problem.with_code("loop_detected"));
        }
        Ok(())
    }

    fn append(&self, request: &mut Request<Body>) {
        let [oldest, usual, second, third] = &self.fields;
        let field = match request.version() {
            Version::HTTP_2 => second,
            Version::HTTP_3 => third,
            Version::HTTP_11 => usual,
            _ => oldest,
        };
        request.headers_mut().append(VIA, field.clone());
    }

    fn count(&self, headers: &HeaderMap) -> usize {
        let lines = headers.get_all(VIA).iter().map(HeaderValue::as_bytes);
        lines.flat_map(Members).filter(|member| self.is_ours(member)).count()
    }

    /// Whether a member names this gateway, with or without a port: `protocol SP received-by [SP comment]`.
    fn is_ours(&self, member: &[u8]) -> bool {
        let mut words = member.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let by = words.nth(1).and_then(|by| by.split(|&byte| byte == b':').next()).unwrap_or_default();
        by.eq_ignore_ascii_case(self.pseudonym.as_bytes())
    }
}

impl Step for LoopGuard {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        if !exchange.facts.lacks(Sought::Via) {
            self.check(exchange.headers())?;
        }
        self.append(&mut exchange.request);
        Ok(Flow::Pass)
    }
}

/// The members of a list in which commas may stand in comments.
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut depth, mut is_escaped) = (0_usize, false);
        let end = self.0.iter().position(|byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if depth > 0 => is_escaped = true,
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                b',' => return depth == 0,
                _ => {}
            }
            false
        });
        let (member, rest) = match end {
            Some(end) => (&self.0[..end], &self.0[end + 1..]),
            None => (self.0, &[][..]),
        };
        self.0 = rest;
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_name_is_found_wherever_it_stands_in_via_and_nowhere_else() {
        let count = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(VIA, line.parse().unwrap());
            }
            LoopGuard::new("edge").count(&headers)
        };
        assert_eq!(count(&["1.1 edge"]), 1);
        assert_eq!(count(&["1.0 fred, 1.1 EDGE:8080 (a, b \\) c), HTTP/2.0 edge", "2.0 edge,"]), 3);
        assert_eq!(count(&["1.1 edge2, 1.1 other (1.1 edge, 1.1 edge), edge, 1.1", ""]), 0);
    }

    #[test]
    fn any_name_makes_a_field() {
        for name in ["bank-gateway", "a b", "ü", "", "a,b"] {
            let mut request = Request::new(Body::empty());
            LoopGuard::new(name).append(&mut request);
            assert_eq!(LoopGuard::new(name).count(request.headers()), 1, "{name}");
        }
    }
}
