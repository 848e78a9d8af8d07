//! Gradients on a GPU against the CPU's.

use std::sync::Arc;

use unspool_kernels::{cpu::Team, cuda::Gpu};
use unspool_model::{
    backward::{CpuBackbone, CudaBackbone, Gradients, Trainable},
    config::{Config, MixerConfig},
    device::Weights,
    encoder::{Input, Packed},
    init::scattered,
    weights::Backbone,
};

/// The first card.
pub fn gpu() -> Option<Arc<Gpu>> {
    Gpu::open(0).map_err(|problem| eprintln!("skipped: {problem}")).ok()
}

/// A batch whose tokens and gradients have no pattern.
struct Case {
    config: Config,
    weights: Backbone,
    tokens: Vec<u32>,
    rows: Vec<f32>,
    d_hidden: Vec<f32>,
    offsets: Vec<usize>,
}

impl Case {
    fn new(config: Config, lengths: &[usize]) -> Self {
        let mut offsets = vec![0];
        lengths.iter().for_each(|l| offsets.push(offsets[offsets.len() - 1] + l));
        let t = offsets[offsets.len() - 1];
        let numbers = |len, seed| -> Vec<f32> { numbers(len, seed).iter().map(|&x| x as f32).collect() };
        let vocab = config.vocab.max(1) as f32;
        let tokens =
            numbers(t, 1).iter().map(|x| ((x + 1.0) / 2.0 * vocab) as u32 % config.vocab.max(1) as u32).collect();
        let (rows, d_hidden) = (numbers(t * config.d, 2), numbers(t * config.d, 3));
        Self { weights: scattered(&config, 4).unwrap(), config, tokens, rows, d_hidden, offsets }
    }

    fn batch(&self) -> Packed<'_> {
        let input = if self.config.vocab > 0 { Input::Tokens(&self.tokens) } else { Input::Rows(&self.rows) };
        Packed { input, offsets: &self.offsets }
    }

    fn on<T: Trainable>(&self, backbone: &T) -> (Vec<f32>, Gradients) {
        let (hidden, tape) = backbone.forward(&self.batch()).unwrap();
        (hidden, backbone.backward(&tape, &self.d_hidden).unwrap())
    }

    fn on_gpu(&self, gpu: &Arc<Gpu>, rows: Weights) -> (Vec<f32>, Gradients) {
        self.on(&CudaBackbone::new(self.config.clone(), &self.weights, Arc::clone(gpu), rows).unwrap())
    }

    /// The f64 gradients of the CPU.
    fn exact(&self) -> (Vec<f64>, Gradients<f64>) {
        let wide = self.weights.map(&self.config, |&w| f64::from(w)).unwrap();
        let rows: Vec<f64> = match self.config.vocab {
            0 => self.rows.iter().map(|&x| f64::from(x)).collect(),
            _ => self
                .tokens
                .iter()
                .flat_map(|&i| &wide.embedding[i as usize * self.config.d..][..self.config.d])
                .copied()
                .collect(),
        };
        let backbone = CpuBackbone::new(self.config.clone(), wide, Arc::new(Team::new(2).unwrap())).unwrap();
        let (hidden, tape) = backbone.forward_rows(rows, &self.offsets).unwrap();
        let d_hidden: Vec<f64> = self.d_hidden.iter().map(|&x| f64::from(x)).collect();
        let mut gradients = backbone.backward_rows(&tape, &d_hidden).unwrap();
        if self.config.vocab > 0 {
            for (&token, dx) in self.tokens.iter().zip(gradients.rows.chunks_exact(self.config.d)) {
                let row = &mut gradients.weights.embedding[token as usize * self.config.d..][..self.config.d];
                row.iter_mut().zip(dx).for_each(|(sum, &dx)| *sum += dx);
            }
        }
        (hidden, gradients)
    }
}

