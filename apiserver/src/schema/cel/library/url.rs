//! `url()` and its parts.

use std::collections::{BTreeMap, HashMap};

use cel::common::types::{CelList, CelMap, CelMapKey, CelString, STRING_TYPE};
use cel::common::value::Val;
use cel::{DeclarationError, Env};

use super::{answer, failed, given, opaque, text, words, yes};

/// An absolute URI or an absolute path, in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

opaque!(Url, "kubernetes.URL", TYPE);

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_type(TYPE.to_owned())?;
    env.add_overload("url", "string_to_url", vec![STRING_TYPE], |arguments| {
        let written = text(&arguments, 0)?;
        let parsed = Url::parse(written);
        answer(parsed.map_err(|why| {
            failed("url", format!("URL parse error during conversion from string: parse {written:?}: {why}"))
        })?)
    })?;
    env.add_overload("isURL", "is_url_string", vec![STRING_TYPE], |arguments| {
        yes(Url::parse(text(&arguments, 0)?).is_ok())
    })?;
    env.add_member_overload("getScheme", "url_get_scheme", TYPE.to_owned(), vec![], |a| {
        words(given::<Url>(&a, 0)?.scheme.clone())
    })?;
    env.add_member_overload("getHost", "url_get_host", TYPE.to_owned(), vec![], |a| {
        words(given::<Url>(&a, 0)?.host.clone())
    })?;
    env.add_member_overload("getHostname", "url_get_hostname", TYPE.to_owned(), vec![], |a| {
        words(given::<Url>(&a, 0)?.host_and_port().0)
    })?;
    env.add_member_overload("getPort", "url_get_port", TYPE.to_owned(), vec![], |a| {
        words(given::<Url>(&a, 0)?.host_and_port().1)
    })?;
    env.add_member_overload("getEscapedPath", "url_get_escaped_path", TYPE.to_owned(), vec![], |a| {
        words(given::<Url>(&a, 0)?.path.clone())
    })?;
    env.add_member_overload("getQuery", "url_get_query", TYPE.to_owned(), vec![], |a| {
        let mut map: HashMap<CelMapKey<'static>, Box<dyn Val>> = HashMap::new();
        for (key, values) in given::<Url>(&a, 0)?.query() {
            let values = values.into_iter().map(|value| Box::new(CelString::from(value)) as Box<dyn Val>);
            map.insert(key.into(), Box::new(CelList::from(values.collect::<Vec<_>>())));
        }
        answer(CelMap::from(map))
    })
}

impl Url {
    /// Reads what may stand in a request line.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("empty url");
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err("net/url: invalid control character in URL");
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            return Err("invalid URI for request");
        }
        let (host, path) = match rest.strip_prefix("//") {
            Some(authority) if !scheme.is_empty() => {
                let end = authority.find('/').unwrap_or(authority.len());
                let host = authority[..end].rsplit_once('@').map_or(&authority[..end], |(_, host)| host);
                (host, &authority[end..])
            }
            _ => ("", rest),
        };
        check_host(host)?;
        if !escapes_are_whole(path) {
            return Err("invalid URL escape");
        }
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            host: host.to_owned(),
            path: escape_path(path),
            query: query.to_owned(),
        })
    }

    fn host_and_port(&self) -> (String, String) {
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (self.host.as_str(), ""),
        };
        (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.to_owned())
    }

    fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(key), Some(value)) = (unescape(key), unescape(value)) {
                values.entry(key).or_default().push(value);
            }
        }
        values
    }
}

fn split_scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_host(host: &str) -> Result<(), &'static str> {
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, rest)) => rest,
            None => return Err("missing ']' in host"),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (!port.is_empty() && !port.starts_with(':')) {
        return Err("invalid port after host");
    }
    if host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}']) || !escapes_are_whole(host) {
        return Err("invalid character in host name");
    }
    Ok(())
}

fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn escape_path(path: &str) -> String {
    let mut escaped = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/$&+,:;=@%!'()*[]".contains(&byte) {
            escaped.push(byte as char);
        } else {
            escaped.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    escaped
}

fn hex_digit(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| (b? as char).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("HTTPS://user@example.com:80/a b?k=v&k=w%20x#f").unwrap();
        assert_eq!((url.scheme.as_str(), url.host.as_str()), ("https", "example.com:80"));
        assert_eq!(url.host_and_port(), ("example.com".to_owned(), "80".to_owned()));
        assert_eq!(url.path, "/a%20b");
        assert_eq!(url.query()["k"], ["v", "w x#f"]);
        assert_eq!(Url::parse("https://[::1]:80/").unwrap().host_and_port().0, "::1");
        for good in ["/path", "https://a", "unix:///var/run", "http://a:1/"] {
            assert!(Url::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "example.com", "a b", "http://a:x/", "mailto:x@y", "../up", "http://[::1"] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
