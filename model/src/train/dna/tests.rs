use super::*;
use crate::{
    Events, Item, Model, Options, RunOptions,
    config::MixerConfig,
    train::{AdamStep, CpuTrainer, Trainer},
};

fn config() -> Config {
    let mixer = MixerConfig::Mamba1 { d_in: 24, n: 4, k: 3, r: 2, bcdt_norm_eps: None };
    Config { layers: 2, vocab: dna::VOCAB, tie_embeddings: false, mixer, ..Config::mamba1(12) }
}

fn team() -> Arc<Team> {
    Arc::new(Team::new(2).unwrap())
}

fn weights() -> DnaWeights {
    DnaWeights { config: config(), backbone: init::scattered(&config(), 3).unwrap(), classes: vec![] }
}

fn batch(sequences: &[&str]) -> DnaBatch {
    let tokens: Vec<Vec<u32>> = sequences.iter().map(|bases| dna::tokens(bases.as_bytes()).unwrap()).collect();
    DnaBatch::new(tokens.iter().map(Vec::as_slice))
}

#[test]
fn a_batch_has_the_next_base_of_each_token() {
    let mut batch = batch(&["ACNNT", "", "g", "TA"]);
    assert_eq!(batch.offsets, [0, 5, 5, 6, 8]);
    assert_eq!(batch.targets, [1, -1, -1, 3, -1, -1, 0, -1]);
    assert_eq!((batch.len(), batch.told(), batch.weights[0]), (8, 3, 1.0 / 3.0));
    batch.share(2);
    assert_eq!(batch.weights[7], 1.0 / 6.0);
    let shown = batch.clone();
    batch.hide(1);
    batch.hide(8);
    assert_eq!((batch.tokens[1], &batch.targets), (11, &shown.targets));
    assert_eq!(batch.tokens.iter().zip(&shown.tokens).filter(|(a, b)| a != b).count(), 1);
}

/// Every tensor's gradient, along random directions, against central differences in f64.
#[test]
fn gradients_are_those_of_finite_differences() {
    let batch = batch(&["ACGTTGCANACGGT", "T", "GGATTACANNNCC", "CATCATGACTAG"]);
    let wide = |weights: &DnaWeights| DnaWeights {
        config: config(),
        backbone: weights.backbone.map(&config(), |&w| f64::from(w)).unwrap(),
        classes: vec![],
    };
    let weights = wide(&weights());
    let (value, mut found) = gradients(&weights, &batch, &team()).unwrap();
    assert!(value > 1.0);
    let specs: Vec<Spec> = weights.backbone.tensors(&config()).into_iter().map(|(spec, _)| spec).collect();
    for (i, (spec, gradient)) in specs.iter().zip(found.backbone.tensors_mut()).enumerate() {
        let mut at = 7_u64 + i as u64;
        let along: Vec<f64> = gradient
            .iter()
            .map(|_| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (at >> 33) as f64 / (1u64 << 31) as f64 - 0.5
            })
            .collect();
        let moved = |step: f64| {
            let mut weights = weights.clone();
            let tensor = weights.backbone.tensors_mut().swap_remove(i);
            tensor.iter_mut().zip(&along).for_each(|(w, along)| *w += step * along);
            gradients(&weights, &batch, &team()).unwrap().0
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let dot: f64 = gradient.iter().zip(&along).map(|(g, a)| g * a).sum();
        let scale = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(scale > 0.0, "{}: a gradient of 0 proves nothing", spec.name);
        assert!((dot - expected).abs() <= 1e-6 * scale.max(expected.abs()) + 1e-9, "{}: {dot}, {expected}", spec.name);
    }
}

