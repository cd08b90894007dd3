//! What names, label keys and label values may look like, in the words of Kubernetes.

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SERVICE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Which rule an object's name follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// DNS subdomain of at most 253 characters: most kinds.
    Subdomain,
    /// DNS label of at most 63 characters: namespaces.
    Label,
    /// DNS label that begins with a letter: services.
    Service,
}

impl NameRule {
    /// Checks a whole name.
    pub(crate) fn check(self, name: &str) -> Result<(), String> {
        match self {
            Self::Subdomain => subdomain(name),
            Self::Label => label(name),
            Self::Service => bounded(name, 63).and_then(|()| {
                let good = is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
                good.then_some(()).ok_or_else(|| SERVICE.to_owned())
            }),
        }
    }

    /// Checks a generateName: a name that may end in a dash.
    pub(crate) fn check_prefix(self, prefix: &str) -> Result<(), String> {
        let whole = if prefix.ends_with('-') { format!("{prefix}a") } else { prefix.to_owned() };
        self.check(&whole)
    }
}

/// A DNS label: 63 characters, lower case letters, digits and dashes.
pub(crate) fn label(name: &str) -> Result<(), String> {
    bounded(name, 63)?;
    if is_label(name) {
        return Ok(());
    }
    Err(if name.split('.').all(is_label) { "must not contain dots" } else { LABEL }.to_owned())
}

/// A DNS subdomain: labels joined by dots, 253 characters in all.
pub(crate) fn subdomain(name: &str) -> Result<(), String> {
    bounded(name, 253)?;
    name.split('.').all(is_label).then_some(()).ok_or_else(|| SUBDOMAIN.to_owned())
}

/// `prefix/name` or `name`: keys of labels and annotations, finalizers.
pub(crate) fn qualified(key: &str) -> Result<(), String> {
    let name = match key.split_once('/') {
        None => key,
        Some(("", _)) => return Err("prefix part must be non-empty".to_owned()),
        Some((prefix, name)) => {
            subdomain(prefix).map_err(|problem| format!("prefix part {problem}"))?;
            name
        }
    };
    if name.is_empty() {
        return Err("name part must be non-empty".to_owned());
    }
    bounded(name, 63).map_err(|problem| format!("name part {problem}"))?;
    is_word(name).then_some(()).ok_or_else(|| QUALIFIED.to_owned())
}

/// The value of a label.
pub(crate) fn label_value(value: &str) -> Result<(), String> {
    bounded(value, 63)?;
    (value.is_empty() || is_word(value)).then_some(()).ok_or_else(|| VALUE.to_owned())
}

/// Keys of configmaps and secrets.
pub(crate) fn config_key(key: &str) -> Result<(), String> {
    bounded(key, 253)?;
    if key == "." || key == ".." || key.starts_with("..") {
        return Err("must not start with '..'".to_owned());
    }
    let good = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    good.then_some(()).ok_or_else(|| {
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  \
         or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            .to_owned()
    })
}

fn bounded(text: &str, limit: usize) -> Result<(), String> {
    (text.len() <= limit).then_some(()).ok_or_else(|| format!("must be no more than {limit} characters"))
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_word(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && ends(text.bytes().next())
        && ends(text.bytes().last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_limits_of_dns() {
        assert!(NameRule::Subdomain.check(&"a".repeat(253)).is_ok());
        assert!(NameRule::Subdomain.check(&"a".repeat(254)).is_err());
        assert!(NameRule::Label.check(&"a".repeat(64)).is_err());
        assert!(NameRule::Label.check("a.b").is_err());
        assert!(NameRule::Service.check("1a").is_err());
        for bad in ["", "A", "-a", "a-", "a..b", "a_b"] {
            assert!(NameRule::Subdomain.check(bad).is_err(), "{bad}");
        }
        assert!(NameRule::Subdomain.check_prefix("web-").is_ok());
    }

    #[test]
    fn label_keys_may_have_a_prefix() {
        for good in ["app", "app.kubernetes.io/name", "A_b.c"] {
            assert!(qualified(good).is_ok(), "{good}");
        }
        for bad in ["", "/x", "x/", "a/b/c", "UPPER.io/x", "-a"] {
            assert!(qualified(bad).is_err(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("a b").is_err());
    }
}
