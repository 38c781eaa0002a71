//! The floor: a task behind a bounded channel, and a oneshot for each reply.

use tokio::sync::{mpsc, oneshot};

use super::{MAILBOX, fail};

enum Message {
    Ask(u64, oneshot::Sender<u64>),
    Tell(u64),
}

#[derive(Clone)]
pub struct Counter(mpsc::Sender<Message>);

pub fn counter() -> Counter {
    let (sender, mut inbox) = mpsc::channel(MAILBOX);
    tokio::spawn(async move {
        let mut sum = 0;
        while let Some(message) = inbox.recv().await {
            match message {
                Message::Ask(n, reply) => {
                    sum += n;
                    let _ = reply.send(sum);
                }
                Message::Tell(n) => sum += n,
            }
        }
    });
    Counter(sender)
}

impl super::Counter for Counter {
    async fn ask(&self, n: u64) -> u64 {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Ask(n, reply)).await.unwrap_or_else(fail);
        answer.await.unwrap_or_else(fail)
    }

    async fn tell(&self, n: u64) {
        self.0.send(Message::Tell(n)).await.unwrap_or_else(fail);
    }
}
