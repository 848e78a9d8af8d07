//! Which tensors a backbone has: the one list that loading, saving, checking and fresh weights follow.

use super::{Backbone, Conv, Layer, Linear, Mixer, Mlp, Norm};
use crate::{
    Error, Result,
    config::{Config, MixerConfig, NormKind},
};

/// A tensor of a backbone, by the name and shape of the original checkpoints (state-spaces/mamba).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// As in `backbone.layers.0.mixer.A_log`.
    pub name: String,
    /// As stored; a convolution's filter is `[channels, 1, k]`.
    pub shape: Vec<usize>,
}

/// A backbone's tensors, in order.
pub fn specs(config: &Config) -> Vec<Spec> {
    let mut specs = Vec::new();
    let built = Backbone::<f32>::build(config, |spec| {
        specs.push(spec.clone());
        Ok(Vec::new())
    });
    debug_assert!(built.is_ok(), "only the closure can fail");
    specs
}

impl<T> Backbone<T> {
    /// Builds a backbone by asking for each of its tensors in order.
    ///
    /// # Errors
    /// Those of `tensor`.
    pub fn build(config: &Config, tensor: impl FnMut(&Spec) -> Result<Vec<T>>) -> Result<Self> {
        let mut builder = Builder { config, tensor };
        let (d, vocab) = (config.d, config.vocab);
        let embedding = match vocab {
            0 => Vec::new(),
            _ => builder.take("backbone.embedding.weight".into(), &[vocab, d])?,
        };
        let layers = (0..config.layers).map(|i| builder.layer(i)).collect::<Result<_>>()?;
        let norm_f = builder.norm("backbone.norm_f")?;
        let untied = vocab > 0 && !config.tie_embeddings;
        let lm_head = untied.then(|| builder.take("lm_head.weight".into(), &[vocab, d])).transpose()?;
        Ok(Self { embedding, layers, norm_f, lm_head })
    }

    /// The tensors and their values, in the order of [`specs`].
    pub fn tensors(&self, config: &Config) -> Vec<(Spec, &[T])> {
        specs(config).into_iter().zip(self.parts()).collect()
    }

    /// The tensors, to be changed in place, in the order of [`specs`].
    pub fn tensors_mut(&mut self) -> Vec<&mut [T]> {
        let embedding = Some(&mut self.embedding).filter(|embedding| !embedding.is_empty());
        let layers = self.layers.iter_mut().flat_map(Layer::parts_mut);
        let rest = self.norm_f.parts_mut().into_iter().chain(self.lm_head.as_deref_mut());
        embedding.map(Vec::as_mut_slice).into_iter().chain(layers).chain(rest).collect()
    }

    /// The same weights in another type of number.
    ///
    /// # Errors
    /// When a tensor's size is not the configuration's.
    pub fn map<U>(&self, config: &Config, number: impl Fn(&T) -> U) -> Result<Backbone<U>> {
        self.check(config)?;
        let mut parts = self.parts().into_iter();
        Backbone::build(config, |_| Ok(parts.next().unwrap_or_default().iter().map(&number).collect()))
    }

    /// Checks every tensor's size.
    ///
    /// # Errors
    /// Names the first tensor that has another size than the configuration asks for.
    pub fn check(&self, config: &Config) -> Result<()> {
        let (specs, parts) = (specs(config), self.parts());
        for (spec, part) in specs.iter().zip(&parts) {
            if spec.shape.iter().product::<usize>() != part.len() {
                let found = format!("{} values", part.len());
                return Err(Error::Tensor { name: spec.name.clone(), expected: spec.shape.clone(), found });
            }
        }
        if specs.len() == parts.len() {
            return Ok(());
        }
        Err(Error::Input(format!("{} tensors; this configuration has {}", parts.len(), specs.len())))
    }

    fn parts(&self) -> Vec<&[T]> {
        let embedding = Some(&self.embedding).filter(|embedding| !embedding.is_empty());
        let layers = self.layers.iter().flat_map(Layer::parts);
        let rest = self.norm_f.parts().into_iter().chain(self.lm_head.as_deref());
        embedding.map(Vec::as_slice).into_iter().chain(layers).chain(rest).collect()
    }
}

