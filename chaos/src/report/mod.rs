//! Pages to look at, and to show around: of one run, and of many.

mod actors;
mod builder;
mod calls;
mod campaign;
mod events;
mod happening;
mod html;
mod lives;
mod run;
mod spread;
mod timeline;

#[cfg(test)]
mod tests;

pub use builder::build;
pub use campaign::Campaign;
pub use events::run as run_of_events;
pub use happening::{Answer, Entry, Happening};
pub use run::{Held, Run, Verdict};
pub use spread::Spread;
pub use timeline::Timeline;

/// What was run: the version of this program, how it was built, and for what system.
pub fn version() -> String {
    let build = if cfg!(debug_assertions) { "with" } else { "without" };
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("chaos {}, {build} debug assertions, {os} on {arch}", env!("CARGO_PKG_VERSION"))
}
