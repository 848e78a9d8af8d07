//! The loss of a run as a picture.

use plotters::{
    chart::ChartBuilder,
    prelude::{IntoDrawingArea, LineSeries, SVGBackend},
    style::{Color, RGBColor, WHITE},
};
use unspool_pipelines::train::{Line, TrainConfig};

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 420);
const RED: RGBColor = RGBColor(178, 58, 46);
const BLUE: RGBColor = RGBColor(31, 94, 168);

/// An SVG of the loss over steps, each line of the log and their running mean, and of the held-out loss; empty axes where there is none yet.
pub(super) fn loss(config: &TrainConfig, lines: &[Line]) -> String {
    let mut text = String::new();
    // A picture that cannot be drawn is no reason to lose a run: it stays as far as it got.
    let what = if config.dna.is_some() { "bits per base" } else { "mean quantile loss of asinh-scaled values" };
    let _ = draw(&format!("{}: loss ({what})", config.name), lines, &mut text);
    text
}

fn draw(caption: &str, lines: &[Line], text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let losses: Vec<f64> = lines.iter().map(|line| line.loss).filter(|loss| loss.is_finite()).collect();
    let (low, high) = range(&losses);
    let last = lines.last().map_or(1, |line| line.step);
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0..last, low..high)?;
    chart.configure_mesh().x_desc("step").y_desc("loss").light_line_style(WHITE).draw()?;
    chart.draw_series(LineSeries::new(lines.iter().map(|line| (line.step, line.loss)), BLUE.mix(0.35)))?;
    let mut mean = None;
    let smooth = lines.iter().map(|line| {
        let value = mean.map_or(line.loss, |mean: f64| mean + 0.1 * (line.loss - mean));
        mean = Some(value);
        (line.step, value)
    });
    chart.draw_series(LineSeries::new(smooth.collect::<Vec<_>>(), BLUE.stroke_width(2)))?;
    let held = lines.iter().filter_map(|line| Some((line.step, line.validation?)));
    chart.draw_series(LineSeries::new(held, RED.stroke_width(2)))?;
    area.present()?;
    Ok(())
}

/// From the least to what all but the first few losses stay under.
fn range(losses: &[f64]) -> (f64, f64) {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() * 98 / 100)) {
        (Some(&low), Some(&high)) => (low - 0.05 * (high - low).max(1e-3), high + 0.1 * (high - low).max(1e-3)),
        _ => (0.0, 1.0),
    }
}
