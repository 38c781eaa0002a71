//! How figures grow with a size: a table with a column for each size, and a picture of it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::report::short;
use crate::{Figures, Measure};

/// Something that was measured at several sizes.
#[derive(Debug)]
pub struct Growth {
    pub title: String,
    /// What is done, and what to know about it.
    pub text: String,
    /// What there are more of from size to size.
    pub of: &'static str,
    /// From the smallest on.
    pub sizes: Vec<u64>,
    pub measures: Vec<Measure>,
    /// What a measure is to be at most, at the largest size.
    pub limits: Vec<(&'static str, f64)>,
    /// By size, as [`Growth::name`] has it, and measure.
    pub figures: BTreeMap<(String, String), Figures>,
    /// The picture's name.
    pub plot: &'static str,
}

impl Growth {
    /// What a size is called, as a contender.
    pub fn name(size: u64) -> String {
        size.to_string()
    }

    /// The median at each size.
    pub fn medians(&self, measure: &str) -> Vec<f64> {
        let of = |size: &u64| self.figures.get(&(Self::name(*size), measure.to_owned()));
        self.sizes.iter().map(|size| of(size).map_or(f64::NAN, Figures::median)).collect()
    }

    /// With which power of the size a measure grows: 1 is linear. Least squares over the logarithms.
    pub fn power(&self, measure: &str) -> f64 {
        let medians = self.medians(measure);
        let points: Vec<(f64, f64)> =
            self.sizes.iter().zip(medians).map(|(size, y)| ((*size as f64).ln(), y.ln())).collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
        let up: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        up / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
    }

    /// As Markdown.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut impl Write) -> fmt::Result {
        writeln!(out, "## {}\n\n{}\n", self.title, self.text)?;
        write!(out, "| {} |", self.of)?;
        self.sizes.iter().try_for_each(|size| write!(out, " {} |", grouped(*size)))?;
        writeln!(out, " grows with the power |\n|---|{}---:|", "---:|".repeat(self.sizes.len()))?;
        for measure in &self.measures {
            write!(out, "| {}, {} |", measure.name, measure.unit)?;
            self.medians(measure.name).iter().try_for_each(|y| write!(out, " {} |", short(*y)))?;
            writeln!(out, " {:.2} |", self.power(measure.name))?;
        }
        writeln!(out)?;
        for (measure, most) in &self.limits {
            let got = self.medians(measure).last().copied().unwrap_or(f64::NAN);
            let by = format!("**missed by {}**", short(got - most));
            let verdict = if got <= *most { "met" } else { &by };
            writeln!(out, "- {measure}: at most {}: {}, {verdict}.", short(*most), short(got))?;
        }
        writeln!(out, "\n![how each grows](plots/{})\n", self.plot)
    }
}

/// With commas between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn growth(ys: [f64; 3]) -> Growth {
        let sizes = vec![10, 100, 1000];
        let figure = |(size, y): (&u64, f64)| ((Growth::name(*size), "x".to_owned()), Figures(vec![y]));
        let figures = sizes.iter().zip(ys).map(figure).collect();
        Growth {
            title: "T".into(),
            text: "text".into(),
            of: "peers",
            sizes,
            measures: vec![Measure { name: "x", unit: "u", is_more_better: false }],
            limits: vec![("x", 200.0)],
            figures,
            plot: "t.svg",
        }
    }

    fn text(growth: &Growth) -> String {
        let mut text = String::new();
        growth.write(&mut text).unwrap();
        text
    }

    #[test]
    fn the_power_tells_linear_from_square() {
        assert!((growth([2.0, 20.0, 200.0]).power("x") - 1.0).abs() < 1e-9);
        assert!((growth([2.0, 200.0, 20_000.0]).power("x") - 2.0).abs() < 1e-9);
        assert!(growth([5.0, 5.0, 5.0]).power("x").abs() < 1e-9);
    }

    #[test]
    fn a_limit_is_judged_at_the_largest_size() {
        assert!(text(&growth([900.0, 300.0, 150.0])).contains("at most 200: 150, met"));
        let missed = text(&growth([1.0, 2.0, 250.0]));
        assert!(missed.contains("at most 200: 250, **missed by 50.0**"), "{missed}");
        assert!(missed.contains("| peers | 10 | 100 | 1,000 |"), "{missed}");
    }
}
