//! Known mistakes in the protocol, one switch each, to prove that the checks would notice them.
//!
//! Without the feature `canary` no switch exists. With it, all are off until a test turns one on, for the
//! thread it runs on: a simulated cluster is one thread.

#[cfg(feature = "canary")]
use std::cell::Cell;

use crate::variants::variants;

variants! {
    /// A mistake that somebody could have made here.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[allow(missing_docs, reason = "each name says what is done wrong")]
    #[cfg_attr(not(feature = "canary"), allow(dead_code, reason = "some are made in code that exists for them alone"))]
    pub enum Mistake {
        DiskIdReused,
        NoWaitAfterElection,
        LeaseFromReceipt,
        StaleLeaderGrants,
        AnswerCreditedToNewerProbe,
        AgeOfConsensusTrusted,
        GrantedDuringMarkDown,
        GrantBeforeItsIndexIsApplied,
        AdmittedBeforeCommit,
        EpochUnchecked,
        CopiesNotDurable,
        TooFewCopiesAccepted,
        RestartUnderSameEpoch,
        AppendNotSynced,
        VoteNotSynced,
        RetiredAccepted,
        OtherVersionAccepted,
        RepliesReleasedEarly,
        DigestNotVerified,
        JointNeverFinished,
        GateIgnored,
        RetriedAfterUnknown,
        NameFreedEarly,
        OldCopyVotes,
        SessionsNotSaved,
        GivenAwayWhileItRuns,
        TakenOverWhileUp,
    }

    /// All of them.
    #[cfg(feature = "canary")]
    pub const ALL;
}

#[cfg(feature = "canary")]
thread_local! {
    static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Makes one mistake on this thread from now on, or none.
#[cfg(feature = "canary")]
pub fn make(mistake: Option<Mistake>) {
    MADE.set(mistake);
}

/// Whether a mistake is made.
#[cfg(feature = "canary")]
pub(crate) fn made(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// Whether a mistake is made.
#[cfg(not(feature = "canary"))]
pub(crate) const fn made(_: Mistake) -> bool {
    false
}
