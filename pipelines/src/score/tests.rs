use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Float32Array, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array},
    datatypes::{Float32Type, Float64Type, UInt32Type},
};
use proptest::prelude::*;
use unspool_ingest::schema;

use super::*;
use crate::{Job, testing};

/// Contig, 1-based position, reference, alternatives.
type Row = (String, u64, String, Vec<String>);

fn variants(rows: &[Row]) -> RecordBatch {
    let mut alternatives = ListBuilder::new(StringBuilder::new());
    rows.iter().for_each(|row| alternatives.append_value(row.3.iter().map(Some)));
    let none = || (0..rows.len()).map(|_| None::<Vec<Option<&str>>>);
    let mut filter = ListBuilder::new(StringBuilder::new());
    none().for_each(|value| filter.append_option(value));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| Some(row.0.as_str())).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.1.checked_sub(1)).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|_| None::<&str>).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2.as_str())).collect::<StringArray>()),
        Arc::new(alternatives.finish()),
        Arc::new(rows.iter().map(|_| None::<f32>).collect::<Float32Array>()),
        Arc::new(filter.finish()),
    ];
    RecordBatch::try_new(schema::variants(), columns).unwrap()
}

fn row(contig: &str, position: u64, reference: &str, alternatives: &[&str]) -> Row {
    (contig.into(), position, reference.into(), alternatives.iter().map(|&a| a.to_owned()).collect())
}

fn contigs(all: &[(&str, &[u8])]) -> Box<dyn Contigs> {
    let all: HashMap<String, Arc<[u8]>> =
        all.iter().map(|(name, bases)| ((*name).to_owned(), (*bases).into())).collect();
    Box::new(all)
}

/// Small tiles, so that a short contig has many.
fn small(pack_tokens: usize) -> ScoreOptions {
    ScoreOptions { tile: 64, window: 16, pack_tokens }
}

fn bases(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    (0..length).map(|_| if next() % 50 == 0 { b'N' } else { b"ACGTacgt"[next() % 8] }).collect()
}

