//! What reading, packing, pooling and heads cost beside the encoder: embeddings of the reads of a BAM file (or any other), and
//! the track of a contig, each beside a plain loop over the model that is given the same tokens.
//!
//! `cargo run --release -p unspool-pipelines --example bench_dna -- MODEL_DIR READS.bam REF.fa CONTIG [READS [KILOBASES]]`

use std::{
    error::Error,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::{Array, AsArray};
use tempfile::{NamedTempFile, TempPath};
use unspool_ingest::{
    Reference, Source,
    reads::{self, ReadOptions},
};
use unspool_model::{Device, Events, Item, Model, Options, RunOptions, dna};
use unspool_pipelines::{
    Embed, EmbedOptions, Job, MemorySink, Pipeline, Pooling,
    score::{ScoreOptions, track::Track},
};

/// Each way is timed so many times, in turn; the shortest time counts.
const TIMES: usize = 3;
const COLUMNS: [&str; 4] = ["id", "start", "last", "sequence"];

/// What is read, and by what.
struct Bench {
    model: Arc<Model>,
    pack_tokens: usize,
    reads: (PathBuf, u64),
    /// A FASTA file of the piece of the contig.
    contig: TempPath,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, reads, reference, contig, rest @ ..] = &arguments[..] else {
        return Err("MODEL_DIR READS.bam REF.fa CONTIG [READS [KILOBASES]]".into());
    };
    let number = |at: usize, usual: u64| rest.get(at).map_or(Ok(usual), |text| text.parse());
    let (limit, kilobases) = (number(0, 2000)?, number(1, 200)?);
    let model = Arc::new(Model::load(Path::new(model), RunOptions::default())?);
    let pack_tokens = if model.info().device == Device::Cpu { 2048 } else { 131_072 };
    let bases = Reference::open(Path::new(reference))?.contig(contig)?.ok_or("there is no such contig")?;
    let bases = bases[..usize::try_from(kilobases * 1000)?.min(bases.len())].to_vec();
    let mut fasta = NamedTempFile::new()?;
    writeln!(fasta, ">{contig}")?;
    for line in bases.chunks(60) {
        fasta.write_all(&[line, b"\n"].concat())?;
    }
    let bench = Bench { model, pack_tokens, reads: (reads.into(), limit), contig: fasta.into_temp_path() };
    println!("{} on {}", bench.model.info().name, bench.model.info().route);
    println!("| | tokens | encoder, tokens/s | job, tokens/s | job, of the encoder's rate |");
    println!("|---|---|---|---|---|");
    bench.print("embeddings of reads", &bench.sequences()?, Bench::embed)?;
    bench.print("track of a contig", &[bases], Bench::track)
}

impl Bench {
    /// Times a job beside the encoder with the same sequences.
    fn print(
        &self,
        name: &str,
        sequences: &[Vec<u8>],
        job: impl Fn(&Self) -> Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let tokens = sequences.iter().map(|bases| dna::tokens(bases)).collect::<Result<Vec<_>, _>>()?;
        let (mut plain, mut whole) = (Duration::MAX, Duration::MAX);
        for _ in 0..TIMES {
            let began = Instant::now();
            self.encode(&tokens)?;
            plain = plain.min(began.elapsed());
            let began = Instant::now();
            job(self)?;
            whole = whole.min(began.elapsed());
        }
        let count: usize = tokens.iter().map(Vec::len).sum();
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        println!(
            "| {name} | {count} | {:.0} | {:.0} | {:.1} % |",
            rate(plain),
            rate(whole),
            100.0 * plain.as_secs_f64() / whole.as_secs_f64()
        );
        Ok(())
    }

    /// All sequences through the model, packed in their order.
    fn encode(&self, sequences: &[Vec<u32>]) -> Result<(), Box<dyn Error>> {
        let layer = self.model.info().config.layers;
        let options = Options { layers: vec![layer], pools: true, ..Options::default() };
        let mut rest = sequences;
        while !rest.is_empty() {
            let mut tokens = 0;
            let within = rest.iter().take_while(|sequence| {
                tokens += sequence.len();
                tokens <= self.pack_tokens
            });
            let (pack, after) = rest.split_at(within.count().max(1));
            let mut states = pack.iter().map(|_| self.model.open(&options)).collect::<Result<Vec<_>, _>>()?;
            let longest = pack.iter().map(Vec::len).max().unwrap_or(0);
            for from in (0..longest).step_by(self.pack_tokens) {
                let piece =
                    |sequence: &Vec<u32>| from.min(sequence.len())..(from + self.pack_tokens).min(sequence.len());
                let items = states.iter_mut().zip(pack);
                let items = items.map(|(state, tokens)| Item { state, events: Events::Tokens(&tokens[piece(tokens)]) });
                self.model.append(&mut items.collect::<Vec<_>>())?;
            }
            rest = after;
        }
        Ok(())
    }

    fn options(&self) -> ReadOptions {
        let columns = Some(COLUMNS.map(String::from).to_vec());
        ReadOptions { columns, limit: Some(self.reads.1), ..ReadOptions::default() }
    }

    /// The sequences of the reads.
    fn sequences(&self) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        let mut decoder = reads::decoder(&self.reads.0, &self.options())?;
        let mut sequences = vec![];
        while let Some(batch) = decoder.decode()? {
            let column = batch.rows["sequence"].as_string::<i32>();
            assert!(
                batch.rows["last"].as_boolean().false_count() == 0 && column.null_count() == 0,
                "short reads are needed"
            );
            sequences.extend(column.iter().flatten().map(|bases| bases.as_bytes().to_vec()));
        }
        Ok(sequences)
    }

    fn embed(&self) -> Result<(), Box<dyn Error>> {
        let options =
            EmbedOptions { pooling: Pooling::Mean, layer: None, pack_tokens: self.pack_tokens, max_sequences: 1 << 20 };
        let job = Embed::new(Arc::clone(&self.model), options)?;
        run(Box::new(job), reads::open(&self.reads.0, &self.options())?)
    }

    fn track(&self) -> Result<(), Box<dyn Error>> {
        let options = ScoreOptions { pack_tokens: self.pack_tokens, ..ScoreOptions::default() };
        let job = Track::new(Arc::clone(&self.model), options)?;
        run(Box::new(job), reads::open(&self.contig, &self.options())?)
    }
}

/// A job to its end, into memory.
fn run(job: Box<dyn Job>, mut source: impl Source) -> Result<(), Box<dyn Error>> {
    let sink = MemorySink::new(job.schema());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    runtime.block_on(async {
        let mut pipeline = Pipeline::new(job, Box::new(sink));
        pipeline.drain(&mut source).await?;
        pipeline.finish().await.map(drop)
    })?;
    Ok(())
}
