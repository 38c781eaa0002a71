//! How long single things take: a few percentiles of many, and a picture of them.

use std::collections::BTreeMap;

use crate::lines::{COLOURS, Frame, line};
use crate::report::short;
use crate::{Sample, Section};

/// Which are kept, as shares of those that were as fast.
const KEPT: [(&str, f64); 5] = [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

fn name(what: &str, percentile: &str) -> String {
    format!("{what}, {percentile} us")
}

/// Percentiles of some times in microseconds, each under its name: "one at a time, p50 us".
pub fn percentiles(what: &str, mut micros: Vec<f64>) -> Sample {
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied();
    let kept = KEPT.iter().filter_map(|(percentile, share)| Some((name(what, percentile), at(*share)?)));
    kept.collect()
}

/// A line for each contender: how long it took at most for so large a share.
pub fn latencies(section: &Section, what: &str) -> String {
    let mut curves: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (percentile, share) in KEPT {
        let measure = name(what, percentile);
        for ((who, _), figures) in section.figures.iter().filter(|((_, of), _)| *of == measure) {
            // So rare is what takes longer.
            curves.entry(who).or_default().push((1.0 / (1.0 - share), figures.median()));
        }
    }
    let all = || curves.values().flatten().map(|(_, y)| *y).filter(|y| y.is_finite() && *y > 0.0);
    let last = KEPT.last().map_or(10.0, |(_, share)| 1.0 / (1.0 - share));
    let first = 1.0 / (1.0 - KEPT[0].1);
    let frame = Frame::around((first, last), all());
    let mut out = String::new();
    frame.grid(&mut out, |y| format!("{} us", short(y)));
    for (percentile, share) in KEPT {
        frame.mark(&mut out, 1.0 / (1.0 - share), percentile);
    }
    frame.title(&mut out, &format!("{}, {what}: so many took no longer", section.title));
    for (n, (who, points)) in curves.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        line(&mut out, "", colour, points.iter().map(|(x, y)| frame.at(*x, *y)));
        frame.legend(&mut out, n, colour, who);
    }
    frame.picture(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figures;

    #[test]
    fn percentiles_are_of_all_and_few_are_told_by_what_there_is() {
        let sample = percentiles("x", (0..1000).rev().map(f64::from).collect());
        assert_eq!(sample["x, p50 us"], 500.0);
        assert_eq!(sample["x, p99.9 us"], 999.0);
        assert!(percentiles("x", vec![]).is_empty());
    }

    #[test]
    fn each_contender_has_a_line_through_all_percentiles() {
        let of = |who: &str, slow: f64| {
            let sample = percentiles("x", (1..=1000).map(|n| f64::from(n) * slow).collect());
            let kept = sample.into_iter().map(|(name, y)| ((who.to_owned(), name), Figures(vec![y])));
            kept.collect::<Vec<_>>()
        };
        let figures = [of("floor", 1.0), of("standin", 2.0)].concat().into_iter().collect();
        let (title, text) = ("T".into(), String::new());
        let section = Section { title, text, measures: vec![], goals: vec![], figures, latency: None };
        let svg = latencies(&section, "x");
        let lines: Vec<&str> = svg.lines().filter(|line| line.contains("<polyline")).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.matches(',').count() == KEPT.len()), "{lines:?}");
        assert!(svg.contains("p99.9") && !svg.contains("NaN"), "{svg}");
    }
}
