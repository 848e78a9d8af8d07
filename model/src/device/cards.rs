//! The NVIDIA cards of the machine.

use std::fmt;

use super::DeviceError;

/// What is known of a card without using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// The N of `cuda:N`.
    pub ordinal: usize,
    /// Such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Compute capability, such as `9.0`.
    pub capability: String,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// The driver's version, such as `580.95.05`, where the system says it.
    pub driver: Option<String>,
    /// The CUDA that the driver runs, such as `13.0`.
    pub cuda: String,
}

impl fmt::Display for Card {
    #[expect(clippy::cast_precision_loss, reason = "shown with no digit after the point")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ordinal, name, capability, multiprocessors, cuda, .. } = self;
        let memory = self.memory_bytes as f64 / f64::from(1 << 30);
        let driver = self.driver.as_deref().unwrap_or("of unknown version");
        write!(f, "cuda:{ordinal} {name}, {memory:.0} GiB, {multiprocessors} multiprocessors, ")?;
        write!(f, "compute capability {capability}, driver {driver} (CUDA {cuda})")
    }
}

/// The cards of this machine. None is no error.
///
/// # Errors
/// When this program was built without GPUs, or there is no driver that can be used.
#[cfg(feature = "cuda")]
pub fn cards() -> Result<Vec<Card>, DeviceError> {
    let cards = unspool_kernels::cuda::Gpu::cards()?.into_iter().map(|card| Card {
        ordinal: card.ordinal,
        name: card.name,
        capability: card.capability.to_string(),
        multiprocessors: card.multiprocessors,
        memory_bytes: card.memory_bytes,
        driver: card.driver,
        cuda: card.cuda.to_string(),
    });
    Ok(cards.collect())
}

/// The cards of this machine. None is no error.
///
/// # Errors
/// When this program was built without GPUs, or there is no driver that can be used.
#[cfg(not(feature = "cuda"))]
pub fn cards() -> Result<Vec<Card>, DeviceError> {
    Err(DeviceError::NotBuilt(super::Device::Cuda(0)))
}
