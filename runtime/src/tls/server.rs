//! The hub's side: a certificate of its own, and a CA that clients' certificates are checked with.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::SingleCertAndKey;

use super::{Certificate, KeyPair, PemFile, TlsError, provider};
use crate::Tasks;
use crate::error::Said;

/// How often files are looked at.
pub const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// What a server speaks TLS with. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    own: KeyPair,
    client_ca: PemFile,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    bytes: Bytes,
    config: Arc<ServerConfig>,
    certificate: Certificate,
}

/// The files as they were read: certificate, key, CA.
type Bytes = [Vec<u8>; 3];

// === impl ServerTls ===

impl ServerTls {
    /// Reads the files. Clients may come without a certificate; one they show must be signed by
    /// `client_ca`.
    pub fn load(own: KeyPair, client_ca: PemFile) -> Result<Self, TlsError> {
        let bytes = read(&own, &client_ca)?;
        let current = RwLock::new(parse(&own, &client_ca, bytes)?);
        Ok(Self(Arc::new(Inner { own, client_ca, current })))
    }

    /// The configuration for the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.read().config)
    }

    /// The certificate that is shown.
    pub fn certificate(&self) -> Certificate {
        self.0.current.read().certificate.clone()
    }

    /// Takes files that changed, every `period`, until `tasks` is stopped. New connections see the new
    /// ones; open connections go on. Files that cannot be used change nothing, which is logged.
    pub fn follow_files(&self, tasks: &Tasks, period: Duration) {
        let tls = self.clone();
        tasks.spawn("tls-files", async move {
            let mut said = Said::new();
            loop {
                tokio::time::sleep(period).await;
                match tls.reload() {
                    Ok(None) => drop(said.is_over()),
                    Ok(Some(certificate)) => {
                        said.is_over();
                        let (issuer, until) = (&certificate.issuer, certificate.not_after);
                        tracing::info!(issuer, %until, "certificate files changed; new connections use them");
                    }
                    Err(error) => {
                        let error = error.to_string();
                        if said.is_news(&error) {
                            tracing::error!(
                                error,
                                "certificate files changed and cannot be used; the old ones stay"
                            );
                        }
                    }
                }
            }
        });
    }

    /// Reads the files again. `None` when they are as before.
    fn reload(&self) -> Result<Option<Certificate>, TlsError> {
        let Inner { own, client_ca, current } = &*self.0;
        let bytes = read(own, client_ca)?;
        if bytes == current.read().bytes {
            return Ok(None);
        }
        let fresh = parse(own, client_ca, bytes)?;
        let certificate = fresh.certificate.clone();
        *current.write() = fresh;
        Ok(Some(certificate))
    }
}

fn read(own: &KeyPair, client_ca: &PemFile) -> Result<Bytes, TlsError> {
    Ok([own.certificate.read()?, own.key.read()?, client_ca.read()?])
}

fn parse(own: &KeyPair, client_ca: &PemFile, bytes: Bytes) -> Result<Current, TlsError> {
    let (certified, certificate) = own.parse(&bytes[0], &bytes[1])?;
    let roots = client_ca.roots(&bytes[2])?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A session that is resumed would keep the rights of a certificate whose CA was replaced meanwhile.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Current { bytes, config: Arc::new(config), certificate })
}
