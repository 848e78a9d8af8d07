//! Memory by bytes: of a card, and of the host where a card's copies go without a detour.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, DevicePtr, DeviceRepr, ValidAsZeroBits, result, sys};

use super::{CudaError, Gpu, Lane};

/// Values that are their bytes, on the host and on a card.
pub trait Plain: DeviceRepr + ValidAsZeroBits + Copy + Send + Sync + 'static {}
impl<T: DeviceRepr + ValidAsZeroBits + Copy + Send + Sync + 'static> Plain for T {}

/// Memory of a card.
pub struct Buffer {
    /// Never read: it owns the memory.
    slice: CudaSlice<u8>,
    address: u64,
}

impl Buffer {
    /// Zeros. `what` names them in an error.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn zeros(gpu: &Gpu, what: &'static str, bytes: usize) -> Result<Self, CudaError> {
        // Whole tiles are copied and stored: a little room behind the end costs nothing.
        let slice = gpu.zeros::<u8>(what, bytes.next_multiple_of(256) + 256)?;
        // Zeros and addresses are made on the card's own stream: all others start after that.
        gpu.synchronize()?;
        let address = slice.device_ptr(gpu.stream()).0;
        Ok(Self { slice, address })
    }

    /// A copy of these values.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn of<T: Plain>(gpu: &Gpu, what: &'static str, values: &[T]) -> Result<Self, CudaError> {
        let buffer = Self::zeros(gpu, what, size_of_val(values))?;
        // SAFETY: the buffer has at least as many bytes; both live until the stream is through, which is waited for.
        unsafe { result::memcpy_htod_async(buffer.address, values, gpu.stream().cu_stream()) }
            .map_err(CudaError::driver("copying to the card"))?;
        gpu.synchronize()?;
        Ok(buffer)
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slice.len() - 256
    }

    /// The address of byte `at`.
    ///
    /// # Panics
    /// When it lies outside.
    pub(super) fn at(&self, at: usize) -> u64 {
        assert!(at <= self.bytes(), "byte {at} of {}", self.bytes());
        self.address + at as u64
    }

    /// The address of its first byte, if there are `bytes` after it.
    ///
    /// # Panics
    /// When there are fewer.
    pub(super) fn room(&self, bytes: usize) -> u64 {
        assert!(bytes <= self.bytes(), "{bytes} bytes wanted of {}", self.bytes());
        self.address
    }

    /// The first `bytes` become zeros, in the lane's order.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn clear(&self, lane: &Lane, bytes: usize) -> Result<(), CudaError> {
        // SAFETY: `room` checks the length; the memory lives as long as the buffer, whose users wait for their lanes.
        unsafe { result::memset_d8_async(self.room(bytes), 0, bytes, lane.stream().cu_stream()) }
            .map_err(CudaError::driver("clearing memory"))
    }

    /// Copies `count` values from host memory, from value `from` on, to byte `at`, in the lane's order.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn put<T: Plain>(&self, lane: &Lane, at: usize, from: &Pinned<T>, count: usize) -> Result<(), CudaError> {
        if count == 0 {
            return Ok(());
        }
        let values = &from.values()[..count];
        assert!(at + size_of_val(values) <= self.bytes(), "no room for what is put");
        // SAFETY: lengths are checked; pinned memory lives until its owner has waited for the lane.
        unsafe { result::memcpy_htod_async(self.address + at as u64, values, lane.stream().cu_stream()) }
            .map_err(CudaError::driver("copying to the card"))
    }

    /// Copies values from byte `at` on to the first `count` of host memory, in the lane's order.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn get<T: Plain>(&self, lane: &Lane, at: usize, to: &mut Pinned<T>, count: usize) -> Result<(), CudaError> {
        if count == 0 {
            return Ok(());
        }
        let values = &mut to.values_mut()[..count];
        assert!(at + size_of_val(values) <= self.bytes(), "no such values");
        // SAFETY: as in `put`.
        unsafe { result::memcpy_dtoh_async(values, self.address + at as u64, lane.stream().cu_stream()) }
            .map_err(CudaError::driver("copying from the card"))
    }
}

/// Memory of the host that a card reads and writes by itself.
pub struct Pinned<T> {
    context: Arc<CudaContext>,
    values: *mut T,
    len: usize,
}

// SAFETY: it owns its memory, like a Box.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: as above; shared, it is only read.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T: Plain> Pinned<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// When the host has no such memory left.
    pub fn zeros(gpu: &Gpu, len: usize) -> Result<Self, CudaError> {
        let bytes = (len * size_of::<T>()).max(1);
        let fail = CudaError::driver("taking host memory for copies");
        gpu.context().bind_to_thread().map_err(CudaError::driver("entering the card's context"))?;
        // SAFETY: freed in drop; zeroed below before anyone reads it. Zero bits are a value of every Plain type.
        let values = unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_PORTABLE) }.map_err(fail)?;
        // SAFETY: just allocated, `bytes` long.
        unsafe { values.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { context: Arc::clone(gpu.context()), values: values.cast(), len })
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[T] {
        // SAFETY: `len` values were made at `values`, which is aligned to a page.
        unsafe { std::slice::from_raw_parts(self.values, self.len) }
    }

    /// All values.
    #[must_use]
    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.values, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by malloc_host, freed once.
        let freed = self.context.bind_to_thread().and_then(|()| unsafe { result::free_host(self.values.cast()) });
        self.context.record_err(freed);
    }
}
