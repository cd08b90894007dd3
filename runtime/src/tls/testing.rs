//! Certificates of tests, as files.

use muster_harness::certificates::{Authority, Pair};
use muster_harness::scratch::Scratch;

use super::{ClientTls, KeyPair, PemFile, ServerTls, TlsError};

/// Writes a pair as `<name>.crt` and `<name>.key`.
pub(crate) fn pair(scratch: &Scratch, name: &str, pair: &Pair) -> KeyPair {
    let (certificate, key) = pair.write(scratch.path(), name);
    KeyPair { certificate: PemFile::new("--cert", certificate), key: PemFile::new("--key", key) }
}

/// Writes the certificate of a CA.
pub(crate) fn ca(scratch: &Scratch, name: &str, authority: &Authority) -> PemFile {
    let path = scratch.file(&format!("{name}.crt"));
    std::fs::write(&path, authority.pem()).unwrap();
    PemFile::new("--ca", path)
}

/// A server with `own` that checks clients with `clients`.
pub(crate) fn server(scratch: &Scratch, own: &Pair, clients: &Authority) -> Result<ServerTls, TlsError> {
    ServerTls::load(pair(scratch, "server", own), ca(scratch, "client-ca", clients))
}

/// A client with `own` that checks the server with `servers`.
pub(crate) fn client(scratch: &Scratch, own: &Pair, servers: &Authority) -> Result<ClientTls, TlsError> {
    ClientTls::load(pair(scratch, "client", own), ca(scratch, "server-ca", servers))
}
