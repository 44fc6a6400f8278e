//! What people write and others read.
//!
//! Every name, reference and label of a bank goes through [`is_printable`] before it is kept, so that one place decides what may
//! be shown to somebody else.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// The most marks on one character (UTS #39, §5.4).
const MAX_MARKS: u32 = 4;

/// Whether a text is shown as it is written, so that a name or a reference cannot pass for another one.
///
/// | Refused | Since |
/// | --- | --- |
/// | nothing but spaces | there is nothing to see |
/// | control characters, ends of lines and paragraphs | they end the line that shows the text |
/// | marks, overrides, embeddings and isolates of direction | they reorder what stands around the text |
/// | what has no width, tags, blank letters such as Hangul's fillers | they hide a difference |
/// | marks without a character to stand on, or more than four on one | they are drawn over their neighbours |
/// | variation selectors without a character to vary, or two in a row | they hide a difference |
/// | what Unicode has not assigned, and private use | nobody knows what it looks like |
///
/// The joiners that scripts and emoji are written with are fine where they join something; flags of regions, such as
/// Scotland's, are not, since they are written in tags. The empty text is printable.
///
/// ```
/// use bank_sdk::text::is_printable;
///
/// assert!(is_printable("Rent for May – José, 山田, 👩‍🚀"));
/// assert!(!is_printable("two\nlines"));
/// assert!(!is_printable("to \u{202e}ecilA"));
/// assert!(!is_printable("\u{200b}"));
/// ```
#[must_use]
pub fn is_printable(text: &str) -> bool {
    let mut reader = Reader::default();
    let shown = text.chars().all(|character| reader.take(character));
    shown && reader.before != Before::OpenJoiner && (text.is_empty() || reader.seen)
}

/// The character before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    /// Nothing, or a space: nothing that a mark could stand on.
    #[default]
    Space,
    /// What is seen by itself.
    Base,
    /// A mark on a base.
    Mark,
    /// A variation selector.
    Selector,
    /// A joiner behind a mark, as some scripts end words.
    Joiner,
    /// A joiner that has to be followed by something that it joins.
    OpenJoiner,
}

/// Reads a text character by character.
#[derive(Debug, Default)]
struct Reader {
    /// Whether there was anything to see.
    seen: bool,
    before: Before,
    /// The base of what stands before, where that is no space.
    base: char,
    /// How many marks stand on it in a row.
    marks: u32,
}

impl Reader {
    /// Whether the next character may stand here.
    fn take(&mut self, character: char) -> bool {
        let (fits, before) = match character {
            '\u{200c}' | '\u{200d}' => self.joiner(),
            _ if is_selector(character) => self.selector(),
            _ if is_blank(character) => return false,
            _ => self.plain(character),
        };
        self.before = before;
        fits
    }

    /// Joiners belong to emoji and to scripts from Hebrew on; between Latin letters they are not seen.
    fn joiner(&self) -> (bool, Before) {
        let before = if self.before == Before::Mark { Before::Joiner } else { Before::OpenJoiner };
        let joins = matches!(self.before, Before::Base | Before::Mark | Before::Selector);
        (joins && self.base >= '\u{590}', before)
    }

    /// Digits are varied in keycaps; letters of ASCII never are.
    fn selector(&self) -> (bool, Before) {
        let varies = matches!(self.before, Before::Base | Before::Mark);
        (varies && !self.base.is_ascii_alphabetic(), Before::Selector)
    }

    fn plain(&mut self, character: char) -> (bool, Before) {
        let category = character.general_category();
        match character.general_category_group() {
            GeneralCategoryGroup::Separator => {
                let spaces = category == GeneralCategory::SpaceSeparator;
                (spaces && self.before != Before::OpenJoiner, Before::Space)
            }
            GeneralCategoryGroup::Mark => {
                self.marks += u32::from(category != GeneralCategory::SpacingMark);
                (self.before != Before::Space && self.marks <= MAX_MARKS, Before::Mark)
            }
            GeneralCategoryGroup::Other => (false, Before::Space),
            _ => {
                (self.seen, self.base, self.marks) = (true, character, 0);
                (true, Before::Base)
            }
        }
    }
}

/// Whether a character only chooses between the forms of the one before it.
fn is_selector(character: char) -> bool {
    matches!(character, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a letter, mark or symbol has nothing to see.
fn is_blank(character: char) -> bool {
    matches!(
        character,
        // A joiner of marks, fillers of Hangul, vowels of Khmer that are not written, a blank of Braille, a note without a head.
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{ffa0}'
            | '\u{1d159}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_printable() {
        for text in [
            "",
            "Ann",
            "Rent, 50 % – \u{a0}José’s (flat 3) #7",
            "São Paulo",
            "Nguye\u{302}\u{303}n",
            "שָׁלוֹם",
            "مُحَمَّد",
            "नमस्ते",
            "ശ്രീ",
            "ขอบคุณ",
            "山田太郎",
            "葛\u{e0100}城",
            "한국",
            "می\u{200c}خواهم",
            "അവന്\u{200d}",
            "👩‍👩‍👧",
            "🏳️‍🌈",
            "❤️",
            "1️⃣",
            "👋🏽",
            "🇩🇪",
            "€1 ≥ $2 = ½ ©",
        ] {
            assert!(is_printable(text), "{text:?}");
        }
    }

    #[test]
    fn what_hides_reorders_or_has_nothing_to_see_is_refused() {
        for hidden in [
            // Controls, ends of lines and paragraphs.
            '\0',
            '\t',
            '\n',
            '\r',
            '\u{7f}',
            '\u{85}',
            '\u{2028}',
            '\u{2029}',
            // Direction.
            '\u{61c}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            // No width.
            '\u{ad}',
            '\u{200b}',
            '\u{2060}',
            '\u{2064}',
            '\u{206a}',
            '\u{feff}',
            '\u{fff9}',
            '\u{1d173}',
            // Tags.
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            // Blank letters.
            '\u{34f}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{2800}',
            '\u{3164}',
            '\u{ffa0}',
            // Private use, and what is not assigned.
            '\u{e000}',
            '\u{f8ff}',
            '\u{10fffd}',
            '\u{378}',
            '\u{fdd0}',
            '\u{ffff}',
            '\u{e0fff}',
        ] {
            for text in [format!("a{hidden}b"), format!("{hidden}"), format!("山{hidden}")] {
                assert!(!is_printable(&text), "{text:?}");
            }
        }
        for text in [" ", "\u{a0}\u{3000}", "\u{200d}", "\u{200c}"] {
            assert!(!is_printable(text), "{text:?}");
        }
    }

    #[test]
    fn marks_selectors_and_joiners_need_something_to_stand_on() {
        for text in [
            "\u{301}",
            "\u{301}a",
            "a \u{301}",
            "\u{fe0f}",
            "a\u{fe0f}",
            "❤\u{fe0f}\u{fe0f}",
            "葛\u{e0100}\u{e0101}",
            "a\u{301}\u{302}\u{303}\u{304}\u{305}",
            "A\u{200d}nn",
            "Ann\u{200d}",
            "👩\u{200d}",
            "👩\u{200d} a",
            "👩\u{200d}\u{200d}👧",
        ] {
            assert!(!is_printable(text), "{text:?}");
        }
    }
}
