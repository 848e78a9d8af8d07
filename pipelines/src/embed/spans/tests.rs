use arrow::{
    array::{ArrayRef, AsArray, StringArray, UInt64Array},
    datatypes::{Float32Type, UInt64Type},
};

use unspool_model::{Pooled, WindowModel, dna};

use super::*;
use crate::{
    Embed, EmbedOptions,
    testing::{Read, dna_model, reads, run, series_model, window_model},
};

const READS: [Read<'static>; 4] = [
    (Some("short"), 0, true, Some("ACGTN")),
    (Some("long"), 100, false, Some("ACGTTGCAACGTTGCA")),
    (Some("long"), 116, true, Some("GGGTTTTT")),
    (Some("bad"), 0, true, Some("AC-T")),
];

fn options(spans: Spans, both_strands: bool, pack_tokens: usize) -> SpanOptions {
    SpanOptions { spans, both_strands, layer: None, pack_tokens }
}

/// Rows as (id, start, end, embedding).
type Row = (String, u64, u64, Vec<f32>);

async fn rows_of(job: Box<dyn Job>, rows: &[Read<'_>], batch: usize) -> Vec<Row> {
    let (rows, committed, _) = run(job, reads(rows), batch).await;
    assert!(committed.rejects.iter().all(|reject| reject.place.contains("bad")), "{:?}", committed.rejects);
    let ids = rows["id"].as_string::<i32>();
    let number = |name: &str, row| rows[name].as_primitive::<UInt64Type>().value(row);
    let embedding =
        |row| rows["embedding"].as_fixed_size_list().value(row).as_primitive::<Float32Type>().values().to_vec();
    let row = |i| (ids.value(i).to_owned(), number("start", i), number("end", i), embedding(i));
    (0..rows.num_rows()).map(row).collect()
}

async fn spans_of(spans: Spans, both: bool, (pack, batch): (usize, usize)) -> Vec<Row> {
    let job = EmbedSpans::new(dna_model(), options(spans, both, pack)).unwrap();
    rows_of(Box::new(job), &READS, batch).await
}

fn features(rows: &[(&str, u64, u64)]) -> Spans {
    stranded(&rows.iter().map(|row| (row.0, row.1, row.2, None)).collect::<Vec<_>>())
}

/// Contig, start, end and strand.
fn stranded(rows: &[(&str, u64, u64, Option<&str>)]) -> Spans {
    Spans::Features(Arc::new(spans_of_rows(rows).of_a_part()))
}

fn spans_of_rows(rows: &[(&str, u64, u64, Option<&str>)]) -> FeatureSpans {
    let columns: [(&str, ArrayRef); 4] = [
        ("contig", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>())),
        ("start", Arc::new(rows.iter().map(|row| row.1).collect::<UInt64Array>())),
        ("end", Arc::new(rows.iter().map(|row| row.2).collect::<UInt64Array>())),
        ("strand", Arc::new(rows.iter().map(|row| row.3).collect::<StringArray>())),
    ];
    FeatureSpans::new(&[
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    ])
    .unwrap()
}

/// One strand's records and windows are those of the streaming job, to the bit.
#[tokio::test]
async fn one_strand_is_what_streams_give() {
    for (pooling, spans) in [("mean", Spans::Record), ("window:7", Spans::Window(7))] {
        let streaming =
            EmbedOptions { pooling: pooling.parse().unwrap(), layer: None, pack_tokens: 9, max_sequences: 9 };
        let expected = rows_of(Box::new(Embed::new(dna_model(), streaming).unwrap()), &READS[..3], 100).await;
        for cut in [(1, 1), (9, 2), (1000, 100)] {
            assert_eq!(spans_of(spans.clone(), false, cut).await, expected, "{pooling} {cut:?}");
        }
    }
}

/// Features may overlap, reach beyond their record, or be of a record that is not there.
#[tokio::test]
async fn features_are_means_of_their_rows() {
    let tokens = EmbedOptions { pooling: "token".parse().unwrap(), layer: None, pack_tokens: 99, max_sequences: 9 };
    let tokens = rows_of(Box::new(Embed::new(dna_model(), tokens).unwrap()), &READS[..3], 100).await;
    let wanted =
        features(&[("long", 90, 103), ("long", 101, 110), ("long", 120, 500), ("other", 0, 9), ("long", 0, 100)]);
    for cut in [(1, 1), (5, 3), (1000, 100)] {
        let found = spans_of(wanted.clone(), false, cut).await;
        let places: Vec<(u64, u64)> = found.iter().map(|row| (row.1, row.2)).collect();
        assert_eq!(places, [(100, 103), (101, 110), (120, 124)]);
        for (_, start, end, embedding) in &found {
            let within = tokens.iter().filter(|row| row.0 == "long" && (*start..*end).contains(&row.1));
            for (column, value) in embedding.iter().enumerate() {
                let sum: f64 = within.clone().map(|row| f64::from(row.3[column])).sum();
                assert_eq!(*value, (sum / (end - start) as f64) as f32);
            }
        }
    }
}