/// Numbers between -1 and 1 without a pattern.
fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A tensor's distance from the exact one, relative to that.
fn error(found: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let norm = exact.iter().map(|x| x * x).sum::<f64>().sqrt();
    let distance = found.iter().zip(exact).map(|(&f, e)| (f64::from(f) - e).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 { distance } else { distance / norm }
}

fn check(gpu: &Arc<Gpu>, case: &Case, rows: Weights, tolerance: f64) {
    let ((hidden, gradients), (exact_hidden, exact)) = (case.on_gpu(gpu, rows), case.exact());
    let mut errors = vec![
        ("hidden".to_owned(), error(&hidden, &exact_hidden)),
        ("rows".to_owned(), error(&gradients.rows, &exact.rows)),
    ];
    for ((spec, found), (_, exact)) in
        gradients.weights.tensors(&case.config).iter().zip(exact.weights.tensors(&case.config))
    {
        errors.push((spec.name.clone(), error(found, exact)));
    }
    let (name, worst) = errors.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    eprintln!(
        "{rows} d {} n {} t {}: at most {worst:.1e} ({name})",
        case.config.d,
        case.config.mixer.n(),
        case.d_hidden.len() / case.config.d
    );
    assert!(errors.iter().all(|(_, error)| *error <= tolerance), "{rows}: {errors:?}");
}

/// Tuned and odd shapes: every padding, every number of states a thread, biases, rows instead of tokens.
fn shapes() -> Vec<(Config, Vec<usize>)> {
    let tuned = Config { layers: 2, vocab: 7, ..Config::mamba1(64) };
    let mixer = |d_in, n, k, r| MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps: None };
    let odd = Config {
        mixer: mixer(27, 5, 3, 3),
        linear_bias: true,
        conv_bias: false,
        ..Config { vocab: 0, ..tuned.clone() }
    };
    vec![
        (tuned.clone(), vec![64, 1, 129, 30, 0, 200, 8, 9, 7, 16, 17]),
        (Config { d: 13, ..odd }, vec![1, 2, 3, 65, 0, 130]),
        (Config { mixer: mixer(40, 20, 1, 2), ..Config { tie_embeddings: false, ..tuned.clone() } }, vec![3, 66, 1]),
        (Config { mixer: mixer(136, 50, 6, 9), linear_bias: true, ..tuned.clone() }, vec![31, 32, 33]),
        (Config { layers: 1, ..tuned.clone() }, vec![1; 300]),
        (Config { layers: 2, ..tuned }, vec![500, 2, 1101]),
    ]
}

#[test]
fn gradients_in_f32_are_the_cpus() {
    let Some(gpu) = gpu() else { return };
    shapes().into_iter().for_each(|(config, lengths)| check(&gpu, &Case::new(config, &lengths), Weights::F32, 2e-5));
}

#[test]
fn gradients_in_bf16_are_close() {
    let Some(gpu) = gpu() else { return };
    shapes().into_iter().for_each(|(config, lengths)| check(&gpu, &Case::new(config, &lengths), Weights::Bf16, 0.03));
}

/// Nothing is summed in an order that chance decides, and memory used before changes nothing.
#[test]
fn a_run_repeats_to_the_bit() {
    let Some(gpu) = gpu() else { return };
    for rows in [Weights::F32, Weights::Bf16] {
        let case = Case::new(Config { layers: 2, vocab: 5, ..Config::mamba1(48) }, &[100, 3, 0, 64, 33]);
        let large = Case::new(case.config.clone(), &[200, 300, 1]);
        let backbone = CudaBackbone::new(case.config.clone(), &case.weights, Arc::clone(&gpu), rows).unwrap();
        let first = case.on(&backbone);
        large.on(&backbone);
        assert!(first == case.on(&backbone) && first == case.on_gpu(&gpu, rows), "{rows}");
    }
}

