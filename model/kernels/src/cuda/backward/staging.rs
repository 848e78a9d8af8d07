//! Copies between the host's ordinary memory and a card, by way of memory that the card reads and writes itself.
//!
//! A copy from or to ordinary memory goes through a small buffer of the driver's, and the first touch of new memory is slow:
//! here the card copies tens of megabytes in one go, and threads share the rest.

use std::{
    mem::MaybeUninit,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use cudarc::driver::{DriverError, result};

use super::{Address, TrainingError};
use crate::cuda::{CudaError, Gpu, Pinned};

/// Values that go at once, at most.
const PIECE: usize = 1 << 24;
/// Values that are worth a thread, and threads, at most.
const SHARE: usize = 1 << 18;
const THREADS: usize = 8;

/// The memory between; made when it is first needed, and anew when more is.
#[derive(Default)]
pub(super) struct Staging(Mutex<Option<Pinned<f32>>>);

impl Staging {
    /// Copies rows of `width` values to the card, with zeros up to `padded` values after each.
    pub fn copy_in(
        &self,
        gpu: &Gpu,
        rows: &[f32],
        [width, padded]: [usize; 2],
        to: Address,
    ) -> Result<(), TrainingError> {
        let mut to = to;
        for rows in rows.chunks((PIECE / padded).max(1) * width) {
            let len = rows.len() / width * padded;
            let copied = self.with(gpu, len, |between| {
                if width == padded {
                    // SAFETY: what may be uninitialised is only written, and with values.
                    copy(rows, unsafe { &mut *(std::ptr::from_mut(between) as *mut [MaybeUninit<f32>]) });
                } else {
                    for (to, row) in between.chunks_exact_mut(padded).zip(rows.chunks_exact(width)) {
                        to[..width].copy_from_slice(row);
                        to[width..].fill(0.0);
                    }
                }
                // SAFETY: the address is of memory that was taken for these rows; `between` is kept until the copy is done.
                unsafe { result::memcpy_htod_async(to, between, gpu.stream().cu_stream()) }
            });
            drop(copied?);
            to += (len * size_of::<f32>()) as Address;
        }
        Ok(())
    }

    /// The first `width` values of each of `count` rows of `padded` values, once all work before is done.
    pub fn copy_out(
        &self,
        gpu: &Gpu,
        from: Address,
        count: usize,
        [width, padded]: [usize; 2],
    ) -> Result<Vec<f32>, TrainingError> {
        gpu.synchronize()?;
        let (mut out, mut from, mut left) = (Vec::with_capacity(count * width), from, count);
        while left > 0 {
            let rows = left.min((PIECE / padded).max(1));
            // SAFETY: the address is of memory that was taken for these rows; `between` is kept until the copy is done.
            let fetch =
                |between: &mut [f32]| unsafe { result::memcpy_dtoh_async(between, from, gpu.stream().cu_stream()) };
            let between = self.with(gpu, rows * padded, fetch)?;
            let between = &between.as_ref().map_or(&[][..], Pinned::values)[..rows * padded];
            if width == padded {
                let room = &mut out.spare_capacity_mut()[..between.len()];
                copy(between, room);
                let len = out.len() + between.len();
                // SAFETY: `copy` has written so many after the ones before.
                unsafe { out.set_len(len) };
            } else {
                between.chunks_exact(padded).for_each(|row| out.extend_from_slice(&row[..width]));
            }
            left -= rows;
            from += (rows * padded * size_of::<f32>()) as Address;
        }
        Ok(out)
    }

    /// Starts a copy with `len` values between, and waits for it.
    fn with(
        &self,
        gpu: &Gpu,
        len: usize,
        start: impl FnOnce(&mut [f32]) -> Result<(), DriverError>,
    ) -> Result<MutexGuard<'_, Option<Pinned<f32>>>, TrainingError> {
        let mut between = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if between.as_ref().is_none_or(|between| between.values().len() < len) {
            *between = None;
            *between = Some(Pinned::zeros(gpu, len)?);
        }
        gpu.context().bind_to_thread().map_err(CudaError::driver("turning to the card"))?;
        if let Some(between) = between.as_mut() {
            let started = start(&mut between.values_mut()[..len]);
            let done = gpu.synchronize();
            started.map_err(CudaError::driver("copying from or to the card"))?;
            done?;
        }
        Ok(between)
    }
}

/// Copies, by threads where there is much.
fn copy(from: &[f32], to: &mut [MaybeUninit<f32>]) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS);
    let share = from.len().div_ceil(threads).max(SHARE);
    let mut pairs = from.chunks(share).zip(to.chunks_mut(share));
    let Some((from, to)) = pairs.next() else { return };
    thread::scope(|scope| {
        for (from, to) in pairs {
            scope.spawn(|| to.write_copy_of_slice(from));
        }
        to.write_copy_of_slice(from);
    });
}
