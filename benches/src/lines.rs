//! Lines between points, both axes logarithmic: the frame that pictures share, and the picture of a growth.

use std::fmt::Write;

use crate::Growth;

const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEGEND: f64 = 340.0;
pub(crate) const COLOURS: [&str; 8] =
    ["#2a7f62", "#c0552f", "#34659d", "#8a4f9e", "#a68a1f", "#4c9aa8", "#9c3a5a", "#606a72"];

/// Where points are.
pub(crate) struct Frame {
    xs: (f64, f64),
    /// Powers of ten.
    ys: (i32, i32),
}

impl Frame {
    /// From one x to another, with room for these.
    pub(crate) fn around((first, last): (f64, f64), ys: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ys.fold((f64::INFINITY, 0.0), |(low, high), y| (y.min(low), y.max(high)));
        let low = if low.is_finite() { low.log10().floor() as i32 } else { 0 };
        let high = if high > 0.0 { high.log10().ceil() as i32 } else { 0 };
        Self { xs: (first.log10(), last.log10().max(first.log10() + 0.1)), ys: (low, high.max(low + 1)) }
    }

    /// In the picture.
    pub(crate) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let ((first, last), (low, high)) = (self.xs, self.ys);
        let right = (x.log10() - first) / (last - first);
        let up = (y.max(1e-12).log10() - f64::from(low)) / f64::from(high - low);
        (LEFT + WIDTH * right, TOP + HEIGHT * (1.0 - up))
    }

    /// A line at each power of ten, and what it stands for.
    pub(crate) fn grid(&self, out: &mut String, label: impl Fn(f64) -> String) {
        for power in self.ys.0..=self.ys.1 {
            let value = 10_f64.powi(power);
            let (left, y) = self.at(10_f64.powf(self.xs.0), value);
            let right = LEFT + WIDTH;
            let _ = writeln!(
                out,
                r#"<line class="grid" x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>
<text class="axis" x="4" y="{:.1}">{}</text>"#,
                y + 4.0,
                label(value)
            );
        }
    }

    /// Names an x below the frame.
    pub(crate) fn mark(&self, out: &mut String, x: f64, label: &str) {
        let x = self.at(x, 1.0).0;
        let y = TOP + HEIGHT + 18.0;
        let _ = writeln!(out, r#"<text class="axis" text-anchor="middle" x="{x:.1}" y="{y}">{label}</text>"#);
    }

    /// What the picture shows.
    pub(crate) fn title(&self, out: &mut String, text: &str) {
        let (x, y) = (LEFT + WIDTH / 2.0, TOP + HEIGHT + 38.0);
        let _ = writeln!(out, r#"<text class="axis" text-anchor="middle" x="{x}" y="{y}">{text}</text>"#);
    }

    /// What the line of so many that has this colour is.
    pub(crate) fn legend(&self, out: &mut String, n: usize, colour: &str, text: &str) {
        let (x, y) = (LEFT + WIDTH + 20.0, TOP + 14.0 + 18.0 * n as f64);
        let _ = writeln!(out, r#"<text fill="{colour}" x="{x}" y="{y}">{text}</text>"#);
    }

    /// All of it, as SVG.
    pub(crate) fn picture(&self, drawn: &str) -> String {
        let (width, height) = (LEFT + WIDTH + LEGEND, TOP + HEIGHT + 50.0);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>text{{font:12px sans-serif}}.axis{{fill:#333}}.grid{{stroke:#ddd}}
polyline{{fill:none;stroke-width:2}}.linear{{stroke-dasharray:5 4}}</style>
<rect width="100%" height="100%" fill="#fff"/>
{drawn}</svg>
"##
        )
    }
}

pub(crate) fn line(out: &mut String, class: &str, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    let _ = writeln!(out, r#"<polyline class="{class}" stroke="{colour}" points="{points}"/>"#);
}

/// Each measure as a line, as a multiple of what it is at the smallest size. The dashed line grows as the size does.
pub fn lines(growth: &Growth) -> String {
    let Some(first) = growth.sizes.first() else { return String::new() };
    let xs: Vec<f64> = growth.sizes.iter().map(|size| *size as f64 / *first as f64).collect();
    let of = |measure: &str| {
        let ys = growth.medians(measure);
        ys.iter().map(|y| y / ys[0]).collect()
    };
    let lines: Vec<Vec<f64>> = growth.measures.iter().map(|measure| of(measure.name)).collect();
    let all = lines.iter().flatten().chain(&xs).chain(&[1.0]).copied();
    let last = xs.last().copied().unwrap_or(10.0);
    let frame = Frame::around((1.0, last), all.filter(|y| y.is_finite() && *y > 0.0));
    let mut out = String::new();
    frame.grid(&mut out, |factor| format!("{factor} x"));
    for (size, x) in growth.sizes.iter().zip(&xs) {
        frame.mark(&mut out, *x, &size.to_string());
    }
    let what = format!("{}; times what it is at the smallest number; dashed: linear", growth.of);
    frame.title(&mut out, &what);
    line(&mut out, "linear", "#999", xs.iter().map(|x| frame.at(*x, *x)));
    for (n, (measure, ys)) in growth.measures.iter().zip(&lines).enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points = xs.iter().zip(ys).filter(|(_, y)| y.is_finite());
        line(&mut out, "", colour, points.map(|(x, y)| frame.at(*x, *y)));
        let label = format!("{} (power {:.2})", measure.name, growth.power(measure.name));
        frame.legend(&mut out, n, colour, &label);
    }
    frame.picture(&out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::tests::growth;

    #[test]
    fn a_measure_that_grows_as_the_size_does_lies_on_the_dashed_line() {
        let svg = lines(&growth([2.0, 20.0, 200.0]));
        let drawn: Vec<&str> =
            svg.lines().filter_map(|line| line.split_once("points=").map(|(_, points)| points)).collect();
        assert_eq!(drawn.len(), 2);
        assert_eq!(drawn[0], drawn[1]);
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
