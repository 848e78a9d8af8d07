//! What was typed. Nothing is checked here but the syntax; each command's `Job::new` makes it into what runs.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use unspool_ingest::reads::{ReadFilter, ReadOptions};
use unspool_model::{Device, Weights};
use unspool_pipelines::{Pooling, embed::KeptColumns};

use crate::{
    batch::BatchArgs,
    bench::BenchCommand,
    cluster::ClusterCommand,
    demo::DemoArgs,
    error::{Error, Result},
    eval::EvalCommand,
    manual::{CompletionsArgs, ManArgs},
    report::ReportArgs,
    serve::args::ServeArgs,
    sessions::SessionsCommand,
    sql::SqlArgs,
    stream::StreamArgs,
    train::{TrainArgs, finetune::FinetuneArgs},
};

/// The longest forecast of a series.
pub(crate) const MAX_HORIZON: u32 = 65_536;

/// A job's file, for `unspool stream --help`.
const STREAM_HELP: &str = r#"Examples:
  unspool stream --demo
  unspool stream job.toml --check
  unspool stream job.toml

job.toml:
  model = "series-3"                 # the default; or series-1, dna-1, a directory
  [kafka]
  bootstrap = "127.0.0.1:9092"
  settings = {}                      # librdkafka's own, such as "security.protocol"
  [input]
  topic = "readings"
  format = "json"                    # json, csv (with columns = [...]), arrow, avro or protobuf
  # avro and protobuf: registry = { url = "http://127.0.0.1:8081" }, or schema = "FILE" (protobuf: and message = "NAME")
  series = "key"                     # key, field:PATH, header:NAME or partition
  time = "field:time"                # field:PATH, header:NAME, timestamp or offset
  time_unit = "ms"                   # of numbers: s, ms, us, ns or step
  values = ["value"]                 # or sequence = "bases"
  [event_time]
  lateness = 5000                    # ms (or steps); without it: the order of offsets
  idle_flush_ms = 60000
  grid = 60000                       # with aggregate = "mean", last, min, max or sum
  [output]
  topic = "scores"                   # or parquet = "DIR", or stdout = true with guarantee = "at-least-once"
  rejects = "dead-letters"           # of files: beside them, without being asked for
  give = "scores"                    # scores, forecasts (with horizon = 24) or embeddings
  every_events = 1                   # or every = 60000, in event time
  [group]
  name = "anomalies"
  [run]
  data_dir = "unspool-data"          # what is remembered of each series: one folder for all workers on a machine, and
  snapshot_store = "s3://bucket/jobs" # of workers on several, where they find each other's (AWS_* in the environment)
  begin_with = "scores"              # the output of a batch job: each series goes on from where that left it
  metrics_listen = "127.0.0.1:9464"  # answers Prometheus

