//! What is counted of a file.

use std::collections::{HashMap, HashSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, UInt16Type},
};
use indicatif::HumanCount;

use super::Facts;

/// The SAM flag of an unmapped read.
const UNMAPPED: u16 = 4;

/// Counts rows.
pub(super) trait Count {
    fn add(&mut self, rows: &RecordBatch);
    fn facts(&self) -> Facts;
}

/// Counts of reads or contigs.
#[derive(Default)]
pub(super) struct ReadCounts {
    records: u64,
    bases: u64,
    /// Bases of the record at hand so far.
    length: u64,
    longest: u64,
    mapped: u64,
    unmapped: u64,
}

impl Count for ReadCounts {
    fn add(&mut self, rows: &RecordBatch) {
        let (sequence, last) = (rows["sequence"].as_string::<i32>(), rows["last"].as_boolean());
        let flag = rows["flag"].as_primitive::<UInt16Type>();
        for row in 0..rows.num_rows() {
            self.length += if sequence.is_valid(row) { sequence.value(row).len() as u64 } else { 0 };
            if !last.value(row) {
                continue;
            }
            self.records += 1;
            self.bases += self.length;
            self.longest = self.longest.max(self.length);
            self.length = 0;
            if flag.is_valid(row) {
                let unmapped = flag.value(row) & UNMAPPED > 0;
                self.unmapped += u64::from(unmapped);
                self.mapped += u64::from(!unmapped);
            }
        }
    }

    fn facts(&self) -> Facts {
        let bases = format!("{} (longest record {})", HumanCount(self.bases), HumanCount(self.longest));
        let mut facts = vec![("records".into(), HumanCount(self.records).to_string()), ("bases".into(), bases)];
        if self.mapped + self.unmapped > 0 {
            let mapped = format!("{} ({} unmapped)", HumanCount(self.mapped), HumanCount(self.unmapped));
            facts.push(("mapped".into(), mapped));
        }
        facts
    }
}

/// Counts of variants.
#[derive(Default)]
pub(super) struct VariantCounts {
    records: u64,
    alternatives: u64,
    /// Alternatives of one base for one base.
    single: u64,
    contigs: HashSet<String>,
}

impl Count for VariantCounts {
    fn add(&mut self, rows: &RecordBatch) {
        let (contig, reference) = (rows["contig"].as_string::<i32>(), rows["reference"].as_string::<i32>());
        let alternatives = rows["alternatives"].as_list::<i32>();
        self.records += rows.num_rows() as u64;
        for row in 0..rows.num_rows() {
            if !self.contigs.contains(contig.value(row)) {
                self.contigs.insert(contig.value(row).to_owned());
            }
            let texts = alternatives.value(row);
            let is_single = |text: &str| text.len() == 1 && text != "*" && reference.value(row).len() == 1;
            self.alternatives += texts.len() as u64;
            self.single += texts.as_string::<i32>().iter().flatten().filter(|text| is_single(text)).count() as u64;
        }
    }

    fn facts(&self) -> Facts {
        let alternatives =
            format!("{} ({} of one base for one)", HumanCount(self.alternatives), HumanCount(self.single));
        let records = format!("{} on {} contigs", HumanCount(self.records), self.contigs.len());
        vec![("records".into(), records), ("alternatives".into(), alternatives)]
    }
}

/// Counts of series.
#[derive(Default)]
pub(super) struct SeriesCounts {
    /// Rows of each series.
    lengths: HashMap<String, u64>,
    missing: u64,
}

impl Count for SeriesCounts {
    fn add(&mut self, rows: &RecordBatch) {
        let (id, value) = (rows["id"].as_string::<i32>(), rows["value"].as_primitive::<Float64Type>());
        for row in 0..rows.num_rows() {
            match self.lengths.get_mut(id.value(row)) {
                Some(length) => *length += 1,
                None => {
                    self.lengths.insert(id.value(row).to_owned(), 1);
                }
            }
            self.missing += u64::from(value.is_null(row) || value.value(row).is_nan());
        }
    }

    fn facts(&self) -> Facts {
        let lengths = || self.lengths.values().copied();
        let range = [lengths().min(), lengths().max()].map(|length| HumanCount(length.unwrap_or(0)));
        let series = format!("{} (of {} to {} values)", HumanCount(self.lengths.len() as u64), range[0], range[1]);
        let values = format!("{} ({} missing)", HumanCount(lengths().sum()), HumanCount(self.missing));
        vec![("series".into(), series), ("values".into(), values)]
    }
}
