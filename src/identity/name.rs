//! The name inside a certificate: `standin://CLUSTER/NODE_ID`, or `standin://CLUSTER` for an authority.

use std::fmt;
use std::path::Path;

use super::{IdentityError, Validity};
use crate::id::NodeId;
use rustls_pki_types::CertificateDer;

const SCHEME: &str = "standin://";

/// Whom a certificate names: a node of a cluster, or the cluster's authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateName {
    cluster: String,
    node_id: Option<NodeId>,
}

impl CertificateName {
    pub(super) fn authority(cluster: &str) -> Result<Self, IdentityError> {
        let checked = NodeId::new(cluster)
            .map_err(|_| IdentityError::ClusterName(cluster.chars().take(80).collect()))?;
        Ok(Self { cluster: checked.as_str().to_owned(), node_id: None })
    }

    pub(super) fn node(cluster: &str, node: &NodeId) -> Result<Self, IdentityError> {
        Ok(Self { node_id: Some(node.clone()), ..Self::authority(cluster)? })
    }

    /// Reads the name from a certificate. It checks no signature: give it a certificate that the TLS stack has
    /// verified, or one of your own.
    ///
    /// # Errors
    /// If it is no certificate, or does not hold exactly one `standin://` URI that follows the rules.
    pub fn of_certificate(der: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let certificate = webpki::EndEntityCert::try_from(der)
            .map_err(|e| IdentityError::Pem { what: "certificate", cause: e.to_string() })?;
        let mut names = certificate.valid_uri_names().filter(|uri| uri.starts_with(SCHEME));
        match (names.next().and_then(Self::parse), names.next()) {
            (Some(name), None) => Ok(name),
            // Two names would let one certificate speak for two nodes.
            _ => Err(IdentityError::Unnamed { what: "one standin:// identity" }),
        }
    }

    /// Reads the name and the validity from the first certificate of a PEM file, checking no signature.
    ///
    /// # Errors
    /// If the file cannot be read, or its first certificate is no node's and no authority's.
    pub fn of_file(path: impl AsRef<Path>) -> Result<(Self, Option<Validity>), IdentityError> {
        let pem = super::files::read_pem(path.as_ref())?;
        let first = super::certificates(&pem, "certificate")?.swap_remove(0);
        Ok((Self::of_certificate(&first)?, Validity::of_certificate(&first)))
    }

    fn parse(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix(SCHEME)?;
        match rest.split_once('/') {
            None => Self::authority(rest).ok(),
            Some((cluster, node)) => Self::node(cluster, &NodeId::new(node).ok()?).ok(),
        }
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The node, or none for an authority.
    pub fn node_id(&self) -> Option<&NodeId> {
        self.node_id.as_ref()
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.cluster)?;
        self.node_id.iter().try_for_each(|node| write!(f, "/{node}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_own_text_and_nothing_else_parses() {
        let name = CertificateName::node("demo", &NodeId::new("worker-7").unwrap()).unwrap();
        assert_eq!(name.to_string(), "standin://demo/worker-7");
        assert_eq!(CertificateName::parse(&name.to_string()), Some(name));
        assert_eq!(CertificateName::parse("standin://demo").unwrap().node_id(), None);
        for bad in
            ["standin://", "standin://demo/", "standin:///a", "standin://a/b/c", "http://demo/a", "demo/a"]
        {
            assert_eq!(CertificateName::parse(bad), None, "{bad}");
        }
    }
}
