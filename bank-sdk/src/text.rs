//! What people write and others read.

/// Whether all of a text is shown as it is written: no control characters, and nothing unseen that ends lines, hides, or turns the
/// direction of what stands around it (Unicode TR #36, §3), so that a name or a reference cannot show another one.
///
/// The joiners that scripts and emoji are written with are fine; flags of regions, such as Scotland's, are not.
///
/// ```
/// use bank_sdk::text::is_printable;
///
/// assert!(is_printable("Rent for May – José, 山田, 👩‍🚀"));
/// assert!(!is_printable("two\nlines"));
/// assert!(!is_printable("to \u{202e}ecilA"));
/// ```
#[must_use]
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(|character| {
        character.is_control()
            || matches!(
                character,
                // Marks, embeddings, overrides and isolates of direction.
                '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                // Ends of lines and paragraphs.
                | '\u{2028}' | '\u{2029}'
                // Of no width: a space, a soft hyphen, what joins words, and what annotates.
                | '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                // Letters that are blank.
                | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
                // A second alphabet that nobody sees, in which the flags of a few regions are written.
                | '\u{e0000}'..='\u{e007f}'
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_how_others_are_shown_is_not_printable() {
        for text in [
            "",
            "Ann",
            "São Paulo",
            "שלום",
            "مرحبا",
            "नमस्ते",
            "👩‍👩‍👧",
            "e\u{301}",
            "می\u{200c}خواهم",
            "葛\u{e0100}",
        ] {
            assert!(is_printable(text), "{text:?}");
        }
        for hidden in [
            '\0',
            '\t',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200f}',
            '\u{202e}',
            '\u{2028}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
            '\u{3164}',
        ] {
            assert!(!is_printable(&format!("a{hidden}b")), "{hidden:?}");
        }
    }
}