/// Asks for a backbone's tensors, one part at a time.
pub(super) struct Builder<'a, F> {
    pub(super) config: &'a Config,
    pub(super) tensor: F,
}

impl<T, F: FnMut(&Spec) -> Result<Vec<T>>> Builder<'_, F> {
    pub(super) fn take(&mut self, name: String, shape: &[usize]) -> Result<Vec<T>> {
        (self.tensor)(&Spec { name, shape: shape.to_vec() })
    }

    fn layer(&mut self, i: usize) -> Result<Layer<T>> {
        let layer = format!("backbone.layers.{i}");
        let norm = self.norm(&format!("{layer}.norm"))?;
        let mixer = self.mixer(&format!("{layer}.mixer"))?;
        let mlp = (self.config.mlp_hidden > 0).then(|| self.mlp(&layer)).transpose()?;
        Ok(Layer { norm, mixer, mlp })
    }

    pub(super) fn norm(&mut self, at: &str) -> Result<Norm<T>> {
        let d = self.config.d;
        let weight = self.take(format!("{at}.weight"), &[d])?;
        let biased = self.config.norm == NormKind::Layer;
        Ok(Norm { weight, bias: biased.then(|| self.take(format!("{at}.bias"), &[d])).transpose()? })
    }

    fn linear(&mut self, at: &str, [n_out, n_in]: [usize; 2], biased: bool) -> Result<Linear<T>> {
        let weight = self.take(format!("{at}.weight"), &[n_out, n_in])?;
        let bias = biased.then(|| self.take(format!("{at}.bias"), &[n_out])).transpose()?;
        Ok(Linear { n_out, n_in, weight, bias })
    }

    fn conv(&mut self, at: &str) -> Result<Conv<T>> {
        let (channels, k) = (self.config.mixer.conv_channels(), self.config.mixer.k());
        let weight = self.take(format!("{at}.conv1d.weight"), &[channels, 1, k])?;
        let biased = self.config.conv_bias;
        Ok(Conv { weight, bias: biased.then(|| self.take(format!("{at}.conv1d.bias"), &[channels])).transpose()? })
    }

    pub(super) fn mixer(&mut self, at: &str) -> Result<Mixer<T>> {
        let (d, linear_bias) = (self.config.d, self.config.linear_bias);
        match self.config.mixer {
            MixerConfig::Mamba1 { d_in, n, r, .. } => Ok(Mixer::Mamba1 {
                in_proj: self.linear(&format!("{at}.in_proj"), [2 * d_in, d], linear_bias)?,
                conv: self.conv(at)?,
                x_proj: self.linear(&format!("{at}.x_proj"), [r + 2 * n, d_in], false)?,
                dt_proj: self.linear(&format!("{at}.dt_proj"), [d_in, r], true)?,
                a_log: self.take(format!("{at}.A_log"), &[d_in, n])?,
                d: self.take(format!("{at}.D"), &[d_in])?,
                out_proj: self.linear(&format!("{at}.out_proj"), [d, d_in], linear_bias)?,
            }),
            MixerConfig::Mamba2 { d_in, n, heads, groups, gated_norm, d_per_channel, .. } => Ok(Mixer::Mamba2 {
                in_proj: self.linear(&format!("{at}.in_proj"), [2 * d_in + 2 * groups * n + heads, d], linear_bias)?,
                conv: self.conv(at)?,
                dt_bias: self.take(format!("{at}.dt_bias"), &[heads])?,
                a_log: self.take(format!("{at}.A_log"), &[heads])?,
                d: self.take(format!("{at}.D"), &[if d_per_channel { d_in } else { heads }])?,
                norm: gated_norm.then(|| self.take(format!("{at}.norm.weight"), &[d_in])).transpose()?,
                out_proj: self.linear(&format!("{at}.out_proj"), [d, d_in], linear_bias)?,
            }),
        }
    }

    fn mlp(&mut self, layer: &str) -> Result<Mlp<T>> {
        let (d, h) = (self.config.d, self.config.mlp_hidden);
        Ok(Mlp {
            norm: self.norm(&format!("{layer}.norm2"))?,
            fc1: self.linear(&format!("{layer}.mlp.fc1"), [2 * h, d], false)?,
            fc2: self.linear(&format!("{layer}.mlp.fc2"), [d, h], false)?,
        })
    }
}

