//! Consensus: the only folder that names openraft.
//!
//! [`Consensus`] is all that the rest of the crate sees: propose a [`Command`](crate::core::command::Command),
//! read the applied [`State`](crate::core::state::State), watch who leads, step the membership. It
//! reaches other peers through [`RaftLink`] and the disk through [`Store`](crate::store::Store).

mod admissions;
#[cfg(feature = "testing")]
mod alone;
mod codec;
mod consensus;
mod gather;
mod link;
mod log;
mod machine;
mod membership;
mod network;
mod recent;
mod runtime;
mod serve;
#[cfg(test)]
mod tests;
#[cfg(feature = "testing")]
mod trail;
mod types;
mod view;

#[cfg(feature = "testing")]
pub(crate) use alone::{Alone, Taken};
pub(crate) use consensus::{Consensus, ConsensusConfig, ProposeError, Snapshots};
pub(crate) use link::{FrameSink, FrameSource, LinkError, RaftLink};
pub(crate) use machine::Saves;
pub(crate) use view::View;
