//! Identities and authorities on disk.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Authority, Identity, IdentityError};
use crate::limits::MAX_PEM_BYTES;

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const NODE_CERTIFICATE: &str = "node.pem";
const NODE_KEY: &str = "node.key";

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

impl Identity {
    /// Reads `node.pem`, `node.key` and `ca.pem` from a directory.
    ///
    /// # Errors
    /// If a file is missing or broken; the error names it.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref();
        let chain = read_pem(&dir.join(NODE_CERTIFICATE))?;
        Self::from_pem(&chain, &read_pem(&dir.join(NODE_KEY))?, &read_pem(&dir.join(CA_CERTIFICATE))?)
    }

    /// Writes `node.pem`, `node.key` (readable by its owner only) and `ca.pem` into a directory, which is made
    /// if it is missing.
    ///
    /// # Errors
    /// If one of the files exists, or cannot be written. Files written before the fault stay.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), IdentityError> {
        let dir = dir.as_ref();
        make_dir(dir)?;
        write_new(&dir.join(NODE_KEY), self.key_pem(), SECRET)?;
        write_new(&dir.join(NODE_CERTIFICATE), self.chain_pem(), PUBLIC)?;
        write_new(&dir.join(CA_CERTIFICATE), self.roots_pem(), PUBLIC)
    }
}

impl Authority {
    /// Reads `ca.pem` and `ca.key` from a directory.
    ///
    /// # Errors
    /// If a file is missing or broken; the error names it.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let dir = dir.as_ref();
        Self::from_pem(&read_pem(&dir.join(CA_CERTIFICATE))?, &read_pem(&dir.join(CA_KEY))?)
    }

    /// Writes `ca.pem` and `ca.key` (readable by its owner only) into a directory, which is made if it is missing.
    ///
    /// # Errors
    /// If one of the files exists, or cannot be written. Files written before the fault stay.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), IdentityError> {
        let dir = dir.as_ref();
        make_dir(dir)?;
        let (certificate, key) = self.to_pem();
        write_new(&dir.join(CA_KEY), &key, SECRET)?;
        write_new(&dir.join(CA_CERTIFICATE), &certificate, PUBLIC)
    }
}

/// Reads a PEM file, up to a sane size.
///
/// # Errors
/// If it cannot be read; the error names the file.
pub(super) fn read_pem(path: &Path) -> Result<String, IdentityError> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_PEM_BYTES).read_to_string(&mut text))
        .map_err(|cause| at(path, cause))?;
    Ok(text)
}

fn make_dir(dir: &Path) -> Result<(), IdentityError> {
    fs::create_dir_all(dir).map_err(|cause| at(dir, cause))
}

/// A key that is in use is never overwritten: whoever wants that says so by removing it.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AlreadyExists => IdentityError::Exists(path.to_owned()),
        _ => at(path, cause),
    })
}

fn at(path: &Path, cause: std::io::Error) -> IdentityError {
    IdentityError::File { path: path.to_owned(), cause }
}
