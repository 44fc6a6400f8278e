//! `bank`: see the library of this package, and `bank --help`.

fn main() -> std::process::ExitCode {
    bank::main()
}
