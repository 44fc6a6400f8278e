//! The `bank` program under a path that tests know: cargo tells a package's tests where its own binaries are.

use std::process::ExitCode;

fn main() -> ExitCode {
    bank::main()
}
