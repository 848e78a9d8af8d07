//! Memory that goes from one step of training to the next: a step needs gigabytes, and the same ones each time.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use cudarc::driver::{CudaSlice, DevicePtr, result};

use super::{Address, TrainingError};
use crate::cuda::{CudaError, Gpu};

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

/// Copies rows of `width` values to the card, with zeros up to `padded` values after each.
pub(super) fn copy_in(gpu: &Gpu, rows: &[f32], [width, padded]: [usize; 2], to: Address) -> Result<(), TrainingError> {
    let mut wide = vec![];
    if width != padded {
        wide.resize(rows.len() / width * padded, 0.0);
        wide.chunks_exact_mut(padded)
            .zip(rows.chunks_exact(width))
            .for_each(|(to, row)| to[..width].copy_from_slice(row));
    }
    let values = if width == padded { rows } else { &wide };
    if values.is_empty() {
        return Ok(());
    }
    // SAFETY: the address is of memory that was taken for these rows; the copy has left `values` when the call returns,
    // as pageable memory is.
    let copied = unsafe { result::memcpy_htod_async(to, values, gpu.stream().cu_stream()) };
    Ok(copied.map_err(CudaError::driver("copying to the card"))?)
}

/// The first `width` values of each of `count` rows of `padded` values, once all work before is done.
pub(super) fn copy_out(
    gpu: &Gpu,
    from: Address,
    count: usize,
    [width, padded]: [usize; 2],
) -> Result<Vec<f32>, TrainingError> {
    let mut wide = vec![0.0; count * padded];
    if !wide.is_empty() {
        // SAFETY: the address is of memory that was taken for these rows; `wide` lives until the stream has come by.
        let copied = unsafe { result::memcpy_dtoh_async(&mut wide, from, gpu.stream().cu_stream()) };
        copied.map_err(CudaError::driver("copying from the card"))?;
    }
    gpu.synchronize()?;
    Ok(if width == padded { wide } else { wide.chunks_exact(padded).flat_map(|row| &row[..width]).copied().collect() })
}
