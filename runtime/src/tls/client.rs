//! An agent's side: its own certificate, and the CA that the hub's certificate must be signed by.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};

use super::{Certificate, KeyPair, PemFile, TlsError, provider};

/// What a client speaks TLS with: files, read at each new connection.
#[derive(Clone, Debug)]
pub struct ClientTls {
    own: KeyPair,
    ca: PemFile,
}

/// What one connection is made with.
pub(crate) struct Loaded {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) own: Certificate,
}

// === impl ClientTls ===

impl ClientTls {
    /// Reads the files, so that what is wrong with them is known at once.
    pub fn load(own: KeyPair, ca: PemFile) -> Result<Self, TlsError> {
        let tls = Self { own, ca };
        tls.read()?;
        Ok(tls)
    }

    /// The certificate that is shown, as it is in the file now.
    pub fn certificate(&self) -> Result<Certificate, TlsError> {
        self.own.certificate()
    }

    /// Reads the files as they are now.
    pub(crate) fn read(&self) -> Result<Loaded, TlsError> {
        let (certified, own) = self.own.parse(&self.own.certificate.read()?, &self.own.key.read()?)?;
        let roots = self.ca.roots(&self.ca.read()?)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| TlsError::Setup(error.to_string()))?
            // Only this CA: what the machine trusts besides says nothing about a hub.
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Loaded { config: Arc::new(config), own })
    }

    /// What is wrong and what to do, for an error of the handshake or of what follows it.
    pub(crate) fn explain(&self, error: &Error, own: &Certificate) -> String {
        match error {
            Error::InvalidCertificate(reason) => self.explain_theirs(reason),
            Error::AlertReceived(alert) => self.explain_alert(*alert, own),
            Error::InvalidMessage(_) => {
                "what answers there does not speak TLS; check host and port, and that the hub has --tls-cert"
                    .to_owned()
            }
            Error::PeerIncompatible(_) => {
                format!(
                    "what answers there does not speak TLS 1.3 as Muster does ({error}); check host and port"
                )
            }
            Error::NoApplicationProtocol => no_http2(),
            other => format!("TLS failed: {other}"),
        }
    }

    fn explain_theirs(&self, reason: &CertificateError) -> String {
        let ca = &self.ca;
        match reason {
            CertificateError::UnknownIssuer => format!(
                "its certificate is not signed by the CA in {ca}; give the CA that signed the hub's --tls-cert, or check that this is the hub"
            ),
            CertificateError::Expired => "its certificate has expired; renew the hub's --tls-cert".to_owned(),
            CertificateError::ExpiredContext { not_after, .. } => format!(
                "its certificate expired at {}; renew the hub's --tls-cert, or set this machine's clock right",
                stamp(*not_after)
            ),
            CertificateError::NotValidYet => {
                "its certificate is not valid yet; set the clocks of both machines right".to_owned()
            }
            CertificateError::NotValidYetContext { not_before, .. } => format!(
                "its certificate is not valid before {}; set the clocks of both machines right",
                stamp(*not_before)
            ),
            CertificateError::NotValidForName => {
                "its certificate is not for this host name; use a name of the certificate in --hub, or add this one to the certificate".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } => format!(
                "its certificate is not for {} but for {}; use one of these in --hub, or make the hub's certificate for {0}",
                expected.to_str(),
                names(presented),
            ),
            other if other.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is that of a CA; sign a certificate for the hub with it and give that as --tls-cert".to_owned()
            }
            other => format!("its certificate is refused: {other}; make the hub's --tls-cert anew"),
        }
    }

    fn explain_alert(&self, alert: AlertDescription, own: &Certificate) -> String {
        let mine = &self.own.certificate;
        match alert {
            AlertDescription::CertificateExpired => format!(
                "it refuses the certificate in {mine}: expired or not valid yet there (valid from {} to {}); renew it, or set the clocks right",
                own.not_before, own.not_after
            ),
            AlertDescription::UnknownCA => format!(
                "it refuses the certificate in {mine}: not signed by the hub's --client-ca (it is signed by {}); have one signed by that CA",
                own.issuer
            ),
            AlertDescription::NoApplicationProtocol => no_http2(),
            AlertDescription::ProtocolVersion => {
                "it does not speak TLS 1.3; check that this is a hub's port".to_owned()
            }
            other => format!(
                "it refuses the certificate in {mine}: {other:?}; the certificate must be for client authentication and signed by the hub's --client-ca"
            ),
        }
    }
}

/// What to say when the other side has TLS, and not HTTP/2.
pub(crate) fn no_http2() -> String {
    "what answers there does not speak HTTP/2; check that this is a hub's port, with no proxy before it that ends TLS"
        .to_owned()
}

/// Names as the library writes them, `IpAddress(127.0.0.1)` and `DnsName("hub")`, without the wrapping.
fn names(presented: &[String]) -> String {
    let bare = presented.iter().map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        inner.trim_matches('"')
    });
    let all = bare.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "no name at all".to_owned() } else { all }
}

fn stamp(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