/// Both strands of a record have the embedding of both strands of its other strand; windows lie the other way round.
#[tokio::test]
async fn both_strands_are_one() {
    let bases = "ACGTTGCAACGTTGCAGGGTTTTTA";
    let other: String = bases.chars().rev().map(|c| ['A', 'C', 'G', 'T'][3 - "ACGT".find(c).unwrap()]).collect();
    let wanted = |mirrored: bool| {
        let place = |from: u64, to: u64| if mirrored { ("a", 25 - to, 25 - from) } else { ("a", from, to) };
        features(&[place(0, 25), place(3, 9), place(20, 25)])
    };
    let run = |bases: String, spans| async move {
        let job = EmbedSpans::new(dna_model(), options(spans, true, 8)).unwrap();
        rows_of(Box::new(job), &[(Some("a"), 0, true, Some(&bases))], 10).await
    };
    let (forward, backward) = (run(bases.to_owned(), wanted(false)).await, run(other, wanted(true)).await);
    for row in &forward {
        let mirrored = backward.iter().find(|other| (other.1, other.2) == (25 - row.2, 25 - row.1)).unwrap();
        assert_eq!(row.3, mirrored.3);
    }
    let one = EmbedSpans::new(dna_model(), options(Spans::Record, false, 8)).unwrap();
    let one = rows_of(Box::new(one), &[(Some("a"), 0, true, Some(bases))], 10).await;
    assert_ne!(one[0].3, forward.iter().find(|row| row.2 - row.1 == 25).unwrap().3);
}

/// A feature on `-` is the part of the other strand, read from that strand's start; both strands of it are those of `+`.
#[tokio::test]
async fn features_lie_on_their_own_strand() {
    let bases = "ACGTTGCAACGTTGCAGGGTTTTTA";
    let other: String = bases.chars().rev().map(|c| ['A', 'C', 'G', 'T'][3 - "ACGT".find(c).unwrap()]).collect();
    let run = |bases: String, spans, both, pack| async move {
        let job = EmbedSpans::new(dna_model(), options(spans, both, pack)).unwrap();
        rows_of(Box::new(job), &[(Some("a"), 0, true, Some(&bases))], 10).await
    };
    let rows = [("a", 3, 9, Some("-")), ("a", 3, 9, Some("+")), ("a", 3, 9, None), ("a", 20, 25, Some("-"))];
    let mirrored = features(&[("a", 0, 5), ("a", 16, 22)]);
    for pack in [1, 7, 100] {
        let found = run(bases.to_owned(), stranded(&rows), false, pack).await;
        let on_other = run(other.clone(), mirrored.clone(), false, pack).await;
        assert_eq!((&found[0].3, &found[3].3), (&on_other[1].3, &on_other[0].3), "{pack}");
        let forward = run(bases.to_owned(), features(&[("a", 3, 9)]), false, pack).await;
        assert_eq!((&found[1].3, &found[2].3), (&forward[0].3, &forward[0].3), "{pack}");
        assert_ne!(found[0].3, found[1].3);
        let both = run(bases.to_owned(), stranded(&rows), true, pack).await;
        assert_eq!(both[0].3, both[1].3);
    }
}

/// Rows say which feature they are of; features without a base are rejects.
#[tokio::test]
async fn features_are_named_and_missing_ones_told() {
    let text = "##gff-version 3\n\
        short\t.\tCDS\t2\t4\t.\t-\t0\tID=one\n\
        short\t.\texon\t2\t4\t.\t.\t.\tName=two\n\
        short\t.\tCDS\t6\t9\t.\t+\t0\tID=far\n\
        short\t.\tCDS\tx\n\
        chr9\t.\tCDS\t1\t2\t.\t+\t0\t.\n";
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("some.gff");
    std::fs::write(&path, text).unwrap();
    let all = FeatureSpans::read(&path, &[]).unwrap();
    assert_eq!((all.len(), FeatureSpans::read(&path, &["CDS".into()]).unwrap().len()), (4, 3));
    let job = EmbedSpans::new(dna_model(), options(Spans::Features(Arc::new(all)), false, 8)).unwrap();
    let (rows, committed, _) = run(Box::new(job), reads(&READS[..1]), 10).await;
    let column =
        |name: &str| rows[name].as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
    let texts = |texts: [Option<&str>; 2]| texts.map(|text| text.map(str::to_owned)).to_vec();
    assert_eq!(column("name"), texts([Some("one"), Some("two")]));
    assert_eq!(column("kind"), texts([Some("CDS"), Some("exon")]));
    assert_eq!(column("strand"), texts([Some("-"), None]));
    let rejects: Vec<String> = committed.rejects.iter().map(|r| format!("{}: {}", r.place, r.reason)).collect();
    assert_eq!(rejects.len(), 3, "{rejects:?}");
    assert!(rejects[0].contains("columns where 9 are needed"), "{rejects:?}");
    assert_eq!(rejects[1], "feature, chr9, bases 0 to 2 (0-based, half-open): the input has no record 'chr9'");
    assert_eq!(rejects[2], "feature 'far', short, bases 5 to 9 (0-based, half-open): it lies outside of its record");
}

