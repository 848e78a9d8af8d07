//! The head of a DNA model: from hidden rows to the probabilities of the next base.

use std::sync::Arc;

use unspool_kernels::cpu::Team;

use super::Model;
use crate::{Error, Result, dna, encoder::through, weights::Backbone};

/// Fewer rows are not worth waking threads for.
const ROWS: usize = 64;

/// The weights of the four bases' outputs, and the threads to multiply with them.
pub(super) struct BaseHead {
    /// `[d]` of four, so that their sums run side by side.
    weight: Vec<[f64; 4]>,
    team: Arc<Team>,
}

impl BaseHead {
    /// That of a backbone of the DNA vocabulary: its `lm_head`, or the embedding that it is tied to.
    pub(super) fn new(backbone: &Backbone, d: usize, team: Arc<Team>) -> Self {
        let all = backbone.lm_head.as_ref().unwrap_or(&backbone.embedding);
        let of = |column: usize| std::array::from_fn(|base| f64::from(all[(dna::FIRST_BASE + base) * d + column]));
        Self { weight: (0..d).map(of).collect(), team }
    }

    /// `[d]` of the four bases' outputs.
    pub(super) fn weight(&self) -> &[[f64; 4]] {
        &self.weight
    }

    /// Adds the bits of the first of `tokens`, one for each of the hidden rows `[l, d]` after them; `predicted` moves on.
    pub(super) fn bits(&self, (tokens, rows): (&[u32], &[f32]), predicted: &mut [f64; 4], bits: &mut Vec<f64>) {
        add_bits((tokens, &self.rows(rows)), predicted, bits);
    }

    /// As [`BaseHead::bits`], where a card has multiplied the rows with the weights: `[l, 4]`.
    pub(super) fn bits_of_outputs(
        &self,
        (tokens, outputs): (&[u32], &[[f64; 4]]),
        predicted: &mut [f64; 4],
        bits: &mut Vec<f64>,
    ) {
        add_bits((tokens, &self.each(outputs.iter(), |outputs| ln_p(*outputs))), predicted, bits);
    }

    /// ln p of A, C, G and T after each of the hidden rows `[l, d]`.
    fn rows(&self, hidden: &[f32]) -> Vec<[f64; 4]> {
        self.each(hidden.chunks_exact(self.weight.len()), |row| ln_p(through(row, &self.weight)))
    }

    fn each<T: Send>(
        &self,
        rows: impl ExactSizeIterator<Item = T> + Send,
        of: impl Fn(T) -> [f64; 4] + Sync,
    ) -> Vec<[f64; 4]> {
        if rows.len() < ROWS { rows.map(of).collect() } else { self.team.map(rows, of) }
    }
}

/// The natural logarithms of the probabilities that outputs speak of. f64 in one order, whatever the device.
fn ln_p(outputs: [f64; 4]) -> [f64; 4] {
    let most = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = outputs.iter().map(|output| libm::exp(output - most)).sum();
    outputs.map(|output| output - most - libm::log(sum))
}

/// Bits of tokens, given what is predicted after each of them, and before the first.
fn add_bits((tokens, after): (&[u32], &[[f64; 4]]), predicted: &mut [f64; 4], bits: &mut Vec<f64>) {
    for (&token, next) in tokens.iter().zip(after) {
        bits.push(dna::base(token).map_or(f64::NAN, |base| -predicted[base] / std::f64::consts::LN_2));
        *predicted = *next;
    }
}

