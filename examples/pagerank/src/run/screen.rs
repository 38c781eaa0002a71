//! What the terminal shows: a bar for each peer at the bottom, a line for each event above them.

use std::io::{self, Write};
use std::time::Duration;

const BAR_CELLS: u64 = 30;
/// A run that prints no bars says every so many iterations how far it is.
const ITERATIONS_PER_LINE: u64 = 10;

/// One peer's line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub iteration: u64,
    pub state: String,
    pub alive: bool,
}

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Bars that move: for a terminal.
    Live,
    /// Lines only: for a file or a pipe.
    Plain,
    /// Nothing.
    Silent,
}

pub struct Screen<W: Write> {
    out: W,
    style: Style,
    iterations: u64,
    /// Bars that stand below the last event.
    shown: Vec<Row>,
    said: u64,
}

impl<W: Write> Screen<W> {
    pub fn new(out: W, style: Style, iterations: u64) -> Self {
        Self { out, style, iterations, shown: Vec::new(), said: 0 }
    }

    /// An event. Output that nobody takes is no reason to stop, so errors are left alone.
    pub fn event(&mut self, now: Duration, text: &str) {
        if self.style == Style::Silent {
            return;
        }
        let _ = self.erase();
        let _ = writeln!(self.out, "{:>8.3} s  {text}", now.as_secs_f64());
        let rows = std::mem::take(&mut self.shown);
        let _ = self.draw(rows);
    }

    /// How far everybody is.
    pub fn progress(&mut self, now: Duration, iteration: u64, rows: Vec<Row>) {
        match self.style {
            Style::Silent => {}
            Style::Plain => {
                if iteration >= self.said + ITERATIONS_PER_LINE {
                    self.said = iteration - iteration % ITERATIONS_PER_LINE;
                    self.event(now, &format!("superstep {iteration} of {}", self.iterations));
                }
            }
            Style::Live => {
                if rows != self.shown {
                    let _ = self.erase();
                    let _ = self.draw(rows);
                }
            }
        }
    }

    /// Takes the bars away, for what is printed after the run.
    pub fn close(&mut self) {
        let _ = self.erase();
        self.shown.clear();
        let _ = self.out.flush();
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.shown.is_empty() {
            return Ok(());
        }
        // Up to the first bar, and clear to the end of the screen.
        write!(self.out, "\x1b[{}A\x1b[J", self.shown.len())
    }

    fn draw(&mut self, rows: Vec<Row>) -> io::Result<()> {
        for row in &rows {
            writeln!(self.out, "{}", bar(row, self.iterations))?;
        }
        self.shown = rows;
        self.out.flush()
    }
}

fn bar(row: &Row, iterations: u64) -> String {
    let full = (row.iteration.min(iterations) * BAR_CELLS / iterations.max(1)) as usize;
    let cells = "█".repeat(full) + &"░".repeat(BAR_CELLS as usize - full);
    let colour = if row.alive { 32 } else { 31 };
    let Row { name, iteration, state, .. } = row;
    format!("{name:>10}  \x1b[{colour}m{cells}\x1b[0m {iteration:>4}/{iterations}  {state}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(iteration: u64) -> Row {
        Row { name: "worker-1".to_owned(), iteration, state: "runs".to_owned(), alive: true }
    }

    fn shown(style: Style, act: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        act(&mut Screen::new(&mut out, style, 50));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(bar(&row(25), 50).matches('█').count(), 15);
        assert_eq!(bar(&row(50), 50).matches('░').count(), 0);
        assert_eq!(bar(&row(60), 50).matches('█').count(), 30);
    }

    #[test]
    fn an_event_is_put_above_the_bars() {
        let text = shown(Style::Live, |screen| {
            screen.progress(Duration::ZERO, 1, vec![row(1), row(1)]);
            screen.event(Duration::from_millis(1500), "worker-7 killed");
        });
        let event = text.find("\x1b[2A\x1b[J   1.500 s  worker-7 killed\n").unwrap();
        assert_eq!(text[event..].matches("worker-1").count(), 2, "the bars are back");
    }

    #[test]
    fn unchanged_bars_are_not_drawn_again() {
        let draw = |times: u64| {
            shown(Style::Live, |s| (0..times).for_each(|_| s.progress(Duration::ZERO, 1, vec![row(1)])))
        };
        assert_eq!(draw(1), draw(5));
    }

    #[test]
    fn without_a_terminal_there_are_lines_and_no_escapes() {
        let text = shown(Style::Plain, |screen| {
            (0..=50).for_each(|i| screen.progress(Duration::ZERO, i, vec![row(i)]));
            screen.event(Duration::ZERO, "done");
        });
        assert_eq!(text.lines().count(), 6);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn silent_is_silent() {
        assert_eq!(shown(Style::Silent, |screen| screen.event(Duration::ZERO, "x")), "");
    }
}
