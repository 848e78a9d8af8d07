//! The most unusual values of a job that gave scores.

use std::fmt::Write as _;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::Float64Type,
    util::display::array_value_to_string,
};

use super::parts::Parts;
use crate::{error::Result, forecast::plot::escape};

/// Rows that are shown.
const MOST: usize = 25;
/// Bounds of p-values that are counted.
const BOUNDS: [f64; 5] = [1e-6, 1e-4, 0.001, 0.01, 0.05];

/// A value that stands out.
struct Unusual {
    p_value: f64,
    id: String,
    time: String,
    value: f64,
}

/// The section of the page.
pub(super) fn section(parts: &Parts<'_>) -> Result<String> {
    let (mut unusual, mut counts, mut scored) = (vec![], [0_u64; BOUNDS.len()], 0_u64);
    parts.each(&mut |rows: &RecordBatch| {
        let (ids, p_values) = (rows["id"].as_string::<i32>(), rows["p_value"].as_primitive::<Float64Type>());
        let values = rows["value"].as_primitive::<Float64Type>();
        for row in (0..rows.num_rows()).filter(|row| p_values.is_valid(*row)) {
            let p_value = p_values.value(row);
            scored += 1;
            counts.iter_mut().zip(BOUNDS).filter(|(_, bound)| p_value < *bound).for_each(|(count, _)| *count += 1);
            let enters = unusual.len() < MOST || unusual.last().is_some_and(|last: &Unusual| p_value < last.p_value);
            if enters {
                let time = array_value_to_string(&rows["time"], row).unwrap_or_default();
                let at = unusual.partition_point(|other: &Unusual| other.p_value <= p_value);
                let id = ids.value(row).to_owned();
                unusual.insert(at, Unusual { p_value, id, time, value: values.value(row) });
                unusual.truncate(MOST);
            }
        }
        Ok(())
    })?;
    let mut html = String::from(
        "<h2>How unusual the values are</h2>\n<table>\n<tr><th>p-value below</th><th class=\"n\">values</th><th class=\"n\">share</th></tr>\n",
    );
    for (bound, count) in BOUNDS.iter().zip(counts) {
        let share = count as f64 / (scored as f64).max(1.0) * 100.0;
        let _ =
            writeln!(html, "<tr><td>{bound}</td><td class=\"n\">{count}</td><td class=\"n\">{share:.3} %</td></tr>");
    }
    html += "</table>\n<h2>The most unusual ones</h2>\n<table>\n<tr><th>series</th><th>time</th><th class=\"n\">value</th><th class=\"n\">p-value</th></tr>\n";
    for Unusual { p_value, id, time, value } in unusual {
        let (id, time) = (escape(&id), escape(&time));
        let _ = writeln!(
            html,
            "<tr><td>{id}</td><td>{time}</td><td class=\"n\">{value}</td><td class=\"n\">{p_value:.2e}</td></tr>"
        );
    }
    Ok(html + "</table>\n")
}
