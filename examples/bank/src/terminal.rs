//! What the program says: answers on standard output, and all else on standard error.

use std::io::{self, Write};

/// Prints a line, for whoever waits for it, and for whoever reads the answer to a command.
pub(crate) fn print(text: &str) {
    line(io::stdout().lock(), text);
}

/// Says a line that is no answer.
pub(crate) fn complain(text: &str) {
    line(io::stderr().lock(), text);
}

/// Whoever waits for the line may read from a pipe, and whoever has read enough may have gone: that ends nothing.
fn line(mut out: impl Write, text: &str) {
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
