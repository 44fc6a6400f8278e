//! The reference of all keys, made from the table that the program reads by.

use std::fmt::Write as _;

use super::key::Preset;
use super::keys::KEYS;

/// A markdown table.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "| Key | Type | Values | Default | What | Variable |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for key in KEYS.iter().filter(|key| key.is_used()) {
        let default = match key.preset {
            Preset::Is(value) => format!("`{value}`"),
            Preset::Without(what) => format!("none: {what}"),
        };
        // What is written into text never fails.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {default} | {} | `{}` |",
            key.path,
            key.kind.type_name(),
            key.kind.range(),
            key.what,
            key.variable(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_guide_is_the_one_that_the_program_prints() {
        let guide = include_str!("../../../../docs/configuration.md");
        assert!(
            guide.contains(&reference()),
            "put the output of `bank config reference` into docs/configuration.md"
        );
    }
}