A worker killed at any instant loses nothing and repeats nothing: start it again, or let another one take over."#;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "unspool",
    about = "Forecasts, anomaly scores and embeddings of endless sequences: time series and DNA",
    long_about = "Forecasts, anomaly scores and embeddings of endless sequences: time series and DNA.\n\nA recurrent \
                  encoder (Mamba) reads each sequence piece by piece and carries its state: memory stays the same however \
                  long a sequence is. Trained models are built in: series-3 and series-1 for series, dna-1 for DNA.",
    after_help = "Examples:\n  unspool demo\n  unspool forecast taxi.csv --horizon 96 --output forecast.parquet\n  unspool embed \
                  reads.fastq.gz --output embeddings.parquet\n  unspool score variants.vcf --reference genome.fa --output \
                  scores.vcf\n  unspool run job.toml\n  unspool stream job.toml\n  unspool serve\n\nExit codes: 0 done, 1 bad data or environment, 2 wrong use, 130 interrupted.\nUNSPOOL_LOG=debug \
                  shows what happens inside.",
    disable_version_flag = true,
    subcommand_required = false,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Print the version, and where numbers are computed
    #[arg(short = 'V', long)]
    pub(crate) version: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all of it at work for a minute, on example data
    #[command(after_help = crate::demo::HELP)]
    Demo(DemoArgs),
    /// Forecast series: quantiles of the next values
    #[command(after_help = "Examples:\n  unspool forecast taxi.csv --horizon 96 --output forecast.parquet\n  unspool \
                            forecast sales.parquet --id shop --time day --value units --horizon 28 --output \
                            forecast.parquet\n  unspool forecast hospital.tsf --output forecast.csv\n  unspool forecast \
                            taxi.csv --horizon 4\n\nRows: id, time, step, q10 to q90. Without --output they go to standard \
                            output as CSV.\nA row that is missing from a regular grid counts as a missing value; times go on \
                            at the step of the last 64 rows.\nWhat cannot be used is written to OUT.rejects.parquet with its \
                            reason.")]
    Forecast(ForecastArgs),
    /// Fill in the missing values of series
    #[command(after_help = crate::fill::HELP)]
    Fill(FillArgs),
    /// Embed reads, contigs or series: one row a record, a window or a token
    #[command(after_help = "Examples:\n  unspool embed reads.fastq.gz --output reads.parquet\n  unspool \
                            embed genome.fa --pool window:1000 --output windows.parquet\n  unspool embed \
                            genome.fa --features genes.gff3 --feature-types CDS --output genes.parquet\n  unspool embed \
                            aligned.bam --region chr1:1-50000 --model my-model --output region.parquet\n  unspool embed \
                            taxi.csv --output series.parquet\n\nRows: id, start, end (0-based, half-open), length, layer, \
                            pooling, embedding, model; of features also name, kind and strand.\nWhat cannot be used is written to OUT.rejects.parquet with its \
                            reason.")]
    Embed(EmbedArgs),
    /// Score variants by a DNA model, or write a track of how well it predicts each base
    #[command(after_help = crate::score::HELP)]
    Score(Box<ScoreArgs>),
    /// Answer a query over files in SQL, with embed, forecast and anomaly as functions
    #[command(after_help = crate::sql::HELP)]
    Sql(Box<SqlArgs>),
    /// Run a batch job over a lake of Parquet or CSV files: scores, forecasts or embeddings, restartable
    #[command(after_help = crate::batch::HELP)]
    Run(Box<BatchArgs>),
    /// Show what a batch job came to: one page that opens offline
    #[command(
        after_help = "Examples:\n  unspool report forecasts\n  unspool report forecasts --series T1,T2 --output report.html\n  \
                            unspool report embeddings --color region\n\nCounts, rates, rejects by reason; a few forecasts with \
                            their histories, the most unusual values, or a map of the embeddings."
    )]
    Report(ReportArgs),
    /// Play a part in a cluster that runs batch jobs
    #[command(subcommand, after_help = crate::cluster::HELP)]
    Cluster(ClusterCommand),
    /// Run a job between Kafka topics: scores, forecasts or embeddings, exactly once
    #[command(after_help = STREAM_HELP)]
    Stream(Box<StreamArgs>),
    /// Answer calls over gRPC and Arrow Flight: sessions, forecasts, embeddings, variants
    #[command(after_help = crate::serve::HELP)]
    Serve(Box<ServeArgs>),
    /// Work on the sessions of a server that is stopped
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Say what a file or a model holds, and which GPUs there are
    #[command(
        after_help = "Examples:\n  unspool inspect reads.bam\n  unspool inspect taxi.csv\n  unspool inspect dna-1"
    )]
    Inspect(InspectArgs),
    /// Train a series or a DNA model, from random weights or from another model's
    #[command(after_help = crate::train::HELP)]
    Train(TrainArgs),
    /// Train a series model on with your own series
    #[command(after_help = crate::train::finetune::HELP)]
    Finetune(Box<FinetuneArgs>),
    /// Make an untrained DNA model, with random weights: to train, or to measure
    #[command(
        after_help = "Examples:\n  unspool init --arch mamba1 --d-model 256 --layers 8 dna-model\n  unspool init --arch \
                            mamba2 --d-model 128 --layers 4 --head-dim 32 --seed 7 small-model"
    )]
    Init(InitArgs),
    /// Evaluate a model on public data, beside published ones
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Measure speed: the encoder, forecasts, batch jobs, a server under load
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print completions for a shell
    #[command(after_help = crate::manual::COMPLETIONS_HELP)]
    Completions(CompletionsArgs),
    /// Write man pages, one a command
    #[command(after_help = crate::manual::MAN_HELP)]
    Man(ManArgs),
}

