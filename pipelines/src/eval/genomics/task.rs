//! Labelled sequences: the nine tasks of the Genome Understanding Evaluation, and coding *E. coli*.

use std::path::Path;

use unspool_model::dna;

use super::super::{Error, Result};
use crate::train::data::{DataError, labelled};

/// The tasks: a folder of the `classification` folder each, with its name in short.
pub const TASKS: [(&str, &str); 10] = [
    ("gue/prom_core_all", "prom_core_all"),
    ("gue/prom_core_notata", "prom_core_notata"),
    ("gue/prom_core_tata", "prom_core_tata"),
    ("gue/prom_300_tata", "prom_300_tata"),
    ("gue/tf_human_0", "tf_human_0"),
    ("gue/tf_human_1", "tf_human_1"),
    ("gue/tf_human_2", "tf_human_2"),
    ("gue/tf_human_3", "tf_human_3"),
    ("gue/tf_human_4", "tf_human_4"),
    ("ecoli_coding_150", "ecoli_coding_150"),
];

/// A labelled sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Tokens of its bases.
    pub tokens: Vec<u32>,
    /// Of the positive class.
    pub label: bool,
}

/// A task of two classes.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name in short.
    pub name: String,
    /// What a probe learns from, what it is chosen by, and what it is judged on.
    pub train: Vec<Case>,
    /// See `train`.
    pub dev: Vec<Case>,
    /// See `train`.
    pub test: Vec<Case>,
}

impl Task {
    /// Reads one of [`TASKS`] from the folder of genomics data.
    ///
    /// # Errors
    /// When a file is missing, or holds anything but bases with labels of 0 and 1.
    pub fn read(data: &Path, (folder, name): (&str, &str)) -> Result<Self> {
        let part = |part: &str| cases(&data.join("classification").join(folder).join(format!("{part}.csv.gz")));
        Ok(Self { name: name.into(), train: part("train")?, dev: part("dev")?, test: part("test")? })
    }
}

fn cases(path: &Path) -> Result<Vec<Case>> {
    if !path.is_file() {
        let remedy = "name the folder of genomics data, which holds classification/ and genomes/";
        return Err(Error::Missing { path: path.to_owned(), remedy });
    }
    let case = |row: labelled::Labelled| {
        let wrong = |reason: String| DataError::Rejected { place: row.place.clone(), reason };
        let tokens = dna::tokens(row.sequence.as_bytes()).map_err(|bad| wrong(bad.to_string()))?;
        let label = match row.label.as_str() {
            "0" => false,
            "1" => true,
            other => return Err(wrong(format!("'{other}' is no label: 0 or 1 is"))),
        };
        Ok(Case { tokens, label })
    };
    Ok(labelled::read(path)?.into_iter().map(case).collect::<Result<_, DataError>>()?)
}
