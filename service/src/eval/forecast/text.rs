//! The report for people.

use std::fmt::Write as _;

use unspool_model::Model;
use unspool_pipelines::eval::{
    History, Score, Scored, benchmark, geometric_mean, published,
    validation::{self, Kind},
};

use super::Report;

/// The lines above the tables.
pub(super) fn head(model: &Model, history: History) -> String {
    let info = model.info();
    let history = match history {
        History::All => "all of each history".to_owned(),
        History::Last(most) => format!("the last {most} values of each history"),
    };
    format!(
        "unspool {}: {} ({}) on {}, route {}; {history}",
        env!("CARGO_PKG_VERSION"),
        info.name,
        &info.digest.to_string()[..12],
        info.device,
        info.route
    )
}

/// The columns of a table of sets or views.
fn columns(what: &str) -> String {
    format!(
        "\n{what:40} {:>5} {:>4} {:>4} {:>9} {:>7} {:>9} {:>7} {:>6} {:>6} {:>6}\n",
        "count", "h", "m", "naive", "WQL", "MASE", "WQL", "MASE", "WQL", "s"
    ) + &format!("{:40} {:>5} {:>4} {:>4} {:>17} {:>17} {:>13}\n", "", "", "", "", "MASE", "model", "ratio")
}

fn row(scored: &Scored) -> String {
    let Scored { name, forecasts, horizon, season, naive, model, seconds } = scored;
    let ratio = scored.ratio();
    format!(
        "{name:40} {forecasts:>5} {horizon:>4} {season:>4} {:>9.4} {:>7.4} {:>9.4} {:>7.4} {:>6.3} {:>6.3} {seconds:>6.1}\n",
        naive.mase, naive.wql, model.mase, model.wql, ratio.mase, ratio.wql
    )
}

fn mean_row(name: &str, count: usize, mean: Score) -> String {
    format!("{name:40} {count:>5} {:44} {:>6.3} {:>6.3}\n", "", mean.mase, mean.wql)
}

/// The benchmark's tables.
pub(super) fn benchmark(scored: &[Scored]) -> String {
    let mut text = columns("set");
    scored.iter().for_each(|set| text += &row(set));
    text += "geometric means of the ratios\n";
    for (name, sets) in sets() {
        text += &mean_row(&format!("  {name}"), sets.len(), benchmark::mean_ratio(scored, sets));
    }
    text += &peers(scored);
    text
}

