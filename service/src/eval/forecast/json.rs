//! The report for programs.

use serde_json::{Map, Value, json};
use unspool_model::Model;
use unspool_pipelines::eval::{
    History, Score, Scored, benchmark,
    endless::Band,
    validation::{self, Kind},
};

use super::{Report, text};

/// All figures.
pub(super) fn report(model: &Model, history: History, report: &Report) -> Value {
    let info = model.info();
    json!({
        "unspool": env!("CARGO_PKG_VERSION"),
        "model": {"name": info.name, "digest": info.digest.to_string(), "route": info.route.to_string()},
        "history": match history {
            History::All => Value::from("all"),
            History::Last(most) => most.into(),
        },
        "benchmark": (!report.benchmark.is_empty()).then(|| benchmark_figures(&report.benchmark)),
        "validation": (!report.validation.is_empty()).then(|| validation_figures(report)),
    })
}

fn benchmark_figures(scored: &[Scored]) -> Value {
    let mean = |sets: &[&str]| score(benchmark::mean_ratio(scored, sets));
    json!({
        "sets": scored.iter().map(|set| figures(set, None)).collect::<Vec<_>>(),
        "mean_ratio_7": mean(&benchmark::SEVEN),
        "mean_ratio_5": mean(&benchmark::FIVE),
        "mean_ratio_10": mean(&benchmark::names()),
    })
}

fn validation_figures(report: &Report) -> Value {
    let means: Map<String, Value> = (text::kinds().into_iter())
        .map(|(name, kinds)| (name.to_owned(), score(validation::mean_ratio(&report.validation, kinds).1)))
        .collect();
    json!({
        "views": report.validation.iter().map(|(kind, view)| figures(view, Some(*kind))).collect::<Vec<_>>(),
        "mean_ratio": means,
        "endless": report.endless.as_ref().map(|bands| bands.iter().map(band).collect::<Vec<_>>()),
    })
}

fn figures(scored: &Scored, kind: Option<Kind>) -> Value {
    json!({
        "name": scored.name,
        "kind": kind.map(|kind| match kind {
            Kind::Whole => "whole",
            Kind::ShortOrLow => "short or low",
            Kind::Generated => "generated",
        }),
        "forecasts": scored.forecasts,
        "horizon": scored.horizon,
        "season": scored.season,
        "naive": score(scored.naive),
        "model": score(scored.model),
        "ratio": score(scored.ratio()),
        "seconds": scored.seconds,
    })
}

fn band(band: &Band) -> Value {
    json!({
        "positions_after": band.positions.0,
        "positions_to": (band.positions.1 != usize::MAX).then_some(band.positions.1),
        "forecasts": band.forecasts,
        "session": score(band.session),
        "fresh": score(band.fresh),
        "ratio": score(band.ratio()),
        "mase_ratio_95": [band.interval.0, band.interval.1],
    })
}

fn score(Score { mase, wql }: Score) -> Value {
    json!({"mase": mase, "wql": wql})
}
