//! Pictures of a run: how far it was in time, and a series with its unlikely values.

use plotters::{
    chart::ChartBuilder,
    element::{Circle, DashedPathElement, PathElement, Text},
    prelude::{IntoDrawingArea, SVGBackend},
    style::{Color, IntoFont, RGBColor, ShapeStyle, WHITE},
};

use super::given::Scored;
use crate::forecast::plot::axis::Axis;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 260);
const GREY: RGBColor = RGBColor(150, 156, 164);
const DARK: RGBColor = RGBColor(70, 76, 84);
const BLUE: RGBColor = RGBColor(21, 84, 163);
const RED: RGBColor = RGBColor(196, 43, 28);
const LINES: RGBColor = RGBColor(232, 235, 239);

/// How far all was at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since the first event, in s.
    pub(super) at: f64,
    /// Events handed to the broker.
    pub(super) played: usize,
    /// Scores committed and read back.
    pub(super) scored: usize,
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// An SVG of events played and scored, and of the moment when a worker was killed.
pub(super) fn progress(samples: &[Sample], killed: Option<f64>) -> String {
    svg(|text| draw_progress(samples, killed, text))
}

/// An SVG of a series; values less likely than `bound` are red.
pub(super) fn unlikely(scores: &[Scored], bound: f64) -> String {
    svg(|text| draw_unlikely(scores, bound, text))
}

/// A picture that cannot be drawn is no reason to lose a page: it stays as far as it got.
fn svg(draw: impl Fn(&mut String) -> Drawn) -> String {
    let mut text = String::new();
    match draw(&mut text) {
        Ok(()) => text,
        Err(error) => format!("<p>no picture: {error}</p>"),
    }
}

fn line(colour: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width }
}

fn draw_progress(samples: &[Sample], killed: Option<f64>, text: &mut String) -> Drawn {
    let to = samples.last().map_or(1.0, |sample| sample.at).max(1e-3);
    let most = samples.iter().map(|sample| sample.played.max(sample.scored)).max().unwrap_or(0).max(1) as f64;
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(Axis::numbers(0.0, to), Axis::numbers(0.0, most * 1.04))?;
    (chart.configure_mesh().x_desc("seconds").y_desc("events").bold_line_style(LINES).light_line_style(WHITE))
        .axis_style(GREY)
        .label_style(("sans-serif", 13, &DARK))
        .draw()?;
    if let Some(at) = killed {
        chart.draw_series([DashedPathElement::new([(at, 0.0), (at, most)], 4, 4, line(RED, 1))])?;
        chart.draw_series([Text::new(
            " worker killed, and started again",
            (at, most * 0.06),
            ("sans-serif", 13).into_font().color(&RED),
        )])?;
    }
    let of =
        |count: fn(&Sample) -> usize| samples.iter().map(move |sample| (sample.at, count(sample) as f64)).collect();
    chart.draw_series([PathElement::new::<Vec<_>, _>(of(|sample| sample.played), line(GREY, 2))])?;
    chart.draw_series([PathElement::new::<Vec<_>, _>(of(|sample| sample.scored), line(BLUE, 2))])?;
    drop(chart);
    area.present()?;
    Ok(())
}

fn draw_unlikely(scores: &[Scored], bound: f64, text: &mut String) -> Drawn {
    let place = |scored: &Scored| (scored.time as f64, scored.value);
    let values = || scores.iter().map(|scored| scored.value);
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let (Some(first), Some(last)) = (scores.first(), scores.last()) else { return Err("there are no values".into()) };
    let room = ((high - low) * 0.06).max(1e-9);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(Axis::times(first.time as f64, last.time as f64), Axis::numbers(low - room, high + room))?;
    (chart.configure_mesh().x_desc("time").y_desc("passengers").bold_line_style(LINES).light_line_style(WHITE))
        .axis_style(GREY)
        .label_style(("sans-serif", 13, &DARK))
        .draw()?;
    chart.draw_series([PathElement::new(scores.iter().map(place).collect::<Vec<_>>(), line(DARK, 1))])?;
    let marked = scores.iter().filter(|scored| scored.p_value < bound);
    chart.draw_series(marked.map(|scored| Circle::new(place(scored), 4, RED.filled())))?;
    drop(chart);
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_hold_what_they_are_of() {
        let sample = |at: f64| Sample { at, played: (at * 100.0) as usize, scored: (at * 90.0) as usize };
        let samples = [0.0, 1.0, 2.0].map(sample);
        let text = progress(&samples, Some(1.0));
        assert!(text.contains("worker killed") && text.matches("<polyline").count() >= 2, "{text}");
        assert!(!progress(&samples, None).contains("worker killed"));
        let scored = |(time, p_value): (i64, f64)| Scored { time: time * 1_800_000_000, value: time as f64, p_value };
        let scores: Vec<Scored> = (0..).zip([f64::NAN, 0.5, 1e-4, 1e-5]).map(scored).collect();
        assert_eq!(unlikely(&scores, 1e-3).matches("<circle").count(), 2);
        assert!(unlikely(&[], 1e-3).contains("there are no values"));
    }
}