/// Sequences of a batch do not see each other. (Not to the bit: what else is in a batch decides where long ones are cut.)
#[test]
fn batch_mates_change_no_row() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(Config { layers: 2, ..Config::mamba1(48) }, &[100, 3, 64, 330]);
    let (hidden, gradients) = case.on_gpu(&gpu, Weights::F32);
    for range in case.offsets.windows(2).map(|pair| pair[0] * 48..pair[1] * 48) {
        let alone = Case {
            rows: case.rows[range.clone()].to_vec(),
            d_hidden: case.d_hidden[range.clone()].to_vec(),
            offsets: vec![0, range.len() / 48],
            ..Case::new(case.config.clone(), &[])
        };
        let (hidden_alone, gradients_alone) = alone.on_gpu(&gpu, Weights::F32);
        for (alone, together) in [(&hidden_alone, &hidden), (&gradients_alone.rows, &gradients.rows)] {
            let together: Vec<f64> = together[range.clone()].iter().map(|&x| f64::from(x)).collect();
            assert!(error(alone, &together) < 2e-6, "{range:?}: {:.1e}", error(alone, &together));
        }
    }
}

#[test]
fn bad_calls_are_refused() {
    let Some(gpu) = gpu() else { return };
    let config = Config { layers: 1, vocab: 7, ..Config::mamba1(16) };
    let weights = scattered(&config, 1).unwrap();
    let new = |config: Config| {
        let weights = scattered(&config, 1).unwrap();
        CudaBackbone::new(config, &weights, Arc::clone(&gpu), Weights::F32).map_err(|error| error.to_string())
    };
    assert!(new(Config::mamba2(16)).err().unwrap().starts_with("Mamba-2 mixers cannot be trained"));
    let wide = MixerConfig::Mamba1 { d_in: 32, n: 65, k: 4, r: 1, bcdt_norm_eps: None };
    let refused = new(Config { mixer: wide, ..config.clone() }).err().unwrap();
    assert_eq!(refused, "a state size of 65 cannot be trained on a GPU, 64 is the most: train on the CPU");

    let mut backbone = new(config.clone()).unwrap();
    let forward = |input: Input<'_>, offsets: &[usize], expected: &str| {
        let error = backbone.forward(&Packed { input, offsets }).err().unwrap();
        assert_eq!(error.to_string(), expected);
    };
    forward(Input::Tokens(&[1, 7]), &[0, 2], "token 7 is outside the vocabulary of 7");
    forward(Input::Rows(&[0.0; 13]), &[0, 1], "13 values are not rows of width 16");
    forward(Input::Tokens(&[1, 2]), &[0, 1], "offsets must grow from 0 to the number of tokens, 2");
    forward(Input::Tokens(&[1, 2]), &[], "offsets must grow from 0 to the number of tokens, 2");
    let (_, tape) = backbone.forward(&Packed { input: Input::Tokens(&[1]), offsets: &[0, 1] }).unwrap();
    let error = backbone.backward(&tape, &[0.0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "gradients of 5 values for 16 hidden ones");
    let error = new(config).unwrap().backward(&tape, &[0.0; 16]).unwrap_err();
    assert_eq!(error.to_string(), "this tape, or gradient, is another backbone's");
    let error = backbone.set_weights(&Backbone { embedding: vec![], ..weights }).unwrap_err();
    assert!(error.to_string().starts_with("tensor 'backbone.embedding.weight': expected shape [7, 16]"), "{error}");
}

#[test]
fn an_empty_batch_has_gradients_of_zero() {
    let Some(gpu) = gpu() else { return };
    let config = Config { layers: 1, vocab: 7, ..Config::mamba1(16) };
    let backbone = CudaBackbone::new(config.clone(), &scattered(&config, 1).unwrap(), gpu, Weights::Bf16).unwrap();
    for offsets in [&[0][..], &[0, 0, 0]] {
        let (hidden, tape) = backbone.forward(&Packed { input: Input::Tokens(&[]), offsets }).unwrap();
        let gradients = backbone.backward(&tape, &hidden).unwrap();
        assert!(hidden.is_empty() && gradients.rows.is_empty());
        gradients.weights.check(&config).unwrap();
        assert!(gradients.weights.tensors(&config).iter().all(|(_, values)| values.iter().all(|&g| g == 0.0)));
    }
}
