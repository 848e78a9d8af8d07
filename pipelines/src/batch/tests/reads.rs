//! Reads and contigs as the input.

use std::fmt::Write as _;

use super::*;

static DNA: LazyLock<Arc<Model>> = LazyLock::new(testing::dna_model);

/// Bases that differ from record to record.
fn bases(seed: usize, len: usize) -> String {
    (0..len).map(|n| ["A", "C", "G", "T"][(n * n + n * seed + n / 3 + seed) % 4]).collect()
}

fn genomes() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("lake");
    fs::create_dir_all(&dir).unwrap();
    let fasta = |range: std::ops::Range<usize>| {
        let record = |n: usize| format!(">contig{n}\n{}\n", bases(n, 40 + n * 13));
        range.map(record).collect::<String>()
    };
    fs::write(dir.join("a.fa"), fasta(0..9)).unwrap();
    let mut reads = String::new();
    for n in 0..40 {
        let bases = if n == 17 { "ACGJ".to_owned() } else { bases(n, 25 + n % 7) };
        let _ = writeln!(reads, "@read{n}\n{bases}\n+\n{}", "I".repeat(bases.len()));
    }
    fs::write(dir.join("b.fastq"), reads).unwrap();
    fs::write(dir.join("c.fa"), fasta(9..12)).unwrap();
    fs::write(dir.join("notes.txt"), "not of the lake").unwrap();
    folder
}

fn reads_job(folder: &Path) -> BatchJob {
    BatchJob { unit_rows: 150, pack_tokens: 32, max_series: 100, ..job(folder, EMBEDDINGS) }
}

#[tokio::test]
async fn embeddings_are_those_of_the_command() {
    let folder = genomes();
    for window in [None, Some(20)] {
        let job = BatchJob { window, ..reads_job(folder.path()) };
        let pooling = window.and_then(std::num::NonZeroU64::new).map_or(crate::Pooling::Mean, crate::Pooling::Window);
        let options = EmbedOptions { pooling, layer: None, pack_tokens: 64, max_sequences: 1000 };
        let embed = Embed::new(Arc::clone(&DNA), options).unwrap();
        let sink = crate::MemorySink::new(crate::Job::schema(&embed));
        let mut pipeline = crate::Pipeline::new(Box::new(embed), Box::new(sink.clone()));
        for name in ["a.fa", "b.fastq", "c.fa"] {
            let path = folder.path().join("lake").join(name);
            let mut source = unspool_ingest::reads::open(&path, &Default::default()).unwrap();
            pipeline.drain(&mut source).await.unwrap();
        }
        let summary = pipeline.finish().await.unwrap();
        let done = run(&job, &DNA, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(
            output(&job).columns(),
            concat_batches(&output(&job).schema(), &strip(sink.committed().rows)).unwrap().columns()
        );
        assert_eq!(done.progress.rejects, summary.progress.rejects);
        let manifest = Manifest::read(&job.output).unwrap().unwrap();
        assert_eq!((manifest.series, manifest.rejected()), (52, 1));
        assert!(window.is_some() || manifest.units > 1, "{}", manifest.units);
        fs::remove_dir_all(&job.output).unwrap();
    }
}

/// Rows without their schema's metadata.
fn strip(all: Vec<RecordBatch>) -> Vec<RecordBatch> {
    let plain = |rows: RecordBatch| {
        let schema = Arc::new(rows.schema().as_ref().clone().with_metadata(std::collections::HashMap::new()));
        rows.with_schema(schema).unwrap()
    };
    all.into_iter().map(plain).collect()
}

#[test]
fn stopped_anywhere_reads_end_with_the_same_bytes() {
    let folder = genomes();
    // A batch a record: units end in the middle of files.
    let calm = reads_job(folder.path());
    let mut steps = 0;
    run(&calm, &DNA, &mut |_| {
        steps += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    let expected = bytes(&calm.output);
    for stop in 1..=steps {
        let job = BatchJob { output: folder.path().join("stopped"), ..calm.clone() };
        let mut left = stop;
        let stopped = run(&job, &DNA, &mut |_| {
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(Error::Job(crate::Error::Cancelled))), "{stop}");
        run(&job, &DNA, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(bytes(&job.output) == expected, "stopped at step {stop} of {steps}");
        fs::remove_dir_all(&job.output).unwrap();
    }
}

#[test]
fn what_reads_do_not_give_is_refused() {
    let folder = genomes();
    let check = |model: &Arc<Model>, job: BatchJob, expected: &str| {
        let error = run(&job, model, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let job = reads_job(folder.path());
    check(
        &DNA,
        BatchJob { give: Give::Scores, ..job.clone() },
        "give: tiny is a model of reads, which gives embeddings alone",
    );
    check(&MODEL, BatchJob { window: Some(5), ..job.clone() }, "give.window: it is for reads");
    check(&MODEL, job, "'lake' holds reads, and the model takes series: name a model of DNA, such as dna-1");
}
