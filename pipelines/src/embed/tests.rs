use arrow::{
    array::{Array, AsArray},
    datatypes::{Float32Type, UInt64Type},
};
use unspool_ingest::schema::TimeKind;

use super::*;
use crate::testing::{Read, dna_model, reads, run, series, series_model};

fn options(pooling: &str, pack_tokens: usize) -> EmbedOptions {
    EmbedOptions { pooling: pooling.parse().expect("a pooling"), layer: None, pack_tokens, max_sequences: 100 }
}

async fn embed(model: Arc<Model>, pooling: &str, rows: RecordBatch, cut: (usize, usize)) -> (RecordBatch, Vec<String>) {
    let job = Embed::new(model, options(pooling, cut.0)).expect("a job");
    let (rows, committed, summary) = run(Box::new(job), rows, cut.1).await;
    assert_eq!(summary.progress.rows_written, rows.num_rows() as u64);
    assert_eq!(summary.progress.rejects, committed.rejects.len() as u64);
    (rows, committed.rejects.into_iter().map(|reject| format!("{}: {}", reject.place, reject.reason)).collect())
}

/// Rows as `id start-end`.
fn spans(rows: &RecordBatch) -> Vec<String> {
    let ids = rows["id"].as_string::<i32>();
    let [start, end, length] = ["start", "end", "length"].map(|name| rows[name].as_primitive::<UInt64Type>());
    let span = |row| {
        assert_eq!(end.value(row) - start.value(row), length.value(row));
        let id = if ids.is_valid(row) { ids.value(row) } else { "?" };
        format!("{id} {}-{}", start.value(row), end.value(row))
    };
    (0..rows.num_rows()).map(span).collect()
}

const READS: [Read<'static>; 6] = [
    (Some("short"), 0, true, Some("ACGTN")),
    (Some("long"), 100, false, Some("ACGTTGCAACGTTGCA")),
    (Some("long"), 116, false, Some("GGG")),
    (Some("long"), 119, true, Some("TTTTT")),
    (None, 0, true, Some("acgu")),
    (Some("last"), 0, true, Some("G")),
];

#[tokio::test]
async fn spans_of_every_pooling() {
    let records = ["short 0-5", "long 100-124", "? 0-4", "last 0-1"];
    for (pooling, expected) in [
        ("mean", records.to_vec()),
        ("last", records.to_vec()),
        ("max", records.to_vec()),
        ("window:10", vec!["short 0-5", "long 100-110", "long 110-120", "long 120-124", "? 0-4", "last 0-1"]),
        (
            "window:4",
            vec![
                "short 0-4",
                "short 4-5",
                "long 100-104",
                "long 104-108",
                "long 108-112",
                "long 112-116",
                "long 116-120",
                "long 120-124",
                "? 0-4",
                "last 0-1",
            ],
        ),
    ] {
        let (rows, rejects) = embed(dna_model(), pooling, reads(&READS), (7, 100)).await;
        assert_eq!((spans(&rows), rejects), (expected.into_iter().map(String::from).collect(), vec![]), "{pooling}");
    }
    let (rows, _) = embed(dna_model(), "token", reads(&READS), (7, 100)).await;
    assert_eq!(rows.num_rows(), 5 + 24 + 4 + 1);
    assert_eq!(spans(&rows)[6], "long 101-102");
}

#[tokio::test]
async fn neither_packs_nor_batches_change_a_bit() {
    for pooling in ["mean", "last", "max", "token", "window:3"] {
        let (expected, _) = embed(dna_model(), pooling, reads(&READS), (2048, 100)).await;
        for cut in [(1, 1), (3, 2), (10, 3), (17, 6)] {
            let (rows, _) = embed(dna_model(), pooling, reads(&READS), cut).await;
            assert_eq!(rows, expected, "{pooling}, {cut:?}");
        }
    }
}

/// Windows of a long sequence, whatever the pieces, the batches and the packs; and each is the mean of its own rows.
#[tokio::test]
async fn windows_of_a_long_sequence_are_the_same_however_it_comes() {
    let bases: String = (0..30_011_u32).map(|i| ['A', 'C', 'G', 'T', 'N'][(i * i / 7 % 5) as usize]).collect();
    let long = |pieces: usize| {
        let pieces: Vec<&str> =
            (0..bases.len()).step_by(pieces).map(|at| &bases[at..(at + pieces).min(bases.len())]).collect();
        let last = pieces.len() - 1;
        let starts = (0..).map(|i| (i * pieces[0].len()) as u64);
        let rows =
            pieces.iter().zip(starts).enumerate().map(|(i, (piece, at))| (Some("long"), at, i == last, Some(*piece)));
        reads(&rows.collect::<Vec<_>>())
    };
    let (expected, _) = embed(dna_model(), "window:1000", long(30_011), (1 << 22, 1)).await;
    assert_eq!((expected.num_rows(), spans(&expected)[30].as_str()), (31, "long 30000-30011"));
    for (pieces, pack, batch) in [(30_011, 2048, 1), (997, 10_000, 4), (4096, 1 << 22, 3), (1000, 1000, 100)] {
        let (rows, _) = embed(dna_model(), "window:1000", long(pieces), (pack, batch)).await;
        assert_eq!(rows, expected, "pieces of {pieces}, packs of {pack}, batches of {batch}");
    }
    let (tokens, _) = embed(dna_model(), "token", long(30_011), (2048, 1)).await;
    for (row, from) in [(0, 0), (17, 17_000), (30, 30_000)] {
        let mut pooled = Pooled::new(embedding(&tokens, 0).len());
        (from..30_011.min(from + 1000)).for_each(|at| pooled.push(&embedding(&tokens, at)));
        assert_eq!(Some(embedding(&expected, row)), pooled.get(Pool::Mean), "window {row}");
    }
}

