//! One layer on the card, and the rows it works on.

use unspool_kernels::cuda::{CudaError, Gate, Gpu, LayerStates, Linear, Norm, On, Out, Rows, StackLayer, Type};

use super::{
    mamba1::{Mamba1, Mamba1Rows},
    mamba2::{Mamba2, Mamba2Rows},
};
use crate::{
    Result,
    config::{Config, MixerConfig},
    weights,
};

/// `x += mixer(norm(x))`, then `x += mlp(norm2(x))` where there is one.
pub(super) struct Layer {
    norm: Norm,
    mixer: Mixer,
    mlp: Option<Mlp>,
    /// The layer before has normed the rows already.
    normed_before: bool,
}

enum Mixer {
    Mamba1(Box<Mamba1>),
    Mamba2(Box<Mamba2>),
}

struct Mlp {
    norm: Norm,
    fc1: Linear,
    gate: Gate,
    fc2: Linear,
}

/// A wave's rows on their way.
pub(super) struct Mixed {
    residual: Rows,
    normed: Rows,
    mixer: MixerRows,
    mlp: Option<(Rows, Rows)>,
}

enum MixerRows {
    Mamba1(Box<Mamba1Rows>),
    Mamba2(Box<Mamba2Rows>),
}

/// How far a layer is with what it carries from wave to wave.
#[derive(Clone, Copy)]
pub(super) enum Carried {
    /// It reads and moves windows next.
    WindowsNext,
    WindowsMoved,
    /// It reads and moves the recurrent states next.
    StatesNext,
    StatesMoved,
}

/// Is told of it.
pub(super) type Tell<'a> = dyn FnMut(Carried) -> Result<(), CudaError> + 'a;

/// Tells of a layer that moves all at once.
pub(super) fn all_at_once(
    tell: &mut Tell<'_>,
    forward: impl FnOnce() -> Result<(), CudaError>,
) -> Result<(), CudaError> {
    tell(Carried::WindowsNext)?;
    tell(Carried::StatesNext)?;
    forward()?;
    tell(Carried::WindowsMoved)?;
    tell(Carried::StatesMoved)
}

/// A card and the type of a route.
pub(super) type OnCard<'a> = (&'a Gpu, Type);

/// Rows through the weights of a published linear map.
pub(super) fn linear((gpu, kind): OnCard<'_>, linear: &weights::Linear) -> Result<Linear, CudaError> {
    Linear::new(gpu, kind, (&linear.weight, linear.n_in), linear.bias.as_deref())
}

impl Layer {
    pub(super) fn new(
        on: OnCard<'_>,
        config: &Config,
        (weights, norm): (&weights::Layer, Norm),
        next: Option<&mut Self>,
    ) -> Result<Self> {
        let (mlp, eps) = (&weights.mlp, config.norm_eps);
        let centered = config.norm == crate::config::NormKind::Layer;
        let next = next.filter(|_| mlp.is_none());
        let mixer = match (&config.mixer, &weights.mixer) {
            (MixerConfig::Mamba1 { .. }, weights::Mixer::Mamba1 { .. }) => {
                let (mixer, normed) = Mamba1::new(
                    on,
                    &config.mixer,
                    &weights.mixer,
                    (next.as_ref().map(|next| &next.norm), !centered && mlp.is_none()),
                )?;
                if let (true, Some(next)) = (normed, next) {
                    next.normed_before = true;
                }
                Mixer::Mamba1(Box::new(mixer))
            }
            _ => Mixer::Mamba2(Box::new(Mamba2::new(on, config, &weights.mixer)?)),
        };
        let mlp = mlp.as_ref().map(|mlp| {
            let parts = (&mlp.norm.weight[..], mlp.norm.bias.as_deref());
            let norm = Norm::new(on.0, parts, eps, centered)?;
            let (fc1, fc2) = (linear(on, &mlp.fc1)?, linear(on, &mlp.fc2)?);
            Ok::<_, CudaError>(Mlp { norm, fc1, gate: Gate::new(on.0, on.1)?, fc2 })
        });
        Ok(Self { norm, mixer, mlp: mlp.transpose()?, normed_before: false })
    }

