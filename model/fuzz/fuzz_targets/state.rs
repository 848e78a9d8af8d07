//! Any content of a state under a sound seal: it is refused, or is a state that goes on and saves to the same bytes again.
#![no_main]

use std::{fs, path::Path, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use unspool_model::{Events, Item, Model, Options, RunOptions};

static MODEL: LazyLock<Model> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/series-tiny/any");
    Model::load(&folder, RunOptions::default()).expect("the golden model loads")
});

/// Bytes before the content of a state, and behind it.
const AROUND: (usize, usize) = (20, 32);

fn sealed(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut bytes = [b"UNSPSTA\n", &1_u32.to_le_bytes()[..], &length, content].concat();
    let seal = blake3::hash(&bytes);
    bytes.extend_from_slice(seal.as_bytes());
    bytes
}

/// A state after so many values, as a seed.
fn seed(values: usize, options: &Options) -> Vec<u8> {
    let mut state = MODEL.open(options).expect("a state opens");
    let values: Vec<f64> = (0..values).map(|n| (n % 7) as f64).collect();
    MODEL.append(&mut [Item { state: &mut state, events: Events::Values(&values) }]).expect("it takes values");
    let bytes = MODEL.save(&state).expect("it saves");
    bytes[AROUND.0..bytes.len() - AROUND.1].to_vec()
}

fuzz_target!(
    init: {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/state");
        fs::create_dir_all(&corpus).expect("a folder can be made");
        let pools = Options { layers: vec![0, 1], pools: true, ..Options::default() };
        for (number, (values, options)) in [(0, Options::default()), (45, pools)].iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), seed(*values, options)).expect("a file can be written");
        }
    },
    |content: &[u8]| {
        let Ok(mut state) = MODEL.restore(&sealed(content)) else { return };
        let saved = MODEL.save(&state).expect("a restored state saves");
        let again = MODEL.restore(&saved).expect("what was saved is restored");
        assert!(MODEL.save(&again).expect("it saves") == saved, "a state saves to other bytes after it was restored");
        if MODEL.append(&mut [Item { state: &mut state, events: Events::Values(&[1.0, f64::NAN, 3.0]) }]).is_ok() {
            let _ = MODEL.forecast(&[&state], 5);
        }
    }
);
