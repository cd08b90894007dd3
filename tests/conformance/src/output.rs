//! Everything that is printed goes through here.

use std::io::Write;

/// Prints a line of the report.
pub fn line(text: &str) {
    // A reader that went away (`... | head -1`) is no error.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}
