//! How an activation begins, and what follows when its loop ends.

use futures_util::FutureExt;
use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::api::Actor;
use super::codec::panic_text;
use super::context::Context;
use super::host::World;
use super::life::Life;
use super::mail::Mail;
use super::mailbox::{Door, Inbox, Mailbox};
use super::reference::ActorRef;
use super::restored::Restored;
use super::running::{Beginning, End, Finished, Running};
use super::saver::Saver;
use super::table::Table;
use super::timers::Timers;
use super::visit::OwnTask;
use super::watches::Watches;
use crate::error::{CallError, Reason};

/// Closed once a loop has ended or was dropped, on whatever thread it was polled last.
pub(super) type Ended = oneshot::Receiver<Infallible>;

/// What a new activation takes over from the one before it on this host.
#[derive(Default)]
pub(super) struct Inherited {
    /// The new loop begins when that has ended, so that the two never run side by side.
    pub(super) ended: Option<Ended>,
    /// Both ends of its mailbox, if it ended with a panic: what waits there waits on.
    pub(super) mailbox: Option<(Arc<dyn Door>, Box<dyn Any + Send>)>,
}

/// What an activation begins with besides the state.
pub(super) struct Begin {
    /// The number of the checkpoint that was restored.
    pub(super) seq: u64,
    pub(super) mail: Mail,
    pub(super) timers: Timers,
    pub(super) watches: Watches,
    pub(super) restored: Option<Restored>,
}

/// An activation that runs.
pub(super) struct Launched {
    pub(super) door: Arc<dyn Door>,
    pub(super) task: AbortHandle,
    pub(super) ended: Ended,
    pub(super) finish: oneshot::Sender<Finished>,
}

/// State that was decoded, whatever its type.
pub(super) trait Revived: Send {
    fn launch(self: Box<Self>, world: &World, life: Arc<Life>, begin: Begin, from: Inherited) -> Launched;
}

pub(super) struct Newborn<A: Actor> {
    pub(super) actor: A,
    pub(super) table: Arc<Table<A>>,
}

impl<A: Actor> Revived for Newborn<A> {
    fn launch(
        self: Box<Self>,
        world: &World,
        life: Arc<Life>,
        Begin { seq, mail, timers, watches, restored }: Begin,
        from: Inherited,
    ) -> Launched {
        let (door, queue) = inherit::<A>(from.mailbox).unwrap_or_else(|| {
            let (mailbox, inbox) = Mailbox::new(Arc::clone(&self.table));
            (Arc::new(mailbox) as Arc<dyn Door>, inbox)
        });
        let (finish, finished) = oneshot::channel();
        let me = ActorRef::named(life.id.clone());
        let ctx = Context::new(me, Arc::clone(&life), (world.outside)(), (mail, timers, watches));
        let saver = Arc::clone(&world.saver);
        let start = Beginning { actor: self.actor, ctx, seq, restored };
        let running = Running::new(start, Arc::clone(&life), queue, finished, Arc::clone(&saver));
        let (runs, ended) = oneshot::channel();
        let runs = supervise(running, Arc::clone(&life), saver, from.ended, runs);
        let task = world.runtime.spawn(OwnTask::new(life, runs)).abort_handle();
        Launched { door, task, ended, finish }
    }
}

type Ends<A> = (Arc<dyn Door>, Inbox<A>);

fn inherit<A: Actor>(mailbox: Option<(Arc<dyn Door>, Box<dyn Any + Send>)>) -> Option<Ends<A>> {
    let (door, queue) = mailbox?;
    let queue = queue.downcast::<Inbox<A>>().ok()?;
    Some((door, *queue))
}

/// An async function would keep two of each argument, for as long as the actor lives.
#[expect(clippy::manual_async_fn)]
fn supervise<A: Actor>(
    mut running: Running<A>,
    life: Arc<Life>,
    saver: Arc<dyn Saver>,
    mut before: Option<Ended>,
    runs: oneshot::Sender<Infallible>,
) -> impl Future<Output = ()> + Send {
    async move {
        if let Some(before) = &mut before {
            // Nothing is ever sent.
            let _ = before.await;
        }
        let end = AssertUnwindSafe(running.run()).catch_unwind().await;
        let end = end.unwrap_or_else(|panic| End::Panicked(panic_text(&*panic)));
        life.end();
        if let Some((wait, text)) = conclude(end, running, &life, &*saver) {
            tracing::debug!(actor = %life.id, epoch = %life.epoch, ?wait, "restarts");
            tokio::time::sleep(wait).await;
            saver.restart(&life.id, life.epoch, text);
        }
        drop(runs);
    }
}

/// What follows when a loop has ended. After what time its actor is to run again, and why, if so.
fn conclude<A: Actor>(
    end: End,
    running: Running<A>,
    life: &Life,
    saver: &dyn Saver,
) -> Option<(Duration, String)> {
    match end {
        End::Panicked(text) => {
            let unknown = CallError::unknown(Reason::Panicked(text.clone()));
            if let Some(queue) = dismantle(running, &unknown) {
                life.park(Box::new(queue));
            }
            let wait = life.note_panic();
            if !life.restarts().exceeds(life.policy.max_restarts) {
                return Some((wait, text));
            }
            saver.fail(&life.id, life.epoch, text);
        }
        End::Stopped => {
            refuse(running, Reason::Stopped);
            saver.stop(&life.id, life.epoch);
        }
        End::Finished(finished, seq) => {
            refuse(running, Reason::HostGone);
            // Nobody listens any more if the peer gave up on a graceful leave.
            let _ = finished.send(seq);
        }
        End::Superseded => refuse(running, Reason::HostGone),
        End::Retired => refuse(running, Reason::Retired),
    }
    None
}

/// Answers everything that waits.
fn refuse<A: Actor>(running: Running<A>, reason: Reason) {
    if let Some(queue) = dismantle(running, &CallError::unknown(reason.clone())) {
        queue.drain().for_each(|item| item.refuse(CallError::not_executed(reason.clone())));
    }
}

/// Drops the state, whose own `Drop` may panic; the mailbox goes with it then.
fn dismantle<A: Actor>(running: Running<A>, unknown: &CallError) -> Option<Inbox<A>> {
    catch_unwind(AssertUnwindSafe(|| running.into_queue(unknown))).ok()
}
