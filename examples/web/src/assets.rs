//! The files of the front end as they are served. `build.rs` prepares them.

use std::collections::HashMap;

use bank_sdk::http::{Body, is_known};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::coding::{Coding, preferred};

/// A file in its three forms; a compressed one is left out where it would not be smaller.
#[derive(Debug)]
pub(crate) struct File {
    name: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
    tag: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Nothing but our own files runs, and nothing frames the bank.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'; \
                      require-trusted-types-for 'script'";

/// How long a browser may use a file without asking for it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Not at all: the address stays while the content changes.
    Revalidated,
    /// For ever: the address names the version.
    Immutable,
}

impl Lifetime {
    const fn header(self) -> HeaderValue {
        match self {
            Self::Revalidated => HeaderValue::from_static("no-cache"),
            Self::Immutable => HeaderValue::from_static("public, max-age=31536000, immutable"),
        }
    }
}

/// All files, by name.
#[derive(Debug)]
pub(crate) struct Assets(HashMap<&'static str, &'static File>);

impl Default for Assets {
    fn default() -> Self {
        Self(FILES.iter().map(|file| (file.name, file)).collect())
    }
}

impl Assets {
    /// The answer to a request for a file: the file, in the coding that the caller likes best, or that it has it already.
    pub(crate) fn serve(&self, name: &str, lifetime: Lifetime, asked: &HeaderMap) -> Option<Response<Body>> {
        let file = self.0.get(name)?;
        let (coding, bytes) = file.form(preferred(asked, |coding| file.bytes(coding).is_some()));
        let tag = tag(file.tag, coding);
        let known = is_known(asked, &tag);
        let mut response =
            Response::new(if known { Body::empty() } else { Body::from(Bytes::from_static(bytes)) });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
        headers.insert(ETAG, tag);
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(CACHE_CONTROL, lifetime.header());
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if let Some(name) = coding.name().filter(|_| !known) {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        Some(response)
    }
}

impl File {
    const fn bytes(&self, coding: Coding) -> Option<&'static [u8]> {
        match coding {
            Coding::Identity => Some(self.plain),
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
        }
    }

    fn form(&self, coding: Coding) -> (Coding, &'static [u8]) {
        self.bytes(coding).map_or((Coding::Identity, self.plain), |bytes| (coding, bytes))
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Each form has a tag of its own, since strong tags stand for the same bytes (RFC 9110 §8.8.1).
fn tag(hash: &str, coding: Coding) -> HeaderValue {
    let text = coding.name().map_or_else(|| format!("\"{hash}\""), |coding| format!("\"{hash}-{coding}\""));
    // Hexadecimal digits in quotes always fit.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"0\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &File) -> &str {
        std::str::from_utf8(file.plain).unwrap()
    }

    #[test]
    fn every_file_that_a_page_names_is_there_under_its_version() {
        let assets = Assets::default();
        for file in FILES {
            for address in text(file).split("/assets/").skip(1) {
                let rest = address.strip_prefix(&format!("{VERSION}/"));
                let rest = rest.unwrap_or_else(|| panic!("{} names a file without its version", file.name));
                let end = rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c))
                    .unwrap_or(rest.len());
                let name = rest[..end].trim_end_matches('.');
                assert!(name.is_empty() || assets.0.contains_key(name), "{} names {name}", file.name);
            }
        }
    }

    #[test]
    fn a_page_names_the_modules_that_it_will_need_so_that_they_load_side_by_side() {
        let page = FILES.iter().find(|file| file.name == "index.html").map(text).unwrap();
        let link = |name: &str| format!("<link rel=\"modulepreload\" href=\"/assets/{VERSION}/{name}\">");
        for name in ["api.js", "dom.js", "i18n.js", "sign-in.js"] {
            assert!(page.contains(&link(name)), "{name}");
        }
        assert!(!page.contains(&link("bank.js")), "whoever is signed out needs little");
    }

    #[test]
    fn what_is_compressed_is_the_same_file() {
        use std::io::Read as _;
        for file in FILES {
            if let Some(gzip) = file.gzip {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(gzip).read_to_end(&mut plain).unwrap();
                assert_eq!(plain, file.plain, "{}", file.name);
            }
            if let Some(brotli) = file.brotli {
                let mut plain = Vec::new();
                brotli::Decompressor::new(brotli, 4096).read_to_end(&mut plain).unwrap();
                assert_eq!(plain, file.plain, "{}", file.name);
            }
        }
        let style = FILES.iter().find(|file| file.name == "style.css").unwrap();
        assert!(style.brotli.unwrap().len() * 3 < style.plain.len());
    }
}
