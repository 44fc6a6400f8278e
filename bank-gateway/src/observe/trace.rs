//! W3C Trace Context: a valid `traceparent` is continued, anything else starts a new trace.
//!
//! ```
//! use bank_gateway::{Exchange, Step, TraceContext};
//! use bank_sdk::http::Body;
//! use http::Request;
//!
//! let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
//! let request = Request::get("/").header("traceparent", parent).body(Body::empty()).unwrap();
//! let mut exchange = Exchange::new(request);
//! TraceContext::default().before(&mut exchange, &mut ()).unwrap();
//! assert_eq!(exchange.facts.trace().unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
//! // A stranger does not decide what is recorded here.
//! assert!(exchange.headers()["traceparent"].to_str().unwrap().ends_with("-00"));
//! ```

use std::fmt;
use std::sync::Arc;

use bank_sdk::http::Body;
use bank_stores::{Random, SystemRandom};
use http::{HeaderMap, HeaderName, Request};

use crate::exchange::{Exchange, Sought};
use crate::field_text::field_copy;
use crate::step::{Flow, Refusal, Step};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of the trace that a request belongs to, as [`Facts::trace`](crate::Facts::trace).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// Whether a caller decides that its trace is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sampling {
    /// The flag is not set: whoever is behind decides for itself.
    #[default]
    NotBelieved,
    /// The flag goes on as the caller set it. Strangers can then fill the store of traces.
    Believed,
}

/// Sets the `traceparent` of each request.
///
/// A `traceparent` of a later version is continued by its first four parts, as W3C says; ours is of version `00`.
#[derive(Clone, Debug)]
pub struct TraceContext {
    random: Arc<dyn Random>,
    sampling: Sampling,
}

impl TraceContext {
    /// Ids of this source.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { random, sampling: Sampling::default() }
    }

    /// Whether the sampled flag of callers is believed.
    #[must_use]
    pub const fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new(Arc::new(SystemRandom::new()))
    }
}

impl Step for TraceContext {
    type Held = ();

    fn before(&self, exchange: &mut Exchange, (): &mut ()) -> Result<Flow, Refusal> {
        let facts = &exchange.facts;
        let found = (!facts.lacks(Sought::Traceparent)).then(|| incoming(&exchange.request)).flatten();
        if found.is_none() && !facts.lacks(Sought::Tracestate) {
            exchange.request.headers_mut().remove(TRACESTATE);
        }
        let (id, parent) = advance(found, &*self.random, self.sampling);
        // Hexadecimal digits always fit.
        if let Some(parent) = field_copy(&parent) {
            exchange.request.headers_mut().insert(TRACEPARENT, parent);
        }
        facts.set_trace(id);
        Ok(Flow::Pass)
    }
}

/// Another span of the same trace, for another try.
pub(crate) fn next_span(headers: &mut HeaderMap) {
    let Some(parent) = headers.get(TRACEPARENT).filter(|parent| parent.len() == 55) else { return };
    let mut text = [0; 55];
    text.copy_from_slice(parent.as_bytes());
    let mut span = [0; 8];
    SystemRandom::new().fill(&mut span);
    span[0] |= 1;
    hex(&span, &mut text[36..52]);
    if let Some(value) = field_copy(&text) {
        headers.insert(TRACEPARENT, value);
    }
}

/// The trace, and the `traceparent` that goes to the service.
fn advance(found: Option<(TraceId, bool)>, random: &dyn Random, sampling: Sampling) -> (TraceId, [u8; 55]) {
    let mut bytes = [0; 24];
    random.fill(&mut bytes);
    // An id of zeros means none.
    bytes[0] |= 1;
    bytes[16] |= 1;
    let (id, is_sampled) = match found {
        Some((id, is_sampled)) => (id, is_sampled && sampling == Sampling::Believed),
        None => {
            let mut id = [0; 16];
            id.copy_from_slice(&bytes[..16]);
            (TraceId(id), false)
        }
    };
    // `00-`, the trace, the span and the flags.
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&id.0, &mut text[3..35]);
    hex(&bytes[16..], &mut text[36..52]);
    text[54] += u8::from(is_sampled);
    (id, text)
}

