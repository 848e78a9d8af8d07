//! A logistic probe on a task: on k-mers, on a frozen model's embeddings, and on both side by side.
//!
//! K-mers are counts of words of 3, 4 and 5 bases, scaled by their maximum, with C = 0.1: the baseline that the data's own
//! notes state. Embeddings are standardised; their layer and then C are chosen by the dev split's AUC, on a thinned training
//! split.

use super::{
    super::Result,
    embeddings,
    features::Features,
    kmers,
    logistic::{EXACT, Logistic, NEAR},
    score::{Classified, auc},
    task::{Case, Task},
};
use crate::embed::Reader;

/// C of the k-mers' regression.
const KMER_C: f64 = 0.1;
/// C that are tried for embeddings.
const CS: [f64; 4] = [1e-3, 1e-2, 0.1, 1.0];
/// The C that layers are chosen with.
const LAYER_C: f64 = 0.01;
/// What standardised embeddings are multiplied by beside k-mers, whose largest counts are 1.
const BESIDE: f64 = 0.1;
/// Training cases that layer and C are chosen with, at most.
const THINNED: usize = 8192;

/// A task's scores with one kind of features.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// On the test split.
    pub test: Classified,
    /// Which layer's embeddings, and the C; `None` of k-mers alone.
    pub chosen: Option<(usize, f64)>,
}

/// A task's row.
#[derive(Clone, Debug)]
pub struct Columns {
    /// K-mers alone.
    pub kmers: Probed,
    /// For each model: its embeddings alone, and joined with the k-mers.
    pub models: Vec<[Probed; 2]>,
}

/// Probes a task with k-mers, and with each of some models.
///
/// # Errors
/// When a model is not for DNA, or fails.
pub fn probe(task: &Task, models: &[Reader]) -> Result<Columns> {
    let parts = [&task.train, &task.dev, &task.test];
    let mut counts = parts.map(|cases| kmers::counts(cases.iter().map(|case| &case.tokens[..])));
    let factors = counts[0].by_maximum();
    counts.iter_mut().for_each(|counts| counts.scale(&factors, &vec![0.0; factors.len()]));
    let labels = parts.map(|cases| labels(cases));
    let found = Logistic::fit(&counts[0], &labels[0], (KMER_C, EXACT)).margins(&counts[2]);
    let kmers = Probed { test: Classified::of(&found, &labels[2]), chosen: None };
    let each = models.iter().map(|model| of_model(model, parts, (&counts, &labels)));
    Ok(Columns { kmers, models: each.collect::<Result<_>>()? })
}

fn labels(cases: &[Case]) -> Vec<bool> {
    cases.iter().map(|case| case.label).collect()
}

/// Train, dev and test.
type Parts<T> = [T; 3];

fn of_model(
    model: &Reader,
    parts: Parts<&Vec<Case>>,
    (counts, labels): (&Parts<Features>, &Parts<Vec<bool>>),
) -> Result<[Probed; 2]> {
    embeddings::check(model.info())?;
    let last = model.info().config.layers;
    let mut layers: Vec<usize> = [last / 4, last / 2, last * 3 / 4, last].into();
    layers.dedup();
    let [train, dev, test] = parts.map(|cases| embeddings::embed(model, cases, &layers));
    let embedded = train?.into_iter().zip(dev?).zip(test?).map(|((train, dev), test)| [train, dev, test]);
    let scaled: Vec<Parts<Features>> = embedded
        .map(|mut parts| {
            let (factors, offsets) = parts[0].by_deviation();
            parts.iter_mut().for_each(|part| part.scale(&factors, &offsets));
            parts
        })
        .collect();
    let alone = chosen(&layers, &scaled, labels);
    let beside: Vec<Parts<Features>> = scaled
        .into_iter()
        .map(|[mut train, mut dev, mut test]| {
            let width = train.width;
            for part in [&mut train, &mut dev, &mut test] {
                part.scale(&vec![BESIDE; width], &vec![0.0; width]);
            }
            [counts[0].joined(&train), counts[1].joined(&dev), counts[2].joined(&test)]
        })
        .collect();
    Ok([alone, chosen(&layers, &beside, labels)])
}

/// The scores with the layer and then the C that the dev split's AUC is highest with.
fn chosen(layers: &[usize], features: &[Parts<Features>], labels: &Parts<Vec<bool>>) -> Probed {
    let score = |parts: &Parts<Features>, c: f64| {
        let (thin, kept) = parts[0].thinned(THINNED);
        let thin_labels: Vec<bool> = kept.iter().map(|&row| labels[0][row]).collect();
        auc(&Logistic::fit(&thin, &thin_labels, (c, NEAR)).margins(&parts[1]), &labels[1])
    };
    let most = |scores: Vec<f64>| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0);
    let at = most(features.iter().map(|parts| score(parts, LAYER_C)).collect());
    let c = CS[most(CS.iter().map(|&c| score(&features[at], c)).collect())];
    let margins = Logistic::fit(&features[at][0], &labels[0], (c, EXACT)).margins(&features[at][2]);
    Probed { test: Classified::of(&margins, &labels[2]), chosen: Some((layers[at], c)) }
}
