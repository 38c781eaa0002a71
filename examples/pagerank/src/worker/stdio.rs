//! This process's standard input and output. Both block, so each has a thread of its own.

use std::io::{self, BufRead, Read, Write, stdin, stdout};
use std::thread;

use tokio::sync::mpsc;

use crate::wire::{self, Command, MAX_LINE_BYTES, Report};

/// Commands that may wait to be obeyed.
const COMMANDS_WAITING: usize = 64;

/// Writes the reports that come in, and hands out the commands that are read. These end with the
/// input, or with a line that is no command.
pub fn open(reports: mpsc::Receiver<Report>) -> Result<mpsc::Receiver<Command>, String> {
    let (commands, queue) = mpsc::channel(COMMANDS_WAITING);
    let threads = [
        thread::Builder::new().name("stdin".to_owned()).spawn(move || {
            if let Err(error) = read_in(&commands) {
                tracing::error!(%error, "standard input");
            }
        }),
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            if let Err(error) = write_out(reports) {
                tracing::error!(%error, "standard output");
            }
        }),
    ];
    for thread in threads {
        thread.map_err(|error| error.to_string())?;
    }
    Ok(queue)
}

fn read_in(commands: &mpsc::Sender<Command>) -> io::Result<()> {
    let mut input = stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut input).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if commands.blocking_send(wire::parse(&line)?).is_err() {
            return Ok(());
        }
    }
}

fn write_out(mut reports: mpsc::Receiver<Report>) -> io::Result<()> {
    let mut out = stdout().lock();
    while let Some(report) = reports.blocking_recv() {
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()?;
    }
    Ok(())
}
