//! The weights of a backbone that reads whole windows.

use super::{Mixer, Norm, Spec, layout::Builder};
use crate::{Error, Result, config::WindowConfig};

/// The weights of a backbone that reads whole windows.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowBackbone {
    /// `[vocab, d]`.
    pub(crate) embedding: Vec<f32>,
    /// The layers, in order.
    pub(crate) layers: Vec<WindowLayer>,
    /// The norm at the end.
    pub(crate) norm_f: Norm,
}

/// One layer: `x += forward(norm(x))` joined with `reverse(norm(x) read backwards)`.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLayer {
    /// The norm before the mixers.
    pub(crate) norm: Norm,
    /// The mixer from a window's start on.
    pub(crate) forward: Mixer,
    /// The mixer from its end on.
    pub(crate) reverse: Option<Mixer>,
}

impl WindowBackbone {
    /// Builds a backbone by asking for each of its tensors in order, by the names that a causal backbone's tensors have, with
    /// `mamba_fwd` and `mamba_rev` within each mixer. Where the directions share tensors, both names are asked for.
    ///
    /// # Errors
    /// Those of `tensor`, or when it gives another number of values.
    pub fn build(config: &WindowConfig, mut tensor: impl FnMut(&Spec) -> Result<Vec<f32>>) -> Result<Self> {
        let checked = |spec: &Spec| {
            let values = tensor(spec)?;
            if spec.shape.iter().product::<usize>() != values.len() {
                let found = format!("{} values", values.len());
                return Err(Error::Tensor { name: spec.name.clone(), expected: spec.shape.clone(), found });
            }
            Ok(values)
        };
        let mut builder = Builder { config: &config.backbone, tensor: checked };
        let embedding =
            builder.take("backbone.embedding.weight".into(), &[config.backbone.vocab, config.backbone.d])?;
        let layers = (0..config.backbone.layers).map(|i| {
            let layer = format!("backbone.layers.{i}");
            let norm = builder.norm(&format!("{layer}.norm"))?;
            let forward = builder.mixer(&format!("{layer}.mixer.mamba_fwd"))?;
            let reverse = config.directions.map(|_| builder.mixer(&format!("{layer}.mixer.mamba_rev"))).transpose()?;
            Ok(WindowLayer { norm, forward, reverse })
        });
        let layers = layers.collect::<Result<_>>()?;
        Ok(Self { embedding, layers, norm_f: builder.norm("backbone.norm_f")? })
    }
}
