//! `unspool embed`.

use std::sync::Arc;

use unspool_model::{Front, Info, Model, Options};
use unspool_pipelines::{
    Embed, EmbedOptions, Job, Pooling,
    embed::{EmbedSpans, FeatureSpans, Reader, SpanOptions, Spans},
};

use crate::{
    args::EmbedArgs,
    error::{Error, Result},
    input::{self, Inputs, Kind},
    model,
    progress::say,
    run::{self, Plan},
};

/// Makes what was typed into a job, and runs it.
///
/// # Errors
/// When the request does not fit the inputs or the model, or the job fails.
pub(crate) fn run(args: EmbedArgs) -> Result<()> {
    if args.output.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv")) {
        return Err(Error::Usage("--output: CSV cannot hold embeddings: name a .parquet file".into()));
    }
    let kind = input::kind(&args.inputs)?;
    if kind == Kind::Series {
        of_series(&args)?;
    }
    let reader: Reader = match (&args.model, kind) {
        (None, Kind::Reads) => {
            model::ready(Model::dna(model::options(args.run.device, args.run.threads))?, &args.run).into()
        }
        (None, _) => model::load(None, &args.run)?.into(),
        (Some(dir), _) => model::reader(dir, &args.run)?,
    };
    let info = reader.info();
    fits(info, kind)?;
    if !info.trained && !args.run.quiet {
        say(&format!("note: the model {} is untrained: its embeddings mean little", info.name));
    }
    let layer = args.layer.unwrap_or(info.config.layers);
    let pool = if args.features.is_some() { "features".to_owned() } else { args.pool.to_string() };
    let said = [("command", "embed".to_owned()), ("pool", pool), ("layer", layer.to_string())];
    let metadata = run::metadata_of(info, &said);
    let inputs = match kind {
        Kind::Reads => Inputs::reads(args.inputs.clone(), &args.reads)?,
        Kind::Series | Kind::Variants => Inputs::series(&args.inputs, &args.columns)?,
    };
    let job = job(reader, &args)?;
    run::run(Plan { job, paths: args.inputs, inputs, output: Some(args.output), metadata }, &args.run)
}

/// Refuses what only reads and contigs have.
fn of_series(args: &EmbedArgs) -> Result<()> {
    let strands = args.both_strands.then_some("--both-strands");
    let features = args.features.is_some().then_some("--features");
    match strands.or(features).or(args.reads.any()) {
        None => Ok(()),
        Some(name) => Err(Error::Usage(format!("{name}: it is of reads and contigs; leave it out for series"))),
    }
}

/// The job that was asked for.
fn job(reader: Reader, args: &EmbedArgs) -> Result<Box<dyn Job>> {
    let pack_tokens = match (reader.info().front, args.pool) {
        (Front::Dna, Pooling::Token) | (Front::Series | Front::Tokens, _) => {
            model::batch_tokens_of(&args.run, reader.info())
        }
        (Front::Dna, _) => model::long_batch_tokens_of(&args.run, reader.info()),
    };
    let model = match reader {
        Reader::Carried(model) if !args.both_strands && args.features.is_none() => model,
        reader => {
            let spans = spans(&reader, args)?;
            let options = SpanOptions { spans, both_strands: args.both_strands, layer: args.layer, pack_tokens };
            return Ok(Box::new(EmbedSpans::new(reader, options)?.keeping(args.reads.kept()?)));
        }
    };
    let max_sequences = max_sequences(&model, args)?;
    let options = EmbedOptions { pooling: args.pool, layer: args.layer, pack_tokens, max_sequences };
    Ok(Box::new(Embed::new(model, options)?.keeping(args.reads.kept()?)))
}

/// The parts of records that have an embedding each, where no rows are given out as they come.
fn spans(reader: &Reader, args: &EmbedArgs) -> Result<Spans> {
    match (&args.features, args.pool) {
        (None, Pooling::Mean) => Ok(Spans::Record),
        (None, Pooling::Window(len)) => Ok(Spans::Window(len.get())),
        (None, other) => {
            let why = match reader {
                Reader::Carried(_) => "--both-strands gives means".to_owned(),
                Reader::Windows(model) => format!("{} reads whole windows and gives means", model.info().name),
            };
            Err(Error::Usage(format!("{why}: --pool mean or window:N, not {other}")))
        }
        (Some(path), Pooling::Mean) => {
            let features = FeatureSpans::read(path, &args.feature_types)?;
            let features = if args.reads.region.is_some() { features.of_a_part() } else { features };
            Ok(Spans::Features(Arc::new(features)))
        }
        (Some(_), other) => Err(Error::Usage(format!("--features gives means: --pool mean, not {other}"))),
    }
}

/// Refuses a model that eats something else than the inputs hold.
fn fits(info: &Info, kind: Kind) -> Result<()> {
    let name = &info.name;
    let problem = match (info.front, kind) {
        (Front::Dna, Kind::Reads) | (Front::Series, Kind::Series) => return Ok(()),
        (_, Kind::Variants) => "variants have scores, not embeddings: `unspool score`".into(),
        (Front::Tokens, _) => {
            format!("--model: {name} takes token ids, which no input file holds; name a DNA or series model")
        }
        (Front::Dna, Kind::Series) => {
            format!("--model: {name} takes DNA, and the input holds series; leave --model out")
        }
        (Front::Series, Kind::Reads) => {
            format!("--model: {name} takes series, and the input holds DNA; name a DNA model")
        }
    };
    Err(Error::Usage(problem))
}

fn max_sequences(model: &Model, args: &EmbedArgs) -> Result<usize> {
    if let Some(max) = args.columns.max_series {
        return Ok(max.get());
    }
    let by_row = matches!(args.pool, Pooling::Token | Pooling::Window(_));
    let layers = vec![args.layer.unwrap_or(model.info().config.layers)];
    model::max_sequences(model, &Options { layers, rows: by_row, pools: !by_row, ..Options::default() })
}
