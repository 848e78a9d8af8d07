//! Scoring as a job: rows of variants in, rows of scores out, in the same order.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray},
    compute::concat_batches,
    datatypes::{SchemaRef, UInt64Type},
};
use unspool_ingest::{Reject, schema};
use unspool_model::Model;

use super::{
    Contigs, Score, ScoreOptions, Tokens, Variant,
    strand::Work,
    table::{self, Row},
};
use crate::{Error, Job, Result, Step};

/// Scores variants (rows of [`schema::variants`]) against contigs.
///
/// Variants may come in any order; those that stand near each other and come together share their tile's context. A
/// variant that cannot be scored is a reject: one that does not fit its reference is shown with both bases.
pub struct Scores {
    model: Arc<Model>,
    options: ScoreOptions,
    contigs: Box<dyn Contigs>,
    /// Rows still to be scored, each part of one contig.
    waiting: VecDeque<RecordBatch>,
    active: Option<Active>,
    tokens: Tokens,
}

/// Variants of one contig at work.
struct Active {
    variants: RecordBatch,
    work: Work,
    /// Alternatives with the numbers of their scores.
    scored: Vec<Scored>,
    rejects: Vec<Reject>,
}

struct Scored {
    variant: u32,
    alternative: String,
    numbers: [usize; 2],
}

impl Scores {
    /// A job that has scored nothing yet.
    ///
    /// # Errors
    /// When the model predicts no bases, or the options make no sense.
    pub fn new(model: Arc<Model>, contigs: Box<dyn Contigs>, options: ScoreOptions) -> Result<Self> {
        options.check(&model)?;
        let (waiting, active, tokens) = (VecDeque::new(), None, Tokens::default());
        Ok(Self { model, options, contigs, waiting, active, tokens })
    }

    /// Tokens that scoring took so far.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        self.tokens
    }

    /// Begins with the variants of one contig.
    fn begin(&mut self, variants: RecordBatch) -> Result<Active> {
        let columns = Columns::of(&variants)?;
        let name = columns.contig.value(0);
        let contig = self.contigs.contig(name)?;
        let (mut rejects, mut wanted, mut asked) = (vec![], vec![], vec![]);
        for row in 0..variants.num_rows() {
            for (alternative, variant) in columns.alternatives(row, &mut rejects) {
                wanted.push((row, alternative));
                asked.push(variant);
            }
        }
        let mut work = Work::new(Arc::clone(&self.model), self.options, contig.clone().unwrap_or_default());
        let numbers = match contig {
            Some(_) => work.add(&asked),
            None => asked.iter().map(|_| Err(format!("the reference has no contig '{name}'"))).collect(),
        };
        let mut scored = vec![];
        for ((row, alternative), numbers) in wanted.into_iter().zip(numbers) {
            match numbers {
                Ok(numbers) => {
                    let variant = u32::try_from(row).unwrap_or(u32::MAX);
                    scored.push(Scored { variant, alternative: alternative.to_owned(), numbers });
                }
                Err(reason) => rejects.push(columns.reject(row, alternative, reason)),
            }
        }
        Ok(Active { variants: variants.clone(), work, scored, rejects })
    }

    /// What the variants of a contig gave.
    fn end(&mut self, active: Active) -> Result<Step> {
        let Active { variants, work, scored, mut rejects } = active;
        let columns = Columns::of(&variants)?;
        self.tokens.run += work.tokens.run;
        self.tokens.plain += work.tokens.plain;
        let mut rows = vec![];
        for Scored { variant, alternative, numbers } in scored {
            match work.scores(numbers) {
                Ok([forward, reverse]) => rows.push(Row { variant, alternative, forward, reverse }),
                Err(reason) => rejects.push(columns.reject(variant as usize, &alternative, reason)),
            }
        }
        Ok(Step { rows: table::rows(&variants, &rows)?, rejects, events: 0 })
    }
}

impl Job for Scores {
    fn schema(&self) -> SchemaRef {
        table::scores()
    }

    fn push(&mut self, rows: &RecordBatch) -> Result<Vec<Reject>> {
        let columns = Columns::of(rows)?;
        let mut start = 0;
        for row in 1..=rows.num_rows() {
            if row == rows.num_rows() || columns.contig.value(row) != columns.contig.value(start) {
                self.waiting.push_back(rows.slice(start, row - start));
                start = row;
            }
        }
        Ok(vec![])
    }