    /// All of its kernels are tuned ones.
    pub(super) fn is_tuned(&self) -> bool {
        match &self.mixer {
            Mixer::Mamba1(mixer) => mixer.is_tuned(),
            Mixer::Mamba2(mixer) => mixer.is_tuned(),
        }
    }

    /// It convolves by tiles of rows.
    pub(super) fn is_tiled(&self) -> bool {
        match &self.mixer {
            Mixer::Mamba1(mixer) => mixer.is_tiled(),
            Mixer::Mamba2(_) => true,
        }
    }

    /// This layer as one of a stack that single rows go through at once. `None` where it is not for that.
    pub(super) fn of_stack(&self, states: LayerStates) -> Option<StackLayer> {
        match &self.mixer {
            Mixer::Mamba1(mixer) => mixer.of_stack((&self.norm, self.normed_before), states),
            Mixer::Mamba2(_) => None,
        }
    }

    /// Moves the residual stream and the states on, and tells of it.
    pub(super) fn forward(
        &self,
        on: On<'_>,
        rows: &Mixed,
        states: LayerStates,
        (next, tell): (Option<&Self>, &mut Tell<'_>),
    ) -> Result<(), CudaError> {
        let Mixed { residual, normed, mixer, mlp } = rows;
        if let (Mixer::Mamba1(mixer), MixerRows::Mamba1(rows)) = (&self.mixer, mixer) {
            let norm = (&self.norm, self.normed_before);
            if mixer.steps(on.size) {
                return all_at_once(tell, || mixer.step(on, norm, residual, (rows, states)));
            }
        }
        if !self.normed_before {
            self.norm.forward(on, residual, normed)?;
        }
        match (&self.mixer, mixer) {
            (Mixer::Mamba1(mixer), MixerRows::Mamba1(rows)) => {
                tell(Carried::WindowsNext)?;
                mixer.forward(on, (normed, residual), (rows, states), (next.map(|next| &next.norm), tell))?;
            }
            (Mixer::Mamba2(mixer), MixerRows::Mamba2(rows)) => {
                all_at_once(tell, || mixer.forward(on, (normed, residual), (rows, states)))?;
            }
            _ => return Err(CudaError::NoKernel("rows of the other mixer".into())),
        }
        if let (Some(layer), Some((both, y))) = (&self.mlp, mlp) {
            layer.norm.forward(on, residual, normed)?;
            layer.fc1.forward(on, normed, Out::Store(both))?;
            layer.gate.forward(on, both, y)?;
            layer.fc2.forward(on, y, Out::Add(residual))?;
        }
        Ok(())
    }
}

impl Mixed {
    /// Room for `most` rows.
    pub(super) fn new((gpu, kind): OnCard<'_>, config: &Config, most: usize) -> Result<Self, CudaError> {
        let rows = |kind, cols| Rows::new(gpu, kind, (most, cols));
        let mixer = match &config.mixer {
            MixerConfig::Mamba1 { .. } => {
                MixerRows::Mamba1(Box::new(Mamba1Rows::new((gpu, kind), &config.mixer, most)?))
            }
            MixerConfig::Mamba2 { .. } => {
                MixerRows::Mamba2(Box::new(Mamba2Rows::new((gpu, kind), &config.mixer, most)?))
            }
        };
        let h = config.mlp_hidden;
        let mlp = if h > 0 { Some((rows(kind, 2 * h)?, rows(kind, h)?)) } else { None };
        Ok(Self { residual: rows(Type::F32, config.d)?, normed: rows(kind, config.d)?, mixer, mlp })
    }

    /// The residual stream.
    pub(super) fn residual(&self) -> &Rows {
        &self.residual
    }
}
