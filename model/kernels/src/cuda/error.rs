//! Why a GPU cannot be used: one line each, with what to do.

use std::fmt;

use cudarc::driver::{DriverError, sys::CUresult};

use super::device::{LEAST_CAPABILITY, LEAST_CUDA};

/// A version of CUDA, or a compute capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Why a GPU cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no driver.
    #[error("no NVIDIA driver here (libcuda.so.1 is not found): install one, or use --device cpu")]
    NoDriver,
    /// The driver is older than the kernels.
    #[error(
        "the NVIDIA driver runs CUDA {found} at most, this program needs {LEAST_CUDA}: install driver 580 or newer"
    )]
    OldDriver {
        /// What it runs.
        found: Version,
    },
    /// There is no such card.
    #[error("cuda:{ordinal}: no such card, {}", here(*count))]
    NoCard {
        /// The card asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The card is older than the kernels.
    #[error("cuda:{ordinal}: {name} has compute capability {found}, {LEAST_CAPABILITY} is the least that is supported")]
    OldCard {
        /// The card asked for.
        ordinal: usize,
        /// Its name.
        name: String,
        /// Its compute capability.
        found: Version,
    },
    /// Memory does not suffice.
    #[error("cuda:{ordinal}: {what}: {} needed, {} of the card's {} free", size(*needed), size(*free), size(*total))]
    Memory {
        /// The card.
        ordinal: usize,
        /// What the memory was for.
        what: &'static str,
        /// Bytes asked for.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// The card's bytes.
        total: u64,
    },
    /// Other programs hold all memory of the card.
    #[error("cuda:{ordinal}: no memory is left on the card for this program: end others, or take another card")]
    Full {
        /// The card.
        ordinal: usize,
    },
    /// A module was not compiled for the card.
    #[error(
        "cuda:{ordinal}: kernels '{module}' were not built for compute capability {capability}: build with \
         UNSPOOL_CUDA_ARCH={}{}", capability.0, capability.1
    )]
    NotBuilt {
        /// The card.
        ordinal: usize,
        /// The module.
        module: String,
        /// The card's compute capability.
        capability: Version,
    },
    /// A kernel, or a module, that this program does not contain: a mistake of this program.
    #[error("there is no kernel '{0}' in this program")]
    NoKernel(String),
    /// The driver refused.
    #[error("CUDA, {doing}: {problem}")]
    Driver {
        /// What was done.
        doing: &'static str,
        /// The driver's name of the error and its words.
        problem: String,
    },
}

impl CudaError {
    /// Wraps the driver's refusal.
    pub(crate) fn driver(doing: &'static str) -> impl FnOnce(DriverError) -> Self {
        move |error| Self::Driver { doing, problem: words(error) }
    }
}

/// The driver's name of an error, and its words.
fn words(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, _>| text.map(|text| text.to_string_lossy().into_owned()).ok();
    match (error.0, text(error.error_name()), text(error.error_string())) {
        (CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, ..) => {
            "the driver's library and its kernel module are of different versions: restart the machine".into()
        }
        (_, Some(name), Some(text)) => format!("{text} ({name})"),
        (code, ..) => format!("error {}", code as u32),
    }
}

/// Bytes, for people.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let unit = (bytes.checked_ilog2().unwrap_or(0) as usize / 10).min(UNITS.len() - 1);
    match unit {
        0 => format!("{bytes} {}", UNITS[0]),
        _ => format!("{:.1} {}", bytes as f64 / 1024_f64.powi(unit as i32), UNITS[unit]),
    }
}

/// How many cards there are, in words.
fn here(count: usize) -> String {
    match count {
        0 => "there is none here: use --device cpu".into(),
        1 => "there is one here, cuda:0".into(),
        _ => format!("there are cuda:0 to cuda:{}", count - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_line_with_a_remedy() {
        let check = |error: CudaError, expected: &str| {
            let line = error.to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        };
        let (ordinal, capability) = (1, Version(9, 0));
        check(CudaError::NoDriver, "libcuda.so.1 is not found): install one, or use --device cpu");
        check(
            CudaError::OldDriver { found: Version(12, 4) },
            "runs CUDA 12.4 at most, this program needs 13.0: install",
        );
        check(CudaError::NoCard { ordinal, count: 0 }, "cuda:1: no such card, there is none here: use --device cpu");
        check(CudaError::NoCard { ordinal, count: 1 }, "cuda:1: no such card, there is one here, cuda:0");
        check(CudaError::NoCard { ordinal: 8, count: 4 }, "there are cuda:0 to cuda:3");
        let name = "Tesla V100".into();
        check(
            CudaError::OldCard { ordinal, name, found: Version(7, 0) },
            "Tesla V100 has compute capability 7.0, 8.0 is",
        );
        let memory =
            CudaError::Memory { ordinal, what: "the weights", needed: 3 << 29, free: 5 << 20, total: 80 << 30 };
        check(memory, "cuda:1: the weights: 1.5 GiB needed, 5.0 MiB of the card's 80.0 GiB free");
        check(CudaError::Full { ordinal }, "cuda:1: no memory is left on the card for this program");
        let module = "scan".into();
        check(CudaError::NotBuilt { ordinal, module, capability }, "build with UNSPOOL_CUDA_ARCH=90");
    }
}
