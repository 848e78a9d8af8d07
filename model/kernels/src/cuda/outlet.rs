//! What is made of hidden rows before they leave the card: pools over spans of rows, and products with a narrow head.

use super::{
    CudaError, Gpu, Lane,
    buffer::{Buffer, Pinned},
    launch::{Kernel, arg},
    linear::int,
    rows::{On, Rows, Type},
    wave::Four,
};

/// Columns of a block of `pool_rows`, and rows of one of `head_rows`.
const BLOCK: usize = 64;

/// Rows of a wave that a pool takes in next, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first of them.
    pub row: usize,
    /// How many.
    pub rows: usize,
    /// The pool.
    pub pool: usize,
    /// The pool has taken in none before.
    pub fresh: bool,
}

/// A wave's pieces on the card.
pub struct Pieces {
    device: Buffer,
    host: Pinned<Four>,
    /// How many, and the greatest number of a pool among them.
    held: (usize, usize),
    /// Rows that they lie in.
    rows: usize,
}

impl Pieces {
    /// None yet.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        let (device, host) = Self::room(gpu, 1024)?;
        Ok(Self { device, host, held: (0, 0), rows: 0 })
    }

    fn room(gpu: &Gpu, count: usize) -> Result<(Buffer, Pinned<Four>), CudaError> {
        Ok((Buffer::zeros(gpu, "pieces of pools", 16 * count)?, Pinned::zeros(gpu, count)?))
    }

    /// Describes pieces to the kernel. Before it is called again the lane must have come past.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn set(&mut self, gpu: &Gpu, lane: &Lane, pieces: &[Piece]) -> Result<(), CudaError> {
        if pieces.len() * 16 > self.device.bytes() {
            (self.device, self.host) = Self::room(gpu, pieces.len().next_power_of_two())?;
        }
        for (to, piece) in self.host.values_mut().iter_mut().zip(pieces) {
            *to = Four([piece.row, piece.rows, piece.pool, usize::from(piece.fresh)].map(int));
        }
        self.held = (pieces.len(), pieces.iter().map(|piece| piece.pool).max().unwrap_or(0));
        self.rows = pieces.iter().map(|piece| piece.row + piece.rows).max().unwrap_or(0);
        self.device.put(lane, 0, &self.host, pieces.len())
    }
}

/// Pools on the card, and the host's side of them.
pub struct Pools {
    d: usize,
    room: usize,
    moves: Lane,
    sums: Buffer,
    last: Buffer,
    greatest: Buffer,
    host_sums: Pinned<f64>,
    host_last: Pinned<f32>,
    host_greatest: Pinned<f32>,
    kernel: Kernel,
}

/// A pool's values on the host: sums, the last row, the greatest values, `[d]` each.
pub type Pool<'a> = (&'a [f64], &'a [f32], &'a [f32]);

