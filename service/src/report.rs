//! `unspool report`: what a batch job came to, as one page that opens offline.
//!
//! ```text
//! RUN/_manifest.json, _runs.jsonl ─► counts and rates ┐
//! RUN/_rejects ─► reasons                             ├─► RUN/_report.html
//! RUN/part-*   ─► forecasts, or a map of embeddings   ┘
//! ```

mod counts;
mod map;
pub(crate) mod parts;
mod pca;
mod scores;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use unspool_pipelines::{batch::Manifest, stream::emit::Give};

use self::parts::Parts;
use crate::{
    error::{Error, Result},
    forecast::{
        gather::Gathered,
        plot::{self, STYLE, escape},
    },
    print,
    progress::say,
};

/// Where a folder has its page.
const PAGE: &str = "_report.html";
/// More of the style, for tables and lists.
pub(crate) const MORE_STYLE: &str = "h2{font-size:1.1rem;margin:2rem 0 .4rem}table{border-collapse:collapse;margin:.4rem 0}\
th{text-align:left;font-weight:600}td,th{padding:.2rem .9rem .2rem 0;vertical-align:top;border-bottom:1px solid #eef0f3}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.92em;overflow-wrap:anywhere}";

/// `unspool report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The output's folder of a batch job
    pub(crate) run: PathBuf,
    /// The page to write (default: _report.html in the folder)
    #[arg(short, long, value_name = "OUT.html")]
    pub(crate) output: Option<PathBuf>,
    /// Ids of the series to plot (default: the first 12)
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub(crate) series: Vec<String>,
    /// The column that colours the map of embeddings (default: the first one kept of the input, else the length)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) color: Option<String>,
}

/// Writes the page.
///
/// # Errors
/// When the folder holds no batch job, or a file of it cannot be read.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let none = || {
        let problem = format!("{} holds no batch job's output: there is no _manifest.json", args.run.display());
        Error::Usage(problem)
    };
    let manifest = Manifest::read(&args.run)?.ok_or_else(none)?;
    let give: Give = manifest
        .identity
        .get("give")
        .and_then(|give| serde_json::from_str(give).ok())
        .ok_or_else(|| Error::Usage(format!("{}: its manifest does not say what it gives", args.run.display())))?;
    let parts = Parts { dir: &args.run, manifest: &manifest };
    let mut html = head(&args.run, &manifest, &give);
    html += &counts::counts(&args.run, &manifest);
    html += &counts::rejects(&parts)?;
    html += &match give {
        Give::Forecast { horizon } => forecasts(&parts, horizon, args)?,
        Give::Embedding { .. } => map::section(&parts, args.color.as_deref())?,
        Give::Scores => scores::section(&parts)?,
    };
    html += "</body>\n</html>\n";
    let page = args.output.clone().unwrap_or_else(|| args.run.join(PAGE));
    let io = |source| Error::Io { path: page.clone(), source };
    // Whole under its name, or not at all.
    let part = page.with_added_extension(format!("{}.part", std::process::id()));
    fs::write(&part, html).map_err(io)?;
    fs::rename(&part, &page).map_err(io)?;
    print(&page.display().to_string())
}

fn head(dir: &Path, manifest: &Manifest, give: &Give) -> String {
    let what = match give {
        Give::Scores => "Anomaly scores".to_owned(),
        Give::Forecast { horizon } => format!("Forecasts of {horizon} values"),
        Give::Embedding { .. } => "Embeddings".to_owned(),
    };
    let state = if manifest.complete { "finished" } else { "not finished: start the job again" };
    let of = |key: &str| manifest.identity.get(key).map_or("", String::as_str);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{what}</title>\n<style>{STYLE}{MORE_STYLE}</style>\n</head>\n<body>\n<h1>{what}</h1>\n"
    );
    let lines = [format!("{} ({state})", dir.display()), format!("by {} on route {}", of("model"), of("route"))];
    for line in lines {
        let _ = writeln!(html, "<p><code>{}</code></p>", escape(&line));
    }
    html
}

/// A few forecasts behind their histories, which are read from the inputs.
fn forecasts(parts: &Parts<'_>, horizon: usize, args: &ReportArgs) -> Result<String> {
    let mut gathered = Gathered::new(args.series.clone(), horizon);
    let ids = if args.series.is_empty() { parts.first_ids(gathered.most())? } else { args.series.clone() };
    gathered.choose(ids);
    let mut note = String::new();
    match parts.inputs() {
        Some(inputs) => inputs.each(&mut |rows| Ok(gathered.take_history(rows)?))?,
        None => note = "<p>The inputs are not where the job read them: forecasts without their histories.</p>\n".into(),
    }
    parts.each(&mut |rows| Ok(gathered.take_forecasts(rows)?))?;
    gathered.keep_newest(horizon);
    let missing: Vec<&str> =
        gathered.tracks.iter().filter(|track| track.ahead.is_empty()).map(|track| track.id.as_str()).collect();
    if !missing.is_empty() && !args.series.is_empty() {
        say(&format!("--series: the output has no series {}", missing.join(", ")));
    }
    let about = plot::About { lines: vec![], levels: parts.levels()?, time: parts.manifest.time };
    Ok(format!("<h2>A few forecasts</h2>\n{note}{}", plot::figures(&about, &gathered.tracks)))
}
