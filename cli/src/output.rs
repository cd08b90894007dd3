//! Everything that is printed goes through here: results to standard output, errors to standard error.

use std::io::Write;

use serde::Serialize;

use crate::args::Format;
use crate::error::CliError;

/// Prints a line of a result.
pub(crate) fn line(text: &str) {
    // A reader that went away (`muster status | head -1`) is no error.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints text that ends its own lines.
pub(crate) fn text(text: &str) {
    let _ = write!(std::io::stdout(), "{text}");
}

/// Prints an error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

/// Prints a warning.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Prints `value` as JSON or YAML, or whatever `table` makes of it.
pub(crate) fn result<T: Serialize>(
    format: Format,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    match format {
        Format::Table => text(&table(value)),
        Format::Json => {
            let json = serde_json::to_string_pretty(value);
            line(&json.map_err(|error| CliError::Print(error.to_string()))?);
        }
        Format::Yaml => {
            let yaml = serde_saphyr::to_string(value);
            text(&yaml.map_err(|error| CliError::Print(error.to_string()))?);
        }
    }
    Ok(())
}
