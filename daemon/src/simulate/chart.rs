//! The curves, as an SVG that needs nothing else: three panels over adoption.
//!
//! Lines are told apart by colour, by dashes and by a name at their end, so that the drawing holds
//! on paper and for eyes that see colours otherwise.

use std::fmt::Write as _;

use super::Level;
use super::table::{innocent, ratio, refused, refused_by_checking};
use super::tally::Class;

/// One line of a panel.
struct Curve {
    name: &'static str,
    colour: &'static str,
    dashes: &'static str,
    value: fn(&Level) -> Option<f64>,
}

/// One panel.
struct Panel {
    title: &'static str,
    unit: &'static str,
    /// The top of its scale; what is drawn goes up to there, or further where values do.
    least_top: f64,
    curves: &'static [Curve],
}

/// All panels, from above.
const PANELS: [Panel; 3] = [
    Panel {
        title: "Refused, in percent of what was sent",
        unit: " %",
        least_top: 100.0,
        curves: &[
            Curve {
                name: "forged, from outside, to sites that check",
                colour: "#0072b2",
                dashes: "",
                value: |level| percent(refused_by_checking(level.tally.of(Class::Outside))),
            },
            Curve {
                name: "all forged mail",
                colour: "#56b4e9",
                dashes: "8 3",
                value: |level| percent(refused(level.tally.sum(Class::is_forged))),
            },
            Curve {
                name: "true, by an undeclared forwarder",
                colour: "#e69f00",
                dashes: "2 3",
                value: |level| percent(refused(level.tally.of(Class::Undeclared))),
            },
            Curve {
                name: "forged, over-wide SPF",
                colour: "#cc79a7",
                dashes: "10 3 2 3",
                value: |level| percent(refused(level.tally.of(Class::OverWide))),
            },
            Curve {
                name: "forged, by a captive relay",
                colour: "#d55e00",
                dashes: "4 4",
                value: |level| percent(refused(level.tally.of(Class::Captive))),
            },
            Curve {
                name: "legitimate",
                colour: "#009e73",
                dashes: "",
                value: |level| percent(refused(level.tally.sum(Class::is_legitimate))),
            },
        ],
    },
    Panel {
        title: "Failure reports to the innocent, for 1,000 forged messages",
        unit: "",
        least_top: 10.0,
        curves: &[Curve {
            name: "reports to the innocent",
            colour: "#d55e00",
            dashes: "",
            value: |level| Some(innocent(&level.tally)),
        }],
    },
    Panel {
        title: "Questions to name servers, for a verdict",
        unit: "",
        least_top: 4.0,
        curves: &[
            Curve {
                name: "on true mail",
                colour: "#009e73",
                dashes: "",
                value: |level| ratio(level.tally.true_questions, level.tally.true_verdicts),
            },
            Curve {
                name: "on forged mail",
                colour: "#0072b2",
                dashes: "8 3",
                value: |level| ratio(level.tally.forged_questions, level.tally.forged_verdicts),
            },
        ],
    },
];

/// The drawing's width; names of curves stand to the right of [`RIGHT`].
const WIDTH: f64 = 860.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 580.0;
/// Height of a panel's field, and what it takes with its title and its axis.
const FIELD: f64 = 200.0;
const PANEL: f64 = 280.0;
/// Between two names of curves.
const LEADING: f64 = 15.0;

/// Draws it. Writing to a string cannot fail.
pub fn draw(levels: &[Level]) -> String {
    let height = PANEL * 3.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"Verdana, DejaVu Sans, sans-serif\" font-size=\"11\">\n\
         <title>What adoption changes</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 40.0;
    for panel in &PANELS {
        draw_panel(&mut svg, panel, levels, top);
        top += PANEL;
    }
    svg.push_str("</svg>\n");
    svg
}

/// One panel, its field beginning at this height.
fn draw_panel(svg: &mut String, panel: &Panel, levels: &[Level], top: f64) {
    let values = panel
        .curves
        .iter()
        .flat_map(|curve| levels.iter().filter_map(curve.value));
    let scale = round_up(values.fold(panel.least_top, f64::max));
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\" font-size=\"14\">{}</text>",
        top - 14.0,
        panel.title
    );
    draw_grid(svg, panel.unit, scale, top);
    let ends = panel.curves.iter().map(|curve| {
        let points = points_of(curve, levels, scale, top);
        draw_curve(svg, curve, &points);
        points.last().map(|(_, y)| *y)
    });
    let ends: Vec<Option<f64>> = ends.collect();
    draw_names(svg, panel, &ends);
}

/// Horizontal lines with their values, and the axis of adoption below.
fn draw_grid(svg: &mut String, unit: &str, scale: f64, top: f64) {
    for step in 0..=4_u8 {
        let share = f64::from(step) / 4.0;
        let y = top + FIELD * (1.0 - share);
        let value = scale * share;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{value}{unit}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for percent in (0..=100_u8).step_by(20) {
        let x = across(f64::from(percent));
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">{percent} %</text>",
            top + FIELD + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">sites that have adopted</text>",
        f64::midpoint(LEFT, RIGHT),
        top + FIELD + 34.0
    );
}

/// Where a curve goes; levels without a value are passed over.
fn points_of(curve: &Curve, levels: &[Level], scale: f64, top: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(u8, f64)> = levels
        .iter()
        .filter_map(|level| Some((level.adoption.0, (curve.value)(level)?)))
        .collect();
    points.sort_by_key(|(percent, _)| *percent);
    let place = |(percent, value): &(u8, f64)| {
        let y = top + FIELD * (1.0 - value / scale);
        (across(f64::from(*percent)), y)
    };
    points.iter().map(place).collect()
}

/// The line, and a dot for each level.
fn draw_curve(svg: &mut String, curve: &Curve, points: &[(f64, f64)]) {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{x:.1},{y:.1} ");
    }
    let (path, colour, dashes) = (path.trim_end(), curve.colour, curve.dashes);
    let _ = writeln!(
        svg,
        "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
         stroke-dasharray=\"{dashes}\"/>"
    );
    for (x, y) in points {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"
        );
    }
}

/// The names, each beside the end of its line, moved apart where they would lie on each other.
fn draw_names(svg: &mut String, panel: &Panel, ends: &[Option<f64>]) {
    let mut names: Vec<(f64, &Curve)> = ends
        .iter()
        .zip(panel.curves)
        .filter_map(|(end, curve)| Some(((*end)?, curve)))
        .collect();
    names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut ceiling = f64::INFINITY;
    for (end, curve) in names {
        // From below: each name at its line's height, or above the name before.
        let y = end.min(ceiling);
        ceiling = y - LEADING;
        let _ = writeln!(
            svg,
            "<line x1=\"{RIGHT}\" y1=\"{end:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{}\">{}</text>",
            RIGHT + 12.0,
            curve.colour,
            RIGHT + 16.0,
            y + 4.0,
            curve.colour,
            curve.name
        );
    }
}

/// Where a level stands on the axis.
fn across(percent: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * percent / 100.0
}

/// The next number that divides into four well.
fn round_up(value: f64) -> f64 {
    const STEPS: [f64; 8] = [4.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0];
    let mut unit = 1.0;
    loop {
        if let Some(step) = STEPS.iter().find(|step| value <= *step * unit) {
            return step * unit;
        }
        unit *= 10.0;
    }
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}
