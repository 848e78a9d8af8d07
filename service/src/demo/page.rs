//! The page that the demonstration leaves behind: one HTML file that opens offline.

use std::fmt::Write as _;

use chrono::DateTime;
use unspool_ingest::schema::TimeKind;

use super::{
    HORIZON,
    chart::{self, Sample},
    given::Scored,
    lake::{Nightly, Variant},
    recent::UNLIKELY,
    rides::{DAY, Rides},
};
use crate::{
    forecast::{
        gather::Track,
        plot::{self, STYLE, escape},
    },
    report::MORE_STYLE,
};

/// Series whose forecasts are shown.
const PLOTTED: usize = 3;
/// Days of history before a forecast.
const DAYS_BEFORE: usize = 5;
/// Unlikely values that are listed.
const LISTED: usize = 10;

/// All that the page tells.
pub(super) struct Told<'a> {
    /// What ran: the part, the command, what came of it.
    pub(super) parts: Vec<[String; 3]>,
    /// What was compared.
    pub(super) verified: &'a [String],
    /// How far all was in time.
    pub(super) samples: &'a [Sample],
    /// When the worker was killed, in s.
    pub(super) killed: Option<f64>,
    /// The rides.
    pub(super) rides: &'a Rides,
    /// What the batch jobs gave, which is what all gave.
    pub(super) nightly: Nightly,
    /// Scores of variants.
    pub(super) variants: Vec<Variant>,
    /// What to type next, and why.
    pub(super) next: &'a [(String, &'static str)],
}

/// The page.
pub(super) fn page(told: &Told<'_>) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Unspool: a minute of it</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n<h1>Unspool: a minute of it</h1>\n"
    );
    let (model, route) = (&told.nightly.model, &told.nightly.route);
    let lines = [
        format!("unspool {}, all of it on this machine", env!("CARGO_PKG_VERSION")),
        format!("series by {model} on route {route}; variants by dna-1"),
    ];
    for line in lines {
        let _ = writeln!(html, "<p><code>{}</code></p>", escape(&line));
    }
    html += &parts(told);
    html += &verified(told);
    html += &forecasts(told);
    html += &anomalies(told);
    html += &variants(&told.variants);
    html += "<h2>What to try next</h2>\n<table>\n";
    for (command, why) in told.next {
        let _ = writeln!(html, "<tr><td><code>{}</code></td><td>{}</td></tr>", escape(command), escape(why));
    }
    html + "</table>\n</body>\n</html>\n"
}

fn parts(told: &Told<'_>) -> String {
    let zones = told.rides.zones.len();
    let days = told.rides.events() / zones / DAY;
    let mut html = format!(
        "<h2>What ran</h2>\n<p>Taxi passengers in New York, every half hour: {zones} stretches of {days} days of one real history, each as a series of its \
         own, went in by three ways at once.</p>\n<table>\n"
    );
    for [part, command, came] in &told.parts {
        let (part, command, came) = (escape(part), escape(command), escape(came));
        let _ = writeln!(
            html,
            "<tr><td style=\"white-space:nowrap\">{part}</td><td><code>{command}</code></td><td>{came}</td></tr>"
        );
    }
    html + "</table>\n"
}

fn verified(told: &Told<'_>) -> String {
    let mut html = String::from("<h2>What was verified</h2>\n<ul style=\"display:block\">\n");
    for line in told.verified {
        let _ = writeln!(html, "<li>✓ {}</li>", escape(line));
    }
    html += "</ul>\n<figure>\n<figcaption>Events played (grey), and scored exactly once (blue)</figcaption>\n";
    html + &chart::progress(told.samples, told.killed) + "</figure>\n"
}

fn forecasts(told: &Told<'_>) -> String {
    let zones = &told.rides.zones;
    // Far from one another.
    let chosen = (0..PLOTTED).filter_map(|n| zones.get(n * (zones.len() - 1) / (PLOTTED - 1)));
    let micros = |row: &(i64, f64)| (row.0 * 1_000_000, row.1);
    let track = |zone: &super::rides::Zone| {
        let ahead = told.nightly.tracks.iter().find(|track| track.id == zone.id).map(|track| track.ahead.clone());
        let history = zone.rows[zone.rows.len().saturating_sub(DAYS_BEFORE * DAY)..].iter().map(micros).collect();
        let then = zone.then.iter().map(micros).collect();
        Track { id: zone.id.clone(), history, ahead: ahead.unwrap_or_default(), then }
    };
    let tracks: Vec<Track> = chosen.map(track).collect();
    let about = plot::About { lines: vec![], levels: told.nightly.levels.clone(), time: TimeKind::Timestamp };
    format!(
        "<h2>Forecasts of the next {HORIZON} values</h2>\n<p>The grey line goes on behind the last value with what came then, which \
         no model was shown.</p>\n{}",
        plot::figures(&about, &tracks)
    )
}

fn anomalies(told: &Told<'_>) -> String {
    let all = told.nightly.given.scores.iter();
    let mut all: Vec<(&str, Scored)> =
        all.flat_map(|(id, scores)| scores.iter().map(move |scored| (id.as_str(), *scored))).collect();
    all.retain(|(_, scored)| !scored.p_value.is_nan());
    all.sort_by(|a, b| a.1.p_value.total_cmp(&b.1.p_value));
    let mut html = String::from("<h2>Unlikely values</h2>\n");
    if let Some((id, scores)) = all.first().and_then(|(id, _)| told.nightly.given.scores.get_key_value(*id)) {
        let svg = chart::unlikely(scores, UNLIKELY);
        let _ = writeln!(
            html,
            "<figure>\n<figcaption>{}: values with p below {UNLIKELY} in red</figcaption>\n{svg}</figure>",
            escape(id)
        );
    }
    html +=
        "<table>\n<tr><th>series</th><th>time</th><th class=\"n\">passengers</th><th class=\"n\">p-value</th></tr>\n";
    for (id, scored) in all.iter().take(LISTED) {
        let time = DateTime::from_timestamp_micros(scored.time).unwrap_or_default().format("%Y-%m-%d %H:%M");
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{time}</td><td class=\"n\">{}</td><td class=\"n\">{:.1e}</td></tr>",
            escape(id),
            scored.value,
            scored.p_value
        );
    }
    html + "</table>\n"
}

fn variants(variants: &[Variant]) -> String {
    let mut sorted: Vec<&Variant> = variants.iter().collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let mut html = String::from(
        "<h2>Variants of phage lambda</h2>\n<p>ln p(alternative) - ln p(reference) over the bases from the variant on, mean of both strands: \
         below 0 where the model finds the change less likely than what is there. The variants are made up.</p>\n<table>\n\
         <tr><th class=\"n\">position</th><th>change</th><th class=\"n\">score</th><th class=\"n\">bases compared</th></tr>\n",
    );
    for variant in sorted.iter().take(LISTED) {
        let Variant { position, change, score, window } = variant;
        let change = escape(change);
        let _ = writeln!(
            html,
            "<tr><td class=\"n\">{position}</td><td>{change}</td><td class=\"n\">{score:.3}</td><td class=\"n\">{window}</td></tr>"
        );
    }
    if sorted.len() > LISTED {
        let _ =
            writeln!(html, "<tr><td colspan=\"4\">and {} more in variants.parquet</td></tr>", sorted.len() - LISTED);
    }
    html + "</table>\n"
}
