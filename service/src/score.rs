//! `unspool score`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use unspool_ingest::{
    Reference,
    objects::is_url,
    reads::{self, ReadOptions},
    variants::{self, VariantOptions},
};
use unspool_model::{Front, Model};
use unspool_pipelines::score::{ScoreOptions, Scores, track::Track};

use crate::{
    args::ScoreArgs,
    error::{Error, Result},
    input::{Inputs, READ_COLUMNS},
    model,
    progress::say,
    run::{self, Plan},
};

/// What `unspool score --help` says after the options.
pub(crate) const HELP: &str = "Examples:
  unspool score variants.vcf.gz --reference genome.fa --output scores.parquet
  unspool score variants.bcf --reference genome.fa.gz --output scores.vcf
  unspool score chr1 --reference genome.fa --track bits --output chr1.bedgraph
  unspool score genome.fa --track bits --output genome.parquet

A score is ln p(alternative) - ln p(reference) over the 256 bases from the variant on, given up to 8,192 bases before it,
on each strand in its own direction and averaged: below 0 where the model finds the alternative less likely. One row an
alternative: contig, position (0-based), id, reference, alternative, quality, filter, score, score_forward,
score_reverse, window_* (bases compared) and context_* (bases read before them).
What cannot be scored (a REF that is not the reference's, <DEL>, *) is written to OUT.rejects.parquet with its reason.";

/// Makes what was typed into a job, and runs it.
///
/// # Errors
/// When the request does not fit the inputs or the model, or the job fails.
pub(crate) fn run(args: ScoreArgs) -> Result<()> {
    check_output(&args)?;
    let plan = if args.track.is_some() { track(&args)? } else { scores(&args)? };
    run::run(plan, &args.run)
}

/// The bits of each base of a contig.
fn track(args: &ScoreArgs) -> Result<Plan> {
    let (path, region) = track_input(args)?;
    let columns = Some(READ_COLUMNS.map(String::from).to_vec());
    let source = reads::open(&path, &ReadOptions { columns, region, ..ReadOptions::default() })?;
    let (model, options) = load(args)?;
    let said = [("command", "score".to_owned()), ("track", "bits".to_owned())];
    let metadata = run::metadata(&model, &said);
    let job = Box::new(Track::new(model, options)?);
    let inputs = Inputs::Open(Some(source));
    Ok(Plan { job, paths: vec![path], inputs, output: Some(args.output.clone()), metadata })
}

/// The scores of variants.
fn scores(args: &ScoreArgs) -> Result<Plan> {
    let path = PathBuf::from(&args.input);
    let Some(reference) = &args.reference else {
        return Err(Error::Usage("--reference: name the FASTA file that the variants are variants of".into()));
    };
    let wanted = VariantOptions { region: args.region.clone(), ..VariantOptions::default() };
    let source = variants::open(&path, &wanted)?;
    let contigs = Box::new(Reference::open(reference)?);
    let (model, options) = load(args)?;
    let ScoreOptions { tile, window, .. } = options;
    let said = [("command", "score".to_owned()), ("tile", tile.to_string()), ("window", window.to_string())];
    let metadata = run::metadata(&model, &said);
    let job = Box::new(Scores::new(model, contigs, options)?);
    let (paths, inputs) = (vec![path, reference.clone()], Inputs::Open(Some(source)));
    Ok(Plan { job, paths, inputs, output: Some(args.output.clone()), metadata })
}

/// The model, and how it is asked.
fn load(args: &ScoreArgs) -> Result<(Arc<Model>, ScoreOptions)> {
    let model = match &args.model {
        None => model::ready(Model::dna(model::options(args.run.device, args.run.threads))?, &args.run),
        dir => model::load(dir.as_deref(), &args.run)?,
    };
    model::fits(model.info(), Front::Dna)?;
    if !model.info().trained && !args.run.quiet {
        say(&format!("note: the model {} is untrained: its scores mean little", model.info().name));
    }
    let pack_tokens = match args.track {
        Some(_) => model::long_batch_tokens_of(&args.run, model.info()),
        None => model::batch_tokens(&args.run, &model),
    };
    Ok((model, ScoreOptions { pack_tokens, ..ScoreOptions::default() }))
}

/// Refuses names of outputs in formats that are not written.
fn check_output(args: &ScoreArgs) -> Result<()> {
    let extension = args.output.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let fits = match extension.as_deref() {
        Some("parquet") | None => true,
        Some("vcf") => args.track.is_none(),
        Some("bedgraph" | "bg" | "csv") => args.track.is_some(),
        Some(_) => false,
    };
    let formats = if args.track.is_some() { ".bedgraph, .parquet or .csv" } else { ".parquet or .vcf" };
    if fits { Ok(()) } else { Err(Error::Usage(format!("--output: name a file that ends in {formats}"))) }
}

/// The file that a track is of, and the region of it.
fn track_input(args: &ScoreArgs) -> Result<(PathBuf, Option<String>)> {
    let path = Path::new(&args.input);
    match &args.reference {
        Some(reference) => Ok((reference.clone(), Some(args.input.clone()))),
        None if path.is_file() || is_url(&args.input) => Ok((path.to_owned(), None)),
        None => Err(Error::Usage(format!(
            "{}: there is no such file; for a region of a FASTA file name the file with --reference",
            args.input
        ))),
    }
}