fn sets() -> [(&'static str, &'static [&'static str]); 3] {
    static ALL: std::sync::LazyLock<[&str; 10]> = std::sync::LazyLock::new(benchmark::names);
    [
        ("7 sets (the first seven)", &benchmark::SEVEN),
        ("5 sets (m4, births, hospital, covid)", &benchmark::FIVE),
        ("all ten", &*ALL),
    ]
}

/// Ratios of MASE beside those of published models.
fn peers(scored: &[Scored]) -> String {
    let short =
        |name: &str| name.replace("_monthly", "").replace("_rate", "").replace("_daily", "").replace("_deaths", "");
    let mut text = format!("\n{:26}", "beside published models");
    for name in benchmark::names() {
        let _ = write!(text, " {:>9}", short(name));
    }
    let _ = writeln!(
        text,
        " {:>7} {:>6} {:>7}\n{:26} {:100}{:>7} {:>6} {:>7}",
        "7 sets", "", "5 sets", "ratios of MASE to naive", "", "MASE", "WQL", "MASE"
    );
    let (seven, five) =
        (benchmark::mean_ratio(scored, &benchmark::SEVEN), benchmark::mean_ratio(scored, &benchmark::FIVE));
    let ours = |name: &str| scored.iter().find(|set| set.name == name).map(|set| set.ratio().mase);
    text += &peer("this model", ours, [Some(seven.mase), Some(seven.wql), Some(five.mase)]);
    for model in &published::CHRONOS {
        let ratios = model.ratios();
        let means = [Some(geometric_mean(ratios.map(|r| r.mase))), Some(geometric_mean(ratios.map(|r| r.wql))), None];
        let of = |name: &str| benchmark::SEVEN.iter().position(|set| *set == name).map(|i| ratios[i].mase);
        text += &peer(model.name, of, means);
    }
    text += "GIFT-Eval's table\n";
    for model in &published::GIFT_EVAL {
        let ratios = model.ratios();
        let of = |name: &str| benchmark::FIVE.iter().position(|set| *set == name).map(|i| ratios[i]);
        text += &peer(model.name, of, [None, None, Some(geometric_mean(ratios))]);
    }
    text += "Published: github amazon-science/chronos-forecasting, scripts/evaluation/results; github SalesforceAIResearch/gift-eval, \
             results (Chronos-Bolt and -T5 were trained on some of these sets, as it says).";
    text
}

fn peer(name: &str, of: impl Fn(&str) -> Option<f64>, means: [Option<f64>; 3]) -> String {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
    let mut text = format!("{name:26}");
    for set in benchmark::names() {
        let _ = write!(text, " {:>9}", number(of(set)));
    }
    let [mase, wql, five] = means.map(number);
    let _ = writeln!(text, " {mase:>7} {wql:>6} {five:>7}");
    text
}

/// The validation's tables.
pub(super) fn validation(report: &Report) -> String {
    let mut text = String::new();
    for (kind, title) in [
        (Kind::Whole, "series as they are"),
        (Kind::ShortOrLow, "short, or of low frequency"),
        (Kind::Generated, "generated, of an unseen seed"),
    ] {
        text += &columns(title);
        report.validation.iter().filter(|(of, _)| *of == kind).for_each(|(_, view)| text += &row(view));
    }
    text += "geometric means of the ratios\n";
    for (name, kinds) in kinds() {
        let (count, mean) = validation::mean_ratio(&report.validation, kinds);
        text += &mean_row(&format!("  {name}"), count, mean);
    }
    let seconds: f64 = report.validation.iter().map(|(_, view)| view.seconds).sum();
    let _ = write!(text, "{seconds:.1} s of forecasting");
    text + &endless(report)
}

pub(super) fn kinds() -> [(&'static str, &'static [Kind]); 4] {
    [
        ("generated", &[Kind::Generated]),
        ("series as they are", &[Kind::Whole]),
        ("short, or of low frequency", &[Kind::ShortOrLow]),
        ("all real series", &[Kind::Whole, Kind::ShortOrLow]),
    ]
}

fn endless(report: &Report) -> String {
    let Some(bands) = &report.endless else {
        return "\n\nsessions: this model encodes its last values anew for each forecast; a session is a fresh window"
            .into();
    };
    let mut text = format!(
        "\n\n{:40} {:>5} {:>9} {:>7} {:>9} {:>7} {:>6} {:>6}  95 % of MASE's\n",
        "sessions against fresh windows of 4,096", "count", "MASE", "WQL", "MASE", "WQL", "MASE", "WQL"
    );
    let _ = writeln!(
        text,
        "{:40} {:>5} {:>17} {:>17} {:>13}",
        "values that the session was fed", "", "fresh", "session", "ratio"
    );
    for band in bands {
        let (from, to) = band.positions;
        let name = if to == usize::MAX { format!("more than {from}") } else { format!("{} to {to}", from + 1) };
        let (fresh, session, ratio) = (band.fresh, band.session, band.ratio());
        let _ = writeln!(
            text,
            "{name:40} {:>5} {:>9.4} {:>7.4} {:>9.4} {:>7.4} {:>6.3} {:>6.3}  {:.3} to {:.3}",
            band.forecasts,
            fresh.mase,
            fresh.wql,
            session.mase,
            session.wql,
            ratio.mase,
            ratio.wql,
            band.interval.0,
            band.interval.1
        );
    }
    text.truncate(text.trim_end().len());
    text
}