impl Pools {
    /// `room` pools of rows of width `d`.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, room: usize, d: usize) -> Result<Self, CudaError> {
        let values = room * d;
        let buffer = |bytes: usize| Buffer::zeros(gpu, "pools", bytes * values);
        Ok(Self {
            d,
            room,
            moves: Lane::new(gpu)?,
            sums: buffer(8)?,
            last: buffer(4)?,
            greatest: buffer(4)?,
            host_sums: Pinned::zeros(gpu, values)?,
            host_last: Pinned::zeros(gpu, values)?,
            host_greatest: Pinned::zeros(gpu, values)?,
            kernel: Kernel::load(gpu, "outlet", "pool_rows", 0)?,
        })
    }

    /// How many there is room for.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Puts the first pools on the card, of those that are not fresh `values(i)`. They are there when it returns.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn put<'a>(&mut self, count: usize, values: impl Fn(usize) -> Option<Pool<'a>>) -> Result<(), CudaError> {
        let d = self.d;
        for i in 0..count {
            let Some((sums, last, greatest)) = values(i) else { continue };
            self.host_sums.values_mut()[i * d..(i + 1) * d].copy_from_slice(sums);
            self.host_last.values_mut()[i * d..(i + 1) * d].copy_from_slice(last);
            self.host_greatest.values_mut()[i * d..(i + 1) * d].copy_from_slice(greatest);
        }
        self.moves.enter()?;
        self.sums.put(&self.moves, 0, &self.host_sums, count * d)?;
        self.last.put(&self.moves, 0, &self.host_last, count * d)?;
        self.greatest.put(&self.moves, 0, &self.host_greatest, count * d)?;
        self.moves.finish()
    }

    /// Takes in the pieces of a wave's rows: x in f32.
    ///
    /// # Errors
    /// When the driver refuses.
    ///
    /// # Panics
    /// When a piece is outside the wave's rows, or of a pool that there is no room for.
    pub fn forward(&self, on: On<'_>, x: &Rows, pieces: &Pieces) -> Result<(), CudaError> {
        let (count, greatest_pool) = pieces.held;
        assert!(greatest_pool < self.room, "pool {greatest_pool} of {}", self.room);
        assert!(pieces.rows <= on.size.rows, "{} rows of {}", pieces.rows, on.size.rows);
        let (list, from, d) = (pieces.device.at(0), x.checked(on.size, Type::F32, self.d), int(self.d));
        let (sums, last, greatest) = (self.sums.at(0), self.last.at(0), self.greatest.at(0));
        let args = &mut [arg(&list), arg(&from), arg(&d), arg(&sums), arg(&last), arg(&greatest)];
        // SAFETY: the arguments of `pool_rows`; rows, pieces and pools have been checked.
        unsafe { self.kernel.launch(on.lane, ([count, self.d.div_ceil(BLOCK), 1], 64), args) }
    }

    /// Fetches the first pools, once their lanes are through.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn get(&mut self, count: usize) -> Result<(), CudaError> {
        self.moves.enter()?;
        self.sums.get(&self.moves, 0, &mut self.host_sums, count * self.d)?;
        self.last.get(&self.moves, 0, &mut self.host_last, count * self.d)?;
        self.greatest.get(&self.moves, 0, &mut self.host_greatest, count * self.d)?;
        self.moves.finish()
    }

    /// What was fetched of a pool.
    #[must_use]
    pub fn pool(&self, i: usize) -> Pool<'_> {
        let at = i * self.d..(i + 1) * self.d;
        let (last, greatest) = (&self.host_last.values()[at.clone()], &self.host_greatest.values()[at.clone()]);
        (&self.host_sums.values()[at], last, greatest)
    }
}

/// A head of four outputs in f64.
pub struct Head {
    d: usize,
    weight: Buffer,
    kernel: Kernel,
}

/// A head's outputs for a wave's rows, `[rows, 4]`, on the card and on the host.
pub struct HeadRows {
    most: usize,
    device: Buffer,
    host: Pinned<f64>,
}

impl HeadRows {
    /// Room for so many rows.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, most: usize) -> Result<Self, CudaError> {
        Ok(Self { most, device: Buffer::zeros(gpu, "a head's rows", 32 * most)?, host: Pinned::zeros(gpu, 4 * most)? })
    }

    /// What [`Head::forward`] gave, once its lane is through.
    #[must_use]
    pub fn values(&self) -> &[[f64; 4]] {
        self.host.values().as_chunks().0
    }
}

impl Head {
    /// Weights `[d]` of four outputs.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, weight: &[[f64; 4]]) -> Result<Self, CudaError> {
        let flat = weight.as_flattened();
        let kernel = Kernel::load(gpu, "outlet", "head_rows", 0)?;
        Ok(Self { d: weight.len(), weight: Buffer::of(gpu, "weights", flat)?, kernel })
    }

    /// to = x weight, for the wave's rows, x in f32; on its way to the host then.
    ///
    /// # Errors
    /// When the driver refuses.
    ///
    /// # Panics
    /// When there is no room for the rows.
    pub fn forward(&self, on: On<'_>, x: &Rows, to: &mut HeadRows) -> Result<(), CudaError> {
        let rows = on.size.rows;
        assert!(rows <= to.most, "{rows} rows, room for {}", to.most);
        let (wave, from, d) = (on.wave.head(), x.checked(on.size, Type::F32, self.d), int(self.d));
        let (weight, y) = (self.weight.at(0), to.device.at(0));
        let args = &mut [arg(&wave), arg(&from), arg(&d), arg(&weight), arg(&y)];
        // SAFETY: the arguments of `head_rows`; rows and room have been checked.
        unsafe { self.kernel.launch(on.lane, ([rows.div_ceil(BLOCK), 1, 1], 64), args)? };
        to.device.get(on.lane, 0, &mut to.host, 4 * rows)
    }
}
