//! What sharing contexts saves: tokens and time of scores by forks, beside two runs from the tile's start for each variant.
//!
//! `cargo run --release -p unspool-pipelines --example bench_score -- MODEL_DIR REF.fa CONTIG [KILOBASES]`

use std::{
    collections::HashMap,
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::{ArrayRef, Float32Array, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array};
use unspool_ingest::{Reference, schema};
use unspool_model::{Device, Model, RunOptions};
use unspool_pipelines::score::{ScoreOptions, Scores, Strand, Variant, plain, score_all};

/// Variants for every thousand bases, and how many times fewer tokens are wanted.
const DENSITIES: [(usize, f64); 3] = [(1, 6.0), (4, 15.0), (40, 28.0)];
/// Variants that are scored the plain way, at most: the others' time is taken from these.
const PLAIN: usize = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, reference, name, rest @ ..] = &arguments[..] else {
        return Err("MODEL_DIR REF.fa CONTIG [KILOBASES]".into());
    };
    let kilobases: usize = rest.first().map_or(Ok(64), |text| text.parse())?;
    let model = Arc::new(Model::load(Path::new(model), RunOptions::default())?);
    let contig = Reference::open(Path::new(reference))?.contig(name)?.ok_or("there is no such contig")?;
    let contig: Arc<[u8]> = contig[..contig.len().min(kilobases * 1000)].to_ascii_uppercase().into();
    let pack_tokens = if model.info().device == Device::Cpu { 2048 } else { 131_072 };
    let options = ScoreOptions { pack_tokens, ..ScoreOptions::default() };
    println!(
        "{} on {}, {} kb of {name}; plain runs timed on {PLAIN} variants",
        model.info().name,
        model.info().route,
        contig.len() / 1000
    );
    println!(
        "| variants/kb | variants | tokens, forks | tokens, plain | fewer | wanted | s, forks | s, plain | faster |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (per_kb, wanted) in DENSITIES {
        let places: Vec<usize> =
            (1000 / per_kb..contig.len()).step_by(1000 / per_kb).filter(|at| b"ACGT".contains(&contig[*at])).collect();
        let contigs = HashMap::from([(name.clone(), Arc::clone(&contig))]);
        let mut job = Scores::new(Arc::clone(&model), Box::new(contigs), options)?;
        let began = Instant::now();
        let (rows, rejects) = score_all(&mut job, &variants(name, &contig, &places)?)?;
        let forks = began.elapsed();
        assert!(rejects.is_empty() && rows.num_rows() == places.len(), "every variant has a score");
        let tokens = job.tokens();
        let plain = time_plain(&model, &contig, &places, (&options, tokens.plain))?;
        println!(
            "| {per_kb} | {} | {} | {} | {:.1} x | {wanted} x | {:.2} | {:.2} | {:.1} x |",
            places.len(),
            tokens.run,
            tokens.plain,
            tokens.plain as f64 / tokens.run as f64,
            forks.as_secs_f64(),
            plain.as_secs_f64(),
            plain.as_secs_f64() / forks.as_secs_f64(),
        );
    }
    Ok(())
}

/// Another base than this one.
fn other(base: u8) -> u8 {
    if base == b'A' { b'G' } else { b'A' }
}

/// SNVs at some places.
fn variants(name: &str, contig: &[u8], places: &[usize]) -> Result<RecordBatch, Box<dyn Error>> {
    let letter = |base: u8| char::from(base).to_string();
    let (mut alternatives, mut filter) =
        (ListBuilder::new(StringBuilder::new()), ListBuilder::new(StringBuilder::new()));
    for at in places {
        alternatives.append_value([Some(letter(other(contig[*at])))]);
        filter.append_null();
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(places.iter().map(|_| Some(name)).collect::<StringArray>()),
        Arc::new(places.iter().map(|at| *at as u64).collect::<UInt64Array>()),
        Arc::new(places.iter().map(|_| None::<&str>).collect::<StringArray>()),
        Arc::new(places.iter().map(|at| Some(letter(contig[*at]))).collect::<StringArray>()),
        Arc::new(alternatives.finish()),
        Arc::new(places.iter().map(|_| None::<f32>).collect::<Float32Array>()),
        Arc::new(filter.finish()),
    ];
    Ok(RecordBatch::try_new(schema::variants(), columns)?)
}

/// The time of plain runs of all variants, which take `all` tokens, from that of some of them spread evenly.
fn time_plain(
    model: &Model,
    contig: &[u8],
    places: &[usize],
    (options, all): (&ScoreOptions, u64),
) -> Result<Duration, Box<dyn Error>> {
    let every = places.len().div_ceil(PLAIN).max(1);
    let some: Vec<usize> = places.iter().copied().step_by(every).collect();
    let (began, mut tokens) = (Instant::now(), 0);
    for at in &some {
        let (reference, alternative) = ([contig[*at]], [other(contig[*at])]);
        let variant = Variant { position: *at as u64, reference: &reference, alternative: &alternative };
        for strand in [Strand::Forward, Strand::Reverse] {
            tokens += plain::score(model, (contig, &variant), strand, options)?.1;
        }
    }
    // By tokens: the sample's contexts need not be of average length.
    Ok(began.elapsed().mul_f64(all as f64 / tokens as f64))
}
