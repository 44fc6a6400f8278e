//! Passwords in one spelling, whichever keyboard and system they were typed on.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// A password in the one spelling that it is hashed in: Unicode's normalization form C, and each space a plain one (the profile
/// `OpaqueString` of RFC 8265 §4.2; NIST SP 800-63B §3.1.1.2). Nothing where it is empty or holds a control character.
///
/// Letters that Unicode does not know yet pass, unlike in the RFC: nobody else reads a password, and one with a new
/// emoji is a good one.
///
/// ```
/// use bank_sdk::opaque_string;
///
/// assert_eq!(opaque_string("pa\u{308}sswo\u{308}rd").unwrap(), "pässwörd");
/// assert_eq!(opaque_string("two\u{a0}words").unwrap(), "two words");
/// assert!(opaque_string("a\u{7}").is_none());
/// ```
#[must_use]
pub fn opaque_string(text: &str) -> Option<Cow<'_, str>> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    if !text.contains(is_other_space) && is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.chars().map(|character| if is_other_space(character) { ' ' } else { character });
    Some(Cow::Owned(spaced.nfc().collect()))
}

/// The spellings in which a password may have been hashed: as an [`opaque_string`], and as it was given where that is another one,
/// since older hashes were made of that.
///
/// ```
/// use bank_sdk::password_spellings;
///
/// assert_eq!(password_spellings("plain").count(), 1);
/// assert_eq!(password_spellings("o\u{308}").collect::<Vec<_>>(), ["ö", "o\u{308}"]);
/// ```
pub fn password_spellings(given: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let normal = opaque_string(given);
    let differs = normal.as_deref() != Some(given);
    normal.into_iter().chain(differs.then_some(Cow::Borrowed(given)))
}

/// Spaces (Zs) that are not ASCII's.
const fn is_other_space(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_password_is_typed_it_has_one_spelling() {
        for (given, spelled) in [
            ("correct horse", "correct horse"),
            ("pa\u{308}sswo\u{308}rd", "p\u{e4}ssw\u{f6}rd"),
            ("\u{212b}ngstr\u{f6}m", "\u{c5}ngstr\u{f6}m"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("a\u{3000}b\u{2003}c\u{a0}d", "a b c d"),
            // Case, width and order of words are the user's.
            ("\u{ff21}bC", "\u{ff21}bC"),
            (" lead and trail ", " lead and trail "),
        ] {
            assert_eq!(opaque_string(given).unwrap(), spelled, "{given:?}");
            assert_eq!(opaque_string(spelled).unwrap(), spelled, "twice is once");
        }
        for bad in ["", "a\nb", "\0", "a\u{85}", "\u{7f}"] {
            assert!(opaque_string(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn what_was_hashed_as_it_was_given_is_tried_too() {
        let spellings = |given: &'static str| password_spellings(given).collect::<Vec<_>>();
        assert_eq!(spellings("plain"), ["plain"]);
        assert_eq!(spellings("e\u{301}"), ["\u{e9}", "e\u{301}"]);
        assert_eq!(spellings("a\tb"), ["a\tb"]);
        assert_eq!(spellings(""), [""]);
    }
}