#[test]
fn wrong_requests_are_refused() {
    let error = EmbedSpans::new(series_model(), options(Spans::Record, true, 8)).err().unwrap().to_string();
    assert!(error.contains("is not for DNA"), "{error}");
    let wrong = SpanOptions { layer: Some(99), ..options(Spans::Record, true, 8) };
    assert!(EmbedSpans::new(dna_model(), wrong).is_err());
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let rows = RecordBatch::try_from_iter([("contig", column)]).unwrap();
    assert!(FeatureSpans::new(&[rows]).unwrap_err().to_string().contains("'start'"));
}

/// A model that reads both ways reads each window by itself, and a record or what features lie in it as one window; cuts of
/// the input and of the packs change nothing.
#[tokio::test]
async fn windows_are_read_each_by_itself() {
    let model = window_model("f-caduceus-ph");
    let mean = |bases: &str, part: std::ops::Range<usize>| {
        let tokens = dna::tokens(bases.as_bytes()).unwrap();
        let rows = model.encode(&[&tokens], &[2]).unwrap().remove(0);
        let mut mean = Pooled::new(model.width());
        mean.push(&rows[part.start * model.width()..part.end * model.width()]);
        mean.get(Pool::Mean).unwrap()
    };
    let long = "ACGTTGCAACGTTGCAGGGTTTTT";
    let row = |id: &str, (start, end): (u64, u64), mean| (id.to_owned(), start, end, mean);
    let short = || row("short", (0, 5), mean("ACGTN", 0..5));
    let cases = [
        (Spans::Record, vec![short(), row("long", (100, 124), mean(long, 0..24))]),
        (
            Spans::Window(10),
            vec![
                short(),
                row("long", (100, 110), mean(&long[..10], 0..10)),
                row("long", (110, 120), mean(&long[10..20], 0..10)),
                row("long", (120, 124), mean(&long[20..], 0..4)),
            ],
        ),
        (
            features(&[("long", 90, 103), ("long", 101, 110)]),
            vec![row("long", (100, 103), mean(long, 0..3)), row("long", (101, 110), mean(long, 1..10))],
        ),
    ];
    for (spans, expected) in cases {
        for (pack, batch) in [(1, 1), (12, 2), (1000, 100)] {
            let job = EmbedSpans::new(Arc::clone(&model), options(spans.clone(), false, pack)).unwrap();
            assert_eq!(rows_of(Box::new(job), &READS, batch).await, expected, "{spans:?} {pack} {batch}");
        }
    }
}

/// Of a model of both strands the other strand's embedding is the same, reversed; the mean of both is the same of both.
#[tokio::test]
async fn a_model_of_both_strands_sees_both() {
    let (bases, other) = ("ACGTTGCAACGTN", "NACGTTGCAACGT");
    let embedding = |bases: &'static str, both| async move {
        let job = EmbedSpans::new(window_model("f-caduceus-ps"), options(Spans::Record, both, 8)).unwrap();
        rows_of(Box::new(job), &[(Some("a"), 0, true, Some(bases))], 10).await.remove(0).3
    };
    let mut reversed = embedding(other, false).await;
    reversed.reverse();
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * (1.0 + b.abs()));
    assert!(near(&reversed, &embedding(bases, false).await));
    assert!(near(&embedding(other, true).await, &embedding(bases, true).await));
    assert!(!near(&embedding(other, false).await, &embedding(bases, false).await));
}

#[tokio::test]
async fn what_is_too_long_to_be_read_at_once_is_a_reject() {
    let model = window_model("f-caduceus-ph");
    let long = "A".repeat(WindowModel::MOST_BASES + 1);
    let job = EmbedSpans::new(Arc::clone(&model), options(Spans::Record, false, 8)).unwrap();
    let rows: [Read<'_>; 2] = [(Some("long"), 0, true, Some(&long)), (Some("short"), 0, true, Some("ACGT"))];
    let (rows, committed, _) = run(Box::new(job), reads(&rows), 10).await;
    assert_eq!((rows.num_rows(), committed.rejects.len()), (1, 1));
    let reason = "it has 131073 bases; f-caduceus-ph reads at most 131072 at once: use --pool window:N";
    assert_eq!((committed.rejects[0].place.as_str(), committed.rejects[0].reason.as_str()), ("record 'long'", reason));
    for (spans, layer, expected) in [
        (Spans::Window(131_073), None, "windows of 131073 bases: f-caduceus-ph reads at most 131072 at once"),
        (Spans::Record, Some(3), "layer 3: this backbone has layers 0 to 2"),
    ] {
        let wrong = SpanOptions { layer, ..options(spans, false, 8) };
        let error = EmbedSpans::new(Arc::clone(&model), wrong).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
