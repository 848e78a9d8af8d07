//! Memory that goes from one step of training to the next: a step needs gigabytes, and the same ones each time.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::driver::{CudaSlice, DevicePtr};

use super::{Address, TrainingError};
use crate::cuda::Gpu;

/// Places begin at multiples of it, bytes.
const ALIGN: usize = 256;

/// Memory that nobody uses at the moment.
#[derive(Clone, Default)]
pub(super) struct Spare(Arc<Mutex<Vec<CudaSlice<u8>>>>);

/// Memory of the card; it goes back to the spare when dropped.
pub(super) struct Block {
    memory: Option<CudaSlice<u8>>,
    home: Spare,
}

impl Spare {
    /// At least so many bytes with anything in them: the smallest spare block that has them, else a new one.
    ///
    /// # Errors
    /// When memory does not suffice, with all spare blocks given back to the card.
    pub fn take(&self, gpu: &Gpu, what: &'static str, bytes: usize) -> Result<Block, TrainingError> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = (0..spare.len()).filter(|&i| spare[i].len() >= bytes).min_by_key(|&i| spare[i].len());
        let memory = match fits {
            Some(i) => spare.swap_remove(i),
            None => {
                // What is too small now was for smaller batches.
                drop(mem::take(&mut *spare));
                gpu.zeros(what, bytes.max(1))?
            }
        };
        Ok(Block { memory: Some(memory), home: self.clone() })
    }
}

impl Block {
    /// Its address.
    pub fn address(&self, gpu: &Gpu) -> Address {
        self.memory.as_ref().map_or(0, |memory| memory.device_ptr(gpu.stream()).0)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = self.memory.take();
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).extend(memory);
    }
}

/// Hands out places one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    next: Address,
    /// Bytes handed out.
    pub bytes: usize,
}

impl Places {
    pub fn from(address: Address) -> Self {
        Self { next: address, bytes: 0 }
    }

    /// Room for `count` values of `size` bytes.
    pub fn take(&mut self, count: usize, size: usize) -> Address {
        let bytes = (count * size).next_multiple_of(ALIGN);
        self.bytes += bytes;
        self.next += bytes as Address;
        self.next - bytes as Address
    }
}
