//! An answer of an upstream is checked as a request is (S35): what can be read in two ways, or was never asked for, goes to
//! nobody.

use bank_sdk::Problem;
use bank_sdk::http::Body;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode};

use super::fields::is_length;

/// So many fields an answer may have.
const MAX_FIELDS: usize = 128;
/// So many bytes they may have, names and values together.
const MAX_BYTES: usize = 64 * 1024;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAnswer {
    /// A 1xx where a final answer belongs, such as a 101 that nobody asked for.
    #[error("its status is {0}, which is no final answer")]
    Informational(StatusCode),
    /// Outside of 200 to 599.
    #[error("its status is {0}, which means nothing")]
    Status(StatusCode),
    /// The length of the body is given twice or in two ways, or not as a number.
    #[error("the length of its body can be read in two ways")]
    Framing,
    /// More than 128 fields, or more than 64 KiB of them.
    #[error("its head is too large")]
    HeadTooLarge,
}

impl From<InvalidAnswer> for Problem {
    /// 502: the request was sent, and may have had its effect.
    fn from(_: InvalidAnswer) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "the service's answer is not valid HTTP; repeat the request with the same key to learn its outcome",
        )
        .with_code("invalid_answer")
    }
}

/// Checks the head of an answer before it goes on to a caller.
///
/// ```
/// use bank_gateway::{InvalidAnswer, check_answer};
/// use bank_sdk::http::Body;
/// use http::{Response, StatusCode};
///
/// let answer = |status: u16| Response::builder().status(status).body(Body::empty()).unwrap();
/// assert_eq!(check_answer(&answer(200)), Ok(()));
/// assert_eq!(check_answer(&answer(101)), Err(InvalidAnswer::Informational(StatusCode::SWITCHING_PROTOCOLS)));
/// ```
///
/// # Errors
/// What is wrong with it; as a [`Problem`] it is a 502.
pub fn check_answer(answer: &Response<Body>) -> Result<(), InvalidAnswer> {
    let status = answer.status();
    if status.is_informational() {
        return Err(InvalidAnswer::Informational(status));
    }
    if status.as_u16() > 599 {
        return Err(InvalidAnswer::Status(status));
    }
    check_size(answer.headers())?;
    let (mut has_length, mut is_chunked) = (false, false);
    for (name, value) in answer.headers() {
        let once = match name.as_str().as_bytes() {
            [b'c', ..] if *name == CONTENT_LENGTH => {
                let is_valid = is_length(value.as_bytes());
                is_valid && !std::mem::replace(&mut has_length, true)
            }
            [b't', ..] if *name == TRANSFER_ENCODING => {
                let is_valid = value.as_bytes().eq_ignore_ascii_case(b"chunked");
                is_valid && !std::mem::replace(&mut is_chunked, true)
            }
            _ => true,
        };
        if !once {
            return Err(InvalidAnswer::Framing);
        }
    }
    if has_length && is_chunked { Err(InvalidAnswer::Framing) } else { Ok(()) }
}

/// Checks the number and the size of an answer's fields.
pub(crate) fn check_size(headers: &HeaderMap) -> Result<(), InvalidAnswer> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > MAX_FIELDS || bytes > MAX_BYTES { Err(InvalidAnswer::HeadTooLarge) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<Body> {
        let builder = Response::builder().status(status);
        let builder = fields.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn s35_an_answer_that_reads_in_two_ways_is_none() {
        use InvalidAnswer::{Framing, HeadTooLarge};
        for fields in [
            &[("content-length", "1"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "1, 1")],
            &[("content-length", "01")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(check_answer(&answer(200, fields)), Err(Framing), "{fields:?}");
        }
        for status in [100, 101, 102, 103, 199, 600, 999] {
            assert!(check_answer(&answer(status, &[])).is_err(), "{status}");
        }
        for status in [200, 204, 304, 404, 500, 599] {
            assert_eq!(check_answer(&answer(status, &[("content-length", "0")])), Ok(()));
        }
        let long = "a".repeat(MAX_BYTES);
        assert_eq!(check_answer(&answer(200, &[("x-long", &long)])), Err(HeadTooLarge));
        let many: Vec<_> = (0..=MAX_FIELDS).map(|n| format!("x-{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(check_answer(&answer(200, &many)), Err(HeadTooLarge));
        assert_eq!(check_answer(&answer(200, &many[1..])), Ok(()));
    }
}
