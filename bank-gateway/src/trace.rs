//! W3C Trace Context: a valid `traceparent` is continued, anything else starts a new trace.

use std::sync::Arc;

use bank_sdk::Problem;
use bank_sdk::http::Body;
use bank_stores::{Random, SystemRandom};
use http::{HeaderName, HeaderValue, Request};

use crate::Gate;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Sets the `traceparent` of each request.
#[derive(Clone, Debug)]
pub struct TraceContext(Arc<dyn Random>);

impl TraceContext {
    /// Ids of this source.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self(random)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new(Arc::new(SystemRandom::new()))
    }
}

impl Gate for TraceContext {
    async fn check(&self, request: &mut Request<Body>) -> Result<(), Problem> {
        advance(request, &*self.0);
        Ok(())
    }
}

/// Sets the `traceparent` that goes to the service.
pub(crate) fn advance(request: &mut Request<Body>, random: &dyn Random) {
    let mut bytes = [0; 24];
    random.fill(&mut bytes);
    // An id of zeros means none.
    bytes[0] |= 1;
    bytes[16] |= 1;
    let incoming = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()).and_then(parse);
    // `00-`, the trace, the span and the flags.
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex(&bytes[16..], &mut text[36..52]);
    match incoming {
        Some((trace, flags)) => {
            text[3..35].copy_from_slice(trace.as_bytes());
            text[53..].copy_from_slice(flags.as_bytes());
        }
        None => {
            hex(&bytes[..16], &mut text[3..35]);
            request.headers_mut().remove(TRACESTATE);
        }
    }
    // Hexadecimal digits always fit.
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
}

/// The trace's id and flags.
fn parse(text: &str) -> Option<(&str, &str)> {
    let lower_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let valid = version == "00"
        && parts.next().is_none()
        && lower_hex(trace, 32)
        && lower_hex(span, 16)
        && lower_hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0');
    valid.then_some((trace, flags))
}

fn hex(bytes: &[u8], into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in into.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_trace_is_continued_and_an_invalid_one_replaced() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(parse(valid), Some(("0af7651916cd43dd8448eb211c80319c", "01")));
        for bad in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
