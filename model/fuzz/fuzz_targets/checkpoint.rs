//! Any bytes as one file of a sound model: its configuration, safetensors, or a pickled archive of torch.
#![no_main]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use unspool_model::checkpoint::Checkpoint;

/// Models of the crate's tests, and the file of each that is replaced.
const KINDS: [(&str, &str); 5] = [
    ("c-mamba2", "config.json"),
    ("b-falcon-mamba", "model.safetensors"),
    ("a-mamba1-odd", "pytorch_model.bin"),
    ("b-mamba-odd", "model.safetensors.index.json"),
    ("a-mamba1-odd", "config.json"),
];

/// The folder of this process, with a folder for each kind.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens");
    let folder = env::temp_dir().join(format!("unspool-fuzz-checkpoint-{}", process::id()));
    for (number, (name, _)) in KINDS.iter().enumerate() {
        let within = folder.join(number.to_string());
        fs::create_dir_all(&within).expect("a folder can be made");
        for entry in fs::read_dir(goldens.join(name)).expect("the goldens are there") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), within.join(entry.file_name())).expect("a file can be copied");
        }
    }
    folder
});

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let number = usize::from(*first) % KINDS.len();
    let folder = FOLDER.join(number.to_string());
    fs::write(folder.join(KINDS[number].1), bytes).expect("a file can be written");
    // A model or an error.
    if let Ok(mut checkpoint) = Checkpoint::open(&folder)
        && checkpoint.backbone().is_ok()
    {
        // What is left over is a model of another kind.
        let _ = checkpoint.tensors.finish();
    }
});
