//! TLS as hub and agent speak it: version 1.3 alone, certificates from files, errors that name the
//! file and say what to do.
//!
//! Files are read again when they change: the hub's while it runs ([`ServerTls`]), an agent's at each
//! new connection ([`ClientTls`]).

mod certificate;
mod client;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub use certificate::Certificate;
pub use client::ClientTls;
pub(crate) use client::no_http2;
pub use server::{RELOAD_EVERY, ServerTls};

/// A PEM file, and the flag that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    flag: &'static str,
    path: PathBuf,
}

/// A certificate with its key, in two files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate, with its intermediates after it.
    pub certificate: PemFile,
    /// Its private key.
    pub key: PemFile,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("{file}: cannot be read: {source}; give a file that exists and that this user may read")]
    Read {
        /// Which.
        file: PemFile,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no PEM.
    #[error(
        "{file}: is not valid PEM: {reason}; give a file of blocks that begin with -----BEGIN {wanted}-----"
    )]
    Pem {
        /// Which.
        file: PemFile,
        /// What is wrong.
        reason: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// A file without what it should hold.
    #[error("{file}: holds no {what}; it must have a block -----BEGIN {wanted}-----")]
    Missing {
        /// Which.
        file: PemFile,
        /// What is not in it.
        what: &'static str,
        /// The block that was looked for.
        wanted: &'static str,
    },
    /// A certificate that cannot be understood.
    #[error("{file}: holds a certificate that cannot be read: {reason}; make it anew")]
    Certificate {
        /// Which.
        file: PemFile,
        /// What is wrong.
        reason: String,
    },
    /// A key of a kind that cannot be used.
    #[error(
        "{file}: holds a private key that cannot be used: {reason}; use an ECDSA (P-256, P-384), Ed25519 or RSA key"
    )]
    Key {
        /// Which.
        file: PemFile,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key of different pairs.
    #[error(
        "{key}: is not the private key of the certificate in {certificate}; give the two files that were made together"
    )]
    Mismatch {
        /// The key's file.
        key: PemFile,
        /// The certificate's file.
        certificate: PemFile,
    },
    /// The library refused; this is no fault of a file.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

// === impl PemFile ===

impl PemFile {
    /// The file at `path`, given by `flag`.
    pub fn new(flag: &'static str, path: impl Into<PathBuf>) -> Self {
        Self { flag, path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        std::fs::read(&self.path).map_err(|source| TlsError::Read { file: self.clone(), source })
    }

    fn certificates(&self, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let all = all.map_err(|error| self.no_pem(&error, "CERTIFICATE"))?;
        if all.is_empty() {
            let (what, wanted) = ("certificate", "CERTIFICATE");
            return Err(TlsError::Missing { file: self.clone(), what, wanted });
        }
        Ok(all)
    }

    fn private_key(&self, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        use rustls::pki_types::pem::Error;
        PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
            Error::NoItemsFound => {
                TlsError::Missing { file: self.clone(), what: "private key", wanted: "PRIVATE KEY" }
            }
            error => self.no_pem(&error, "PRIVATE KEY"),
        })
    }

    fn roots(&self, pem: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(pem)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::Certificate { file: self.clone(), reason: error.to_string() })?;
        }
        Ok(Arc::new(roots))
    }

    fn no_pem(&self, error: &rustls::pki_types::pem::Error, wanted: &'static str) -> TlsError {
        TlsError::Pem { file: self.clone(), reason: error.to_string(), wanted }
    }
}

impl std::fmt::Display for PemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.flag, self.path.display())
    }
}

// === impl KeyPair ===

impl KeyPair {
    /// The certificate as it is in the file now.
    pub fn certificate(&self) -> Result<Certificate, TlsError> {
        let pem = self.certificate.read()?;
        let chain = self.certificate.certificates(&pem)?;
        self.describe(&chain)
    }

    fn parse(&self, certificate: &[u8], key: &[u8]) -> Result<(Arc<CertifiedKey>, Certificate), TlsError> {
        let chain = self.certificate.certificates(certificate)?;
        let described = self.describe(&chain)?;
        let key = self.key.private_key(key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { key: self.key.clone(), certificate: self.certificate.clone() }
            }
            error => TlsError::Key { file: self.key.clone(), reason: error.to_string() },
        })?;
        Ok((Arc::new(certified), described))
    }

    fn describe(&self, chain: &[CertificateDer<'static>]) -> Result<Certificate, TlsError> {
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        Certificate::from_der(leaf)
            .map_err(|reason| TlsError::Certificate { file: self.certificate.clone(), reason })
    }
}

/// The one provider of cryptography, the same as kube's.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
