//! A plan as people read it.

use std::fmt::Write as _;

use indicatif::HumanBytes;
use unspool_ingest::schema::TimeKind;
use unspool_model::Model;
use unspool_pipelines::batch::{BatchJob, Plan};

/// The plan, for people.
pub(super) fn describe(job: &BatchJob, model: &Model, plan: &Plan) -> String {
    let info = model.info();
    let (mut text, columns) = (String::new(), &job.columns);
    let named = |name: &Option<String>| name.clone().unwrap_or_else(|| "by convention".into());
    let values = if columns.values.is_empty() { "by convention".into() } else { columns.values.join(", ") };
    let time = match plan.time {
        Some(TimeKind::Timestamp) => " (timestamps)",
        Some(TimeKind::Step) => " (step numbers)",
        None => "",
    };
    let done = match &plan.manifest {
        None => "nothing yet".to_owned(),
        Some(manifest) => format!(
            "{} of {} files in {} units, {} series, {} parts, {} rejects",
            manifest.done,
            manifest.files.len(),
            manifest.units,
            manifest.series,
            manifest.parts.len(),
            manifest.rejected(),
        ),
    };
    let bytes: u64 = plan.files.iter().map(|(_, bytes)| bytes).sum();
    let output = job.output_url.clone().unwrap_or_else(|| job.output.display().to_string());
    let stretched = if job.stretch { ", more where many series are mixed" } else { "" };
    let lines = [
        format!("model    {} ({}), {}", info.name, &info.digest.to_string()[..12], info.route),
        format!("give     {}", serde_json::to_string(&job.give).unwrap_or_default()),
        format!("columns  id: {}; time: {}{time}; values: {values}", named(&columns.id), named(&columns.time)),
        format!("series   at most {}", job.max_series),
        format!("output   {output}, a unit each {} rows{stretched}", job.unit_rows),
        format!("done     {done}"),
        format!("to read  {} files, {}", plan.files.len(), HumanBytes(bytes)),
    ];
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    for (name, bytes) in &plan.files {
        let _ = writeln!(text, "  {name}  {}", HumanBytes(*bytes));
    }
    text
}
