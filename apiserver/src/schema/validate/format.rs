//! String formats, those that a Kubernetes API server checks.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

use super::about;
use crate::schema::{ErrorKind, FieldError};

/// Checks a string against its format; formats nobody knows are no rule.
pub(super) fn check(format: Option<&str>, text: &str, path: &str) -> Option<FieldError> {
    let format = format?;
    (!accepts(format, text)).then(|| {
        let message = about(path, format_args!("must be of type {format}: {text:?}"));
        FieldError::new(path, ErrorKind::TypeInvalid, message, Some(text.into()))
    })
}

/// Whether a string is of a format; of one that nobody knows every string is.
pub(crate) fn accepts(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "datetime" => !text.contains(' ') && text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => text.parse::<jiff::SignedDuration>().is_ok() || DURATION.is_match(text),
        "ipv4" => is_ipv4(text),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "hostname" => text.len() <= 255 && HOSTNAME.is_match(text),
        "mac" => MAC.is_match(text),
        "uuid" => UUID.is_match(text),
        "uri" => URI.is_match(text),
        "email" => EMAIL.is_match(text),
        "byte" => !text.is_empty() && BASE64.is_match(text) && text.len().is_multiple_of(4),
        "hexcolor" => HEX_COLOR.is_match(text),
        // Not an OpenAPI format: marks the quantities of built-in kinds.
        "quantity" => QUANTITY.is_match(text),
        "k8sshortname" => text.len() <= 63 && LABEL.is_match(text),
        "k8slongname" => text.len() <= 253 && SUBDOMAIN.is_match(text),
        _ => true,
    }
}

/// Leading noughts are taken as they are: an old parser of Go's is what checks them.
fn is_ipv4(text: &str) -> bool {
    let part = |part: &str| (1..=3).contains(&part.len()) && part.parse::<u8>().is_ok();
    text.split('.').count() == 4 && text.split('.').all(part)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

macro_rules! patterns {
    ($($name:ident = $pattern:literal;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| {
            literal($pattern)
        });)*

        #[cfg(test)]
        const PATTERNS: &[&LazyLock<Regex>] = &[$(&$name),*];
    };
}

#[expect(clippy::expect_used, reason = "the patterns are literals, all compiled by a test")]
fn literal(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a literal pattern compiles")
}

patterns! {
    DURATION = r"^(?i)[+-]?([0-9]+(\.[0-9]*)? *(ns|nanos?|us|µs|micros?|ms|millis?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|wks?) *)+$";
    HOSTNAME = r"^([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?$";
    MAC = r"^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$";
    UUID = r"^(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    URI = r"^([a-zA-Z][a-zA-Z0-9+.-]*:[^\s]+|/[^\s]*)$";
    EMAIL = r"^[^\s@<>]+@[^\s@<>]+$";
    BASE64 = r"^[A-Za-z0-9+/]*={0,2}$";
    QUANTITY = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
    HEX_COLOR = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
    SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!(PATTERNS.iter().all(|pattern| !pattern.as_str().is_empty()));
    }

    #[test]
    fn formats_accept_and_refuse() {
        let table = [
            ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
            ("date-time", "2026-01-02T03:04:05.123456+02:00", "yesterday"),
            ("date", "2026-01-02", "2026-13-02"),
            ("duration", "1h30m", "soon"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/40"),
            ("hostname", "a.example", "-a"),
            ("mac", "00:11:22:33:44:55", "00:11"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("uri", "https://a.example/x", "a b"),
            ("email", "a@b.example", "a"),
            ("byte", "aGk=", "a$"),
            ("quantity", "1.5Gi", "1 Gi"),
            ("quantity", "-100m", "Gi"),
            ("k8s-short-name", "a-b", "A"),
            ("k8s-long-name", "a.b", "a..b"),
        ];
        for (format, good, bad) in table {
            assert_eq!(check(Some(format), good, "f"), None, "{format} {good}");
            let error = check(Some(format), bad, "f").unwrap_or_else(|| unreachable!("{format} {bad}"));
            assert_eq!(
                error.to_string(),
                format!("f: Invalid value: {bad:?}: f in body must be of type {format}: {bad:?}")
            );
        }
        assert_eq!(check(Some("anything"), "x", "f"), None);
        assert_eq!(check(None, "x", "f"), None);
    }
}
