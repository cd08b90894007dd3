//! Certificates of a hub and its agents, as `openssl` would make them by docs/operating.md.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The organization of every agent's certificate.
pub const AGENTS: &str = "muster:agents";

/// A CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now.
    Current,
    /// It was, until 2021-06-01.
    Past,
    /// It will be, from 2090-01-01 on.
    Future,
}

// === impl Authority ===

impl Authority {
    /// A CA of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a hub at these DNS names and IP addresses.
    pub fn server(&self, names: &[&str], validity: Validity) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "muster-hub");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, validity)
    }

    /// A certificate for the agent of a cluster.
    pub fn agent(&self, cluster: &str, validity: Validity) -> Pair {
        self.client(cluster, AGENTS, validity)
    }

    /// A certificate for a client.
    pub fn client(&self, name: &str, organization: &str, validity: Validity) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, organization);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, validity)
    }

    fn sign(&self, mut params: CertificateParams, validity: Validity) -> Pair {
        (params.not_before, params.not_after) = match validity {
            Validity::Current => (date_time_ymd(2021, 1, 1), date_time_ymd(2099, 1, 1)),
            Validity::Past => (date_time_ymd(2021, 1, 1), date_time_ymd(2021, 6, 1)),
            Validity::Future => (date_time_ymd(2090, 1, 1), date_time_ymd(2099, 1, 1)),
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

// === impl Pair ===

impl Pair {
    /// Writes `<name>.crt` and `<name>.key` into a directory; returns their paths.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).expect("a file can be written");
        std::fs::write(&key, &self.key).expect("a file can be written");
        (certificate, key)
    }
}
