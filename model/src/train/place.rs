//! Where a model is trained.

use super::{CpuTrainer, Objective, Trainer};
use crate::{
    Error, Result,
    cpu::CpuOptions,
    device::{Device, DeviceError, Weights},
};

/// A trainer, and where it came to run.
pub struct PlacedTrainer<B> {
    /// The trainer.
    pub trainer: Box<dyn Trainer<B>>,
    /// A device, never [`Device::Auto`].
    pub device: Device,
    /// Why [`Device::Auto`] became the CPU in a program that could use a GPU: a warning to pass on.
    pub fell_back: Option<String>,
}

/// A trainer on a device. `products`: the type of products' operands on a GPU; the CPU computes in f32.
///
/// # Errors
/// When the configuration cannot be trained, or the device is not there.
pub fn trainer<W: Objective + 'static>(
    device: Device,
    products: Weights,
    weights: &W,
) -> Result<PlacedTrainer<W::Batch>> {
    match device {
        Device::Cpu => on_cpu(weights, None),
        Device::Cuda(ordinal) => on_gpu(ordinal, products, weights),
        Device::Auto => match on_gpu(0, products, weights) {
            Err(Error::Device(DeviceError::NotBuilt(_))) => on_cpu(weights, None),
            Err(Error::Device(problem)) => on_cpu(weights, Some(problem.to_string())),
            placed => placed,
        },
    }
}

fn on_cpu<W: Objective + 'static>(weights: &W, fell_back: Option<String>) -> Result<PlacedTrainer<W::Batch>> {
    let (_, team) = CpuOptions::default().open()?;
    let trainer = Box::new(CpuTrainer::new(weights.clone(), team)?);
    Ok(PlacedTrainer { trainer, device: Device::Cpu, fell_back })
}

#[cfg(feature = "cuda")]
fn on_gpu<W: Objective + 'static>(ordinal: usize, products: Weights, weights: &W) -> Result<PlacedTrainer<W::Batch>> {
    let gpu = unspool_kernels::cuda::Gpu::open(ordinal)?;
    let trainer = Box::new(super::CudaTrainer::new(weights, gpu, products)?);
    Ok(PlacedTrainer { trainer, device: Device::Cuda(ordinal), fell_back: None })
}

#[cfg(not(feature = "cuda"))]
fn on_gpu<W: Objective + 'static>(ordinal: usize, _: Weights, _: &W) -> Result<PlacedTrainer<W::Batch>> {
    Err(DeviceError::NotBuilt(Device::Cuda(ordinal)).into())
}
