//! Logs: one line per decision, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line, for collectors.
    Json,
}

/// The variables that hold the filter, in the syntax of `tracing_subscriber::EnvFilter`; the first that is set counts.
pub const FILTER_VARIABLES: [&str; 2] = ["MUSTER_LOG", "RUST_LOG"];

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{from} {text:?}: {reason}; write a level (error, warn, info, debug, trace), or several such as info,muster_agent=debug"
)]
pub struct FilterError {
    from: String,
    text: String,
    reason: String,
}

/// Installs the process's log output. The filter is `asked` (of the flag `--log`), else that of [`FILTER_VARIABLES`],
/// else `default`. A second call in one process changes nothing.
pub fn init(format: Format, asked: Option<&str>, default: &str) -> Result<(), FilterError> {
    let variable =
        |name: &str| Some((name.to_owned(), std::env::var(name).ok().filter(|text| !text.is_empty())?));
    let asked = asked.map(|text| ("--log".to_owned(), text.to_owned()));
    let chosen = asked.or_else(|| FILTER_VARIABLES.into_iter().find_map(variable));
    let (from, text) = chosen.unwrap_or_else(|| (String::new(), default.to_owned()));
    let filter =
        EnvFilter::try_new(&text).map_err(|error| FilterError { from, text, reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = installed {
        tracing::debug!(%error, "log output was already installed");
    }
    Ok(())
}
