//! The files of the front end, each with its media type and a tag of its content.

use std::collections::HashMap;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

const FILES: &[(&str, &str)] = &[
    ("account.js", include_str!("../assets/account.js")),
    ("accounts.js", include_str!("../assets/accounts.js")),
    ("activity.js", include_str!("../assets/activity.js")),
    ("api.js", include_str!("../assets/api.js")),
    ("app.js", include_str!("../assets/app.js")),
    ("docs-copy.js", include_str!("../assets/docs-copy.js")),
    ("docs-credential.js", include_str!("../assets/docs-credential.js")),
    ("docs-filter.js", include_str!("../assets/docs-filter.js")),
    ("docs-markdown.js", include_str!("../assets/docs-markdown.js")),
    ("docs-operation.js", include_str!("../assets/docs-operation.js")),
    ("docs-samples.js", include_str!("../assets/docs-samples.js")),
    ("docs.css", include_str!("../assets/docs.css")),
    ("docs.html", include_str!("../assets/docs.html")),
    ("docs.js", include_str!("../assets/docs.js")),
    ("dom.js", include_str!("../assets/dom.js")),
    ("icon.svg", include_str!("../assets/icon.svg")),
    ("index.html", include_str!("../assets/index.html")),
    ("live.js", include_str!("../assets/live.js")),
    ("money.js", include_str!("../assets/money.js")),
    ("notifications.js", include_str!("../assets/notifications.js")),
    ("outcome.js", include_str!("../assets/outcome.js")),
    ("payees.js", include_str!("../assets/payees.js")),
    ("schema.js", include_str!("../assets/schema.js")),
    ("send.js", include_str!("../assets/send.js")),
    ("session.js", include_str!("../assets/session.js")),
    ("state.js", include_str!("../assets/state.js")),
    ("style.css", include_str!("../assets/style.css")),
    ("times.js", include_str!("../assets/times.js")),
    ("transfer.js", include_str!("../assets/transfer.js")),
    ("try.js", include_str!("../assets/try.js")),
];

/// A file as it is served.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) bytes: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) tag: HeaderValue,
}

/// All files, by name.
#[derive(Debug)]
pub(crate) struct Assets(HashMap<&'static str, Asset>);

impl Assets {
    pub(crate) fn find(&self, name: &str) -> Option<&Asset> {
        self.0.get(name)
    }
}

impl Default for Assets {
    fn default() -> Self {
        let assets = FILES
            .iter()
            .map(|&(name, bytes)| (name, Asset { bytes, media_type: media_type(name), tag: tag(bytes) }));
        Self(assets.collect())
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

fn tag(bytes: &str) -> HeaderValue {
    let hash = digest::digest(&digest::SHA256, bytes.as_bytes());
    let text = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]));
    // Base64url in quotes always fits.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"0\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_page_names_is_there() {
        let assets = Assets::default();
        for (page, text) in FILES {
            for name in text.split("/assets/").skip(1) {
                let end = name
                    .find(|c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c))
                    .unwrap_or(name.len());
                let name = name[..end].trim_end_matches('.');
                assert!(name.is_empty() || assets.find(name).is_some(), "{page} names {name}");
            }
        }
    }
}