    fn end(&mut self) -> Result<Vec<Reject>> {
        Ok(vec![])
    }

    fn step(&mut self) -> Result<Option<Step>> {
        let nothing = || RecordBatch::new_empty(table::scores());
        let mut active = match (self.active.take(), self.waiting.pop_front()) {
            (Some(active), waiting) => {
                if let Some(waiting) = waiting {
                    self.waiting.push_front(waiting);
                }
                active
            }
            (None, Some(variants)) => self.begin(variants)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(match active.work.step()? {
            Some(events) => {
                self.active = Some(active);
                Step { rows: nothing(), rejects: vec![], events }
            }
            None => Scores::end(self, active)?,
        }))
    }
}

/// The columns of variants.
struct Columns<'a> {
    rows: &'a RecordBatch,
    contig: &'a StringArray,
    reference: &'a StringArray,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Result<Self> {
        for field in schema::variants().fields() {
            let found = rows.column_by_name(field.name()).map(|column| column.data_type());
            if found != Some(field.data_type()) {
                return Err(Error::Rows(format!(
                    "a column '{}' of type {} is needed",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        Ok(Self { rows, contig: rows["contig"].as_string(), reference: rows["reference"].as_string() })
    }

    /// The alternatives of a row that stand somewhere.
    fn alternatives(&self, row: usize, rejects: &mut Vec<Reject>) -> Vec<(&'a str, Variant<'a>)> {
        let position = self.rows["position"].as_primitive::<UInt64Type>();
        let list = self.rows["alternatives"].as_list::<i32>();
        let texts = list.values().as_string::<i32>();
        let offsets = list.value_offsets();
        let range = offsets[row] as usize..offsets[row + 1] as usize;
        if position.is_null(row) {
            rejects.push(self.reject(row, ".", "POS 0 is the telomere, before the first base: it has no score".into()));
            return vec![];
        }
        if range.is_empty() {
            rejects.push(self.reject(row, ".", "it has no alternative allele: there is nothing to score".into()));
        }
        let (position, reference) = (position.value(row), self.reference.value(row).as_bytes());
        let variant = |alternative: &'a str| Variant { position, reference, alternative: alternative.as_bytes() };
        range.map(|i| texts.value(i)).map(|alternative| (alternative, variant(alternative))).collect()
    }

    fn reject(&self, row: usize, alternative: &str, reason: String) -> Reject {
        const SHOWN: usize = 40;
        let position = self.rows["position"].as_primitive::<UInt64Type>();
        let position = if position.is_null(row) { 0 } else { position.value(row) + 1 };
        let short = |allele: &str| allele.chars().take(SHOWN).collect::<String>();
        let (contig, reference) = (self.contig.value(row), short(self.reference.value(row)));
        let place = format!("{contig}:{position} {reference}>{}", short(alternative));
        Reject { place, reason, payload: vec![] }
    }
}

/// Scores rows of variants in memory: the rows of scores and the rejects.
///
/// # Errors
/// As [`Job::step`].
pub fn score_all(job: &mut Scores, variants: &RecordBatch) -> Result<(RecordBatch, Vec<Reject>)> {
    let mut rejects = job.push(variants)?;
    let mut rows = vec![];
    while let Some(step) = job.step()? {
        rows.push(step.rows);
        rejects.extend(step.rejects);
    }
    Ok((concat_batches(&table::scores(), &rows)?, rejects))
}

/// Scores variants of one contig in memory: for each its forward and its reverse score, or why it has none.
///
/// # Errors
/// When the model refuses, or `stopped` says so: then with [`Error::Cancelled`].
pub fn contig(
    (model, options): (&Arc<Model>, ScoreOptions),
    contig: &Arc<[u8]>,
    variants: &[Variant<'_>],
    stopped: &dyn Fn() -> bool,
) -> Result<Vec<Result<[Score; 2], String>>> {
    options.check(model)?;
    let mut work = Work::new(Arc::clone(model), options, Arc::clone(contig));
    let numbers = work.add(variants);
    while work.step()?.is_some() {
        if stopped() {
            return Err(Error::Cancelled);
        }
    }
    Ok(numbers.into_iter().map(|numbers| numbers.and_then(|numbers| work.scores(numbers))).collect())
}
