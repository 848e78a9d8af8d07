//! `unspool inspect`: what a file or a model holds.

mod counts;

use std::path::Path;

use indicatif::{HumanBytes, HumanCount};
use tokio::runtime::Builder;
use unspool_ingest::{
    Reject, Source, format,
    reads::{self, ReadOptions},
    tables,
    variants::{self, VariantOptions},
};
use unspool_model::{
    Front, Model, Options, WindowModel,
    config::{Config, Join, MixerConfig, Strands},
    device::{self, DeviceError},
};
use unspool_pipelines::state_bytes;

use self::counts::{Count, ReadCounts, SeriesCounts, VariantCounts};
use crate::{
    args::InspectArgs,
    error::{Error, Result},
    input::{self, Kind},
    print,
};

/// How many rejects are shown.
const SHOWN_REJECTS: usize = 3;

/// What is known of a file or a model, as name and value.
type Facts = Vec<(String, String)>;

/// Prints what the path holds.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn run(args: InspectArgs) -> Result<()> {
    let options = crate::model::options(args.device, None);
    let named = args.path.as_deref().filter(|path| !path.exists()).and_then(Path::to_str);
    let facts = match (named.and_then(|name| crate::model::built_in(name, options)), args.path.as_deref()) {
        (Some(model), _) => [describe(&model?)?, cards()].concat(),
        (None, Some(path)) if !path.is_dir() => file(path, &args)?,
        (None, dir) => {
            let mut facts = match (crate::model::open(dir, options), dir) {
                (Err(unspool_model::Error::ReadsWindows { .. }), Some(dir)) => {
                    windows(&WindowModel::load(dir, options)?)
                }
                (model, _) => describe(&model?)?,
            };
            facts.extend(cards());
            facts
        }
    };
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = facts.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    print(&lines.join("\n"))
}

/// What the file's header says, and what reading it to the end counts.
fn file(path: &Path, args: &InspectArgs) -> Result<Facts> {
    let mut facts = format::describe(path)?;
    match input::kind(&[path.to_owned()])? {
        Kind::Reads => {
            let columns = ["start", "last", "sequence", "flag"].map(String::from).to_vec();
            let reference = args.reference.clone();
            let options = ReadOptions { columns: Some(columns), reference, ..ReadOptions::default() };
            let source = reads::open(path, &options)?;
            facts.extend(count(source, ReadCounts::default())?);
        }
        Kind::Variants => {
            let source = variants::open(path, &VariantOptions::default())?;
            facts.extend(count(source, VariantCounts::default())?);
        }
        Kind::Series => match tables::open(&[path.to_owned()], &input::series_options(&args.columns)) {
            Ok(source) => facts.extend(count(source, SeriesCounts::default())?),
            // Any table can be looked at, whatever its columns are.
            Err(error) => facts.push(("series".into(), format!("not as it stands: {error}"))),
        },
    }
    Ok(facts)
}

/// Reads a source to its end.
fn count(mut source: impl Source, mut counts: impl Count) -> Result<Facts> {
    let runtime = Builder::new_current_thread().build();
    let runtime = runtime.map_err(|source| Error::Io { path: "the runtime".into(), source })?;
    let (mut shown, mut rejects): (Vec<Reject>, u64) = (vec![], 0);
    while let Some(batch) = runtime.block_on(source.next())? {
        counts.add(&batch.rows);
        rejects += batch.rejects.len() as u64;
        let room = SHOWN_REJECTS - shown.len();
        shown.extend(batch.rejects.into_iter().take(room));
    }
    let mut facts = counts.facts();
    facts.push(("rejects".into(), HumanCount(rejects).to_string()));
    facts.extend(shown.into_iter().map(|reject| (String::new(), format!("{}: {}", reject.place, reject.reason))));
    Ok(facts)
}

/// What a model says of itself.
fn describe(model: &Model) -> Result<Facts> {
    let (info, config) = (model.info(), &model.info().config);
    let eats = match (info.front, model.series_shape()) {
        (Front::Dna, _) => "DNA, one token a base".to_owned(),
        (Front::Series, Some(shape)) => format!("series, in patches of {} values", shape.patch),
        _ => "token ids".to_owned(),
    };
    let pooled = Options { layers: vec![config.layers], pools: true, ..Options::default() };
    let bytes = |options: &Options| state_bytes(model, options).map(|bytes| HumanBytes(bytes as u64));
    let trained = if info.trained { "yes" } else { "no: its weights are random" };
    let state = format!("{} a sequence, {} with pools", bytes(&Options::default())?, bytes(&pooled)?);
    let mut facts = vec![
        ("model", info.name.clone()),
        ("trained", trained.to_owned()),
        ("input", eats),
        ("backbone", backbone(config)),
        ("state", state),
    ];
    if let Some(shape) = model.series_shape() {
        let alignment = format!("{:?}", shape.alignment).to_lowercase();
        let context = HumanCount(shape.context as u64);
        facts.push((
            "forecasts",
            format!("{} values at once, alignment {alignment}, from the last {context}", shape.horizon),
        ));
    }
    facts.push(("digest", info.digest.to_string()));
    facts.extend([("device", crate::model::place(model)), ("route", info.route.to_string())]);
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// What a model that reads whole windows says of itself.
fn windows(model: &WindowModel) -> Facts {
    let (info, config) = (model.info(), model.config());
    let directions = match config.directions {
        Some(Join::Add) => "both ways, added",
        Some(Join::Multiply) => "both ways, multiplied",
        None => "forwards",
    };
    let strands = match config.strands {
        Strands::One => "one strand (Caduceus-Ph)",
        Strands::Both { .. } => "both strands through the same weights (Caduceus-PS)",
    };
    let most = HumanCount(WindowModel::MOST_BASES as u64);
    let facts = [
        ("model", info.name.clone()),
        ("input", format!("DNA, one token a base, in whole windows of at most {most} bases")),
        ("reads", format!("{directions}, {strands}")),
        ("backbone", format!("{}; rows of width {}", backbone(&info.config), model.width())),
        ("state", "none: it cannot stream, score or forecast; `unspool embed` runs it".into()),
        ("digest", info.digest.to_string()),
        ("device", info.device.to_string()),
        ("route", info.route.to_string()),
    ];
    facts.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The shape of a backbone.
fn backbone(config: &Config) -> String {
    let mixer = match config.mixer {
        MixerConfig::Mamba1 { d_in, n, k, .. } => format!("Mamba-1, inner width {d_in}, n {n}, k {k}"),
        MixerConfig::Mamba2 { d_in, n, k, heads, head_dim, .. } => {
            format!("Mamba-2, inner width {d_in}, n {n}, k {k}, {heads} heads of {head_dim}")
        }
    };
    format!("{} layers of width {}: {mixer}", config.layers, config.d)
}

/// The GPUs of this machine.
fn cards() -> Facts {
    let cards: Vec<String> = match device::cards() {
        Ok(cards) if cards.is_empty() => vec!["none".into()],
        Ok(cards) => cards.iter().map(ToString::to_string).collect(),
        Err(DeviceError::NotBuilt(_)) => vec!["not used: this program was built without the feature cuda".into()],
        Err(problem) => vec![problem.to_string()],
    };
    let names = ["GPUs"].into_iter().chain(std::iter::repeat(""));
    names.map(str::to_owned).zip(cards).collect()
}
