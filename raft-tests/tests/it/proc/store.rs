//! wip
use super::words::WriterRole;
pub fn write_until_killed(_: &WriterRole) {}
