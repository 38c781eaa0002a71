//! An actor's end of its mailbox. Where many wait, several are taken out at once: that costs little more than one.

use std::task::{Context as Task, Poll, ready};
use tokio::sync::mpsc;

use super::api::Actor;
use super::mailbox::Item;
use crate::error::CallError;
use crate::limits::MESSAGES_TAKEN_AT_ONCE;

pub(super) struct Queue<A: Actor> {
    inbox: mpsc::Receiver<Item<A>>,
    /// Those that were taken out and not looked at yet; the first is last.
    taken: Vec<Item<A>>,
}

impl<A: Actor> Queue<A> {
    pub(super) fn new(inbox: mpsc::Receiver<Item<A>>) -> Self {
        Self { inbox, taken: Vec::new() }
    }

    /// The next; none if there will be no more.
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Item<A>>> {
        if let Some(item) = self.taken.pop() {
            return Poll::Ready(Some(item));
        }
        if self.inbox.len() < MESSAGES_TAKEN_AT_ONCE / 4 {
            // An actor that is idle keeps no room for many.
            if self.taken.capacity() > 0 {
                self.taken = Vec::new();
            }
            return self.inbox.poll_recv(task);
        }
        ready!(self.inbox.poll_recv_many(task, &mut self.taken, MESSAGES_TAKEN_AT_ONCE));
        self.taken.reverse();
        Poll::Ready(self.taken.pop())
    }

    /// Lets no more in.
    pub(super) fn close(&mut self) {
        self.inbox.close();
    }

    /// Answers all that wait. What slips in behind is dropped with the channel, and answered by that.
    pub(super) fn refuse(mut self, error: &CallError) {
        self.close();
        while let Some(item) = self.taken.pop().or_else(|| self.inbox.try_recv().ok()) {
            item.refuse(error.clone());
        }
    }
}
