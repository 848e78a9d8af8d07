//! Rows on their way through a layer, and how the copy engine sees them.

use std::sync::{Mutex, PoisonError};

use cudarc::driver::{DeviceRepr, sys};

use super::{CudaError, Gpu, Lane, Wave, buffer::Buffer, wave::Size};

/// The type of values on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Single precision.
    F32,
    /// bfloat16.
    Bf16,
}

impl Type {
    /// Bytes of a value.
    #[must_use]
    pub fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// This kernel's form for the type.
    pub(super) fn form<'a>(self, f32: &'a str, bf16: &'a str) -> &'a str {
        if self == Self::F32 { f32 } else { bf16 }
    }
}

/// What kernels run on: a lane, and the wave of rows that goes through it.
#[derive(Clone, Copy)]
pub struct On<'a> {
    /// Where the work is queued.
    pub lane: &'a Lane,
    /// What the rows belong to.
    pub wave: &'a Wave,
    /// How many blocks to start for: the wave's size, or that of all waves a graph is made for.
    pub size: Size,
}

/// Up to `most` rows of `cols` values, one after the other.
pub struct Rows {
    /// Their memory.
    pub(super) buffer: Buffer,
    pub(super) kind: Type,
    pub(super) cols: usize,
    pub(super) most: usize,
    maps: Mutex<Vec<(Seen, TensorMap)>>,
}

/// A way to look at rows: the first column, columns, the boxes' columns and rows, swizzled.
type Seen = (usize, usize, (usize, usize), bool);

/// A part of each row: columns from `from` on.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    /// Whole rows.
    pub rows: &'a Rows,
    /// The first column.
    pub from: usize,
}

impl Rows {
    /// Room for rows, zeros.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, kind: Type, (most, cols): (usize, usize)) -> Result<Self, CudaError> {
        let buffer = Buffer::zeros(gpu, "rows on their way", most * cols * kind.bytes())?;
        Ok(Self { buffer, kind, cols, most, maps: Mutex::default() })
    }

    /// Their memory, for copies.
    #[must_use]
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Values of a row.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The address, for a kernel that reads or writes `size` rows of this type and width.
    pub(super) fn checked(&self, size: Size, kind: Type, cols: usize) -> u64 {
        assert!(size.rows <= self.most, "{} rows, room for {}", size.rows, self.most);
        assert!(
            self.kind == kind && self.cols == cols,
            "rows of {:?} x {}, {kind:?} x {cols} wanted",
            self.kind,
            self.cols
        );
        self.buffer.at(0)
    }

    /// All columns.
    #[must_use]
    pub fn whole(&self) -> Columns<'_> {
        Columns { rows: self, from: 0 }
    }

    /// How the matrix units fetch them: 128 rows, 64 columns at a time.
    pub(super) fn tiles(&self) -> Result<TensorMap, CudaError> {
        self.whole().map(self.cols, (64, 128), true)
    }
}

impl Columns<'_> {
    /// The address of the first value, for `cols` columns of a kernel's rows.
    pub(super) fn checked(&self, size: Size, kind: Type, cols: usize) -> u64 {
        assert!(self.from + cols <= self.rows.cols, "columns {} to {}", self.from, self.from + cols);
        self.rows.checked(size, kind, self.rows.cols) + (self.from * kind.bytes()) as u64
    }

    /// `cols` columns in boxes of (columns, rows).
    pub(super) fn map(&self, cols: usize, shape: (usize, usize), swizzled: bool) -> Result<TensorMap, CudaError> {
        let Rows { buffer, kind, cols: ld, most, maps } = self.rows;
        let seen = (self.from, cols, shape, swizzled);
        let mut maps = maps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, map)) = maps.iter().find(|(known, _)| *known == seen) {
            return Ok(*map);
        }
        let map = TensorMap::new((buffer, self.from * kind.bytes(), *kind), [*most, cols, *ld], shape, swizzled)?;
        maps.push((seen, map));
        Ok(map)
    }
}

/// A two-dimensional array as the copy engine sees it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct TensorMap(sys::CUtensorMap);

// SAFETY: an opaque value that kernels take as it is.
unsafe impl DeviceRepr for TensorMap {}

impl TensorMap {
    /// `[rows, cols]` of rows `ld` apart, in boxes of (columns, rows); a box's rows of 128 bytes may be swizzled.
    pub(super) fn new(
        (buffer, at, kind): (&Buffer, usize, Type),
        [rows, cols, ld]: [usize; 3],
        (box_cols, box_rows): (usize, usize),
        swizzled: bool,
    ) -> Result<Self, CudaError> {
        let (bytes, data) = match kind {
            Type::F32 => (4, sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32),
            Type::Bf16 => (2, sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16),
        };
        let end = at + ((rows.max(1) - 1) * ld + cols) * bytes;
        assert!(end <= buffer.bytes() + 256, "an array of {end} bytes in {}", buffer.bytes());
        let swizzle = if swizzled {
            sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B
        } else {
            sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE
        };
        let (dims, strides) = ([cols as u64, rows as u64], [(ld * bytes) as u64]);
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (shape, steps) = ([small(box_cols), small(box_rows)], [1, 1]);
        let mut map = sys::CUtensorMap { opaque: [0; 16] };
        // SAFETY: all pointers are to locals of the lengths that two dimensions take; the driver checks the values.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                &raw mut map,
                data,
                2,
                buffer.at(at) as *mut std::ffi::c_void,
                dims.as_ptr(),
                strides.as_ptr(),
                shape.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        }
        .result()
        .map_err(CudaError::driver("describing an array to the card"))?;
        Ok(Self(map))
    }
}
