//! Certificates that are bound to a node id: who may speak as `worker-7`.
//!
//! An [`Authority`] signs one certificate per node. It names the node in a URI of the form
//! `standin://CLUSTER/NODE_ID`, and every other peer reads the node id from there and nowhere else, so
//! no peer can claim to be another. An [`Identity`] is what one peer needs: its chain, its key, and
//! the authorities it trusts.

mod authority;
mod files;
mod name;
mod validity;

use std::fmt;
use std::path::PathBuf;

pub use authority::{Authority, DevAuthority};
pub use name::CertificateName;
pub use validity::Validity;

use crate::id::NodeId;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The DNS name that every node certificate carries, so that the standard verifier can check a chain
/// whoever the peer is. It is never resolved, and says nothing about who that peer is.
pub const PEER_DNS_NAME: &str = "peer.standin.internal";

/// Why an identity could not be made, read or written. Nothing was changed unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The cluster's name breaks the rules of names.
    #[error("cluster name {0:?} is not valid: 1 to 64 characters of A-Z a-z 0-9 . _ -")]
    ClusterName(String),
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Writing would overwrite a key or a certificate.
    #[error("{0} exists already; choose another directory, or remove it first if nobody uses it")]
    Exists(PathBuf),
    /// The text holds no PEM block of the kind that was expected, or a broken one.
    #[error("no usable {what} in PEM form: {cause}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        cause: String,
    },
    /// The certificate does not name exactly one `standin://` identity of the kind that was expected.
    #[error("the certificate names no {what}; issue one with `standin cert`")]
    Unnamed {
        /// What its URI should have named.
        what: &'static str,
    },
    /// The chain does not lead to a trusted authority, or is expired, or was not made for peers.
    #[error("the certificate does not verify: {0}")]
    Unverified(String),
    /// The private key is not the one that the certificate was made for.
    #[error("the private key does not belong to the certificate")]
    WrongKey,
    /// The certificate maker failed.
    #[error("cannot make a certificate: {0}")]
    Issue(String),
}

/// One peer's certificate, private key, and the authorities whose peers it trusts.
#[derive(Clone)]
pub struct Identity {
    name: CertificateName,
    node_id: NodeId,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    chain_pem: String,
    key_pem: String,
    roots_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.name)
    }
}

impl Identity {
    /// Reads an identity from PEM text: the certificate chain (own certificate first), its private key, and
    /// the certificates of the trusted authorities.
    ///
    /// # Errors
    /// If a part is missing or broken, or the certificate names no node. Expiry and trust are not
    /// checked here: the other side of every connection does that.
    pub fn from_pem(chain_pem: &str, key_pem: &str, roots_pem: &str) -> Result<Self, IdentityError> {
        let chain = certificates(chain_pem, "node certificate")?;
        let roots = certificates(roots_pem, "authority certificate")?;
        let first = chain.first().ok_or(IdentityError::Unnamed { what: "node" })?;
        let name = CertificateName::of_certificate(first)?;
        let node_id = name.node_id().cloned().ok_or(IdentityError::Unnamed { what: "node" })?;
        authority::check_key_matches(first, key_pem)?;
        let (chain_pem, key_pem, roots_pem) =
            (chain_pem.to_owned(), key_pem.to_owned(), roots_pem.to_owned());
        Ok(Self { name, node_id, chain, roots, chain_pem, key_pem, roots_pem })
    }

    /// The identity of `node` under a new authority that nobody else knows: enough for a lone peer. Peers that
    /// are to meet share one [`DevAuthority`] instead.
    ///
    /// # Errors
    /// If the cluster's name is not valid.
    pub fn development(cluster: &str, node: &NodeId) -> Result<Self, IdentityError> {
        DevAuthority::create(cluster)?.issue(node)
    }

    /// Whom the certificate names.
    pub fn node_id(&self) -> &NodeId {
        &self.node_id
    }

    /// The cluster that the certificate was made for.
    pub fn cluster(&self) -> &str {
        self.name.cluster()
    }

    /// From when until when the certificate is valid, if it can be read.
    pub fn validity(&self) -> Option<Validity> {
        self.chain.first().and_then(|c| Validity::of_certificate(c))
    }

    /// The certificate chain as PEM text.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The private key as PEM text. Keep it secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The trusted authorities' certificates as PEM text.
    pub fn roots_pem(&self) -> &str {
        &self.roots_pem
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|e| IdentityError::Pem { what: "private key", cause: e.to_string() })
    }
}

/// All certificates of a PEM text, at least one.
fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let broken = |cause: String| IdentityError::Pem { what, cause };
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| broken(e.to_string()))?;
    if all.is_empty() { Err(broken("there is none".into())) } else { Ok(all) }
}

#[cfg(test)]
mod tests;