/// `unspool embed`.
#[derive(Debug, Args)]
pub(crate) struct EmbedArgs {
    /// FASTA, FASTQ, SAM, BAM, CRAM (also gzipped); or series: CSV, TSF, Parquet
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// A model's directory, or a built-in one's name (default: series-3 for series, dna-1 for DNA)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<PathBuf>,
    /// The Parquet file to write
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// mean, last, max (of a record), token (every row) or window:N (mean of every N)
    #[arg(long, value_name = "POOL", default_value = "mean")]
    pub(crate) pool: Pooling,
    /// Layer K, as in the published hidden_states: 0 is the embedding (default: the last, after the final norm)
    #[arg(long, value_name = "K")]
    pub(crate) layer: Option<usize>,
    /// DNA: the mean of both strands' embeddings, with --pool mean or window:N, or --features
    #[arg(long)]
    pub(crate) both_strands: bool,
    /// BED, GFF3 or GTF: a row for each of these features of the contigs, those on - of the other strand
    #[arg(long, value_name = "FILE")]
    pub(crate) features: Option<PathBuf>,
    /// Only features of these types (the third column of a GFF), such as CDS
    #[arg(long, value_name = "TYPES", value_delimiter = ',', requires = "features")]
    pub(crate) feature_types: Vec<String>,
    #[command(flatten)]
    pub(crate) reads: ReadArgs,
    #[command(flatten)]
    pub(crate) columns: ColumnArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Which reads of a file are wanted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reads")]
pub(crate) struct ReadArgs {
    /// Only this region, 1-based and closed (chr1:1000-2000), of an indexed FASTA, BAM or CRAM; * for the unplaced reads
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The FASTA file that a CRAM file was made with (an index beside it, .fai and .gzi, makes it quicker)
    #[arg(long, value_name = "REF.fa")]
    pub(crate) reference: Option<PathBuf>,
    /// SAM, BAM, CRAM: only reads whose flag has all of these bits (as samtools' -f)
    #[arg(long, value_name = "BITS", default_value = "0", hide_default_value = true)]
    pub(crate) require_flags: u16,
    /// SAM, BAM, CRAM: no reads whose flag has any of these bits (as samtools' -F): 2304 leaves one row a read
    #[arg(long, value_name = "BITS", default_value = "0", hide_default_value = true)]
    pub(crate) exclude_flags: u16,
    /// SAM, BAM, CRAM: only reads of at least this mapping quality (as samtools' -q)
    #[arg(long, value_name = "Q", default_value = "0", hide_default_value = true)]
    pub(crate) min_mapping_quality: u8,
    /// Records of each file, at most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Columns of the reads that go into the output too: flag, reference, position, ... or a tag with its type, such as CB:Z (tag_CB)
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) keep: Vec<String>,
}

impl ReadArgs {
    /// How a file is read, of which `columns` are needed.
    ///
    /// # Errors
    /// When a column that is to be kept is none.
    pub(crate) fn options(&self, columns: &[&str]) -> Result<ReadOptions> {
        let filter = ReadFilter {
            required_flags: self.require_flags,
            excluded_flags: self.exclude_flags,
            least_mapping_quality: self.min_mapping_quality,
        };
        Ok(self.kept()?.read(ReadOptions {
            columns: Some(columns.iter().map(ToString::to_string).collect()),
            region: self.region.clone(),
            reference: self.reference.clone(),
            filter,
            limit: self.limit,
            ..ReadOptions::default()
        }))
    }

    /// The columns that go into the output too.
    ///
    /// # Errors
    /// When one is none.
    pub(crate) fn kept(&self) -> Result<KeptColumns> {
        KeptColumns::parse(&self.keep).map_err(|problem| Error::Usage(format!("--keep: {problem}")))
    }

    /// What was asked for that series have none of.
    pub(crate) fn any(&self) -> Option<&'static str> {
        let asked = [
            ("--region", self.region.is_some()),
            ("--reference", self.reference.is_some()),
            ("--require-flags", self.require_flags > 0),
            ("--exclude-flags", self.exclude_flags > 0),
            ("--min-mapping-quality", self.min_mapping_quality > 0),
            ("--limit", self.limit.is_some()),
            ("--keep", !self.keep.is_empty()),
        ];
        asked.into_iter().find(|(_, asked)| *asked).map(|(name, _)| name)
    }
}

