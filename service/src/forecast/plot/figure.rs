//! One series' figure.

use std::fmt::Write as _;

use plotters::{
    chart::ChartBuilder,
    element::{Circle, DashedPathElement, PathElement, Polygon},
    prelude::{IntoDrawingArea, SVGBackend},
    style::{Color, RGBColor, ShapeStyle, WHITE},
};
use unspool_ingest::schema::TimeKind;

use super::{
    About,
    axis::{self, Axis},
    escape, percent,
};
use crate::forecast::gather::Track;

/// Width and height in pixels.
const SIZE: (u32, u32) = (1000, 300);
/// Points of a history that say what they are when the pointer is on them, at most.
const MOST_TOLD: usize = 400;
pub(super) const GREY: RGBColor = RGBColor(70, 76, 84);
pub(super) const BLUE: RGBColor = RGBColor(21, 84, 163);
const LINES: RGBColor = RGBColor(232, 235, 239);

/// The colour of a band, the outermost first: opaque, so that bands do not mix.
pub(super) fn shade(band: usize) -> RGBColor {
    const SHADES: [RGBColor; 4] =
        [RGBColor(222, 234, 247), RGBColor(193, 215, 240), RGBColor(160, 194, 231), RGBColor(124, 171, 220)];
    SHADES[band.min(SHADES.len() - 1)]
}

pub(super) fn css(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Pairs of levels with the median in their middle, the outermost first.
pub(super) fn bands(levels: &[f64]) -> Vec<(usize, usize)> {
    let pair = |low: usize| {
        let high = levels.iter().position(|level| (level + levels[low] - 1.0).abs() < 1e-6)?;
        (low < high).then_some((low, high))
    };
    (0..levels.len()).filter_map(pair).collect()
}

pub(super) fn is_median(level: f64) -> bool {
    (level - 0.5).abs() < 1e-6
}

/// Where everything lies.
struct Places {
    /// The history's points; NaN where missing.
    history: Vec<(f64, f64)>,
    /// The steps of the forecast, `[horizon]`.
    steps: Vec<f64>,
    axes: (Axis, Axis),
    /// What stands under the axis.
    across: &'static str,
}

/// An SVG; or why there is none.
pub(super) fn svg(about: &About, track: &Track) -> Result<String, String> {
    let places = places(about, track)?;
    let mut text = String::new();
    let told = draw(about, track, &places, &mut text).map_err(|error| error.to_string())?;
    let end = text.rfind("</svg>").unwrap_or(text.len());
    text.insert_str(end, &told);
    Ok(text)
}

fn places(about: &About, track: &Track) -> Result<Places, String> {
    let values = || {
        let ahead = track.ahead.iter().flat_map(|step| step.1.iter().copied());
        let known = track.history.iter().chain(&track.then).map(|point| point.1);
        known.chain(ahead).filter(|value| value.is_finite())
    };
    if track.ahead.is_empty() {
        return Err("there is no forecast of this series".into());
    }
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let room = ((high - low) * 0.06).max(high.abs().max(low.abs()) * 1e-6).max(1e-300);
    let (low, high) = (low - room, high + room);
    if !(high - low).is_finite() {
        return Err("its values span more than can be drawn".into());
    }
    let times: Option<Vec<i64>> = track.ahead.iter().map(|step| step.0).collect();
    let (history, steps, across): (Vec<f64>, Vec<f64>, _) = match times {
        Some(times) => {
            let across = if about.time == TimeKind::Timestamp { "time" } else { "step" };
            (track.history.iter().map(|point| place(point.0)).collect(), times.into_iter().map(place).collect(), across)
        }
        // Nobody knows how its times go on.
        None => {
            let steps = track.ahead.len() as i64;
            let known = track.history.len() as i64;
            ((1 - known..=0).map(place).collect(), (1..=steps).map(place).collect(), "steps after the last value")
        }
    };
    let ends = (history.first().or(steps.first()), steps.last());
    let (Some(from), Some(to)) = ends else { return Err("there is nothing to draw".into()) };
    let (from, to) = (*from, if to > from { *to } else { from + 1.0 });
    let across_axis = if across == "time" { Axis::times(from, to) } else { Axis::numbers(from, to) };
    let history = history.into_iter().zip(track.history.iter().map(|point| point.1)).collect();
    Ok(Places { history, steps, axes: (across_axis, Axis::numbers(low, high)), across })
}

#[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
fn place(time: i64) -> f64 {
    time as f64
}

/// Draws, and returns what the pointer is told, as SVG too.
fn draw(
    about: &About,
    track: &Track,
    places: &Places,
    text: &mut String,
) -> Result<String, Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(places.axes.0.clone(), places.axes.1.clone())?;
    let mesh = (LINES, ("sans-serif", 13, &GREY));
    (chart.configure_mesh().x_desc(places.across).y_desc("value").bold_line_style(mesh.0).light_line_style(WHITE))
        .axis_style(RGBColor(170, 176, 184))
        .label_style(mesh.1)
        .draw()?;
    let last = places.history.last().copied().filter(|point| point.1.is_finite());
    let line = |level: usize| {
        let steps = places.steps.iter().zip(&track.ahead).map(move |(x, step)| (*x, step.1[level]));
        last.into_iter().chain(steps).collect::<Vec<_>>()
    };
    for (band, (low, high)) in bands(&about.levels).into_iter().enumerate() {
        let outline = line(low).into_iter().chain(line(high).into_iter().rev()).collect::<Vec<_>>();
        chart.draw_series([Polygon::new(outline, shade(band).filled())])?;
    }
    let stroke = |colour: RGBColor, width| ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width };
    if let Some((x, _)) = last {
        let (low, high) = (chart.y_range().start, chart.y_range().end);
        chart.draw_series([DashedPathElement::new([(x, low), (x, high)], 4, 4, stroke(RGBColor(170, 176, 184), 1))])?;
    }
    for run in places.history.split(|point| point.1.is_nan()).filter(|run| !run.is_empty()) {
        match run {
            [point] => chart.draw_series([Circle::new(*point, 2, GREY.filled())])?,
            run => chart.draw_series([PathElement::new(run.to_vec(), stroke(GREY, 1))])?,
        };
    }
    let told = tell(about, track, places, |point| chart.backend_coord(point));
    for (level, _) in about.levels.iter().enumerate().filter(|(_, level)| is_median(**level)) {
        chart.draw_series([PathElement::new(line(level), stroke(BLUE, 2))])?;
    }
    if !track.then.is_empty() {
        let then = track.then.iter().map(|(time, value)| (place(*time), *value));
        chart.draw_series([PathElement::new(last.into_iter().chain(then).collect::<Vec<_>>(), stroke(GREY, 1))])?;
    }
    // Levels that are in no band, and not the median, are lines of their own.
    let drawn = |level: &usize| bands(&about.levels).iter().any(|(low, high)| low == level || high == level);
    for level in (0..about.levels.len()).filter(|level| !drawn(level) && !is_median(about.levels[*level])) {
        chart.draw_series([PathElement::new(line(level), stroke(BLUE, 1))])?;
    }
    drop(chart);
    area.present()?;
    drop(area);
    Ok(told)
}

