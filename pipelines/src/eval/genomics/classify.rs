//! What a fine-tuned classifier of DNA says, and how often it is right.

use unspool_model::{Events, Item, Model, Options, State, dna};

use super::{
    super::Result,
    embeddings,
    score::{Classified, auc},
};
use crate::train::data::classes::Cases;

/// Tokens that go through the model at once, about.
const PACK: usize = 1 << 15;

/// The probabilities of each case's classes, `[cases][classes]`: the mean over both strands.
///
/// # Errors
/// When the model is not for DNA, or fails.
pub fn classify(model: &Model, sequences: &[Vec<u32>], classes: usize) -> Result<Vec<Vec<f64>>> {
    embeddings::check(model.info())?;
    let options = Options { layers: vec![model.info().config.layers], rows: true, ..Options::default() };
    let mut said = vec![];
    let mut rest = sequences;
    while !rest.is_empty() {
        let mut tokens = 0;
        let mut fits = |sequence: &&Vec<u32>| {
            tokens += 2 * sequence.len();
            tokens <= PACK
        };
        let (pack, after) = rest.split_at(rest.iter().take_while(|sequence| fits(sequence)).count().max(1));
        rest = after;
        let mut strands: Vec<Vec<u32>> = vec![];
        for sequence in pack {
            let mut other = sequence.clone();
            dna::reverse_complement(&mut other);
            strands.extend([sequence.clone(), other]);
        }
        strands.iter_mut().for_each(|strand| strand.push(dna::CLS));
        let mut states = strands.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
        let items =
            states.iter_mut().zip(&strands).map(|(state, tokens)| Item { state, events: Events::Tokens(tokens) });
        let outputs = model.append(&mut items.collect::<Vec<_>>())?;
        let d = model.info().config.d;
        let last: Vec<f32> =
            outputs.iter().flat_map(|output| &output.rows[0][output.rows[0].len() - d..]).copied().collect();
        for pair in model.next_bases(&last)?.chunks_exact(2) {
            let share = |class: usize| 0.5 * (libm::exp(pair[0][class]) + libm::exp(pair[1][class]));
            let shares: Vec<f64> = (0..classes).map(share).collect();
            let sum: f64 = shares.iter().sum();
            said.push(shares.into_iter().map(|share| share / sum.max(f64::MIN_POSITIVE)).collect());
        }
    }
    Ok(said)
}

/// AUC of the last class (of two classes; NaN of more), and the Matthews correlation coefficient.
#[must_use]
pub fn judge(said: &[Vec<f64>], cases: &Cases) -> Classified {
    let most = |shares: &Vec<f64>| (0..shares.len()).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap_or(0);
    let found: Vec<usize> = said.iter().map(most).collect();
    let classes = said.first().map_or(0, Vec::len);
    let auc = match classes {
        2 => auc(
            &said.iter().map(|shares| shares[1]).collect::<Vec<_>>(),
            &cases.classes.iter().map(|&class| class == 1).collect::<Vec<_>>(),
        ),
        _ => f64::NAN,
    };
    Classified { auc, mcc: correlation(&found, &cases.classes, classes) }
}

/// The correlation coefficient of any number of classes (Gorodkin, 2004); 0 where one was never found or never there.
fn correlation(found: &[usize], labels: &[usize], classes: usize) -> f64 {
    let count = |of: &[usize], class: usize| of.iter().filter(|&&c| c == class).count() as f64;
    let all = labels.len() as f64;
    let right = found.iter().zip(labels).filter(|(a, b)| a == b).count() as f64;
    let (mut both, mut f, mut l) = (0.0, 0.0, 0.0);
    for class in 0..classes {
        let (found, labels) = (count(found, class), count(labels, class));
        both += found * labels;
        f += found * found;
        l += labels * labels;
    }
    let scale = ((all * all - f) * (all * all - l)).sqrt();
    if scale > 0.0 { (right * all - both) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::genomics::mcc;

    #[test]
    fn two_classes_are_matthews() {
        let (found, labels) = ([0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 0, 1, 0, 1]);
        let two = |of: &[usize]| of.iter().map(|&class| class == 1).collect::<Vec<_>>();
        assert!((correlation(&found, &labels, 2) - mcc(&two(&found), &two(&labels))).abs() < 1e-12);
        assert_eq!(correlation(&labels, &labels, 2), 1.0);
        assert_eq!(correlation(&[0, 0], &[0, 1], 2), 0.0);
        assert_eq!(correlation(&[0, 1, 2, 0], &[0, 1, 2, 0], 3), 1.0);
        let cases = Cases { sequences: vec![], classes: vec![0, 1, 1] };
        let judged = judge(&[vec![0.8, 0.2], vec![0.4, 0.6], vec![0.3, 0.7]], &cases);
        assert_eq!((judged.auc, judged.mcc), (1.0, 1.0));
    }
}
