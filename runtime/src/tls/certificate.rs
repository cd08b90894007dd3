//! What a certificate says.

use jiff::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

/// The parts of a certificate that Muster goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name; empty where it has none or several.
    pub common_name: String,
    /// Every O of its subject.
    pub organizations: Vec<String>,
    /// The DNS names and IP addresses it is for.
    pub names: Vec<String>,
    /// Who signed it, such as `CN=muster-ca`.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

// === impl Certificate ===

impl Certificate {
    /// Reads a certificate. It is not verified.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|error| error.to_string())?;
        let signed = parsed.tbs_certificate;
        let subject = || signed.subject.0.iter().flat_map(|part| part.0.iter());
        let of = |wanted| subject().filter(move |part| part.oid == wanted).filter_map(text);
        let alternatives = signed.get::<SubjectAltName>().map_err(|error| error.to_string())?;
        let names = alternatives.map(|(_, names)| names.0).unwrap_or_default();
        Ok(Self {
            common_name: only(subject().filter(|part| part.oid == COMMON_NAME).map(text)),
            organizations: of(ORGANIZATION).collect(),
            names: names.iter().filter_map(name).collect(),
            issuer: signed.issuer.to_string(),
            not_before: timestamp(&signed.validity.not_before),
            not_after: timestamp(&signed.validity.not_after),
        })
    }
}

/// The one value; empty where there is none, one that cannot be read, or several, of which none counts.
fn only(mut values: impl Iterator<Item = Option<String>>) -> String {
    let first = values.next().flatten();
    first.filter(|_| values.next().is_none()).unwrap_or_default()
}

/// The value of one part of a name, where it is text of a kind that certificates of today have.
fn text(part: &AttributeTypeAndValue) -> Option<String> {
    use x509_cert::der::{Tag, Tagged};
    let tag = part.value.tag();
    let readable = matches!(tag, Tag::Utf8String | Tag::PrintableString | Tag::Ia5String);
    readable.then(|| std::str::from_utf8(part.value.value()).ok().map(str::to_owned))?
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => {
                Some(std::net::IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string())
            }
            bytes => Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

fn timestamp(time: &Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::only;

    #[test]
    fn of_several_common_names_none_counts() {
        let only = |names: &[Option<&str>]| only(names.iter().map(|name| name.map(str::to_owned)));
        assert_eq!(only(&[Some("a")]), "a");
        for none in [&[][..], &[None], &[Some("a"), Some("b")], &[Some("a"), None], &[None, Some("a")]] {
            assert_eq!(only(none), "");
        }
    }
}