impl<T> Layer<T> {
    fn parts(&self) -> Vec<&[T]> {
        let mut parts = self.norm.parts();
        parts.extend(self.mixer.parts());
        if let Some(mlp) = &self.mlp {
            parts.extend([mlp.norm.parts(), mlp.fc1.parts(), mlp.fc2.parts()].concat());
        }
        parts
    }
}

impl<T> Mixer<T> {
    fn parts(&self) -> Vec<&[T]> {
        match self {
            Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj } => {
                let inputs = [in_proj.parts(), conv.parts(), x_proj.parts(), dt_proj.parts()].concat();
                [inputs, vec![a_log, d], out_proj.parts()].concat()
            }
            Mixer::Mamba2 { in_proj, conv, dt_bias, a_log, d, norm, out_proj } => {
                let inputs = [in_proj.parts(), conv.parts(), vec![dt_bias, a_log, d]].concat();
                [inputs, norm.as_deref().into_iter().collect(), out_proj.parts()].concat()
            }
        }
    }
}

impl<T> Layer<T> {
    fn parts_mut(&mut self) -> Vec<&mut [T]> {
        let mlp = self.mlp.as_mut().map(|mlp| (mlp.norm.parts_mut(), mlp.fc1.parts_mut(), mlp.fc2.parts_mut()));
        let mlp = mlp.into_iter().flat_map(|(norm, fc1, fc2)| norm.into_iter().chain(fc1).chain(fc2));
        self.norm.parts_mut().into_iter().chain(self.mixer.parts_mut()).chain(mlp).collect()
    }
}

impl<T> Mixer<T> {
    fn parts_mut(&mut self) -> Vec<&mut [T]> {
        match self {
            Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj } => {
                let inputs = in_proj.parts_mut().into_iter().chain(conv.parts_mut());
                let inputs = inputs.chain(x_proj.parts_mut()).chain(dt_proj.parts_mut());
                inputs.chain([&mut a_log[..], &mut d[..]]).chain(out_proj.parts_mut()).collect()
            }
            Mixer::Mamba2 { in_proj, conv, dt_bias, a_log, d, norm, out_proj } => {
                let inputs = in_proj.parts_mut().into_iter().chain(conv.parts_mut());
                let inputs = inputs.chain([&mut dt_bias[..], &mut a_log[..], &mut d[..]]);
                inputs.chain(norm.as_deref_mut()).chain(out_proj.parts_mut()).collect()
            }
        }
    }
}

impl<T> Linear<T> {
    fn parts(&self) -> Vec<&[T]> {
        with_bias(&self.weight, &self.bias)
    }

    fn parts_mut(&mut self) -> Vec<&mut [T]> {
        with_bias_mut(&mut self.weight, &mut self.bias)
    }
}

impl<T> Norm<T> {
    fn parts(&self) -> Vec<&[T]> {
        with_bias(&self.weight, &self.bias)
    }

    fn parts_mut(&mut self) -> Vec<&mut [T]> {
        with_bias_mut(&mut self.weight, &mut self.bias)
    }
}

impl<T> Conv<T> {
    fn parts(&self) -> Vec<&[T]> {
        with_bias(&self.weight, &self.bias)
    }

    fn parts_mut(&mut self) -> Vec<&mut [T]> {
        with_bias_mut(&mut self.weight, &mut self.bias)
    }
}

fn with_bias<'a, T>(weight: &'a [T], bias: &'a Option<Vec<T>>) -> Vec<&'a [T]> {
    [weight].into_iter().chain(bias.as_deref()).collect()
}

fn with_bias_mut<'a, T>(weight: &'a mut [T], bias: &'a mut Option<Vec<T>>) -> Vec<&'a mut [T]> {
    [weight].into_iter().chain(bias.as_deref_mut()).collect()
}
