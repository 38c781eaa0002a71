//! Peers as processes of their own, which a signal can end or freeze at any instruction.

mod actors;
mod child;
mod clocks;
mod evidence;
mod fleet;
mod frozen;
mod killed;
mod links;
mod namesake;
mod power;
mod process;
mod reliable;
mod stand_in;
mod store;
mod words;