/// The embedding of row `row`.
fn embedding(rows: &RecordBatch, row: usize) -> Vec<f32> {
    rows["embedding"].as_fixed_size_list().value(row).as_primitive::<Float32Type>().values().to_vec()
}

#[tokio::test]
async fn poolings_agree_with_the_tokens() {
    let (tokens, _) = embed(dna_model(), "token", reads(&READS), (2048, 100)).await;
    let long: Vec<Vec<f32>> = (5..29).map(|row| embedding(&tokens, row)).collect();
    let (last, _) = embed(dna_model(), "last", reads(&READS), (2048, 100)).await;
    assert_eq!(embedding(&last, 1), long[23]);
    let (max, _) = embed(dna_model(), "max", reads(&READS), (2048, 100)).await;
    let greatest = |column: usize| long.iter().map(|row| row[column]).fold(f32::MIN, f32::max);
    assert_eq!(embedding(&max, 1), (0..long[0].len()).map(greatest).collect::<Vec<_>>());
    // A window as long as the record is its mean, to the bit.
    let (mean, _) = embed(dna_model(), "mean", reads(&READS), (2048, 100)).await;
    let (window, _) = embed(dna_model(), "window:24", reads(&READS), (2048, 100)).await;
    assert_eq!(mean["embedding"].as_ref(), window["embedding"].as_ref());
}

#[tokio::test]
async fn bad_records_are_rejected_and_the_rest_goes_on() {
    let rows = [
        (Some("empty"), 0, true, Some("")),
        (Some("good"), 0, true, Some("ACGT")),
        (Some("bad"), 0, false, Some("ACGT")),
        (Some("bad"), 4, false, Some("AC*T")),
        (Some("bad"), 8, true, Some("A")),
        (Some("cut"), 0, false, Some("ACG")),
    ];
    let no_base = "'*' is no base: A C G T U N and the IUPAC ambiguity codes are";
    let expected = [
        "record 'empty': it has no bases".to_owned(),
        format!("record 'bad', base 6 (0-based): {no_base}"),
        "record 'cut': the input ends within the record".to_owned(),
    ];
    for (pooling, spans_expected) in
        [("mean", vec!["good 0-4"]), ("window:3", vec!["good 0-3", "good 3-4", "bad 0-3", "bad 3-6", "cut 0-3"])]
    {
        for cut in [(1, 1), (100, 100)] {
            let (embedded, rejects) = embed(dna_model(), pooling, reads(&rows), cut).await;
            assert_eq!(
                (spans(&embedded), rejects),
                (spans_expected.iter().map(ToString::to_string).collect(), expected.to_vec())
            );
        }
    }
}

#[tokio::test]
async fn series_are_embedded_by_patches() {
    let mut input: Vec<(&str, i64, Option<f64>)> = vec![];
    for time in 0..70 {
        input.push(("a", time, Some(time as f64)));
        if time < 10 {
            input.push(("short", time, Some(1.0)));
        }
    }
    let rows = series(TimeKind::Step, &input);
    let (mean, rejects) = embed(series_model(), "mean", rows.clone(), (2048, 1000)).await;
    assert_eq!(spans(&mean), ["a 0-64"]);
    assert_eq!(rejects, ["series 'short': it is shorter than 16 events, the least that make an embedding"]);
    let (windows, _) = embed(series_model(), "window:3", rows.clone(), (2048, 1000)).await;
    assert_eq!(spans(&windows), ["a 0-48", "a 48-64"]);
    let (cut, _) = embed(series_model(), "window:3", rows, (5, 7)).await;
    assert_eq!(cut, windows);
}

#[tokio::test]
async fn patches_before_the_first_value_give_no_rows() {
    let value = |time: i64| (time >= 40).then_some(time as f64);
    let input: Vec<_> = (0..100).map(|time| ("late", time, value(time))).collect();
    let rows = series(TimeKind::Step, &input);
    for cut in [(2048, 1000), (1, 7)] {
        let (tokens, _) = embed(series_model(), "token", rows.clone(), cut).await;
        assert_eq!(spans(&tokens), ["late 32-48", "late 48-64", "late 64-80", "late 80-96"]);
        let (windows, _) = embed(series_model(), "window:3", rows.clone(), cut).await;
        assert_eq!(spans(&windows), ["late 32-80", "late 80-96"]);
    }
}

#[tokio::test]
async fn limits_and_wrong_requests_are_refused() {
    let wrong = EmbedOptions { layer: Some(99), ..options("mean", 10) };
    assert!(Embed::new(dna_model(), wrong).is_err());
    let few = EmbedOptions { max_sequences: 1, ..options("mean", 10) };
    let mut job = Embed::new(series_model(), few).expect("a job");
    job.push(&series(TimeKind::Step, &[("a", 0, Some(1.0)), ("b", 0, Some(1.0))])).expect("takes");
    job.end().expect("ends");
    let error = job.step().expect_err("two series are open").to_string();
    assert!(error.starts_with("more than 1 sequences are open at once (a state is "), "{error}");
}
