//! Memory of a card.

use cudarc::driver::{CudaSlice, DeviceRepr, DriverError, ValidAsZeroBits, sys::CUresult};

use super::{CudaError, Gpu};

impl Gpu {
    /// Bytes free, and bytes in all.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn memory(&self) -> Result<(u64, u64), CudaError> {
        let (free, total) = self.context().mem_get_info().map_err(CudaError::driver("asking for free memory"))?;
        Ok((free as u64, total as u64))
    }

    /// `len` zeros on the card. `what` names them in an error.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn zeros<T: DeviceRepr + ValidAsZeroBits>(
        &self,
        what: &'static str,
        len: usize,
    ) -> Result<CudaSlice<T>, CudaError> {
        self.stream().alloc_zeros(len).map_err(|error| self.refused(error, what, len * size_of::<T>()))
    }

    /// A copy of these values on the card. `what` names them in an error.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn upload<T: DeviceRepr>(&self, what: &'static str, values: &[T]) -> Result<CudaSlice<T>, CudaError> {
        self.stream().clone_htod(values).map_err(|error| self.refused(error, what, size_of_val(values)))
    }

    fn refused(&self, error: DriverError, what: &'static str, bytes: usize) -> CudaError {
        match (error.0, self.memory()) {
            (CUresult::CUDA_ERROR_OUT_OF_MEMORY, Ok((free, total))) => {
                CudaError::Memory { ordinal: self.card().ordinal, what, needed: bytes as u64, free, total }
            }
            _ => CudaError::driver("allocating memory")(error),
        }
    }
}
