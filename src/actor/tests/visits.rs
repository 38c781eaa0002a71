//! Callers that run the handler of a quick actor themselves (ARCHITECTURE.md, messages).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{self, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::cast::*;
use super::rig::*;
use crate::actor::life::Life;
use crate::actor::visit::{OwnTask, Visits};
use crate::actor::*;
use crate::error::{CallError, Reason};
use crate::id::Epoch;
use crate::limits::{QUICK_TURN, QUICK_TURNS};
use crate::task::Woken;

/// Who polls the handler.
#[derive(Debug, Serialize, Deserialize)]
pub struct Who;

type TaskName = Option<String>;

impl Message for Who {
    const NAME: &'static str = "who";
    type Reply = TaskName;
}

impl Handler<Who> for Tally {
    async fn handle(&mut self, _: Who, ctx: &mut Context<Self>) -> TaskName {
        let stage = ctx.outside().downcast_ref::<Stage>().unwrap();
        if let Some(meanwhile) = stage.on_lapse.lock().unwrap().take() {
            meanwhile();
        }
        this_task()
    }
}

fn this_task() -> TaskName {
    tokio::task::try_id().map(|id| id.to_string())
}

fn lapse(rig: &Rig) -> Pending<Lapse> {
    rig.host.ask_local::<Slow, _>(&at::<Slow>(), Lapse, false).map_err(|(_, r)| r).unwrap()
}

fn next_lapse(rig: &Rig, does: impl Fn() + Send + 'static) {
    rig.stage.on_lapse.lock().unwrap().replace(Box::new(does));
}

/// A rig whose [`Tally`] and [`Slow`] have been quick for as long as counts.
async fn quick() -> Rig {
    let rig = rig();
    rig.start(11, 0, &Slow).unwrap();
    for _ in 0..QUICK_TURNS {
        assert_ne!(rig.call(Who).await.unwrap(), this_task());
        reply(lapse(&rig)).await.unwrap();
    }
    // On each thread: the checkpoints that were due have been taken.
    tokio::spawn(settle()).await.unwrap();
    settle().await;
    rig
}

#[tokio::test]
async fn who_calls_one_that_has_been_quick_runs_its_handler_itself() {
    let rig = quick().await;
    assert_eq!(rig.ask(Who).now_or_never().unwrap().unwrap(), this_task());
    let rig = Arc::new(rig);
    let task = {
        let rig = rig.clone();
        tokio::spawn(async move { rig.ask(Who).now_or_never().unwrap().unwrap() == this_task() })
    };
    assert!(task.await.unwrap());
    // The actor's own task goes on as before.
    let told = rig.host.tell_local(&at::<Tally>(), Push(1));
    assert!(told.is_ok() && rig.ask(All).is_pending(), "messages keep their order");
    settle().await;
    assert_eq!(rig.call(All).await, Ok(vec![1]));
}

#[tokio::test]
async fn one_that_took_long_is_not_visited_until_it_was_quick_again() {
    let rig = quick().await;
    let clock = rig.clock.clone();
    next_lapse(&rig, move || clock.advance(QUICK_TURN + Duration::from_nanos(1)));
    assert!(!lapse(&rig).is_pending(), "nobody could know");
    settle().await;
    for _ in 0..QUICK_TURNS {
        let next = lapse(&rig);
        assert!(next.is_pending());
        reply(next).await.unwrap();
        settle().await;
    }
    assert!(!lapse(&rig).is_pending());
}

#[tokio::test]
async fn a_caller_outside_the_actors_runtime_wakes_it() {
    let rig = quick().await;
    let on_none: fn(&Rig) -> Pending<Who> = |rig| rig.ask(Who);
    let on_another = |rig: &Rig| {
        let another = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = another.enter();
        rig.ask(Who)
    };
    for ask in [on_none, on_another] {
        let asked = std::thread::scope(|scope| scope.spawn(|| ask(&rig)).join().unwrap());
        assert!(asked.is_pending());
        assert_ne!(reply(asked).await.unwrap(), this_task());
        settle().await;
    }
}

#[tokio::test]
async fn a_visitor_takes_no_checkpoint() {
    let rig = quick().await;
    let before = ENCODED.get();
    assert!(!lapse(&rig).is_pending());
    assert_eq!(ENCODED.get(), before, "a caller had to wait for it");
    settle().await;
    assert_eq!(ENCODED.get(), before + 1);
}

