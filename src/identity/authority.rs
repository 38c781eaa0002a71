//! Making certificates: the authority of a cluster, and what it signs.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{CertificateName, Identity, IdentityError, PEER_DNS_NAME, certificates};
use crate::id::NodeId;
use crate::limits::{CERTIFICATE_BACKDATE, CERTIFICATE_LIFETIME};

/// An [`Authority`] that lives in memory, for demos and tests on one machine. Hand it to child processes with
/// [`Authority::to_pem`] and [`Authority::from_pem`].
pub type DevAuthority = Authority;

/// A cluster's certificate authority: whoever holds it decides who is a peer.
#[derive(Clone)]
pub struct Authority {
    name: CertificateName,
    certificate_pem: String,
    key_pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.name)
    }
}

impl Authority {
    /// Makes a new authority with a new key.
    ///
    /// # Errors
    /// If the cluster's name is not 1 to 64 characters of `A-Z a-z 0-9 . _ -`.
    pub fn create(cluster: &str) -> Result<Self, IdentityError> {
        let name = CertificateName::authority(cluster)?;
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(issue)?;
        let certificate = authority_params(&name)?.self_signed(&key).map_err(issue)?;
        Ok(Self { name, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Reads an authority from the PEM text of its certificate and of its private key.
    ///
    /// # Errors
    /// If a part is broken, or they do not belong together, or another tool made them.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, IdentityError> {
        let first = certificates(certificate, "authority certificate")?.swap_remove(0);
        let name = CertificateName::of_certificate(&first)?;
        if name.node_id().is_some() {
            return Err(IdentityError::Unnamed { what: "authority (it is a node's)" });
        }
        check_key_matches(&first, key)?;
        let this = Self { name, certificate_pem: certificate.to_owned(), key_pem: key.to_owned() };
        // What it signs must verify against it: a foreign authority's own name would not match ours.
        let probe = this.issue(&NodeId::new("probe").map_err(|e| IdentityError::Issue(e.to_string()))?)?;
        verify(&probe)?;
        Ok(this)
    }

    /// The certificate and the private key as PEM text. Keep the key secret.
    pub fn to_pem(&self) -> (String, String) {
        (self.certificate_pem.clone(), self.key_pem.clone())
    }

    /// The certificate alone as PEM text: what peers need in order to trust this authority.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The cluster that it signs for.
    pub fn cluster(&self) -> &str {
        self.name.cluster()
    }

    /// Makes a key and a certificate for `node`, valid from one day ago (clocks differ) and for ten years.
    ///
    /// # Errors
    /// If the certificate maker fails.
    pub fn issue(&self, node: &NodeId) -> Result<Identity, IdentityError> {
        let from = a_day_ago();
        self.issue_for(node, from, from + CERTIFICATE_LIFETIME)
    }

    /// Like [`Authority::issue`], with the validity given.
    ///
    /// # Errors
    /// If the certificate maker fails.
    pub fn issue_for(
        &self,
        node: &NodeId,
        from: SystemTime,
        until: SystemTime,
    ) -> Result<Identity, IdentityError> {
        let name = CertificateName::node(self.cluster(), node)?;
        let key = KeyPair::generate_for(&PKCS_ED25519).map_err(issue)?;
        let mut params = CertificateParams::new(vec![PEER_DNS_NAME.to_owned()]).map_err(issue)?;
        params.subject_alt_names.push(SanType::URI(name.to_string().try_into().map_err(issue)?));
        params.distinguished_name = common_name(node.as_str());
        let epoch = date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since_1970(from);
        params.not_after = epoch + since_1970(until);
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial_number()?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];

        let signing = KeyPair::from_pem(&self.key_pem).map_err(issue)?;
        let issuer = Issuer::new(authority_params(&self.name)?, signing);
        let certificate = params.signed_by(&key, &issuer).map_err(issue)?;
        Identity::from_pem(&certificate.pem(), &key.serialize_pem(), self.certificate_pem())
    }
}

#[expect(clippy::disallowed_methods, reason = "a certificate's dates are wall-clock dates")]
fn a_day_ago() -> SystemTime {
    SystemTime::now().checked_sub(CERTIFICATE_BACKDATE).unwrap_or(UNIX_EPOCH)
}

/// A random one, of the same length always: leading zeros are not written.
fn serial_number() -> Result<SerialNumber, IdentityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(issue)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The same for the same name, always: it is what an issuer is rebuilt from.
fn authority_params(name: &CertificateName) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::URI(name.to_string().try_into().map_err(issue)?));
    params.distinguished_name = common_name(&format!("standin authority of {}", name.cluster()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let from = a_day_ago();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(from);
    params.not_after = epoch + since_1970(from + CERTIFICATE_LIFETIME);
    Ok(params)
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// Certificates are the one place where a wall clock counts: this and the TLS stack's expiry check.
/// Capped short of the year 9999, where the calendar of certificates ends.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().min(Duration::from_secs(250_000_000_000))
}

fn issue(e: impl fmt::Display) -> IdentityError {
    IdentityError::Issue(e.to_string())
}

/// Whether `key` is the private key of `certificate`.
pub(super) fn check_key_matches(certificate: &CertificateDer<'_>, key: &str) -> Result<(), IdentityError> {
    let broken = |what, cause: String| IdentityError::Pem { what, cause };
    let parsed =
        webpki::EndEntityCert::try_from(certificate).map_err(|e| broken("certificate", e.to_string()))?;
    let key = KeyPair::from_pem(key).map_err(|e| broken("private key (PKCS#8)", e.to_string()))?;
    if parsed.subject_public_key_info().as_ref() == key.subject_public_key_info().as_slice() {
        Ok(())
    } else {
        Err(IdentityError::WrongKey)
    }
}

/// Checks the chain now, as the TLS stack of another peer would.
fn verify(identity: &Identity) -> Result<(), IdentityError> {
    let failed = |e: webpki::Error| IdentityError::Unverified(e.to_string());
    let (first, rest) = identity.chain().split_first().ok_or(IdentityError::Unnamed { what: "node" })?;
    let anchors = identity.roots().iter().map(webpki::anchor_from_trusted_cert);
    let anchors = anchors.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    webpki::EndEntityCert::try_from(first)
        .and_then(|certificate| {
            let usage = webpki::KeyUsage::client_auth();
            let algorithms = webpki::ALL_VERIFICATION_ALGS;
            certificate
                .verify_for_usage(algorithms, &anchors, rest, UnixTime::now(), usage, None, None)
                .map(|_| ())
        })
        .map_err(failed)
}
