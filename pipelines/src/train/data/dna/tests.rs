use std::{collections::HashSet, fs};

use super::*;

/// A genome without repeats of 12 bases, and short sequences of C and G.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    // The finaliser of SplitMix64: a plain product has stretches that are their own other strand.
    let base = |i: u64| {
        let z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        char::from(b"ACGT"[(z >> 62) as usize])
    };
    let genome: String = (0..3000).map(base).collect();
    fs::write(dir.path().join("a.fa"), format!(">one\n{}\n>two\nA\n>three\n{}\n", &genome[..2000], &genome[2000..]))
        .unwrap();
    let rows: String = (4..40).map(|n| format!("{},{}\n", "CG".repeat(n), n % 2)).collect();
    fs::write(dir.path().join("b.csv"), format!("sequence,label\n{rows}")).unwrap();
    dir
}

fn source(path: &str, share: f64, take: (f64, f64)) -> DnaSource {
    DnaSource { path: path.into(), share, take }
}

fn options() -> DnaOptions {
    DnaOptions {
        lengths: vec![(100, 0.5), (300, 0.5)],
        sources: vec![source("a.fa", 3.0, (0.0, 0.8)), source("b.csv", 1.0, (0.0, 1.0))],
        validation: vec![source("a.fa", 1.0, (0.8, 1.0))],
        validation_bases: (150, 10_000),
        ..DnaOptions::default()
    }
}

#[test]
fn a_part_of_each_record_is_taken() {
    let dir = folder();
    let whole = Corpus::read(&dir.path().join("a.fa"), (0.0, 1.0)).unwrap();
    let lengths = |corpus: &Corpus| corpus.records().map(<[u8]>::len).collect::<Vec<_>>();
    assert_eq!(lengths(&whole), [2000, 1000], "a record of one base teaches nothing");
    let parts = [(0.0, 0.7), (0.7, 0.8), (0.8, 1.0)].map(|take| Corpus::read(&dir.path().join("a.fa"), take).unwrap());
    assert_eq!(parts.each_ref().map(lengths), [vec![1400, 700], vec![200, 100], vec![400, 200]]);
    let joined: Vec<u8> = parts.iter().flat_map(|part| part.records().next().unwrap().to_vec()).collect();
    assert_eq!(joined, whole.records().next().unwrap());
    assert_eq!(whole.record(1999).len() + whole.record(2000).len(), 3000);
}

/// Shares of bases, both strands, nothing of what is held out; and the same again.
#[test]
fn batches_keep_their_laws() {
    let dir = folder();
    let data = DnaData::open(options(), dir.path(), (20_000, 2)).unwrap();
    let batches = data.batches(3);
    assert_eq!(batches, data.batches(3));
    assert_ne!(batches, data.batches(4));
    assert_eq!(batches.len(), 2);
    let windows: Vec<Vec<u32>> = (0..200).map(|i| data.window(&mut Draws::new(i), &data.sources[0], 10_000)).collect();
    let train: Vec<u32> = data.sources[0].records().flatten().map(|&token| u32::from(token)).collect();
    let mut other = train.clone();
    dna::reverse_complement(&mut other);
    let words = |tokens: &[u32]| tokens.windows(12).map(<[u32]>::to_vec).collect::<HashSet<_>>();
    let (forward, backward) = (words(&train), words(&other));
    let strands = windows.iter().map(|window| (words(window).is_subset(&forward), words(window).is_subset(&backward)));
    let strands: Vec<(bool, bool)> = strands.collect();
    assert!(strands.iter().all(|&(forward, backward)| forward != backward));
    let share = strands.iter().filter(|strand| strand.0).count();
    assert!((70..130).contains(&share), "{share} of 200 windows are of the forward strand");
    assert!(windows.iter().any(|w| w.len() == 100) && windows.iter().any(|w| w.len() == 300));
    for batch in &batches {
        // The last window of a source fills its share to the base.
        assert_eq!(batch.len(), 10_000);
    }
    let (told, count) = (data.validation().iter().map(|(_, told)| told).sum::<f64>(), data.validation().len());
    assert_eq!((told, count), (600.0 - 5.0, 1), "five windows, whose first bases are not told");
}

#[test]
fn hidden_bases_are_told_all_the_same() {
    let dir = folder();
    let open = |hidden| DnaData::open(DnaOptions { hidden, ..options() }, dir.path(), (10_000, 1)).unwrap().batches(0);
    let (shown, hidden) = (open(0.0).remove(0), open(0.2).remove(0));
    assert_ne!(shown, hidden);
    assert_eq!(shown.told(), hidden.told());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = folder();
    let check = |change: &dyn Fn(&mut DnaOptions), expected: &str| {
        let mut options = options();
        change(&mut options);
        let error = DnaData::open(options, dir.path(), (1000, 1)).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|o| o.lengths = vec![(1, 1.0)], "dna.lengths");
    check(&|o| o.lengths = vec![(100, 0.0)], "dna.lengths");
    check(&|o| o.hidden = 1.0, "dna.hidden of the training data is 1");
    check(&|o| o.sources.clear(), "dna.sources of the training data is 0 files");
    check(&|o| o.sources[1].share = -1.0, "-1 (b.csv)");
    check(&|o| o.validation[0].take = (0.8, 0.8), "[0.8, 0.8] (a.fa)");
    check(&|o| o.validation_bases = (1, 1), "dna.validation_bases");
    check(&|o| o.sources[0].path = "c.fa".into(), "c.fa");
    check(&|o| o.sources[0].take = (0.0, 1e-9), "no sequence of two bases");
    fs::write(dir.path().join("b.csv"), "sequence,label\nACG-T,1\n").unwrap();
    check(&|_| (), "b.csv, line 2: '-' at base 3 is no base");
}
