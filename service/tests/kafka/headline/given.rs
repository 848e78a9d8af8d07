//! What a way gave, and whether another one gave the same.

use std::{collections::BTreeMap, fmt::Write as _};

use sha2::{Digest, Sha256};

use super::input::Input;

/// What is given of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Of the values that follow the last one: f64.
    Forecast,
    /// A p-value for each value: f64, NaN where there is none.
    Scores,
    /// Of all events: f32.
    Embedding,
    /// The final state of who was asked for forecasts, as bytes.
    StateOfForecasts,
    /// ... for scores.
    StateOfScores,
    /// ... for embeddings.
    StateOfEmbeddings,
}

impl Kind {
    /// The kinds that are asked of series, each with the kind of its final state.
    pub(super) const OF_SERIES: [(Self, Self); 3] = [
        (Self::Forecast, Self::StateOfForecasts),
        (Self::Scores, Self::StateOfScores),
        (Self::Embedding, Self::StateOfEmbeddings),
    ];
    pub(super) const OF_READS: (Self, Self) = (Self::Embedding, Self::StateOfEmbeddings);

    fn width(self) -> usize {
        match self {
            Self::Forecast | Self::Scores => 8,
            Self::Embedding => 4,
            Self::StateOfForecasts | Self::StateOfScores | Self::StateOfEmbeddings => 1,
        }
    }
}

/// f64 as bits; all NaN are one.
pub(super) fn bits(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| if v.is_nan() { f64::NAN.to_le_bytes() } else { v.to_le_bytes() }).collect()
}

/// Vectors of f32 as bits.
pub(super) fn bits_f32(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What a way gave of each sequence.
#[derive(Default)]
pub(super) struct Given(BTreeMap<(Kind, String), Vec<u8>>);

impl Given {
    pub(super) fn put(&mut self, (kind, id): (Kind, &str), bytes: Vec<u8>) {
        assert!(!bytes.is_empty(), "{kind:?} of {id} is empty");
        let before = self.0.insert((kind, id.to_owned()), bytes);
        assert!(before.is_none(), "{kind:?} of {id} was given twice");
    }

    pub(super) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|((kind, id), bytes)| self.put((kind, &id), bytes));
    }

    fn hash(&self, kinds: &[Kind], ids: &[&str]) -> Option<String> {
        let mut hash = Sha256::new();
        for kind in kinds {
            for id in ids {
                hash.update(self.0.get(&(*kind, (*id).to_owned()))?);
            }
        }
        Some(hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The columns of the table.
const COLUMNS: [(&str, &[Kind], &[Kind]); 4] = [
    ("forecasts", &[Kind::Forecast], &[]),
    ("scores", &[Kind::Scores], &[]),
    ("embeddings", &[Kind::Embedding], &[Kind::Embedding]),
    ("states", &[Kind::StateOfForecasts, Kind::StateOfScores, Kind::StateOfEmbeddings], &[Kind::StateOfEmbeddings]),
];

/// The ways side by side: hashes for people, and which cells are empty, as (way, set, column).
pub(super) fn table<'a>(
    input: &Input,
    ways: &[(&'a str, Given)],
) -> (String, Vec<(&'a str, &'static str, &'static str)>) {
    let series: Vec<&str> = input.series.iter().map(|series| &*series.id).collect();
    let reads: Vec<&str> = input.reads.iter().map(|read| &*read.id).collect();
    let values: usize = input.series.iter().map(|series| series.values.len()).sum();
    let bases: usize = input.reads.iter().map(|read| read.bases.len()).sum();
    let mut text = format!("{:26} {:8} {:>6} {:>7}", "way", "of", "number", "events");
    COLUMNS.iter().for_each(|(name, ..)| write!(text, "  {name:12}").unwrap());
    let mut empty = vec![];
    for (set, ids, events) in [("series", &series, values), ("reads", &reads, bases)] {
        for (way, given) in ways {
            write!(text, "\n{way:26} {set:8} {:6} {events:7}", ids.len()).unwrap();
            for (column, of_series, of_reads) in COLUMNS {
                let kinds = if set == "series" { of_series } else { of_reads };
                let hash = if kinds.is_empty() { None } else { given.hash(kinds, ids) };
                write!(text, "  {:12}", hash.as_deref().unwrap_or("-")).unwrap();
                if hash.is_none() && !kinds.is_empty() {
                    empty.push((*way, set, column));
                }
            }
        }
    }
    (text, empty)
}

/// The first difference between a way and another, if there is one.
pub(super) fn difference((one, given): &(&str, Given), (other, found): &(&str, Given)) -> Option<String> {
    for ((kind, id), found) in &found.0 {
        let Some(given) = given.0.get(&(*kind, id.clone())) else { continue };
        let at = given.iter().zip(found).position(|(a, b)| a != b);
        if at.is_some() || given.len() != found.len() {
            let (width, lens) = (kind.width(), (given.len() / kind.width(), found.len() / kind.width()));
            let at = at.unwrap_or(given.len().min(found.len())) / width;
            let show = |bytes: &[u8]| format!("{:02x?}", bytes.get(at * width..(at + 1) * width));
            return Some(format!(
                "{kind:?} of {id}: {one} and {other} differ at {at} (of {} and {}): {} and {}",
                lens.0,
                lens.1,
                show(given),
                show(found)
            ));
        }
    }
    None
}

#[test]
fn a_flipped_bit_is_named() {
    let check = |changed: f64, expected: Option<&str>| {
        let (mut one, mut other) = (Given::default(), Given::default());
        one.put((Kind::Scores, "a"), bits(&[0.5, f64::NAN, 0.25]));
        other.put((Kind::Scores, "a"), bits(&[0.5, f64::NAN, changed]));
        let found = difference(&("one", one), &("other", other));
        assert_eq!(found.as_deref().map(|text| text.split(" (").next().unwrap()), expected);
    };
    check(0.25, None);
    check(f64::from_bits(0.25f64.to_bits() + 1), Some("Scores of a: one and other differ at 2"));
}
