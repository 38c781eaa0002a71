//! One peer process: started, spoken to, killed, and gone when this process is.

use std::fs::File;
use std::io;
use std::process::Stdio;

use tokio::io::BufReader;
use tokio::process::{ChildStdin, Command as Process};
use tokio::sync::{mpsc, oneshot};

use crate::wire::{self, Command, Report};

/// Commands that may wait for a process to read them.
const COMMANDS_WAITING: usize = 64;

/// Which process it was: the place of its peer, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    pub peer: usize,
    pub life: u64,
}

/// What a process did.
#[derive(Debug)]
pub enum News {
    Said(Report),
    /// It ended, and is no more in the process table.
    Gone(String),
}

/// A process that runs, or did.
pub struct Child {
    /// As the system numbers it.
    pub id: Option<u32>,
    commands: Option<mpsc::Sender<Command>>,
    kill: Option<oneshot::Sender<()>>,
}

impl Child {
    /// Starts a process with its standard error in `log`. Its news go to `inbox`; the last is `Gone`.
    pub fn start(
        mut process: Process,
        log: File,
        who: Who,
        inbox: mpsc::Sender<(Who, News)>,
    ) -> io::Result<Self> {
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = process.spawn()?;
        let piped = || io::Error::other("its pipes are missing");
        let id = child.id();
        let stdin = child.stdin.take().ok_or_else(piped)?;
        let stdout = child.stdout.take().ok_or_else(piped)?;
        let (commands, queue) = mpsc::channel(COMMANDS_WAITING);
        let (kill, killed) = oneshot::channel();
        tokio::spawn(pass_on(queue, stdin));
        tokio::spawn(async move {
            let listening = listen(BufReader::new(stdout), who, inbox.clone());
            let garbled = tokio::select! {
                heard = listening => heard.err(),
                Ok(()) = killed => None,
            };
            // Killed, or it closed its output: then it is about to end, or of no use any more.
            let _ = child.start_kill();
            let status = child.wait().await.map_or_else(|error| error.to_string(), |s| s.to_string());
            let why = garbled.map_or(status, |error| format!("it was ended: {error}"));
            let _ = inbox.send((who, News::Gone(why))).await;
        });
        Ok(Self { id, commands: Some(commands), kill: Some(kill) })
    }

    /// Tells it something. Too much untold, or a process that is gone, loses it: `Gone` will tell.
    pub fn tell(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.try_send(command);
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }

    /// Closes its standard input, at which it ends in good order.
    pub fn finish(&mut self) {
        self.commands = None;
    }
}

async fn pass_on(mut queue: mpsc::Receiver<Command>, mut stdin: ChildStdin) {
    while let Some(command) = queue.recv().await {
        if wire::write(&mut stdin, &command).await.is_err() {
            return;
        }
    }
}

/// Until the end of its output, or of our patience with it.
async fn listen(
    mut stdout: BufReader<tokio::process::ChildStdout>,
    who: Who,
    inbox: mpsc::Sender<(Who, News)>,
) -> io::Result<()> {
    while let Some(report) = wire::read(&mut stdout).await? {
        if inbox.send((who, News::Said(report))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
