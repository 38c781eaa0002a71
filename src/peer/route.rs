//! Where a call goes.

use std::sync::{Arc, Weak};
use tokio::time::Instant;

use super::carry::host_elsewhere;
use super::credit::Flow;
use super::directory::undecided_read;
use super::shared::Shared;
use crate::actor::ActorRef;
use crate::core::state::State;
use crate::error::{CallError, Reason};
use crate::id::{ActorId, Epoch, Incarnation};
use crate::transport::{Dest, Way};

/// Where an actor can be called now.
pub(super) enum Route {
    Here,
    There(Arc<Far>),
    /// Its home is away, or it is being restored: worth waiting for.
    Away,
    Unknown,
    Lost,
    Failed,
}

/// A way to an actor on another peer, with all that messages to it need.
pub(super) struct Far {
    /// The number of who ran what where then: while that is the same, so is this.
    places: u64,
    pub(super) process: Incarnation,
    pub(super) epoch: Epoch,
    pub(super) way: Way,
    pub(super) flow: Weak<Flow>,
}

/// Where the directory has an actor, if that is elsewhere.
fn elsewhere(
    state: &State,
    actor: &ActorId,
    me: Option<Incarnation>,
) -> Result<(Dest, Incarnation, Epoch), Route> {
    let line = state.actors.line(actor).ok_or(Route::Unknown)?;
    if line.lost() {
        return Err(Route::Lost);
    }
    if line.failed() {
        return Err(Route::Failed);
    }
    let (dest, process) = host_elsewhere(state, &line, me).zip(line.host).ok_or(Route::Away)?;
    Ok((dest, process, line.epoch))
}

impl Shared {
    fn route<A>(&self, to: &ActorRef<A>) -> Route {
        if self.host().is_some_and(|host| host.running(to.id()).is_some()) {
            return Route::Here;
        }
        match self.find_far(to.id()) {
            Ok(far) => {
                let far = Arc::new(far);
                to.keep_far(Arc::clone(&far));
                Route::There(far)
            }
            Err(route) => {
                if matches!(route, Route::Away) {
                    self.hurry(to.id());
                }
                route
            }
        }
    }

    fn find_far(&self, actor: &ActorId) -> Result<Far, Route> {
        let (places, me) = (self.places().ok_or(Route::Away)?, self.incarnation());
        let (dest, process, epoch) = self.state(|s| elsewhere(s, actor, me)).unwrap_or(Err(Route::Away))?;
        let way = self.transport().ok_or(Route::Away)?.way(dest);
        let flow = Arc::downgrade(&self.credits.to(process));
        Ok(Far { places, process, epoch, way, flow })
    }

    /// Where the reference found its actor last, if that is elsewhere and can be no other place by now. For messages
    /// one after the other, which need not look into the directory each.
    #[inline]
    pub(super) fn known_far<A>(&self, to: &ActorRef<A>) -> Option<Arc<Far>> {
        to.far(|far: &Arc<Far>| self.is_so(far).then(|| Arc::clone(far)))
    }

    fn is_so(&self, far: &Far) -> bool {
        // It may have been admitted as that process since.
        self.places() == Some(far.places) && self.incarnation() != Some(far.process)
    }

    /// Where to try next, if that is not known yet; an error if there is no use in trying.
    pub(super) async fn next_route<A>(
        self: &Arc<Self>,
        to: &ActorRef<A>,
        end: Instant,
        known: Option<Arc<Far>>,
    ) -> Result<Route, CallError> {
        if let Some(why) = self.over() {
            return Err(CallError::not_executed(why));
        }
        if let Some(far) = known {
            return Ok(Route::There(far));
        }
        match self.route(to) {
            Route::Lost => Err(CallError::not_executed(Reason::Lost)),
            Route::Failed => Err(CallError::not_executed(Reason::Failed)),
            Route::Unknown => {
                // This peer may be behind; only the leader can say that there is no such actor.
                self.catch_up(end).await.map_err(undecided_read)?;
                match self.route(to) {
                    Route::Unknown => Err(CallError::not_executed(Reason::NoSuchActor)),
                    route => Ok(route),
                }
            }
            route => Ok(route),
        }
    }
}
