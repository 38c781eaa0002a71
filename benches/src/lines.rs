//! Growth as a picture: lines between points, both axes logarithmic.

use std::fmt::Write;

use crate::Growth;

const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 300.0;
const LEGEND: f64 = 340.0;
const COLOURS: [&str; 8] =
    ["#2a7f62", "#c0552f", "#34659d", "#8a4f9e", "#a68a1f", "#4c9aa8", "#9c3a5a", "#606a72"];

/// Each measure as a line, as a multiple of what it is at the smallest size. The dashed line grows as the size does.
pub fn lines(growth: &Growth) -> String {
    let Some(first) = growth.sizes.first() else { return String::new() };
    let xs: Vec<f64> = growth.sizes.iter().map(|size| *size as f64 / *first as f64).collect();
    let lines: Vec<Vec<f64>> = growth
        .measures
        .iter()
        .map(|measure| {
            let ys = growth.medians(measure.name);
            ys.iter().map(|y| y / ys[0]).collect()
        })
        .collect();
    let all = || lines.iter().flatten().chain(&xs).filter(|y| y.is_finite() && **y > 0.0);
    let decade = |y: f64| y.log10();
    let low = decade(all().copied().fold(1.0, f64::min)).floor();
    let high = decade(all().copied().fold(1.0, f64::max)).ceil().max(low + 1.0);
    let right = decade(xs.last().copied().unwrap_or(10.0)).max(0.1);
    let at = |x: f64, y: f64| {
        let up = (decade(y.max(1e-12)) - low) / (high - low);
        (LEFT + WIDTH * decade(x) / right, TOP + HEIGHT * (1.0 - up))
    };
    let mut out = String::new();
    axes(&mut out, growth, &at, (low as i32, high as i32));
    line(&mut out, "linear", "#999", xs.iter().map(|x| at(*x, *x)));
    for (n, (measure, ys)) in growth.measures.iter().zip(&lines).enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let points = xs.iter().zip(ys).filter(|(_, y)| y.is_finite());
        line(&mut out, "", colour, points.map(|(x, y)| at(*x, *y)));
        let label = format!("{} (power {:.2})", measure.name, growth.power(measure.name));
        let y = TOP + 14.0 + 18.0 * n as f64;
        let _ = writeln!(out, r#"<text fill="{colour}" x="{}" y="{y}">{label}</text>"#, LEFT + WIDTH + 20.0);
    }
    let (width, height) = (LEFT + WIDTH + LEGEND, TOP + HEIGHT + 50.0);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>text{{font:12px sans-serif}}.axis{{fill:#333}}.grid{{stroke:#ddd}}
polyline{{fill:none;stroke-width:2}}.linear{{stroke-dasharray:5 4}}</style>
<rect width="100%" height="100%" fill="#fff"/>
{out}</svg>
"##
    )
}

fn axes(out: &mut String, growth: &Growth, at: &impl Fn(f64, f64) -> (f64, f64), (low, high): (i32, i32)) {
    for power in low..=high {
        let (_, y) = at(1.0, 10_f64.powi(power));
        let _ = writeln!(
            out,
            r#"<line class="grid" x1="{LEFT}" y1="{y:.1}" x2="{}" y2="{y:.1}"/>"#,
            LEFT + WIDTH
        );
        let factor = 10_f64.powi(power);
        let _ = writeln!(out, r#"<text class="axis" x="8" y="{:.1}">{factor} x</text>"#, y + 4.0);
    }
    let first = growth.sizes.first().copied().unwrap_or(1) as f64;
    for size in &growth.sizes {
        let (x, _) = at(*size as f64 / first, 1.0);
        let y = TOP + HEIGHT + 18.0;
        let _ = writeln!(out, r#"<text class="axis" text-anchor="middle" x="{x:.1}" y="{y}">{size}</text>"#);
    }
    let (x, y) = (LEFT + WIDTH / 2.0, TOP + HEIGHT + 38.0);
    let what = format!("{}; times what it is at the smallest number; dashed: linear", growth.of);
    let _ = writeln!(out, r#"<text class="axis" text-anchor="middle" x="{x}" y="{y}">{what}</text>"#);
}

fn line(out: &mut String, class: &str, colour: &str, points: impl Iterator<Item = (f64, f64)>) {
    let points: Vec<String> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let points = points.join(" ");
    let _ = writeln!(out, r#"<polyline class="{class}" stroke="{colour}" points="{points}"/>"#);
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