/// Invisible marks that say what lies under the pointer.
fn tell(about: &About, track: &Track, places: &Places, at: impl Fn(&(f64, f64)) -> (i32, i32)) -> String {
    let mut marks = String::new();
    let mut mark = |point: &(f64, f64), text: &str| {
        let (x, y) = at(point);
        let text = escape(text);
        let _ = writeln!(
            marks,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"6\" fill=\"#000\" fill-opacity=\"0\"><title>{text}</title></circle>"
        );
    };
    let when = |x: f64| match (places.across, axis::time(x)) {
        ("time", Some(time)) => time.format("%Y-%m-%d %H:%M:%S").to_string(),
        _ => format!("step {x}"),
    };
    if places.history.len() <= MOST_TOLD {
        for point in places.history.iter().filter(|point| point.1.is_finite()) {
            mark(point, &format!("{}: {}", when(point.0), significant(point.1)));
        }
    }
    let middle = about.levels.len() / 2;
    for (x, (_, quantiles)) in places.steps.iter().zip(&track.ahead) {
        let mut text = when(*x);
        for (level, value) in about.levels.iter().zip(quantiles) {
            let _ = write!(text, "\n{} %: {}", percent(*level), significant(*value));
        }
        if let Some(value) = quantiles.get(middle) {
            mark(&(*x, *value), &text);
        }
    }
    marks
}

/// A value with five digits that count.
fn significant(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    #[expect(clippy::cast_possible_truncation, reason = "from -308 to 308")]
    let power = value.abs().log10().floor() as i32;
    match usize::try_from(4 - power) {
        _ if power >= 12 => format!("{value:.4e}"),
        Ok(digits) if power >= -5 => format!("{value:.digits$}"),
        Err(_) => format!("{value:.0}"),
        Ok(_) => format!("{value:.4e}"),
    }
}