/// Variants of a contig: SNVs, insertions, deletions, several alternatives.
fn some(contig: &[u8], draws: &[(usize, usize, usize)]) -> Vec<Row> {
    let known = |range: std::ops::Range<usize>| {
        let bases = contig.get(range)?;
        bases.iter().all(|b| !b.eq_ignore_ascii_case(&b'N')).then(|| String::from_utf8_lossy(bases).to_uppercase())
    };
    let mut rows = vec![];
    for (at, length, kind) in draws {
        let at = at % contig.len();
        let Some(reference) = known(at..at + 1 + length % 5) else { continue };
        let other = if reference.starts_with('A') { "C" } else { "A" };
        let alternatives = match kind % 4 {
            0 => vec![format!("{other}{}", &reference[1..])],
            1 => vec![format!("{}GATTACA", &reference[..1])],
            2 => vec![reference[..1].to_owned(), format!("{reference}T")],
            _ => vec![format!("{other}CGT")],
        };
        let alternatives: Vec<String> =
            alternatives.into_iter().filter(|alternative| *alternative != reference).collect();
        rows.push(("c".into(), at as u64 + 1, reference, alternatives));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The law of this module: forks of shared contexts give the bits of two runs from the tile's start for each variant.
    #[test]
    fn forks_are_plain_runs_to_the_bit(
        length in 1..400usize,
        seed: u64,
        draws in prop::collection::vec((0..400usize, 0..5usize, 0..4usize), 1..24),
        pack_tokens in prop::sample::select(vec![1, 17, 100, 5000]),
        part in 1..24usize,
    ) {
        let contig = bases(length, seed);
        let rows = some(&contig, &draws);
        let model = testing::dna_model();
        let mut job = Scores::new(Arc::clone(&model), contigs(&[("c", &contig)]), small(pack_tokens)).unwrap();
        let (mut forward, mut reverse, mut alternatives, mut rejects) = (vec![], vec![], vec![], 0);
        for part in rows.chunks(part) {
            let (found, rejected) = score_all(&mut job, &variants(part)).unwrap();
            let column = |name: &str| found[name].as_primitive::<Float64Type>().values().to_vec();
            forward.extend(column("score_forward"));
            reverse.extend(column("score_reverse"));
            alternatives.extend(found["alternative"].as_string::<i32>().iter().flatten().map(str::to_owned));
            rejects += rejected.len();
        }
        let mut expected = vec![];
        let mut tokens = 0;
        for (_, position, reference, all) in &rows {
            for alternative in all {
                let (reference, alternative) = (reference.as_bytes(), alternative.as_bytes());
                let variant = Variant { position: position - 1, reference, alternative };
                let strands = [Strand::Forward, Strand::Reverse];
                let scores = strands.map(|strand| plain::score(&model, (&contig, &variant), strand, &small(1)));
                if let [Ok(a), Ok(b)] = scores {
                    expected.push((alternative.to_vec(), a.0.log_ratio.to_bits(), b.0.log_ratio.to_bits()));
                    tokens += a.1 + b.1;
                }
            }
        }
        let found: Vec<_> = (alternatives.into_iter().zip(forward).zip(reverse))
            .map(|((alternative, a), b)| (alternative.into_bytes(), a.to_bits(), b.to_bits()))
            .collect();
        let all: usize = rows.iter().map(|row| row.3.len()).sum();
        prop_assert_eq!(found.len() + rejects, all);
        prop_assert_eq!(&found, &expected);
        prop_assert!(job.tokens().plain >= tokens, "{:?} {}", job.tokens(), tokens);
        // Single-base windows at the first base of a contig take no token at all; else forks are never dearer.
        prop_assert!(job.tokens().run <= job.tokens().plain);
    }
}

#[test]
fn strands_are_symmetric() {
    let contig = bases(200, 3).to_ascii_uppercase();
    let mirrored: Vec<u8> = {
        let mut tokens = dna::tokens(&contig).unwrap();
        dna::reverse_complement(&mut tokens);
        tokens.iter().map(|token| dna::base(*token).map_or(b'N', |base| dna::BASES[base])).collect()
    };
    let at = 80 + contig[80..].iter().position(|b| *b == b'G').unwrap();
    // One tile, so that boundaries do not depend on the direction.
    let options = ScoreOptions { tile: 512, window: 16, pack_tokens: 100 };
    let mut job = Scores::new(testing::dna_model(), contigs(&[("a", &contig), ("b", &mirrored)]), options).unwrap();
    let rows = [row("a", at as u64 + 1, "G", &["T"]), row("b", (200 - at) as u64, "C", &["A"])];
    let (found, rejects) = score_all(&mut job, &variants(&rows)).unwrap();
    assert!(rejects.is_empty(), "{rejects:?}");
    let column = |name: &str| found[name].as_primitive::<Float64Type>().values().to_vec();
    let (score, forward, reverse) = (column("score"), column("score_forward"), column("score_reverse"));
    assert_eq!((forward[0], reverse[0]), (reverse[1], forward[1]));
    assert_eq!(score[0], score[1]);
    assert_eq!(score[0], f64::midpoint(forward[0], reverse[0]));
    assert!(forward[0] != reverse[0] && forward[0] != 0.0);
    let windows = found["window_forward"].as_primitive::<UInt32Type>().values().to_vec();
    assert_eq!(windows, [16, 16]);
}

#[test]
fn rejects_say_what_does_not_fit() {
    let mut job = Scores::new(testing::dna_model(), contigs(&[("c", b"ACGTACGT-ACGTNACG")]), small(100)).unwrap();
    let rows = [
        row("c", 2, "G", &["A"]),
        row("d", 2, "G", &["A"]),
        row("c", 0, "G", &["A"]),
        row("c", 2, "C", &[]),
        row("c", 2, "C", &["<DEL>", "*", "N", "c"]),
        row("c", 2, "C", &["T"]),
        row("c", 14, "N", &["T"]),
        row("c", 9, "-", &["T"]),
    ];
    let (found, rejects) = score_all(&mut job, &variants(&rows)).unwrap();
    let lines: Vec<String> = rejects.iter().map(|reject| format!("{}: {}", reject.place, reject.reason)).collect();
    let expected = [
        "c:2 G>A: REF is G, but the reference has C there: is it another assembly?",
        "d:2 G>A: the reference has no contig 'd'",
        "c:0 G>.: POS 0 is the telomere, before the first base: it has no score",
        "c:2 C>.: it has no alternative allele: there is nothing to score",
        "c:2 C><DEL>: '<DEL>' is no sequence of bases: it has no score",
        "c:2 C>*: '*' is no sequence of bases: it has no score",
        "c:2 C>N: 'N' has bases that are not known: it has no score",
        "c:2 C>c: the alternative is the reference allele",
        "c:2 C>T: the contig has near it: '-' at base 6 is no base (A C G T U N or an IUPAC ambiguity code)",
        "c:14 N>T: 'N' has bases that are not known: it has no score",
        "c:9 ->T: '-' is no sequence of bases: it has no score",
    ];
    assert_eq!(lines, expected);
    assert_eq!(found.num_rows(), 0);
    let refused = Scores::new(testing::series_model(), contigs(&[]), ScoreOptions::default()).err().unwrap();
    assert!(refused.to_string().contains("no DNA model"), "{refused}");
}

/// How many times fewer tokens forks take than plain runs, for SNVs spread evenly.
fn fewer_tokens(per_kb: usize) -> f64 {
    let contig = bases(8192 * 2, 5);
    let every = 1000 / per_kb;
    let places = (every..contig.len() - 1).step_by(every).filter(|at| !contig[*at].eq_ignore_ascii_case(&b'N'));
    let rows: Vec<Row> = places
        .map(|at| {
            let reference = char::from(contig[at].to_ascii_uppercase()).to_string();
            let other = if reference == "A" { "C" } else { "A" };
            row("c", at as u64 + 1, &reference, &[other])
        })
        .collect();
    let options = ScoreOptions::default();
    let mut work = strand::Work::new(testing::dna_model(), options, contig.clone().into());
    let checked: Vec<Variant<'_>> = rows
        .iter()
        .map(|row| Variant { position: row.1 - 1, reference: row.2.as_bytes(), alternative: row.3[0].as_bytes() })
        .collect();
    assert!(work.add(&checked).iter().all(Result::is_ok));
    while work.step().unwrap().is_some() {}
    work.tokens.plain as f64 / work.tokens.run as f64
}

#[test]
fn shared_contexts_save_tokens() {
    for (per_kb, least) in [(1, 6.0), (4, 15.0), (40, 28.0)] {
        let times = fewer_tokens(per_kb);
        assert!(times >= least, "{times} times fewer tokens at {per_kb} variants a kb");
    }
}

#[test]
fn tracks_are_one_pass_whatever_the_pieces() {
    let model = testing::dna_model();
    let contig = b"ACGTTNGCAACGTACGGTRACC";
    let text = std::str::from_utf8(contig).unwrap();
    let run = |pieces: &[usize], pack_tokens: usize| -> Vec<(u64, u32)> {
        let mut job = track::Track::new(Arc::clone(&model), small(pack_tokens)).unwrap();
        let (mut start, mut rows) = (0, vec![]);
        for (i, piece) in pieces.iter().enumerate() {
            rows.push((Some("c"), start as u64, i + 1 == pieces.len(), Some(&text[start..start + piece])));
            start += piece;
        }
        assert!(job.push(&testing::reads(&rows)).unwrap().is_empty());
        let mut found = vec![];
        while let Some(step) = job.step().unwrap() {
            let starts = step.rows["start"].as_primitive::<arrow::datatypes::UInt64Type>().values().to_vec();
            let bits = step.rows["bits"].as_primitive::<Float32Type>().values().to_vec();
            found.extend(starts.into_iter().zip(bits.into_iter().map(f32::to_bits)));
        }
        assert!(job.end().unwrap().is_empty());
        found
    };
    let whole = run(&[contig.len()], 1000);
    assert_eq!(whole.len(), contig.len() - 2, "the N and the R leave gaps");
    assert_eq!(whole[0], (0, 2f32.to_bits()));
    for (pieces, pack_tokens) in [(vec![5, 10, 7], 3), (vec![1, 1, 20], 1000), (vec![22], 1)] {
        assert_eq!(run(&pieces, pack_tokens), whole, "{pieces:?} {pack_tokens}");
    }
}
