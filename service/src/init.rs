//! `unspool init`: a model with fresh random weights.

use std::{fs, path::Path};

use serde_json::json;
use unspool_model::{
    Model, RunOptions, checkpoint,
    config::{Config, MixerConfig},
    dna, init,
};

use crate::{
    args::{Arch, InitArgs, Vocab},
    error::{Error, Result},
    print,
    progress::say,
};

/// The largest weights that are made, in bytes; the projections are nearly all of them.
const MAX_BYTES: u64 = 16 << 30;

/// Draws the weights and writes the model's directory.
///
/// # Errors
/// When the directory holds something, the sizes do not go together, or the system refuses.
pub(crate) fn run(args: InitArgs) -> Result<()> {
    refuse_full(&args.dir)?;
    let config = config(&args)?;
    config.check().map_err(Error::Usage)?;
    let name = match (&args.name, args.dir.file_name()) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) => name.to_string_lossy().into_owned(),
        (None, None) => "dna".to_owned(),
    };
    let weights = init::fresh(&config, args.seed)?;
    let mut json = config.to_json()?;
    json["unspool"] = json!({"name": name, "front_end": "dna", "trained": false, "seed": args.seed});
    checkpoint::save(&args.dir, &json, &weights.tensors(&config))?;
    let model = Model::load(&args.dir, RunOptions::cpu())?;
    say(&format!("note: {name} is untrained: its weights are random (seed {}), its embeddings mean little", args.seed));
    print(&format!("{} {}", args.dir.display(), model.info().digest))
}

/// Refuses a directory that holds anything.
fn refuse_full(dir: &Path) -> Result<()> {
    let refuse = |problem: &str| Err(Error::Usage(format!("{}: {problem}: name a new one", dir.display())));
    if dir.is_file() {
        return refuse("it is a file");
    }
    // A directory that is not there, or cannot be read, is what writing will make or name.
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(true) => refuse("the directory is not empty"),
        _ => Ok(()),
    }
}

fn config(args: &InitArgs) -> Result<Config> {
    let size = |number: u32| number as usize;
    let (d, k, layers) = (size(args.d_model), size(args.k), size(args.layers));
    let d_in = d * size(args.expand);
    let bytes = 12 * layers as u64 * d as u64 * d_in as u64;
    if bytes > MAX_BYTES {
        let problem =
            format!("--d-model, --expand, --layers: the weights would take {} GiB; at most 16 are made", bytes >> 30);
        return Err(Error::Usage(problem));
    }
    let base = match args.arch {
        Arch::Mamba1 => Config::mamba1(d),
        Arch::Mamba2 => Config::mamba2(d),
    };
    let mixer = match base.mixer.clone() {
        MixerConfig::Mamba1 { .. } if args.head_dim.is_some() => {
            return Err(Error::Usage("--head-dim: mamba1 has no heads; leave it out, or --arch mamba2".into()));
        }
        MixerConfig::Mamba1 { n, r, bcdt_norm_eps, .. } => {
            MixerConfig::Mamba1 { d_in, n: args.n.map_or(n, size), k, r, bcdt_norm_eps }
        }
        MixerConfig::Mamba2 { n, groups, gated_norm, norm_before_gate, dt_limit, d_per_channel, .. } => {
            let n = args.n.map_or(n, size);
            let head_dim = args.head_dim.map_or(if d_in.is_multiple_of(64) { 64 } else { d_in }, size);
            if !d_in.is_multiple_of(head_dim) {
                return Err(Error::Usage(format!("--head-dim: {head_dim} does not divide the inner width {d_in}")));
            }
            let heads = d_in / head_dim;
            MixerConfig::Mamba2 {
                d_in,
                n,
                k,
                heads,
                head_dim,
                groups,
                gated_norm,
                norm_before_gate,
                dt_limit,
                d_per_channel,
            }
        }
    };
    let vocab = match args.vocab {
        Vocab::Dna => dna::VOCAB,
    };
    Ok(Config { layers, vocab, mixer, ..base })
}
