//! A model that reads whole windows of DNA (Caduceus), as its users see it.

use std::path::Path;

use super::{Front, Info};
use crate::{
    Device, Digest, Error, Result, RunOptions, Weights, checkpoint::WindowCheckpoint, config::WindowConfig,
    cpu::CpuWindows, device::DeviceError, dna, encoder::WindowEncoder,
};

/// A model of DNA that reads windows from both their ends: it has no state, and no session, stream or score.
pub struct WindowModel {
    info: Info,
    encoder: Box<dyn WindowEncoder>,
}

impl WindowModel {
    /// Bases of a window, at most: what the longest published model was trained on. A window's rows are in memory all at once.
    pub const MOST_BASES: usize = 131_072;

    /// Loads a directory: `config.json` with `"model_type": "caduceus"`, and tensors as [`Model::load`](super::Model::load) finds them.
    ///
    /// # Errors
    /// As there; and when the options ask for a GPU, which such models do not run on.
    pub fn load(dir: &Path, options: RunOptions) -> Result<Self> {
        let checkpoint = WindowCheckpoint::open(dir)?;
        if let Device::Cuda(_) = options.device {
            let what = "models that read whole windows run on the CPU alone".to_owned();
            return Err(DeviceError::Unsupported { device: options.device, what }.into());
        }
        if options.weights != Weights::F32 {
            return Err(DeviceError::CpuWeights { weights: options.weights, reason: None }.into());
        }
        let config = checkpoint.config.clone();
        let encoder = CpuWindows::new(config.clone(), &checkpoint.backbone()?, options.cpu)?;
        let info = Info {
            name: dir.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned()),
            digest: Digest::of_directory(dir)?,
            route: encoder.route().clone(),
            device: Device::Cpu,
            fell_back: None,
            note: None,
            front: Front::Dna,
            config: config.backbone,
            trained: true,
        };
        Ok(Self { info, encoder: Box::new(encoder) })
    }

    /// What the model says of itself. Its configuration is that of one strand's layers.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// How it reads.
    #[must_use]
    pub fn config(&self) -> &WindowConfig {
        self.encoder.config()
    }

    /// Columns of a hidden row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config().width()
    }

    /// Hidden rows of windows: for each layer, of all windows one after the other, `[t, width]`; 0 is the embedding and the
    /// number of layers the last, after the final norm. `windows` are bases as tokens of [`dna`], with nothing before or after
    /// them. By the batch law, a window's rows depend on nothing but the window.
    ///
    /// # Errors
    /// When a token is no base, a window is longer than [`WindowModel::MOST_BASES`], or the model has no such layer.
    pub fn encode(&self, windows: &[&[u32]], layers: &[usize]) -> Result<Vec<Vec<f32>>> {
        let (mut tokens, mut offsets) = (vec![], vec![0]);
        for window in windows {
            if window.len() > Self::MOST_BASES {
                let (len, most) = (window.len(), Self::MOST_BASES);
                return Err(Error::Input(format!("a window of {len} bases; {} takes at most {most}", self.info.name)));
            }
            for &token in *window {
                tokens.push(self.token(token)?);
            }
            offsets.push(tokens.len());
        }
        self.encoder.encode_window(&tokens, &offsets, layers)
    }

    /// The model's own token of a base.
    fn token(&self, token: u32) -> Result<u32> {
        let place = (token as usize).checked_sub(dna::FIRST_BASE);
        let own = place.and_then(|place| self.config().alphabet.get(place));
        own.copied().ok_or_else(|| Error::Input(format!("token {token} is no base")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(case: &str) -> std::path::PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens")).join(case)
    }

    fn bases(bases: &[u8]) -> Vec<u32> {
        dna::tokens(bases).unwrap()
    }

    #[test]
    fn bases_are_read_by_the_models_own_tokens() {
        for (case, own) in [("f-caduceus-ph-odd", [7, 8, 9, 10, 11]), ("f-caduceus-ps-odd", [3, 4, 5, 6, 2])] {
            let model = WindowModel::load(&golden(case), RunOptions::cpu()).unwrap();
            let windows = [bases(b"ACGTN"), bases(b""), bases(b"ggr")];
            let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
            let found = model.encode(&windows, &[0, 2]).unwrap();
            let tokens: Vec<u32> = [0, 1, 2, 3, 4, 2, 2, 4].map(|place: usize| own[place]).into();
            assert_eq!(found, model.encoder.encode_window(&tokens, &[0, 5, 5, 8], &[0, 2]).unwrap());
            assert_eq!(found[1].len(), 8 * model.width());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let dir = golden("f-caduceus-ps");
        let refused = |options: RunOptions| WindowModel::load(&dir, options).err().unwrap().to_string();
        let error = refused(RunOptions { device: Device::Cuda(0), ..RunOptions::cpu() });
        assert_eq!(error, "cuda:0: models that read whole windows run on the CPU alone: use --device cpu");
        assert!(refused(RunOptions { weights: Weights::Bf16, ..RunOptions::cpu() }).contains("a CPU computes in f32"));
        let model = WindowModel::load(&dir, RunOptions::default()).unwrap();
        assert_eq!(
            (model.info().device, model.width(), model.info().name.as_str()),
            (Device::Cpu, 24, "f-caduceus-ps")
        );
        let error = |window: &[u32], layer| model.encode(&[window], &[layer]).err().unwrap().to_string();
        assert!(error(&[7, dna::CLS], 0).contains("token 0 is no base"));
        assert!(error(&[7], 4).contains("layer 4: this backbone has layers 0 to 3"));
        assert!(
            error(&vec![7; WindowModel::MOST_BASES + 1], 0)
                .contains("a window of 131073 bases; f-caduceus-ps takes at most")
        );
        let error = crate::Model::load(&dir, RunOptions::cpu()).err().unwrap().to_string();
        assert!(
            error.contains("f-caduceus-ps/config.json: a Caduceus model reads whole windows, both ways"),
            "{error}"
        );
    }
}
