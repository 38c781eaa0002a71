use super::*;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

fn worker(n: u32) -> NodeId {
    NodeId::new(format!("worker-{n}")).unwrap()
}

#[test]
fn an_issued_identity_names_its_node_and_cluster() {
    let identity = Identity::development("demo", &worker(7)).unwrap();
    assert_eq!((identity.node_id(), identity.cluster()), (&worker(7), "demo"));
    let again = Identity::from_pem(identity.chain_pem(), identity.key_pem(), identity.roots_pem()).unwrap();
    assert_eq!(again.node_id(), &worker(7));
}

#[test]
fn an_authority_survives_its_pem_form_and_goes_on_signing_for_the_same_roots() {
    let authority = DevAuthority::create("demo").unwrap();
    let (certificate, key) = authority.to_pem();
    let again = Authority::from_pem(&certificate, &key).unwrap();
    assert_eq!(again.cluster(), "demo");
    assert_eq!(
        again.issue(&worker(1)).unwrap().roots_pem(),
        authority.issue(&worker(2)).unwrap().roots_pem()
    );
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (a, b) = (Authority::create("demo").unwrap(), Authority::create("demo").unwrap());
    let swapped = Authority::from_pem(&a.to_pem().0, &b.to_pem().1);
    assert!(matches!(swapped, Err(IdentityError::WrongKey)), "{swapped:?}");

    let (one, two) = (a.issue(&worker(1)).unwrap(), a.issue(&worker(2)).unwrap());
    let swapped = Identity::from_pem(one.chain_pem(), two.key_pem(), one.roots_pem());
    assert!(matches!(swapped, Err(IdentityError::WrongKey)), "{swapped:?}");

    let node_as_authority = Authority::from_pem(one.chain_pem(), one.key_pem());
    assert!(matches!(node_as_authority, Err(IdentityError::Unnamed { .. })), "{node_as_authority:?}");
    let authority_as_node = Identity::from_pem(&a.to_pem().0, &a.to_pem().1, &a.to_pem().0);
    assert!(matches!(authority_as_node, Err(IdentityError::Unnamed { .. })), "{authority_as_node:?}");
}

#[test]
fn garbage_is_an_error_and_never_a_panic() {
    for text in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Identity::from_pem(text, text, text).is_err());
        assert!(Authority::from_pem(text, text).is_err());
    }
    assert!(matches!(Authority::create("a/b"), Err(IdentityError::ClusterName(_))));
    assert!(matches!(Authority::create(""), Err(IdentityError::ClusterName(_))));
}

#[test]
fn files_are_secret_where_they_must_be_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, node) = (dir.path().join("ca"), dir.path().join("node"));
    Authority::create("demo").unwrap().save(&ca).unwrap();
    Authority::load(&ca).unwrap().issue(&worker(1)).unwrap().save(&node).unwrap();
    assert_eq!(Identity::load(&node).unwrap().node_id(), &worker(1));

    for secret in [ca.join("ca.key"), node.join("node.key")] {
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = Authority::create("demo").unwrap().save(&ca);
    assert!(matches!(again, Err(IdentityError::Exists(_))), "{again:?}");
    let missing = Identity::load(dir.path()).unwrap_err().to_string();
    assert!(missing.contains("node.pem"), "{missing}");
}

#[test]
fn validity_is_read_back_from_the_certificate() {
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let authority = Authority::create("demo").unwrap();
    let identity = authority.issue_for(&worker(1), from, from + Duration::from_secs(60)).unwrap();
    let validity = identity.validity().unwrap();
    assert_eq!(validity.to_string(), "from 2001-09-09 01:46:40 UTC until 2001-09-09 01:47:40 UTC");
    assert_eq!(Validity::of_certificate(&CertificateDer::from(vec![0x30, 0x84, 1])), None);
}
