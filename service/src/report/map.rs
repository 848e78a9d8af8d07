//! A map of embeddings: two principal components, coloured by a column.

use std::{collections::BTreeMap, fmt::Write as _};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{Float32Type, UInt64Type},
};

use super::{parts::Parts, pca};
use crate::{
    error::{Error, Result},
    forecast::plot::escape,
};

/// Points of a map, at most: evenly chosen among all.
const MOST_POINTS: usize = 4000;
/// Colours of a column's values; what is left is grey.
const COLOURS: [&str; 8] = ["#1554a3", "#d9722b", "#2b8a4b", "#b3367f", "#7a5cc0", "#1b98a8", "#a88b16", "#8a5a44"];
const GREY: &str = "#9aa1aa";
/// Width, height and margin, in pixels.
const SIZE: (f64, f64, f64) = (1000.0, 620.0, 48.0);

/// A point.
struct Point {
    embedding: Vec<f64>,
    id: String,
    /// What colours it.
    label: String,
}

/// The section of the page.
pub(super) fn section(parts: &Parts<'_>, color: Option<&str>) -> Result<String> {
    let Some(schema) = parts.schema()? else { return Ok("<h2>Embeddings</h2>\n<p>There are none.</p>\n".into()) };
    // The columns of `unspool embed`; what comes behind was kept of the input.
    let kept = schema.fields().iter().skip_while(|field| field.name() != "model").nth(1);
    let column = color.unwrap_or_else(|| kept.map_or("length", |field| field.name().as_str()));
    if schema.column_with_name(column).is_none() {
        let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let problem = format!("--color: there is no column '{column}'; the columns are: {}", there.join(", "));
        return Err(Error::Usage(problem));
    }
    let points = points(parts, column)?;
    let (placed, shares) = pca::project(&points.iter().map(|point| point.embedding.clone()).collect::<Vec<_>>());
    let colours = colours(&points);
    let mut html = String::from("<h2>Map of the embeddings</h2>\n");
    let _ = writeln!(
        html,
        "<p>{} embeddings in the plane of their two principal components ({:.0} % and {:.0} % of the variance), coloured by {}.</p>",
        points.len(),
        shares[0] * 100.0,
        shares[1] * 100.0,
        escape(column)
    );
    html += &legend(&points, &colours);
    Ok(html + &svg(&points, &placed, &colours))
}

fn points(parts: &Parts<'_>, column: &str) -> Result<Vec<Point>> {
    let all: u64 = parts.manifest.parts.iter().map(|part| part.rows).sum();
    let step = usize::try_from(all).unwrap_or(usize::MAX).div_ceil(MOST_POINTS).max(1);
    let (mut points, mut row) = (vec![], 0_usize);
    parts.each(&mut |rows: &RecordBatch| {
        let wrong = || Error::Usage("the output's columns are not those of embeddings".into());
        let ids = rows.column_by_name("id").and_then(|ids| ids.as_string_opt::<i32>()).ok_or_else(wrong)?;
        let embeddings = rows.column_by_name("embedding").and_then(|e| e.as_fixed_size_list_opt()).ok_or_else(wrong)?;
        let labels = rows.column_by_name(column).ok_or_else(wrong)?;
        for at in (0..rows.num_rows()).filter(|at| (row + at).is_multiple_of(step)) {
            let values = embeddings.value(at);
            let values = values.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?;
            points.push(Point {
                embedding: values.values().iter().map(|value| f64::from(*value)).collect(),
                id: if ids.is_valid(at) { ids.value(at).to_owned() } else { "(no name)".into() },
                label: label(labels, at),
            });
        }
        row += rows.num_rows();
        Ok(())
    })?;
    Ok(points)
}

/// A value as a label; lengths by their order of magnitude.
fn label(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "(none)".into();
    }
    if let Some(numbers) = column.as_primitive_opt::<UInt64Type>() {
        let from = 10_u64.saturating_pow(numbers.value(row).max(1).ilog10());
        return format!("{from} to {}", from.saturating_mul(10) - 1);
    }
    arrow::util::display::array_value_to_string(column, row).unwrap_or_default()
}

/// A colour for each of the most frequent labels.
fn colours(points: &[Point]) -> BTreeMap<String, (&'static str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    points.iter().for_each(|point| *counts.entry(point.label.as_str()).or_default() += 1);
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let coloured = counts.into_iter().zip(COLOURS);
    coloured.map(|((label, count), colour)| (label.to_owned(), (colour, count))).collect()
}

fn colour(colours: &BTreeMap<String, (&'static str, usize)>, label: &str) -> &'static str {
    colours.get(label).map_or(GREY, |(colour, _)| colour)
}

fn legend(points: &[Point], colours: &BTreeMap<String, (&'static str, usize)>) -> String {
    let item = |colour: &str, text: &str| {
        format!("<li><span style=\"width:.75rem;border-radius:50%;background:{colour}\"></span>{}</li>\n", escape(text))
    };
    let named = colours.iter().map(|(label, (colour, count))| item(colour, &format!("{label} ({count})")));
    let mut html = format!("<ul>\n{}", named.collect::<String>());
    let others = points.len() - colours.values().map(|(_, count)| count).sum::<usize>();
    if others > 0 {
        html += &item(GREY, &format!("others ({others})"));
    }
    html + "</ul>\n"
}

/// Points with their names under the pointer; both axes have one scale, so that distances can be compared.
fn svg(points: &[Point], placed: &[(f64, f64)], colours: &BTreeMap<String, (&'static str, usize)>) -> String {
    let (width, height, margin) = SIZE;
    let bounds = |of: &dyn Fn(&(f64, f64)) -> f64| {
        placed.iter().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let ((left, right), (low, high)) = (bounds(&|p| p.0), bounds(&|p| p.1));
    let scale =
        ((width - 2.0 * margin) / (right - left).max(1e-12)).min((height - 2.0 * margin) / (high - low).max(1e-12));
    let (middle_x, middle_y) = (f64::midpoint(left, right), f64::midpoint(low, high));
    let mut svg =
        format!("<figure>\n<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"map of the embeddings\">\n");
    let _ = writeln!(
        svg,
        "<rect x=\"1\" y=\"1\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#e4e7eb\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"13\" fill=\"#464c54\">first component</text>\n\
         <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\" font-size=\"13\" fill=\"#464c54\">second component</text>",
        width - 2.0,
        height - 2.0,
        width / 2.0,
        height - 14.0,
        height / 2.0,
    );
    let radius = if points.len() > 500 { 3.0 } else { 4.5 };
    for (point, (x, y)) in points.iter().zip(placed) {
        let (x, y) = (width / 2.0 + (x - middle_x) * scale, height / 2.0 - (y - middle_y) * scale);
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\" fill-opacity=\".75\"><title>{} ({})</title></circle>",
            colour(colours, &point.label),
            escape(&point.id),
            escape(&point.label)
        );
    }
    svg + "</svg>\n</figure>\n"
}