/// `unspool forecast`.
#[derive(Debug, Args)]
pub(crate) struct ForecastArgs {
    /// Series: CSV, TSF or Parquet
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Values to forecast of each series (default: the @horizon of a TSF file)
    #[arg(long, value_name = "H", value_parser = value_parser!(u32).range(1..=i64::from(MAX_HORIZON)))]
    pub(crate) horizon: Option<u32>,
    /// Levels of the quantiles to give, such as 0.1,0.5,0.9, of those that the model has (default: all of them)
    #[arg(long, value_name = "LEVELS", value_delimiter = ',')]
    pub(crate) quantiles: Vec<f64>,
    /// The file to write: CSV if it ends in .csv, else Parquet (default: CSV to standard output)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Write a page of plots too: history, median and bands, in one HTML file that opens offline
    #[arg(long, value_name = "OUT.html")]
    pub(crate) plot: Option<PathBuf>,
    /// Ids of the series to plot (default: the first 12)
    #[arg(long, value_name = "IDS", value_delimiter = ',', requires = "plot")]
    pub(crate) plot_series: Vec<String>,
    /// A model's directory, or a built-in one's name: series-3 or series-1 (default: series-3)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) columns: ColumnArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// `unspool fill`.
#[derive(Debug, Args)]
pub(crate) struct FillArgs {
    /// Series: CSV, TSF or Parquet
    #[arg(required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// The file to write: CSV if it ends in .csv, else Parquet (default: CSV to standard output)
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// A model's directory, or a built-in one's name: series-3 or series-1 (default: series-3)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) columns: ColumnArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Where a table of series has what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Series")]
pub(crate) struct ColumnArgs {
    /// The column that names the series (default: id, series_id, unique_id or item_id if there is one)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) id: Option<String>,
    /// The column of times or step numbers (default: time, timestamp, ds, date or datetime)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// A column of values, or * for all of numbers; may be repeated (default: value, y or target, else the only one)
    #[arg(long, value_name = "COLUMN")]
    pub(crate) value: Vec<String>,
    /// A row is a series, with its values in a list column (Parquet)
    #[arg(long)]
    pub(crate) lists: bool,
    /// Series at once, at most (default: as many as 4 GiB of states hold)
    #[arg(long, value_name = "N")]
    pub(crate) max_series: Option<NonZeroUsize>,
}

/// How to run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Running")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    /// Threads that compute (default: all cores)
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Tokens (bases, or patches of values) in a batch, at most; never changes the result (default: 2048, on a GPU 131072)
    #[arg(long, value_name = "N")]
    pub(crate) batch_tokens: Option<NonZeroUsize>,
    /// Replace the output if it exists
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// No progress, no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DeviceArgs {
    /// Where to compute: auto (the first NVIDIA card, else the CPU), cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", env = "UNSPOOL_DEVICE", hide_env_values = true, default_value_t)]
    pub(crate) device: Device,
    /// Type of the weights: f32 or, on a GPU, bf16
    #[arg(long, value_name = "TYPE", env = "UNSPOOL_WEIGHTS", hide_env_values = true, default_value_t)]
    pub(crate) weights: Weights,
}

/// `unspool score`.
#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Variants: VCF or BCF (also gzipped); with --track a FASTA file, or a region of --reference (chr1, chr1:1000-2000)
    #[arg(value_name = "VARIANTS|REGION")]
    pub(crate) input: String,
    /// The FASTA file of the contigs (an index beside it, .fai and .gzi, makes it quicker; regions need one)
    #[arg(short, long, value_name = "REF.fa")]
    pub(crate) reference: Option<PathBuf>,
    /// Only the variants in this region, 1-based and closed (chr1:1000-2000), of an indexed VCF or BCF
    #[arg(long, conflicts_with = "track")]
    pub(crate) region: Option<String>,
    /// The file to write: Parquet, or VCF if it ends in .vcf; of a track Parquet, or bedGraph if it ends in .bedgraph or .bg
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// A DNA model's directory (default: dna-1, the built-in one)
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<PathBuf>,
    /// Write a track in place of scores: bits, -log2 p of each base given those before it
    #[arg(long, value_enum, value_name = "TRACK")]
    pub(crate) track: Option<TrackKind>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What a track says of each base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TrackKind {
    /// -log2 of its probability
    Bits,
}

/// `unspool init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The directory to make
    #[arg(value_name = "OUT_DIR")]
    pub(crate) dir: PathBuf,
    /// The layers' kind
    #[arg(long, value_enum, default_value_t = Arch::Mamba1)]
    pub(crate) arch: Arch,
    /// Model width d
    #[arg(long, value_name = "D", default_value = "256", value_parser = value_parser!(u32).range(1..=32_768))]
    pub(crate) d_model: u32,
    /// Layers
    #[arg(long, value_name = "N", default_value = "8", value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) layers: u32,
    /// State size n (default: 16 for mamba1, 128 for mamba2)
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) n: Option<u32>,
    /// Convolution width k
    #[arg(long, value_name = "K", default_value = "4", value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) k: u32,
    /// Inner width as a multiple of d
    #[arg(long, value_name = "E", default_value = "2", value_parser = value_parser!(u32).range(1..=16))]
    pub(crate) expand: u32,
    /// Channels of a head (mamba2) (default: 64, or the inner width where that does not divide it)
    #[arg(long, value_name = "P", value_parser = value_parser!(u32).range(1..))]
    pub(crate) head_dim: Option<u32>,
    /// What a token is
    #[arg(long, value_enum, default_value_t = Vocab::Dna)]
    pub(crate) vocab: Vocab,
    /// Seed of the random weights: the same seed gives the same model everywhere
    #[arg(long, default_value = "0")]
    pub(crate) seed: u64,
    /// The model's name (default: the directory's)
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// The layers' kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// Mamba (arXiv 2312.00752)
    Mamba1,
    /// Mamba-2 (arXiv 2405.21060)
    Mamba2,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vocab {
    /// A base
    Dna,
}

/// `unspool inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A file of reads, variants or series; or a model's directory, or a built-in one's name (default: series-3)
    pub(crate) path: Option<PathBuf>,
    /// The FASTA file that a CRAM file was made with (an index beside it, .fai and .gzi, makes it quicker)
    #[arg(long, value_name = "REF.fa")]
    pub(crate) reference: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
    #[command(flatten)]
    pub(crate) columns: ColumnArgs,
}
