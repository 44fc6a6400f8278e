//! A path that every reader takes apart in the same way (S1, S3).

use bank_sdk::Problem;

use crate::hex::octet;
use crate::problem::ambiguous;

/// Refuses a path that can be read in two ways.
///
/// | Refused | Because |
/// | --- | --- |
/// | `//`, `;`, `\`, a dot segment plain or encoded, `%2f`, `%5c` | servers disagree about segments |
/// | an escape of a letter, a digit, `-`, `.`, `_` or `~` | whoever decodes it sees another path than the one that was matched |
/// | an escape of `%` in front of two hexadecimal digits | it reads differently when it is decoded twice |
/// | escapes of control characters: `%00` to `%1f`, `%7f`, `%c2%80` to `%c2%9f` | they end lines and texts elsewhere |
/// | escapes that are not UTF-8, overlong ones too | `%c0%af` is a `/` to some decoders |
/// | bytes that are not visible ASCII, a `%` without two digits | RFC 3986 has no place for them |
///
/// # Errors
/// 400 with the code `ambiguous_path`.
pub fn check_path(path: &str) -> Result<(), Problem> {
    find_fault(path.as_bytes()).map_or(Ok(()), |what| Err(ambiguous("ambiguous_path", what)))
}

fn find_fault(path: &[u8]) -> Option<&'static str> {
    if path.first() != Some(&b'/') {
        return Some("the target must be an absolute path");
    }
    let (mut at, mut segment) = (0, 1);
    while let Some(&byte) = path.get(at) {
        if byte.is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        match byte {
            b'/' => {
                if at > 0 && at == segment {
                    return Some("the path holds `//`");
                }
                if at > 0 && is_dots(&path[segment..at]) {
                    return Some("the path holds a dot segment");
                }
                segment = at + 1;
            }
            b';' => return Some("the path holds `;`"),
            b'\\' => return Some("the path holds a backslash"),
            b'%' => match read_escape(&path[at..]) {
                Ok(length) => {
                    at += length;
                    continue;
                }
                Err(what) => return Some(what),
            },
            0x21..=0x7e => {}
            _ => return Some("the path holds bytes that are not visible ASCII"),
        }
        at += 1;
    }
    is_dots(&path[segment..]).then_some("the path holds a dot segment")
}

/// The length of the escapes of one character, at the start of this text.
fn read_escape(text: &[u8]) -> Result<usize, &'static str> {
    let byte = decode(text).ok_or("the path holds a `%` that starts no escape")?;
    match byte {
        0x00 => Err("the path holds an encoded NUL"),
        0x01..=0x1f | 0x7f => Err("the path holds an encoded control character"),
        b'/' => Err("the path holds an encoded `/`"),
        b'\\' => Err("the path holds an encoded backslash"),
        b'%' if text.get(3..5).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)) => {
            Err("the path holds an escape of an escape")
        }
        byte if is_unreserved(byte) => Err("the path holds an escape of a character that needs none"),
        0x21..=0x7e | b' ' => Ok(3),
        _ => read_utf8(text, byte),
    }
}

/// The length of the escapes of one character outside ASCII.
fn read_utf8(text: &[u8], first: u8) -> Result<usize, &'static str> {
    const WRONG: &str = "the path holds escapes that are not UTF-8";
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(WRONG),
    };
    let mut bytes = [0; 4];
    for (place, byte) in bytes[..length].iter_mut().enumerate() {
        *byte = text.get(place * 3..).and_then(decode).ok_or(WRONG)?;
    }
    match std::str::from_utf8(&bytes[..length]) {
        Ok(character) if character.chars().any(char::is_control) => {
            Err("the path holds an encoded control character")
        }
        Ok(_) => Ok(length * 3),
        Err(_) => Err(WRONG),
    }
}

/// The octet of an escape at the start of this text.
fn decode(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => octet(*high, *low),
        _ => None,
    }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `.` or `..`, plain or encoded.
fn is_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', tail @ ..] | [b'%', b'2', b'e' | b'E', tail @ ..] => tail,
            _ => return false,
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s1_a_path_that_reads_in_two_ways_is_refused() {
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/a;b",
            "/a\\b",
            "/.",
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/a/.",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a/%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a%",
            "/a%2",
            "/a%g0",
            "/a%0g",
            "/a%41",
            "/a%7e",
            "/a%2D",
            "/\u{fc}",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/a/...",
            "/a/.b",
            "/a/b..",
            "/a%20b",
            "/a%C3%BC",
            "/a%25",
            "/100%25/b",
            "/a%25z",
            "/%e2%82%ac",
            "/%F0%9F%8F%A6",
            "/a:b@c,d",
            "/a%3Ab",
        ] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn s1_escapes_of_control_characters_and_of_what_is_no_utf8_are_refused() {
        for code in (0..0x20).chain([0x7f]) {
            assert!(check_path(&format!("/a%{code:02x}b")).is_err(), "%{code:02x}");
            assert!(check_path(&format!("/a%{code:02X}")).is_err(), "%{code:02X}");
        }
        for path in [
            "/%c0%af",
            "/%c0%80",
            "/%e0%80%af",
            "/%f0%80%80%af",
            "/%c1%9c",
            "/%ed%a0%80",
            "/%f4%90%80%80",
            "/%f5%80%80%80",
            "/%ff",
            "/%80",
            "/%c3",
            "/%c3a",
            "/%c3%28",
            "/%e2%82",
            "/%e2%82/%ac",
            "/%c2%80",
            "/%C2%9F",
            "/%c2%85",
            "/%252e%252e/a",
            "/a%252fb",
            "/a%2500",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }
}
