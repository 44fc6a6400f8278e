//! What a request says of its body: `Content-Type` and `Content-Encoding` (RFC 9110 §8.3 and §8.4), read by their grammar.

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use mediatype::names::{APPLICATION, CHARSET, JSON};
use mediatype::{MediaType, ReadParams as _};

use crate::Problem;

/// Refuses a body that is coded, compressed say: nobody here would undo it, and what it means would be guessed.
///
/// # Errors
/// 415 `unsupported_content_coding`, which names the coding that is taken in `Accept-Encoding` (RFC 9110 §15.5.16).
pub fn check_content_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let plain = headers.get_all(CONTENT_ENCODING).iter().all(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',')
                .map(str::trim)
                .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case("identity"))
        })
    });
    if plain {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must come without a content coding")
        .with_code("unsupported_content_coding")
        .with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// Refuses a body that does not say that it is JSON, or is in another character set than UTF-8.
///
/// # Errors
/// 415 `unsupported_media_type`.
pub fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = |detail| {
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            .with_code("unsupported_media_type")
            .with_header(ACCEPT, HeaderValue::from_static("application/json")))
    };
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refused("the body must be `application/json`; say so once in `Content-Type`");
    };
    let Some(media_type) = value.to_str().ok().and_then(|text| MediaType::parse(text).ok()) else {
        return refused("`Content-Type` cannot be read; say `application/json`");
    };
    if media_type.ty != APPLICATION || media_type.subty != JSON || media_type.suffix.is_some() {
        return refused("the body must be `application/json`");
    }
    let mut charsets = media_type.params().filter(|(name, _)| *name == CHARSET);
    if !charsets.all(|(_, value)| value.unquoted_str().eq_ignore_ascii_case("utf-8")) {
        return refused("the body must be in UTF-8");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_a_body_without_coding_is_taken() {
        for fine in [&[][..], &["identity"], &["Identity"], &[""], &["identity, identity"], &["identity", ""]]
        {
            assert!(check_content_coding(&of(CONTENT_ENCODING, fine)).is_ok(), "{fine:?}");
        }
        for wrong in [
            &["gzip"][..],
            &["identity, gzip"],
            &["identity", "br"],
            &["x-gzip"],
            &["identity;q=1"],
            &["deflate,identity"],
        ] {
            let problem = check_content_coding(&of(CONTENT_ENCODING, wrong)).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (415, Some("unsupported_content_coding"))
            );
            assert_eq!(problem.into_response("").headers()[ACCEPT_ENCODING], "identity");
        }
    }

    #[test]
    fn a_content_type_is_read_by_its_grammar() {
        for fine in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json ; Charset=utf-8",
            "application/json; profile=\"a;charset=latin1\"",
        ] {
            assert!(check_json(&of(CONTENT_TYPE, &[fine])).is_ok(), "{fine}");
        }
        for wrong in [
            "",
            "text/json",
            "application/jsonp",
            "application/json+x",
            "application/merge-patch+json",
            "application/json, text/plain",
            "application/json; charset=utf-16",
            "application/json; charset=\"latin1\"",
            "application/json; charset=utf-8; charset=latin1",
            "application/json; charset",
            "application/json; charset=\"utf-8",
            "application /json",
            "application",
            "*/*",
        ] {
            let problem = check_json(&of(CONTENT_TYPE, &[wrong])).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (415, Some("unsupported_media_type")),
                "{wrong}"
            );
        }
        assert!(check_json(&HeaderMap::new()).is_err());
        assert!(check_json(&of(CONTENT_TYPE, &["application/json", "application/json"])).is_err());
    }
}
