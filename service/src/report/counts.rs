//! Counts, rates, and rejects by their reasons.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use arrow::array::AsArray;
use indicatif::{HumanBytes, HumanCount};
use unspool_pipelines::batch::{Manifest, RunEntry};

use super::parts::Parts;
use crate::{error::Result, forecast::plot::escape};

/// Reasons that are shown.
const MOST_REASONS: usize = 20;

/// What was read and written, and how fast.
pub(super) fn counts(dir: &Path, manifest: &Manifest) -> String {
    let bytes = manifest.files[..manifest.done].iter().map(|file| file.bytes).sum();
    let rows: u64 = manifest.parts.iter().map(|part| part.rows).sum();
    let of = |n: usize| HumanCount(n as u64).to_string();
    let lines = [
        ("files read", format!("{} of {}, {}", of(manifest.done), of(manifest.files.len()), HumanBytes(bytes))),
        ("series", HumanCount(manifest.series).to_string()),
        ("rows given", format!("{} in {} files", HumanCount(rows), of(manifest.parts.len()))),
        ("rejected", HumanCount(manifest.rejected()).to_string()),
        ("units", HumanCount(manifest.units).to_string()),
    ];
    let mut html = String::from("<h2>Counts</h2>\n<table>\n");
    for (name, value) in lines {
        let _ = writeln!(html, "<tr><td>{name}</td><td class=\"n\">{value}</td></tr>");
    }
    html += "</table>\n";
    let runs = RunEntry::all(dir);
    if runs.is_empty() {
        return html;
    }
    html += "<h2>Runs</h2>\n<table>\n<tr><th>began</th><th class=\"n\">rows read</th><th class=\"n\">values encoded</th>\
             <th class=\"n\">seconds</th><th class=\"n\">values/s</th><th>where</th></tr>\n";
    for run in runs {
        let rate = run.events as f64 / run.seconds.max(1e-3);
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            escape(&run.began),
            HumanCount(run.rows_read),
            HumanCount(run.events),
            run.seconds,
            HumanCount(rate.round() as u64),
            escape(&run.place),
        );
    }
    html + "</table>\n"
}

/// Rejects by what is wrong with them.
pub(super) fn rejects(parts: &Parts<'_>) -> Result<String> {
    let mut reasons: BTreeMap<String, (u64, String)> = BTreeMap::new();
    parts.rejects(&mut |rows| {
        let (places, texts) = (rows["place"].as_string::<i32>(), rows["reason"].as_string::<i32>());
        for (place, text) in places.iter().zip(texts.iter()) {
            let text = text.unwrap_or_default();
            let example = || format!("{}: {text}", place.unwrap_or_default());
            reasons.entry(kind(text)).or_insert_with(|| (0, example())).0 += 1;
        }
        Ok(())
    })?;
    if reasons.is_empty() {
        return Ok("<h2>Rejects</h2>\n<p>None.</p>\n".into());
    }
    let mut reasons: Vec<(String, (u64, String))> = reasons.into_iter().collect();
    reasons.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    let mut html = String::from(
        "<h2>Rejects by reason</h2>\n<table>\n<tr><th class=\"n\">rows</th><th>reason</th><th>such as</th></tr>\n",
    );
    let more = reasons.len().saturating_sub(MOST_REASONS);
    for (reason, (count, example)) in reasons.into_iter().take(MOST_REASONS) {
        let count = HumanCount(count);
        let (reason, example) = (escape(&reason), escape(&example));
        let _ = writeln!(html, "<tr><td class=\"n\">{count}</td><td>{reason}</td><td><code>{example}</code></td></tr>");
    }
    html += "</table>\n";
    if more > 0 {
        let _ = writeln!(html, "<p>and {more} more reasons.</p>");
    }
    Ok(html)
}

/// A reason without what is particular to a row: names in quotes and numbers.
fn kind(reason: &str) -> String {
    let (mut kind, mut quoted) = (String::new(), false);
    for letter in reason.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                kind.push_str(if quoted { "'…" } else { "'" });
            }
            _ if quoted => (),
            digit if digit.is_ascii_digit() => {
                if !kind.ends_with('#') {
                    kind.push('#');
                }
            }
            // The clock of a time, and what stands behind a point.
            '-' | ':' | '.' if kind.ends_with('#') => (),
            letter => kind.push(letter),
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_without_its_particulars() {
        let check = |reason: &str, expected: &str| assert_eq!(kind(reason), expected);
        check("late: step 18 (series 'b' is already at step 19)", "late: step # (series '…' is already at step #)");
        check("a second row at 2014-07-01 00:30:00.5 (series 'x 1')", "a second row at # # (series '…')");
        check("the id is missing", "the id is missing");
        check("column 'v': '1e999' is not finite", "column '…': '…' is not finite");
    }
}
