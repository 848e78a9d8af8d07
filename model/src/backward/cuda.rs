//! Gradients of a backbone on a GPU: what [`super::CpuBackbone`] computes, by the kernels of [`unspool_kernels::cuda::backward`].
//!
//! With rows in f32 gradients are the CPU's to 1e-4; with rows in bf16 they are within about 1 % of them, at many times
//! the speed. Either way a run repeats to the bit on the same kind of card.

use std::sync::Arc;

use unspool_kernels::cuda::{
    Gpu,
    backward::{Precision, Shape, Training, TrainingError, TrainingInput, TrainingTape},
};

use super::{Gradients, Trainable, trainable};
use crate::{
    Error, Result,
    config::{Config, MixerConfig},
    device::Weights,
    encoder::{Input, Packed},
    weights::Backbone,
};

/// Mamba-1 on a GPU, for training.
pub struct CudaBackbone {
    config: Config,
    training: Training,
}

/// What a [`CudaBackbone`] keeps of a forward pass, on the card.
pub struct CudaTape {
    tape: TrainingTape,
}

impl CudaBackbone {
    /// A backbone of RMS norms and Mamba-1 mixers.
    ///
    /// `rows` is the type of rows between kernels and of products' operands; weights, the residual stream, gradients of
    /// weights and sums are f32 with either.
    ///
    /// # Errors
    /// As [`super::CpuBackbone::new`]; when the configuration has more than 64 states a channel, a convolution of more
    /// than 8 tokens or a width over 4096; or when the card's memory does not suffice.
    pub fn new(config: Config, weights: &Backbone, gpu: Arc<Gpu>, rows: Weights) -> Result<Self> {
        trainable(&config)?;
        let precision = match rows {
            Weights::F32 => Precision::F32,
            Weights::Bf16 => Precision::Bf16,
        };
        let training = Training::new(gpu, shape(&config)?, precision)?;
        let mut backbone = Self { config, training };
        backbone.set_weights(weights)?;
        Ok(backbone)
    }

    /// The gradients in the form of weights. The head's are 0: it is not the backbone's.
    fn weights(&self, tensors: Vec<Vec<f32>>) -> Result<Backbone> {
        let mut tensors = tensors.into_iter();
        Backbone::build(&self.config, |spec| match spec.name.as_str() {
            HEAD => Ok(vec![0.0; spec.shape.iter().product()]),
            _ => Ok(tensors.next().unwrap_or_default()),
        })
    }
}

/// The tensor that is not the backbone's.
const HEAD: &str = "lm_head.weight";

impl Trainable for CudaBackbone {
    type Tape = CudaTape;

    fn config(&self) -> &Config {
        &self.config
    }

    fn set_weights(&mut self, weights: &Backbone) -> Result<()> {
        weights.check(&self.config)?;
        let tensors = weights.tensors(&self.config);
        let tensors: Vec<&[f32]> =
            tensors.iter().filter(|(spec, _)| spec.name != HEAD).map(|(_, values)| *values).collect();
        Ok(self.training.set_weights(&tensors)?)
    }

    fn forward(&self, batch: &Packed<'_>) -> Result<(Vec<f32>, CudaTape)> {
        let input = match batch.input {
            Input::Tokens(tokens) => TrainingInput::Tokens(tokens),
            Input::Rows(rows) => TrainingInput::Rows(rows),
        };
        let tape = self.training.forward(input, batch.offsets)?;
        Ok((self.training.hidden(&tape)?, CudaTape { tape }))
    }

    fn backward(&self, tape: &CudaTape, d_hidden: &[f32]) -> Result<Gradients> {
        if d_hidden.len() != tape.tape.tokens() * self.config.d {
            let hidden = tape.tape.tokens() * self.config.d;
            return Err(Error::Input(format!("gradients of {} values for {hidden} hidden ones", d_hidden.len())));
        }
        let gradients = self.training.backward(&tape.tape, &self.training.hidden_gradient(d_hidden)?)?;
        let weights = self.weights(self.training.weight_gradients(&gradients)?)?;
        Ok(Gradients { weights, rows: self.training.row_gradients(&gradients)? })
    }
}

/// What the kernels need to know of a configuration that can be trained.
pub(crate) fn shape(config: &Config) -> Result<Shape> {
    let MixerConfig::Mamba1 { d_in, n, k, r, .. } = config.mixer else {
        return Err(Error::Input("only Mamba-1 mixers can be trained".into()));
    };
    let &Config { d, layers, vocab, norm_eps: eps, linear_bias, conv_bias, .. } = config;
    Ok(Shape { d, d_in, n, k, r, layers, vocab, eps, linear_bias, conv_bias, series: None, head: None })
}

impl From<TrainingError> for Error {
    fn from(error: TrainingError) -> Self {
        match error {
            TrainingError::Cuda(error) => error.into(),
            other => Self::Input(other.to_string()),
        }
    }
}
