//! What proxies say of where a request came from: `X-Forwarded-For` as it is found in the wild, and `Forwarded` (RFC 7239),
//! both read by the grammar of lists (RFC 9110 §5.6.1).

use std::borrow::Cow;
use std::net::IpAddr;

use http::HeaderMap;

/// So many proxies are followed back; what stands before them is believed no more than a stranger.
pub(super) const MAX_HOPS: usize = 32;

/// One proxy's word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// From which address it was asked; nothing where it says something else.
    pub(super) from: Option<IpAddr>,
    /// By which scheme, where it says so.
    pub(super) proto: Option<String>,
    /// For which host, where it says so.
    pub(super) host: Option<String>,
}

/// The words of `X-Forwarded-For`, the last one first.
pub(super) fn read_x_forwarded_for(headers: &HeaderMap) -> Vec<Hop> {
    read_from_the_right(headers, "x-forwarded-for", |element| Hop {
        from: unquote(element).and_then(|text| read_node(&text)),
        ..Hop::default()
    })
}

/// The words of `Forwarded`, the last one first.
pub(super) fn read_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    read_from_the_right(headers, "forwarded", |element| read_element(element).unwrap_or_default())
}

/// The last element of a list field.
pub(super) fn last_element(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let elements = split(value, b',')?;
    unquote(elements.iter().rev().find(|element| !element.is_empty())?).map(Cow::into_owned)
}

fn read_from_the_right(headers: &HeaderMap, name: &str, read: impl Fn(&str) -> Hop) -> Vec<Hop> {
    let mut hops = Vec::new();
    for value in headers.get_all(name).iter().rev() {
        let Some(elements) = value.to_str().ok().and_then(|text| split(text, b',')) else {
            // A field that is no list: nothing before it can be told apart.
            hops.push(Hop::default());
            break;
        };
        // Empty elements mean nothing.
        hops.extend(elements.iter().rev().filter(|element| !element.is_empty()).map(|element| read(element)));
        if hops.len() >= MAX_HOPS {
            hops.truncate(MAX_HOPS);
            break;
        }
    }
    hops
}

/// The parts between separators that do not stand in quotes; nothing where quotes do not end.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(text[start..at].trim_matches([' ', '\t']));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim_matches([' ', '\t']));
    (!is_quoted).then_some(parts)
}

/// A token as it is, or what a quoted string says.
fn unquote(text: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains('"')).then_some(Cow::Borrowed(text));
    };
    let inner = inner.strip_suffix('"')?;
    if !inner.contains(['\\', '"']) {
        return Some(Cow::Borrowed(inner));
    }
    let mut said = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => said.push(characters.next()?),
            '"' => return None,
            other => said.push(other),
        }
    }
    Some(Cow::Owned(said))
}

/// `address`, `address:port`, `[address]` or `[address]:port`. The port may be missing, or obfuscated (RFC 7239 §6).
fn read_node(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return address.parse().ok().filter(|_| is_port).map(IpAddr::V6);
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    address.parse().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            !name.is_empty() && name.bytes().all(is_name)
        }
        None => {
            text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
        }
    }
}

/// `for=…;proto=…;host=…`, each once.
fn read_element(element: &str) -> Option<Hop> {
    let mut hop = Hop::default();
    let mut seen = 0;
    for pair in split(element, b';')?.into_iter().filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let value = unquote(value)?;
        let bit = match name.to_ascii_lowercase().as_str() {
            "for" => {
                hop.from = read_node(&value);
                1
            }
            "proto" => {
                hop.proto = Some(value.into_owned());
                2
            }
            "host" => {
                hop.host = Some(value.into_owned());
                4
            }
            _ => 0,
        };
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
    }
    Some(hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        headers
    }

    fn addresses(hops: &[Hop]) -> Vec<String> {
        hops.iter().map(|hop| hop.from.map_or("-".to_owned(), |address| address.to_string())).collect()
    }

    #[test]
    fn x_forwarded_for_is_read_by_its_grammar() {
        let read = |lines: &[&str]| addresses(&read_x_forwarded_for(&headers("x-forwarded-for", lines)));
        assert_eq!(read(&["1.1.1.1, 2.2.2.2:5000"]), ["2.2.2.2", "1.1.1.1"]);
        assert_eq!(read(&["1.1.1.1", "2.2.2.2"]), ["2.2.2.2", "1.1.1.1"]);
        assert_eq!(read(&[", 1.1.1.1 ,,\t2.2.2.2 , "]), ["2.2.2.2", "1.1.1.1"]);
        assert_eq!(read(&["2001:db8::7"]), ["2001:db8::7"]);
        assert_eq!(read(&["[2001:db8::7]"]), ["2001:db8::7"]);
        assert_eq!(read(&["[2001:db8::7]:4711"]), ["2001:db8::7"]);
        assert_eq!(read(&["\"[2001:db8::7]:4711\", \"1.1.1.1\""]), ["1.1.1.1", "2001:db8::7"]);
        assert_eq!(read(&["1.1.1.1, \"a,b\""]), ["-", "1.1.1.1"], "a comma in quotes separates nothing");
        assert_eq!(read(&["1.1.1.1:", "1.1.1.1:0", "1.1.1.1:_hidden"]), ["1.1.1.1"; 3]);
        for wrong in [
            "unknown",
            "_hidden",
            "1.1.1.1:x",
            "1.1.1.1:70000",
            "1.1.1.1:+5",
            "1.1.1",
            "01.1.1.1",
            "[1.1.1.1]",
            "[::1",
            "::1]",
            "[::1]5",
            "fe80::1%eth0",
            "1.1.1.1 2.2.2.2",
            "\"1.1.1.1",
            "1.1.1.1\"",
            "1.1.1.1:80:80",
        ] {
            assert_eq!(read(&[wrong]), ["-"], "{wrong}");
        }
        assert_eq!(
            read(&["1.1.1.1", "2.2.2.2, \"3.3.3.3"]),
            ["-"],
            "what is no list hides what stands before it"
        );
        assert_eq!(read(&[&"1.1.1.1,".repeat(1_000)]).len(), MAX_HOPS);
    }

    #[test]
    fn forwarded_is_read_by_its_grammar() {
        let read = |lines: &[&str]| read_forwarded(&headers("forwarded", lines));
        let hops = read(&[
            "for=192.0.2.43, FOR=\"[2001:db8:cafe::17]:4711\";Proto=https;host=\"a.example:80\";by=_x",
        ]);
        assert_eq!(addresses(&hops), ["2001:db8:cafe::17", "192.0.2.43"]);
        assert_eq!(
            (hops[0].proto.as_deref(), hops[0].host.as_deref()),
            (Some("https"), Some("a.example:80"))
        );
        assert_eq!(addresses(&read(&["for=\"192.0.2.43:47011\";;proto=http,"])), ["192.0.2.43"]);
        assert_eq!(addresses(&read(&["for=\"1.1.1.1\\:80\""])), ["1.1.1.1"]);
        for wrong in [
            "for=unknown",
            "for=_secret",
            "proto=https",
            "for=1.1.1.1;for=2.2.2.2",
            "for",
            "1.1.1.1",
            "for=\"1.1.1.1",
            "for=1.1.1.1\"",
            "for=\"1.1.1.1\"x",
        ] {
            assert_eq!(addresses(&read(&[wrong])), ["-"], "{wrong}");
        }
    }
}
