//! Markov models of bases with interpolated counts, of all orders up to one:
//!
//! ```text
//! p_k(b | c) = (n(c, b) + a_k p_{k-1}(b | c')) / (n(c) + a_k)        c: the k bases before b, c': all of them but the first
//! p_-1 = 1/4
//! ```
//!
//! Counts are of both strands. What a lower order weighs, a_k, is chosen order by order on sequences that are not counted.
//! A base after an N is told by as many bases as there are since.

use unspool_model::dna;

/// The highest order: its counts take 268 MB.
pub const MOST_ORDER: usize = 12;
/// Weights of lower orders that are tried.
const WEIGHTS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Counts and weights of orders from 0 on.
#[derive(Clone, Debug)]
pub struct Markov {
    /// Of order k: `[4^k, 4]`.
    counts: Vec<Vec<u32>>,
    weights: Vec<f64>,
}

impl Markov {
    /// Counts both strands of sequences of [`dna::tokens`], and chooses the weights on others.
    ///
    /// `most`: the highest order, [`MOST_ORDER`] at most.
    pub fn learn<'a>(counted: impl IntoIterator<Item = &'a [u8]>, chosen_on: &[&[u8]], most: usize) -> Self {
        let most = most.min(MOST_ORDER);
        let mut markov = Self { counts: (0..=most).map(|k| vec![0; 4 << (2 * k)]).collect(), weights: vec![] };
        for sequence in counted {
            markov.count(bases(sequence));
            let other = sequence.iter().rev().map(|&token| dna::base(token.into()).map(|base| 3 - base));
            markov.count(other);
        }
        markov.choose(chosen_on);
        markov
    }

    fn count(&mut self, bases: impl Iterator<Item = Option<usize>>) {
        contexts(bases, self.counts.len() - 1, |_, places| {
            for (counts, &place) in self.counts.iter_mut().zip(places) {
                counts[place] = counts[place].saturating_add(1);
            }
        });
    }

    /// Chooses the weights, lowest order first: each by the bits of its own order.
    fn choose(&mut self, sequences: &[&[u8]]) {
        let mut told: Vec<(Vec<usize>, [f64; 4])> = vec![];
        for sequence in sequences {
            contexts(bases(sequence), self.counts.len() - 1, |_, places| told.push((places.to_vec(), [0.25; 4])));
        }
        for order in 0..self.counts.len() {
            let bits = |weight: f64| -> f64 {
                let of = |(places, lower): &(Vec<usize>, [f64; 4])| {
                    let next = places.get(order).map(|&place| self.next(order, place, (lower, weight)));
                    -next.unwrap_or(*lower)[places[0]].log2()
                };
                told.iter().map(of).sum()
            };
            let best = WEIGHTS.into_iter().map(|weight| (bits(weight), weight)).min_by(|a, b| a.0.total_cmp(&b.0));
            let weight = best.map_or(1.0, |(_, weight)| weight);
            for (places, lower) in &mut told {
                if let Some(&place) = places.get(order) {
                    *lower = self.next(order, place, (lower, weight));
                }
            }
            self.weights.push(weight);
        }
    }

    /// The probabilities of an order from those of the one below.
    fn next(&self, order: usize, place: usize, (lower, weight): (&[f64; 4], f64)) -> [f64; 4] {
        let counts = &self.counts[order][place / 4 * 4..][..4];
        let all: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        [0, 1, 2, 3].map(|base| (f64::from(counts[base]) + weight * lower[base]) / (all + weight))
    }

    /// Mean bits a base of sequences, by order. The first base of each is left out, as a model tells nothing of it.
    #[must_use]
    pub fn bits(&self, sequences: &[&[u8]]) -> Vec<f64> {
        let (mut sums, mut count) = (vec![0.0; self.counts.len()], 0.0_f64);
        for sequence in sequences {
            contexts(bases(sequence), self.counts.len() - 1, |at, places| {
                if at == 0 {
                    return;
                }
                count += 1.0;
                let mut told = [0.25; 4];
                for (order, sum) in sums.iter_mut().enumerate() {
                    if let Some(&place) = places.get(order) {
                        told = self.next(order, place, (&told, self.weights[order]));
                    }
                    *sum -= told[places[0]].log2();
                }
            });
        }
        sums.into_iter().map(|sum| sum / count.max(1.0)).collect()
    }
}

fn bases(tokens: &[u8]) -> impl Iterator<Item = Option<usize>> {
    tokens.iter().map(|&token| dna::base(token.into()))
}

/// Calls with each base's place in its sequence, and its place among the counts of each order that it has a context of:
/// `4 * context + base`. (Of order 0 that is the base.)
fn contexts(bases: impl Iterator<Item = Option<usize>>, most: usize, mut each: impl FnMut(usize, &[usize])) {
    let (mut before, mut known, mut places) = (0_usize, 0, Vec::with_capacity(most + 1));
    for (at, base) in bases.enumerate() {
        let Some(base) = base else {
            known = 0;
            continue;
        };
        places.clear();
        places.extend((0..=known.min(most)).map(|order| 4 * (before & ((1 << (2 * order)) - 1)) + base));
        each(at, &places);
        before = (4 * before + base) & ((1 << (2 * most)) - 1);
        known += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(bases: &str) -> Vec<u8> {
        dna::tokens(bases.as_bytes()).unwrap().into_iter().map(|token| token as u8).collect()
    }

    #[test]
    fn places_are_contexts_and_an_n_ends_them() {
        let mut found = vec![];
        contexts(bases(&tokens("ACGNTA")), 2, |at, places| found.push((at, places.to_vec())));
        let expected = [(0, vec![0]), (1, vec![1, 1]), (2, vec![2, 4 + 2, 4 + 2]), (4, vec![3]), (5, vec![0, 12])];
        assert_eq!(found, expected);
    }

    /// Order 0 by hand: both strands of AAAC are 3 A, 3 T, 1 C, 1 G.
    #[test]
    fn counts_are_interpolated() {
        let (counted, other) = (tokens("AAAC"), tokens("AATT"));
        let markov = Markov::learn([&counted[..]], &[&other], 1);
        assert_eq!(markov.counts[0], [3, 1, 1, 3]);
        // Over AATT every weight of 1/4 that is added to 3/8 hurts: the least one is chosen.
        assert_eq!(markov.weights[0], 0.25);
        let p: f64 = (3.0 + 0.25 * 0.25) / 8.25;
        assert!((markov.bits(&[&other])[0] + p.log2()).abs() < 1e-12);
        // After A: 2 A and 1 C; the lower order weighs so much as was chosen.
        let w = markov.weights[1];
        let (aa, at, tt) = ((2.0 + w * p) / (3.0 + w), w * p / (3.0 + w), (2.0 + w * p) / (2.0 + w));
        let expected = -(aa * at * tt).log2() / 3.0;
        assert!((markov.bits(&[&other])[1] - expected).abs() < 1e-12, "{markov:?}");
    }

    #[test]
    fn higher_orders_know_a_word() {
        let word = tokens(&"ACGGTCATTG".repeat(30));
        let bits = Markov::learn([&word[..]], &[&word], 6).bits(&[&word]);
        assert_eq!(bits.len(), 7);
        assert!(bits[0] > 1.9 && bits[6] < 0.3 && bits.windows(2).all(|pair| pair[1] < pair[0]), "{bits:?}");
    }
}
