//! Results as a picture: for each comparison, how good everybody is compared with the floor.

use std::fmt::Write;

use crate::Section;

const ROW: usize = 18;
const LABEL: usize = 130;
const WIDTH: f64 = 420.0;

/// One bar chart of all sections, as SVG. The line is the floor; a bar that reaches it is as good.
pub fn plot(sections: &[Section]) -> String {
    let mut rows = String::new();
    let mut y = 10;
    for section in sections {
        for measure in &section.measures {
            y += ROW;
            let title = if section.measures.len() > 1 {
                format!("{}: {}", section.title, measure.name)
            } else {
                section.title.clone()
            };
            text(&mut rows, 10, y, "title", &title);
            // Where the floor does nothing, nobody can be compared with it.
            let good = |who: &str| section.goodness(measure, who, "floor").filter(|ratio| ratio.is_finite());
            let best = section.ranking(measure).iter().filter_map(|(who, _)| good(who)).fold(1.0, f64::max);
            for (who, _) in section.ranking(measure) {
                let Some(ratio) = good(who) else { continue };
                y += ROW;
                let length = WIDTH * ratio / best;
                text(&mut rows, 10, y, "", who);
                let class = if who == "standin" { "ours" } else { "bar" };
                let top = y - ROW + 6;
                let _ = writeln!(
                    rows,
                    r#"<rect class="{class}" x="{LABEL}" y="{top}" width="{length:.1}" height="12"/>"#
                );
                text(&mut rows, LABEL + length as usize + 6, y, "", &format!("{ratio:.2}"));
            }
            y += ROW / 2;
        }
    }
    let (width, height) = (LABEL + WIDTH as usize + 60, y + ROW);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<style>text{{font:12px sans-serif;fill:#333}}.title{{font-weight:bold}}.bar{{fill:#b8c4ce}}.ours{{fill:#2a7f62}}</style>
<rect width="100%" height="100%" fill="#fff"/>
{rows}</svg>
"##
    )
}

fn text(out: &mut String, x: usize, y: usize, class: &str, text: &str) {
    let _ = writeln!(out, r#"<text class="{class}" x="{x}" y="{}">{text}</text>"#, y - 2);
}