/// The trace of a request that belongs to one, and whether its caller wants it recorded.
fn incoming(request: &Request<Body>) -> Option<(TraceId, bool)> {
    let mut fields = request.headers().get_all(TRACEPARENT).iter();
    match (fields.next(), fields.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// `version-trace-span-flags`, and in later versions whatever else behind another `-`.
fn parse(text: &[u8]) -> Option<(TraceId, bool)> {
    let (head, rest) = text.split_at_checked(55)?;
    let [version @ .., b'-'] = &head[..3] else { return None };
    let is_known = version == b"00";
    if (is_known && !rest.is_empty()) || !(rest.is_empty() || rest.starts_with(b"-")) {
        return None;
    }
    if head[35] != b'-' || head[52] != b'-' {
        return None;
    }
    let [version] = unhex::<1>(version)?;
    let (trace, span) = (unhex::<16>(&head[3..35])?, unhex::<8>(&head[36..52])?);
    let [flags] = unhex::<1>(&head[53..])?;
    let is_valid = version != 0xff && trace != [0; 16] && span != [0; 8];
    is_valid.then_some((TraceId(trace), flags & 1 == 1))
}

/// The octets of lower-case hexadecimal digits.
fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8], into: &mut [u8]) {
    for (pair, byte) in into.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
}

/// Both digits of every octet.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        hex(&self.0, &mut text);
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn parsed(text: &str) -> Option<(String, bool)> {
        parse(text.as_bytes()).map(|(id, is_sampled)| (id.to_string(), is_sampled))
    }

    #[test]
    fn a_valid_trace_is_continued_in_every_version_and_an_invalid_one_replaced() {
        for (valid, is_sampled) in [
            (format!("00-{TRACE}-b7ad6b7169203331-01"), true),
            (format!("00-{TRACE}-b7ad6b7169203331-00"), false),
            (format!("00-{TRACE}-b7ad6b7169203331-03"), true),
            (format!("01-{TRACE}-b7ad6b7169203331-01"), true),
            (format!("cc-{TRACE}-b7ad6b7169203331-fe-what-comes-later"), false),
            (format!("01-{TRACE}-b7ad6b7169203331-01-"), true),
        ] {
            assert_eq!(parsed(&valid), Some((TRACE.to_owned(), is_sampled)), "{valid}");
        }
        for bad in [
            "".to_owned(),
            "00".to_owned(),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-x"),
            format!("01-{TRACE}-b7ad6b7169203331-01x"),
            format!("01-{TRACE}-b7ad6b7169203331-01.x"),
            format!("0g-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-0"),
            format!("00-{TRACE}-b7ad6b7169203331-0G"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
            format!("00_{TRACE}-b7ad6b7169203331-01"),
        ] {
            assert_eq!(parsed(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_stranger_s_sampled_flag_is_believed_only_where_that_is_configured() {
        let goes_on = |sampling, parents: &[&str]| {
            let mut request = Request::new(Body::empty());
            for parent in parents {
                request.headers_mut().append(TRACEPARENT, parent.parse().unwrap());
            }
            request.headers_mut().insert(TRACESTATE, HeaderValue::from_static("a=b"));
            let mut exchange = Exchange::new(request);
            TraceContext::default().sampling(sampling).before(&mut exchange, &mut ()).unwrap();
            let value = exchange.headers()[TRACEPARENT].to_str().unwrap().to_owned();
            assert_eq!(value[3..35], exchange.facts.trace().unwrap().to_string());
            (value, exchange.headers().contains_key(TRACESTATE))
        };
        let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
        let (value, has_state) = goes_on(Sampling::NotBelieved, &[&sampled]);
        assert!(value.contains(TRACE) && value.ends_with("-00") && has_state, "{value}");
        let (value, _) = goes_on(Sampling::Believed, &[&sampled]);
        assert!(value.contains(TRACE) && value.ends_with("-01"), "{value}");
        let (value, has_state) = goes_on(Sampling::Believed, &[&sampled, &sampled]);
        assert!(
            !value.contains(TRACE) && value.ends_with("-00") && !has_state,
            "two parents are none: {value}"
        );
    }
}
