use std::time::Duration;

use muster_harness::certificates::{Authority, Validity};
use muster_harness::scratch::Scratch;

use super::testing::{ca, pair, server};
use super::{KeyPair, PemFile, ServerTls};
use crate::Tasks;

#[test]
fn a_certificate_says_who_it_is_for_and_until_when() {
    let scratch = Scratch::new("tls");
    let authority = Authority::new("some-ca");
    let agent = pair(&scratch, "agent", &authority.agent("shanghai-cluster", Validity::Past));
    let agent = agent.certificate().unwrap();
    assert_eq!(agent.common_name, "shanghai-cluster");
    assert_eq!(agent.organizations, ["muster:agents"]);
    assert_eq!(agent.issuer, "CN=some-ca");
    assert_eq!(agent.not_after.to_string(), "2021-06-01T00:00:00Z");
    let names = ["hub.example.com", "127.0.0.1", "::1"];
    let hub = pair(&scratch, "hub", &authority.server(&names, Validity::Current)).certificate().unwrap();
    assert_eq!(hub.names, names);
}

#[test]
fn what_is_wrong_with_files_is_said_with_flag_and_path() {
    let scratch = Scratch::new("tls");
    let authority = Authority::new("ca");
    let (one, other) = (authority.agent("a", Validity::Current), authority.agent("b", Validity::Current));
    let client_ca = ca(&scratch, "ca", &authority);
    let own = pair(&scratch, "one", &one);
    let error =
        |own: &KeyPair, ca: &PemFile| ServerTls::load(own.clone(), ca.clone()).unwrap_err().to_string();

    let missing = PemFile::new("--ca", scratch.file("nowhere.crt"));
    let text = error(&own, &missing);
    assert!(
        text.starts_with("--ca ") && text.contains("nowhere.crt: cannot be read: No such file"),
        "{text}"
    );

    let empty = PemFile::new("--ca", scratch.file("empty.crt"));
    std::fs::write(empty.path(), "nothing").unwrap();
    let text = error(&own, &empty);
    assert!(text.contains("empty.crt: holds no certificate; it must have a block -----BEGIN CERT"), "{text}");

    let broken = PemFile::new("--ca", scratch.file("broken.crt"));
    std::fs::write(broken.path(), "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").unwrap();
    let text = error(&own, &broken);
    assert!(text.contains("broken.crt: is not valid PEM"), "{text}");

    let swapped = KeyPair { certificate: own.certificate.clone(), key: own.certificate.clone() };
    let text = error(&swapped, &client_ca);
    assert!(text.starts_with("--cert ") && text.contains("holds no private key"), "{text}");

    let mixed = KeyPair { key: pair(&scratch, "other", &other).key, ..own };
    let text = error(&mixed, &client_ca);
    assert!(text.contains("other.key: is not the private key of the certificate in --cert"), "{text}");
}

#[tokio::test]
async fn changed_files_are_taken_and_bad_ones_change_nothing() {
    let scratch = Scratch::new("tls");
    let authority = Authority::new("ca");
    let tls = server(&scratch, &authority.server(&["old"], Validity::Current), &authority).unwrap();
    let tasks = Tasks::new();
    tls.follow_files(&tasks, Duration::from_millis(5));
    let shows = async |name: &str| {
        for _ in 0..1000 {
            if tls.certificate().names == [name] {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    };
    let new = authority.server(&["new"], Validity::Current);
    // The certificate alone does not fit the old key: until the key follows, the old pair stays.
    std::fs::write(scratch.file("server.crt"), &new.certificate).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(shows("old").await);
    std::fs::write(scratch.file("server.key"), &new.key).unwrap();
    assert!(shows("new").await);
    std::fs::remove_file(scratch.file("server.crt")).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(shows("new").await);
    tasks.stop().await;
}
