//! Where a model runs: the device, the type of its weights there, and the one place that makes an encoder.

mod cards;
mod names;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unspool_kernels::cpu::{Isa, Team};

pub use self::cards::{Card, cards};
use crate::{
    Error, Result,
    config::Config,
    cpu::{CpuEncoder, CpuOptions},
    encoder::Encoder,
    weights::Backbone,
};

/// Where to compute. Written `auto`, `cpu`, `cuda` (the first card) or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// The first NVIDIA card where there is one and this program was built for it, else the CPU.
    #[default]
    Auto,
    /// The CPU, with its widest vector units.
    Cpu,
    /// An NVIDIA card, by its number.
    Cuda(usize),
}

/// The type of a backbone's weights. Written `f32` or `bf16`. States are f32 whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Weights {
    /// As published, or wider.
    #[default]
    F32,
    /// Rounded to bfloat16, and so are the rows that are multiplied with them: on a GPU only.
    Bf16,
}

/// How a model runs; the default is the best device of the machine, in f32.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Where.
    pub device: Device,
    /// The type of its weights.
    pub weights: Weights,
    /// How what runs on the CPU runs there: all of a model, or a series model's front end and head.
    pub cpu: CpuOptions,
    /// Memory of a GPU for states, bytes (`None`: as much as the encoder sees fit). A CPU has no such limit.
    pub pool_bytes: Option<u64>,
}

/// Milliseconds of the selective scan alone on a card, in bf16 with gate and D, for `b` sequences of `l` tokens, `d_in`
/// channels of 16 states and dt of rank r: the median of `runs`, each the mean of ten one after the other. `None` where the
/// device is no card, or has no tuned scan.
///
/// # Errors
/// When the card refuses, or its memory does not suffice.
#[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only cards are timed"))]
pub fn scan_ms(
    device: Device,
    shape: (usize, usize),
    batch: (usize, usize),
    runs: usize,
) -> crate::Result<Option<f64>> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(ordinal) = device {
        let gpu = unspool_kernels::cuda::Gpu::open(ordinal)?;
        let scan = crate::cuda::ScanAlone::new(&gpu, shape, batch)?;
        if !scan.is_tuned() {
            return Ok(None);
        }
        scan.time(10)?;
        let times: crate::Result<Vec<_>> = (0..runs.max(1)).map(|_| scan.time(10)).collect();
        let mut times = times?;
        times.sort();
        return Ok(Some(times[times.len() / 2].as_secs_f64() * 1e3));
    }
    Ok(None)
}

/// Why a model cannot run where it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Not the name of a device.
    #[error("'{0}' is no device: auto, cpu, cuda or cuda:N is wanted")]
    Unknown(String),
    /// Not the name of a type.
    #[error("'{0}' is no type of weights: f32 or bf16 is wanted")]
    UnknownWeights(String),
    /// This program has no kernels for GPUs.
    #[error("{0}: this program was built without GPUs: build it with --features cuda, or use --device cpu")]
    NotBuilt(Device),
    /// The GPU's encoder lacks something that the model needs.
    #[error("{device}: {what}: use --device cpu")]
    Unsupported {
        /// The card.
        device: Device,
        /// What it lacks.
        what: String,
    },
    /// The CPU computes in f32.
    #[error("--weights {weights}: a CPU computes in f32; name a GPU, or leave it out{}", because(reason.as_deref()))]
    CpuWeights {
        /// The type asked for.
        weights: Weights,
        /// Why there is no GPU, where one was looked for.
        reason: Option<String>,
    },
    /// The card or its driver.
    #[cfg(feature = "cuda")]
    #[error(transparent)]
    Cuda(#[from] unspool_kernels::cuda::CudaError),
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

#[cfg(feature = "cuda")]
impl From<unspool_kernels::cuda::CudaError> for Error {
    fn from(error: unspool_kernels::cuda::CudaError) -> Self {
        Self::Device(error.into())
    }
}

/// An encoder, and where it came to run.
pub struct Placed {
    /// The encoder.
    pub encoder: Box<dyn Encoder>,
    /// A device, never [`Device::Auto`].
    pub device: Device,
    /// Why [`Device::Auto`] became the CPU in a program that could use a GPU: a warning to pass on.
    pub fell_back: Option<String>,
    /// The CPU's instructions and threads, for front ends and heads.
    pub(crate) cpu: (Isa, Arc<Team>),
}

impl RunOptions {
    /// On the CPU, whatever else there is.
    #[must_use]
    pub fn cpu() -> Self {
        Self { device: Device::Cpu, ..Self::default() }
    }

    /// Makes the encoder of a backbone where the options say.
    ///
    /// # Errors
    /// When a weight's size is not the configuration's, or the options ask for what the machine or this program lacks.
    pub fn encoder(&self, config: &Config, weights: &Backbone) -> Result<Placed> {
        match self.device {
            Device::Cpu => self.on_cpu(config, weights, None),
            Device::Cuda(ordinal) => self.on_gpu(ordinal, config, weights),
            Device::Auto => match self.on_gpu(0, config, weights) {
                Err(Error::Device(DeviceError::NotBuilt(_))) => self.on_cpu(config, weights, None),
                Err(Error::Device(problem)) => self.on_cpu(config, weights, Some(problem.to_string())),
                placed => placed,
            },
        }
    }

    fn on_cpu(&self, config: &Config, weights: &Backbone, fell_back: Option<String>) -> Result<Placed> {
        if self.weights != Weights::F32 {
            return Err(DeviceError::CpuWeights { weights: self.weights, reason: fell_back }.into());
        }
        let encoder = CpuEncoder::new(config.clone(), weights, self.cpu)?;
        let cpu = (encoder.isa(), encoder.team());
        Ok(Placed { encoder: Box::new(encoder), device: Device::Cpu, fell_back, cpu })
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self, ordinal: usize, config: &Config, weights: &Backbone) -> Result<Placed> {
        let device = Device::Cuda(ordinal);
        let encoder = crate::cuda::CudaEncoder::new(config, weights, &Self { device, ..*self })?;
        Ok(Placed { encoder: Box::new(encoder), device, fell_back: None, cpu: self.cpu.open()? })
    }

    #[cfg(not(feature = "cuda"))]
    fn on_gpu(&self, ordinal: usize, _: &Config, _: &Backbone) -> Result<Placed> {
        Err(DeviceError::NotBuilt(Device::Cuda(ordinal)).into())
    }
}

#[cfg(test)]
mod tests;
