//! Features by the record that they are of.

use std::{collections::BTreeMap, path::Path};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray},
    datatypes::{DataType, UInt64Type},
};
use unspool_ingest::{
    Reject,
    features::{self, FeatureOptions},
};

use super::super::table::Label;
use crate::{Error, Result};

/// A part of a contig that has an embedding of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its first base, 0-based.
    pub start: u64,
    /// The base after its last one.
    pub end: u64,
    /// What it is called.
    pub name: Option<String>,
    /// Its type, such as `CDS`.
    pub kind: Option<String>,
    /// `+` or `-`; `None`: not said.
    pub strand: Option<char>,
}

/// Features, by contig and there by their place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureSpans {
    by_contig: BTreeMap<String, Vec<Feature>>,
    /// Lines that are none.
    rejects: Vec<Reject>,
    /// Only some of the contigs' bases will come: features without any are passed over and no rejects.
    partial: bool,
}

impl FeatureSpans {
    /// The features of a BED, GFF3 or GTF file; only those of `kinds`, unless there are none of these. They stay in memory.
    ///
    /// # Errors
    /// When the file cannot be read or its format is not known.
    pub fn read(path: &Path, kinds: &[String]) -> Result<Self> {
        let mut decoder = features::decoder(path, &FeatureOptions::default())?;
        let (mut batches, mut rejects) = (vec![], vec![]);
        while let Some(batch) = decoder.decode()? {
            batches.push(batch.rows);
            rejects.extend(batch.rejects);
        }
        Ok(Self { rejects, ..Self::new(&batches)? }.only(kinds))
    }

    /// Rows of the schema of features: at least `contig`, `start` and `end`.
    ///
    /// # Errors
    /// When a column is missing or has another type.
    pub fn new(batches: &[RecordBatch]) -> Result<Self> {
        let mut by_contig: BTreeMap<String, Vec<Feature>> = BTreeMap::new();
        for rows in batches {
            let contig = needed(rows, "contig", &DataType::Utf8)?.as_string::<i32>();
            let start = needed(rows, "start", &DataType::UInt64)?.as_primitive::<UInt64Type>();
            let end = needed(rows, "end", &DataType::UInt64)?.as_primitive::<UInt64Type>();
            let texts = ["name", "kind", "strand"].map(|name| rows.column_by_name(name)?.as_string_opt::<i32>());
            let text = |column: Option<&StringArray>, row: usize| {
                column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
            };
            for row in 0..rows.num_rows() {
                let [name, kind, strand] = texts.map(|column| text(column, row));
                let strand = strand.and_then(|strand| strand.chars().next());
                let feature = Feature { start: start.value(row), end: end.value(row), name, kind, strand };
                by_contig.entry(contig.value(row).to_owned()).or_default().push(feature);
            }
        }
        by_contig.values_mut().for_each(|of| of.sort_by_key(|feature| (feature.start, feature.end)));
        Ok(Self { by_contig, ..Self::default() })
    }

    fn only(mut self, kinds: &[String]) -> Self {
        if !kinds.is_empty() {
            let wanted = |feature: &Feature| feature.kind.as_ref().is_some_and(|kind| kinds.contains(kind));
            self.by_contig.values_mut().for_each(|of| of.retain(wanted));
        }
        self
    }

    /// For an input of which only a part is read.
    #[must_use]
    pub fn of_a_part(self) -> Self {
        Self { partial: true, ..self }
    }

    /// The features of a contig, by their place.
    pub(super) fn of(&self, contig: &str) -> &[Feature] {
        self.by_contig.get(contig).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_contig.values().map(Vec::len).sum()
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lines that were no features, and features that had no base in the input; `met` says of each contig which had one.
    pub(super) fn rejects(&self, met: &BTreeMap<String, Vec<bool>>) -> Vec<Reject> {
        let mut rejects = self.rejects.clone();
        let missing = self.by_contig.iter().filter(|_| !self.partial).flat_map(|(contig, of)| {
            let met = met.get(contig);
            let missing = of.iter().enumerate().filter(move |(i, _)| !met.is_some_and(|met| met[*i]));
            missing.map(move |(_, feature)| {
                let reason = match met {
                    _ if feature.start == feature.end => "it has no bases".into(),
                    Some(_) => "it lies outside of its record".into(),
                    None => format!("the input has no record '{contig}'"),
                };
                Reject { place: feature.place(contig), reason, payload: vec![] }
            })
        });
        rejects.extend(missing);
        rejects
    }
}

impl Feature {
    /// What its row says of it.
    pub(super) fn label(&self) -> Label {
        Label { name: self.name.clone(), kind: self.kind.clone(), strand: self.strand }
    }

    fn place(&self, contig: &str) -> String {
        let name = self.name.as_ref().map(|name| format!(" '{name}'")).unwrap_or_default();
        format!("feature{name}, {contig}, bases {} to {} (0-based, half-open)", self.start, self.end)
    }
}

/// A column that must be there.
fn needed<'a>(rows: &'a RecordBatch, name: &str, expected: &DataType) -> Result<&'a ArrayRef> {
    match rows.column_by_name(name) {
        Some(column) if column.data_type() == expected => Ok(column),
        _ => Err(Error::Rows(format!("a column '{name}' of type {expected} is needed"))),
    }
}
