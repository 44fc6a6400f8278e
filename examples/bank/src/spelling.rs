//! Did somebody mean something else?

/// Fewer letters in common are chance.
const ALIKE: f64 = 0.75;
/// Whether a word is one that is known but for one slip: a letter too many, one too few, another one, or two in the wrong order.
pub(crate) fn is_near(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| strsim::damerau_levenshtein(word, known) <= 1)
}

/// `; did you mean …`, where a word is close to one that is known; nothing otherwise.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    let alike = |known: &str| strsim::jaro_winkler(word, known);
    let best = known.iter().copied().max_by(|one, other| alike(one).total_cmp(&alike(other)));
    match best.filter(|best| alike(best) > ALIKE) {
        Some(best) => format!("; did you mean `{best}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_word_that_is_close_is_meant_and_one_that_is_not_is_left() {
        let known = ["default", "login", "pages"];
        assert_eq!(nearest("logn", &known), "; did you mean `login`?");
        assert_eq!(nearest("acounts", &["accounts", "identity"]), "; did you mean `accounts`?");
        assert_eq!(nearest("weather", &known), "");
    }
}