impl Model {
    /// The natural logarithms of the probabilities that A, C, G and T come next ([`dna::BASES`]), after each of the hidden
    /// rows `[l, d]` of the last layer (a sequence opened with [`Options::rows`](crate::Options::rows) and the number of
    /// layers among [`Options::layers`](crate::Options::layers)). They say that a base comes, so that the four
    /// probabilities add up to 1.
    ///
    /// Row i speaks of base i + 1; of a sequence's first base nothing is said. A row's result depends on the row alone:
    /// the chunk law and the batch law hold.
    ///
    /// # Errors
    /// When the model is not for DNA, or the values are not rows of its width.
    pub fn next_bases(&self, hidden: &[f32]) -> Result<Vec<[f64; 4]>> {
        let Some(head) = &self.bases else {
            return Err(Error::Input(format!("{} is no DNA model: it tells no bases", self.info.name)));
        };
        let d = self.info.config.d;
        if !hidden.len().is_multiple_of(d) {
            return Err(Error::Input(format!("{} values are not rows of width {d}", hidden.len())));
        }
        Ok(head.rows(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Events, Item, Options, RunOptions, checkpoint,
        config::{Config, MixerConfig},
        init,
    };

    /// Probabilities of a fresh model's rows, in one call and base by base; tied heads and heads of their own.
    #[test]
    fn probabilities_add_up_and_cuts_change_no_bit() {
        for tie_embeddings in [true, false] {
            let mixer = MixerConfig::Mamba1 { d_in: 16, n: 4, k: 3, r: 2, bcdt_norm_eps: None };
            let config = Config { layers: 2, vocab: dna::VOCAB, tie_embeddings, mixer, ..Config::mamba1(8) };
            let weights = init::scattered(&config, 1).unwrap();
            let mut file = config.to_json().unwrap();
            file["unspool"] = serde_json::json!({"front_end": "dna"});
            let dir = tempfile::tempdir().unwrap();
            checkpoint::save(dir.path(), &file, &weights.tensors(&config)).unwrap();
            let model = Model::load(dir.path(), RunOptions::cpu()).unwrap();
            let options = Options { layers: vec![2], rows: true, ..Options::default() };
            let run = |chunks: &[&[u8]]| -> Vec<[f64; 4]> {
                let mut state = model.open(&options).unwrap();
                let mut append = |bases| {
                    let outputs =
                        model.append(&mut [Item { state: &mut state, events: Events::Bases(bases) }]).unwrap();
                    model.next_bases(&outputs[0].rows[0]).unwrap()
                };
                chunks.iter().flat_map(|chunk| append(chunk)).collect()
            };
            let bits = |chunks: &[&[u8]]| -> Vec<f64> {
                let mut state = model.open(&Options { bits: true, ..Options::default() }).unwrap();
                let append = |bases| {
                    let events = Events::Bases(bases);
                    let outputs = model.append(&mut [Item { state: &mut state, events }]).unwrap();
                    state = model.restore(&model.save(&state).unwrap()).unwrap();
                    outputs[0].scores.clone()
                };
                chunks.iter().copied().flat_map(append).collect()
            };
            let whole = run(&[b"ACGTTGCANNACG"]);
            let told = bits(&[b"ACGTTGCANNACG"]);
            for cuts in [&[&b"A"[..], b"CGTTG", b"", b"CANNACG"][..], &[b"ACGTTGCAN", b"NA", b"CG"]] {
                let same = bits(cuts).iter().map(|v| v.to_bits()).eq(told.iter().map(|v| v.to_bits()));
                assert!(same, "{cuts:?}");
            }
            for (at, base) in b"ACGTTGCANNACG".iter().enumerate() {
                let place = dna::BASES.iter().position(|known| known == base);
                let before = |place: usize| if at == 0 { -libm::log(4.0) } else { whole[at - 1][place] };
                let expected = place.map(|place| -before(place) / std::f64::consts::LN_2);
                assert!(expected.map_or(told[at].is_nan(), |expected| told[at].to_bits() == expected.to_bits()));
            }
            assert_eq!((told[0], told.len()), (2.0, 13));
            let long: Vec<u8> = (0..3 * ROWS).map(|i| b"ACGT"[i * i / 3 % 4]).collect();
            assert_eq!(bits(&[&long]), bits(&long.chunks(ROWS - 1).collect::<Vec<_>>()), "threads change no bit");
            assert_eq!(whole, run(&[b"A", b"CGTTG", b"", b"CANNACG"]));
            assert_eq!(whole.len(), 13);
            assert!(whole.iter().all(|row| (row.iter().map(|p| p.exp()).sum::<f64>() - 1.0).abs() < 1e-12));
            assert!(whole[3] != whole[4]);
            // The head by hand: C against A after the last base.
            let mut state = model.open(&options).unwrap();
            let events = Events::Bases(b"ACGTTGCANNACG");
            let rows = model.append(&mut [Item { state: &mut state, events }]).unwrap().remove(0).rows.remove(0);
            let head = weights.lm_head.as_ref().unwrap_or(&weights.embedding);
            let logit = |token: usize| -> f64 {
                rows[12 * 8..].iter().zip(&head[token * 8..]).map(|(&h, &w)| f64::from(h) * f64::from(w)).sum()
            };
            assert!((whole[12][1] - whole[12][0] - (logit(8) - logit(7))).abs() < 1e-12);
            assert!(model.next_bases(&rows[..7]).unwrap_err().to_string().contains("rows of width 8"));
        }
        let series = Model::series(RunOptions::cpu()).unwrap();
        let error = series.open(&Options { bits: true, ..Options::default() }).unwrap_err().to_string();
        assert!(error.contains("is no DNA model: it tells no bits of bases"), "{error}");
        assert!(series.next_bases(&[]).unwrap_err().to_string().contains("is no DNA model"));
    }
}
