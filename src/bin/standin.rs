//! The `standin` command: certificates for a cluster's peers.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use standin::id::NodeId;
use standin::identity::{Authority, CertificateName, Identity, IdentityError};

/// Fault-tolerant actors: the command for whoever runs a cluster.
#[derive(Parser)]
#[command(name = "standin")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make and read the certificates that say which peer is which.
    #[command(subcommand)]
    Cert(Cert),
}

#[derive(Subcommand)]
enum Cert {
    /// Make a cluster's authority: ca.pem for every machine, and ca.key, which stays with you.
    Ca {
        /// The cluster's name, 1 to 64 characters of A-Z a-z 0-9 . _ -
        #[arg(long)]
        cluster: String,
        /// The directory for ca.pem and ca.key.
        #[arg(long)]
        out: PathBuf,
    },
    /// Make one peer's certificate and key, signed by the authority.
    Issue {
        /// The peer's node id, such as worker-7. A replacement machine gets its predecessor's.
        node_id: String,
        /// The directory that holds ca.pem and ca.key.
        #[arg(long)]
        ca: PathBuf,
        /// The directory for node.pem, node.key and ca.pem: copy it to that peer's machine.
        #[arg(long)]
        out: PathBuf,
    },
    /// Say whom a certificate names, and when it is valid.
    Show {
        /// A certificate in PEM form, such as node.pem or ca.pem.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Cert(command) = Cli::parse().command;
    let done = match command {
        Cert::Ca { cluster, out } => make_authority(&cluster, &out),
        Cert::Issue { node_id, ca, out } => issue(&node_id, &ca, &out),
        Cert::Show { file } => show(&file),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("standin: {text}");
            ExitCode::FAILURE
        }
    }
}

fn make_authority(cluster: &str, out: &Path) -> Result<String, String> {
    Authority::create(cluster).and_then(|authority| authority.save(out)).map_err(|e| e.to_string())?;
    let out = out.display();
    Ok(format!(
        "The authority of cluster {cluster} is in {out}. Keep {out}/ca.key secret.\n\
         Next, for every peer: standin cert issue NODE_ID --ca {out} --out DIR"
    ))
}

fn issue(node_id: &str, ca: &Path, out: &Path) -> Result<String, String> {
    let node = NodeId::new(node_id).map_err(|e| e.to_string())?;
    let authority = Authority::load(ca).map_err(|e| match e {
        IdentityError::File { .. } => {
            format!(
                "{e}\nThere is no authority in {}; make one: standin cert ca --cluster NAME --out DIR",
                ca.display()
            )
        }
        e => e.to_string(),
    })?;
    let identity = authority.issue(&node).map_err(|e| e.to_string())?;
    identity.save(out).map_err(|e| e.to_string())?;
    Ok(format!("{} is in {}. Copy that directory to its machine.", describe(&identity), out.display()))
}

fn describe(identity: &Identity) -> String {
    format!("The identity of {} in cluster {}", identity.node_id(), identity.cluster())
}

fn show(file: &Path) -> Result<String, String> {
    let (name, validity) = CertificateName::of_file(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let who = match name.node_id() {
        Some(node) => format!("node {node} of cluster {}", name.cluster()),
        None => format!("authority of cluster {}", name.cluster()),
    };
    let validity = validity.map_or_else(|| "at unreadable dates".to_owned(), |v| v.to_string());
    Ok(format!("{who}\nvalid {validity}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_and_a_certificate_are_made_shown_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, node) = (dir.path().join("ca"), dir.path().join("w7"));
        make_authority("demo", &ca).unwrap();
        issue("worker-7", &ca, &node).unwrap();
        let shown = show(&node.join("node.pem")).unwrap();
        assert!(shown.starts_with("node worker-7 of cluster demo\nvalid from 20"), "{shown}");
        assert!(show(&ca.join("ca.pem")).unwrap().starts_with("authority of cluster demo\n"));
        assert!(issue("worker-7", &ca, &node).unwrap_err().contains("exists already"));
        assert!(make_authority("demo", &ca).unwrap_err().contains("exists already"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("nothing");
        assert!(issue("worker-7", &nothing, &nothing).unwrap_err().contains("standin cert ca --cluster"));
        assert!(issue("no spaces", &nothing, &nothing).unwrap_err().contains("A-Z a-z 0-9"));
        assert!(make_authority("", &nothing).unwrap_err().contains("1 to 64 characters"));
        assert!(show(&nothing).unwrap_err().contains("nothing"));
    }
}