/// A saved model's probabilities are those of the loss: the same tokens, head and softmax.
#[test]
fn a_saved_model_says_what_the_loss_saw() {
    let (weights, bases) = (weights(), "ACGTTGCAACGGTACNNTGA");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model");
    weights.save(&path, "tiny", false).unwrap();
    assert_eq!(DnaWeights::load(&path).unwrap(), weights);
    let model = Model::load(&path, RunOptions::cpu()).unwrap();
    let mut state = model.open(&Options { layers: vec![2], rows: true, ..Options::default() }).unwrap();
    let events = Events::Bases(bases.as_bytes());
    let rows = model.append(&mut [Item { state: &mut state, events }]).unwrap().remove(0).rows.remove(0);
    let said = model.next_bases(&rows).unwrap();
    let next = dna::tokens(bases.as_bytes()).unwrap().into_iter().skip(1).map(dna::base);
    let bits: Vec<f64> =
        said.iter().zip(next).filter_map(|(said, base)| Some(-said[base?] / std::f64::consts::LN_2)).collect();
    let mean = bits.iter().sum::<f64>() / bits.len() as f64;
    let loss = Objective::loss(&weights, &batch(&[bases]), &team()).unwrap();
    assert!((loss - mean).abs() < 1e-5, "{loss} and {mean}");
    let (same, _) = Objective::gradients(&weights, &batch(&[bases]), &team()).unwrap();
    assert_eq!(same, loss);
}

/// A repeated word is soon known by heart: less than half a bit is left of two.
#[test]
fn a_model_learns_a_word() {
    let mut trainer = CpuTrainer::new(DnaWeights::fresh(&config(), 1).unwrap(), team()).unwrap();
    let word = "ACGGTCATTG".repeat(8);
    let batch = batch(&[&word, &word[3..], &word[7..]]);
    let step =
        |step| AdamStep { step, rate: 2e-2, beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.0, clip: 1.0, keep: 0.9 };
    let before = trainer.loss(&batch).unwrap();
    (1..80).for_each(|i| trainer.step(std::slice::from_ref(&batch), &step(i)).unwrap());
    let after = trainer.loss(&batch).unwrap();
    assert!((1.5..2.5).contains(&before) && after < 0.5, "{before} to {after}");
}

/// Which of two letters a sequence begins with: told at its end, and after a reload the same.
#[test]
fn a_classifier_learns_what_a_sequence_began_with() {
    let weights = DnaWeights::fresh(&config(), 1).unwrap().classifier(vec!["no".into(), "yes".into()]).unwrap();
    let sequences: Vec<Vec<u32>> = ["ACGTTACG", "CCGTTACG", "AGGCATTA", "CGGCATTA", "ATTTGCCA", "CTTTGCCA"]
        .map(|bases| dna::tokens(bases.as_bytes()).unwrap())
        .into();
    let cases = sequences.iter().enumerate().map(|(i, sequence)| (&sequence[..], i % 2));
    let batch = DnaBatch::classes(cases);
    assert_eq!((batch.len(), batch.told(), batch.tokens[8], batch.targets[17]), (54, 6, dna::CLS, 1));
    let mut trainer = CpuTrainer::new(weights.clone(), team()).unwrap();
    let step =
        |step| AdamStep { step, rate: 2e-2, beta1: 0.9, beta2: 0.98, eps: 1e-8, decay: 0.0, clip: 1.0, keep: 0.0 };
    assert!((trainer.loss(&batch).unwrap() - 2.0).abs() < 1e-6, "four outputs that know nothing are two bits");
    (1..120).for_each(|i| trainer.step(std::slice::from_ref(&batch), &step(i)).unwrap());
    assert!(trainer.loss(&batch).unwrap() < 0.2, "{}", trainer.loss(&batch).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let trained = weights.replaced(trainer.moments().unwrap().weights).unwrap();
    trained.save(&dir.path().join("model"), "tiny", false).unwrap();
    assert_eq!(DnaWeights::load(&dir.path().join("model")).unwrap(), trained);
    assert!(weights.classifier(vec!["one".into()]).unwrap_err().to_string().contains("2 to 4"));
}

#[test]
fn other_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path, expected: &str| {
        let error = DnaWeights::load(path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused(&dir.path().join("nowhere"), "nowhere");
    let series = dir.path().join("series");
    crate::train::SeriesWeights::built_in().unwrap().save(&series, "series", true).unwrap();
    refused(&series, "no DNA model");
    let tensors = vec![vec![0.0; 3]];
    assert!(weights().replaced(tensors).unwrap_err().to_string().contains("backbone.embedding.weight"));
}