#[tokio::test]
async fn a_visitor_does_not_wait_for_a_lease_and_runs_nothing_without_one() {
    let rig = quick().await;
    rig.shut();
    let before = rig.polls.0.lock().unwrap().len();
    let asked = rig.ask(Push(1));
    assert!(asked.is_pending());
    settle().await;
    assert_eq!(rig.polls.0.lock().unwrap().len(), before, "polled without a lease");
    rig.reopen();
    assert_eq!(reply(asked).await, Ok(1));
}

#[tokio::test]
async fn the_actors_task_that_comes_during_a_visit_comes_again() {
    let gate = Arc::new(Gate::new(Arc::new(HandClock::default())));
    let visits = Visits::new(Some(Handle::current().id()));
    let kind = Kind::of::<Tally>().into();
    let life = Arc::new(Life::new((id::<Tally>(), Epoch(1), kind), gate, None, Arc::default(), visits));
    let woken = Arc::new(Woken::default());
    let own: Arc<Mutex<Option<OwnTask>>> = Arc::default();
    let (mut polls, other, wakes) = (0, own.clone(), woken.clone());
    let runs = poll_fn(move |_| {
        polls += 1;
        if polls == 2 {
            assert!(other.lock().unwrap().as_mut().unwrap().poll_unpin(&mut with(&wakes)).is_pending());
        }
        Poll::Pending
    });
    let mut task = OwnTask::new(life.clone(), runs);
    assert!(task.poll_unpin(&mut with(&woken)).is_pending());
    *own.lock().unwrap() = Some(task);
    assert!(life.visits.visit());
    assert_eq!(woken.take(), 1);
    // Nobody else polls it now.
    assert!(life.visits.visit());
    drop(own.lock().unwrap().take());
    assert!(!life.visits.visit(), "its task has given it up");
}

fn with(woken: &Arc<Woken>) -> task::Context<'static> {
    // As long as the test.
    task::Context::from_waker(Box::leak(Box::new(woken.waker())))
}

/// A visit whose handler returns when the test says so.
struct Visit {
    end: mpsc::Sender<()>,
    visitor: tokio::task::JoinHandle<Result<TaskName, CallError>>,
}

impl Visit {
    /// The actor's task may still be at work: then it handles the message itself.
    async fn begin(rig: &Rig) -> Self {
        let visit = async {
            loop {
                let (visit, by) = Self::attempt(rig);
                if by == Some(visit.visitor.id().to_string()) {
                    return visit;
                }
                visit.end.send(()).unwrap();
                visit.visitor.await.unwrap().unwrap();
            }
        };
        soon(visit).await
    }

    /// And who runs the handler.
    fn attempt(rig: &Rig) -> (Self, TaskName) {
        let (begun, wait_begun) = mpsc::channel();
        let (end, wait_end) = mpsc::channel();
        next_lapse(rig, move || {
            begun.send(this_task()).unwrap();
            wait_end.recv_timeout(PATIENCE).unwrap();
        });
        let host = rig.host.clone();
        let visitor = tokio::spawn(async move {
            let asked = host.ask_local::<Tally, _>(&at::<Tally>(), Who, false);
            reply(asked.map_err(|(_, r)| r).unwrap()).await
        });
        let by = wait_begun.recv_timeout(PATIENCE).unwrap();
        (Self { end, visitor }, by)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_epoch_begins_only_when_a_visit_of_the_old_one_is_over() {
    let rig = quick().await;
    let visit = Visit::begin(&rig).await;
    rig.polls.0.lock().unwrap().clear();
    rig.start(12, 0, &Tally::default()).unwrap();
    let new = rig.ask(Push(1));
    // The other worker has nothing else to do, so it would have begun by then.
    tokio::spawn(settle()).await.unwrap();
    assert!(rig.polls.0.lock().unwrap().is_empty(), "two epochs at once");
    visit.end.send(()).unwrap();
    assert_eq!(soon(visit.visitor).await.unwrap(), Err(CallError::unknown(Reason::HostGone)));
    assert_eq!(reply(new).await, Ok(1));
    assert_eq!(*rig.polls.0.lock().unwrap(), [12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_during_a_visit_is_not_forgotten() {
    let rig = quick().await;
    let visit = Visit::begin(&rig).await;
    rig.polls.0.lock().unwrap().clear();
    let waiting = rig.ask(Push(1));
    tokio::spawn(settle()).await.unwrap();
    assert!(waiting.is_pending() && rig.polls.0.lock().unwrap().is_empty());
    visit.end.send(()).unwrap();
    soon(visit.visitor).await.unwrap().unwrap();
    assert_eq!(reply(waiting).await, Ok(1));
}
