//! What the run looks like from a terminal.

use serde::Serialize;
use std::io::{IsTerminal, Write};

/// One look at all accounts and peers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Look {
    pub seconds: u64,
    /// What is in all accounts, and what is on its way between them.
    pub in_accounts: u64,
    pub on_the_way: u64,
    /// What there was at the beginning.
    pub total: u64,
    pub paid: u64,
    pub refused: u64,
    pub came_back: u64,
    pub transfers: u64,
    pub kills: u32,
    /// Each peer: how many accounts it runs; none while it is dead.
    pub peers: Vec<Option<usize>>,
    /// Nothing is on its way any more.
    pub is_settled: bool,
}

impl Look {
    /// Transfers of which the outcome is known to the payer.
    pub fn ended(&self) -> u64 {
        self.paid + self.refused + self.came_back
    }

    /// Whether no money was lost or made. Before all is settled, money that has arrived and is not confirmed yet is
    /// counted at both ends.
    pub fn is_conserved(&self) -> bool {
        let all = self.in_accounts + self.on_the_way;
        if self.is_settled { all == self.total } else { all >= self.total }
    }
}

/// Shows looks as they come.
pub struct View {
    json: bool,
    redraws: bool,
    lines: usize,
}

impl View {
    pub fn new(json: bool) -> Self {
        Self { json, redraws: !json && std::io::stdout().is_terminal(), lines: 0 }
    }

    /// Prints one more, over the one before if this is a terminal.
    pub fn show(&mut self, look: &Look) -> std::io::Result<()> {
        let text = match self.json {
            true => serde_json::to_string(look)? + "\n",
            false => picture(look),
        };
        let mut out = std::io::stdout().lock();
        if self.redraws && self.lines > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.lines)?;
        }
        self.lines = text.lines().count();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

fn picture(look: &Look) -> String {
    let bar = |runs: usize| "#".repeat(runs.min(60));
    let peer = |(number, runs): (usize, &Option<usize>)| match runs {
        Some(runs) => format!("  peer-{:<3} {runs:>4} accounts {}\n", number + 1, bar(*runs)),
        None => format!("  peer-{:<3} dead\n", number + 1),
    };
    let peers: String = look.peers.iter().enumerate().map(peer).collect();
    format!(
        "{:>4} s  {} of {} transfers ended ({} paid, {} refused, {} came back), {} peers killed\n{peers}\
         \x20 in accounts {:>9}   on the way {:>7}   of {}{}\n",
        look.seconds,
        look.ended(),
        look.transfers,
        look.paid,
        look.refused,
        look.came_back,
        look.kills,
        look.in_accounts,
        look.on_the_way,
        look.total,
        match (look.is_settled, look.is_conserved()) {
            (true, true) => ": conserved",
            (true, false) => ": NOT CONSERVED",
            (false, _) => "",
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_says_whether_money_was_lost_or_made() {
        let look = Look { total: 100, in_accounts: 90, on_the_way: 10, is_settled: false, ..Look::default() };
        assert!(look.is_conserved());
        assert!(
            Look { in_accounts: 95, ..look.clone() }.is_conserved(),
            "it may be counted at both ends for a moment"
        );
        assert!(!Look { in_accounts: 80, ..look.clone() }.is_conserved());
        let settled = Look { in_accounts: 100, on_the_way: 0, is_settled: true, ..look };
        assert!(settled.is_conserved() && picture(&settled).contains("conserved"));
        let made = Look { in_accounts: 101, ..settled };
        assert!(!made.is_conserved() && picture(&made).contains("NOT CONSERVED"));
    }

    #[test]
    fn dead_peers_are_shown_as_such() {
        let look = Look { peers: vec![Some(3), None], ..Look::default() };
        let picture = picture(&look);
        assert!(
            picture.contains("peer-1")
                && picture.contains("3 accounts ###")
                && picture.contains("peer-2   dead")
        );
    }
}
