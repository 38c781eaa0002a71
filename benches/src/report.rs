//! Results as people read them: tables with ratios, and whether each goal is met.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::Figures;

/// What is measured of every contender.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Its name in a [`Sample`](crate::Sample).
    pub name: &'static str,
    pub unit: &'static str,
    pub is_more_better: bool,
}

impl Measure {
    /// One of which more is better.
    pub const fn more(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, is_more_better: true }
    }

    /// One of which less is better.
    pub const fn less(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, is_more_better: false }
    }
}

/// What is wanted of us.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub measure: &'static str,
    /// So good, at least, compared with this contender: 1 is as good.
    pub of: &'static str,
    pub ratio: f64,
}

impl Goal {
    /// At least so good.
    pub const fn new(measure: &'static str, of: &'static str, ratio: f64) -> Self {
        Self { measure, of, ratio }
    }
}

/// One comparison.
#[derive(Debug)]
pub struct Section {
    pub title: String,
    /// What is done, and what to know about it.
    pub text: String,
    pub measures: Vec<Measure>,
    pub goals: Vec<Goal>,
    /// By contender and measure.
    pub figures: BTreeMap<(String, String), Figures>,
    /// Of what there are [percentiles](crate::percentiles) among the figures, and the name of their picture.
    pub latency: Option<(&'static str, &'static str)>,
}

impl Section {
    fn of(&self, who: &str, measure: &str) -> Option<&Figures> {
        self.figures.get(&(who.to_owned(), measure.to_owned()))
    }

    /// How good a contender is, compared with another: more is better.
    pub fn goodness(&self, measure: &Measure, who: &str, of: &str) -> Option<f64> {
        let (mine, theirs) = (self.of(who, measure.name)?, self.of(of, measure.name)?);
        Some(if measure.is_more_better { mine.ratio(theirs) } else { theirs.ratio(mine) })
    }

    /// Who was measured, the best first.
    pub fn ranking(&self, measure: &Measure) -> Vec<(&str, &Figures)> {
        let all = self.figures.iter().filter(|((_, what), _)| what == measure.name);
        let mut all: Vec<_> = all.map(|((who, _), figures)| (who.as_str(), figures)).collect();
        all.sort_by(|(_, a), (_, b)| a.median().total_cmp(&b.median()));
        if measure.is_more_better {
            all.reverse();
        }
        all
    }

    fn table(&self, out: &mut impl Write, measure: &Measure) -> fmt::Result {
        writeln!(out, "| {} | median, {} | lowest to highest | of the floor |", measure.name, measure.unit)?;
        writeln!(out, "|---|---:|---:|---:|")?;
        for (who, figures) in self.ranking(measure) {
            let (low, high) = figures.spread();
            let name = if who == "standin" { "**standin**" } else { who };
            let ratio = self
                .goodness(measure, who, "floor")
                .filter(|ratio| ratio.is_finite())
                .map_or("-".to_owned(), |r| format!("{r:.2}"));
            let (median, low, high) = (short(figures.median()), short(low), short(high));
            writeln!(out, "| {name} | {median} | {low} to {high} | {ratio} |")?;
        }
        writeln!(out)
    }

    fn judge(&self, out: &mut impl Write, goal: &Goal) -> fmt::Result {
        let measure = self.measures.iter().find(|measure| measure.name == goal.measure);
        let Some(got) = measure.and_then(|measure| self.goodness(measure, "standin", goal.of)) else {
            return writeln!(out, "- {}: not measured against {}.", goal.measure, goal.of);
        };
        let (measure, of, ratio) = (goal.measure, goal.of, goal.ratio);
        let verdict =
            if got >= ratio { "met".to_owned() } else { format!("**missed by {:.2}**", ratio - got) };
        writeln!(out, "- {measure}: at least {ratio:.2} x {of}: {got:.2}, {verdict}.")
    }

    /// As Markdown.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(out, "## {}\n\n{}\n", self.title, self.text)?;
        for measure in &self.measures {
            self.table(out, measure)?;
        }
        self.goals.iter().try_for_each(|goal| self.judge(out, goal))?;
        if let Some((what, plot)) = self.latency {
            writeln!(out, "\n![how long it takes, {what}](plots/{plot})")?;
        }
        writeln!(out)
    }
}

/// Three digits are enough, given the spread.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(is_more_better: bool) -> Section {
        let figures = [("floor", [4.0, 2.0]), ("standin", [2.0, 1.0])];
        let figures = figures.map(|(who, f)| ((who.to_owned(), "x".to_owned()), Figures(f.to_vec())));
        Section {
            title: "T".into(),
            text: "text".into(),
            measures: vec![Measure { name: "x", unit: "u", is_more_better }],
            goals: vec![Goal { measure: "x", of: "floor", ratio: 0.8 }],
            figures: figures.into(),
            latency: None,
        }
    }

    fn text(section: &Section) -> String {
        let mut text = String::new();
        section.write(&mut text).unwrap();
        text
    }

    #[test]
    fn a_missed_goal_says_by_how_much() {
        let text = text(&section(true));
        assert!(text.contains("0.50, **missed by 0.30**"), "{text}");
        assert!(
            text.find("| floor").unwrap() < text.find("| **standin**").unwrap(),
            "the best is first: {text}"
        );
    }

    #[test]
    fn where_less_is_better_the_ratio_is_turned_over() {
        assert!(text(&section(false)).contains("2.00, met"));
    }
}
