//! Waves: the runs of rows of many sequences that go through the layers together.

use cudarc::driver::{DeviceRepr, ValidAsZeroBits};

use super::{
    CudaError, Gpu, Lane,
    buffer::{Buffer, Pinned},
    launch::{Kernel, arg},
};

/// Rows of one sequence within a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Rows; at least one.
    pub len: usize,
    /// The sequence's slot among the states.
    pub slot: usize,
}

/// Rows of a tile of the plain convolution.
const TILE: usize = 16;

/// The kernels' `Wave`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    rows: i32,
    segments: i32,
    steps: i32,
    step_row: i32,
    tiles: i32,
    peeks: i32,
    pad: [i32; 2],
}

/// The kernels' `Segment`, `Tile` and `Piece`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Four(pub(super) [i32; 4]);

// SAFETY: plain integers, laid out as in common.cuh.
unsafe impl DeviceRepr for Head {}
// SAFETY: zeros are an empty wave.
unsafe impl ValidAsZeroBits for Head {}
// SAFETY: plain integers, laid out as in common.cuh and outlet.cu.
unsafe impl DeviceRepr for Four {}
// SAFETY: zeros are integers.
unsafe impl ValidAsZeroBits for Four {}

/// How much of what a wave holds, or may hold at most where a graph is made for all of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    /// Rows of all sequences.
    pub rows: usize,
    /// Runs of two rows or more.
    pub segments: usize,
    /// Runs of one row.
    pub steps: usize,
    /// Tiles of the plain convolution.
    pub tiles: usize,
}

impl Size {
    /// What these runs come to.
    #[must_use]
    pub fn of(runs: &[Run]) -> Self {
        let mut size = Self::default();
        for run in runs {
            size.rows += run.len;
            *(if run.len > 1 { &mut size.segments } else { &mut size.steps }) += 1;
            size.tiles += run.len.div_ceil(TILE);
        }
        size
    }

    /// Rounded up so that many waves are of one size: their graph is the same.
    #[must_use]
    pub fn rounded(self) -> Self {
        let up = |n: usize| if n == 0 { 0 } else { n.next_power_of_two().min(n.next_multiple_of(1024)) };
        Self { rows: up(self.rows), segments: up(self.segments), steps: up(self.steps), tiles: up(self.tiles) }
    }

    /// No more of anything than there is room for.
    #[must_use]
    pub fn within(self, most: usize) -> Self {
        let [rows, segments, steps, tiles] = [self.rows, self.segments, self.steps, self.tiles].map(|n| n.min(most));
        Self { rows, segments: segments.min(most / 2), steps, tiles }
    }
}

/// A wave's description on the card, at a fixed place.
pub struct Wave {
    head: Buffer,
    steps: Buffer,
    segments: Buffer,
    tiles: Buffer,
    info: Buffer,
    tokens: Buffer,
    host: Host,
    rows: Kernel,
    size: Size,
    most: usize,
}

struct Host {
    head: Pinned<Head>,
    steps: Pinned<i32>,
    segments: Pinned<Four>,
    tiles: Pinned<Four>,
    tokens: Pinned<u32>,
}

impl Wave {
    /// Room for waves of up to `most` rows.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn new(gpu: &Gpu, most: usize) -> Result<Self, CudaError> {
        let buffer = |bytes: usize| Buffer::zeros(gpu, "a wave's description", bytes);
        let host = Host {
            head: Pinned::zeros(gpu, 1)?,
            steps: Pinned::zeros(gpu, most)?,
            segments: Pinned::zeros(gpu, most)?,
            tiles: Pinned::zeros(gpu, most)?,
            tokens: Pinned::zeros(gpu, most)?,
        };
        Ok(Self {
            head: buffer(size_of::<Head>())?,
            steps: buffer(4 * most)?,
            segments: buffer(16 * most)?,
            tiles: buffer(16 * most)?,
            info: buffer(16 * most)?,
            tokens: buffer(4 * most)?,
            host,
            rows: Kernel::load(gpu, "states", "wave_rows", 0)?,
            size: Size::default(),
            most,
        })
    }

    /// Describes runs to the kernels; gives for each its first row. Runs of one row come last. Before it is called again
    /// the lane must have come past. `peeks`: runs of one row alone, whose states stay as they are.
    ///
    /// # Errors
    /// When the driver refuses.
    ///
    /// # Panics
    /// When there are more rows than there is room for, or a run is empty, or one of several rows peeks.
    pub fn set(&mut self, lane: &Lane, runs: &[Run], (tiled, peeks): (bool, bool)) -> Result<Vec<usize>, CudaError> {
        let size = Size::of(runs);
        assert!(!peeks || size.segments == 0, "a run of several rows moves its state");
        assert!(size.rows <= self.most, "{} rows, room for {}", size.rows, self.most);
        assert!(runs.iter().all(|run| run.len > 0), "an empty run");
        let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let step_row = size.rows - size.steps;
        let (mut row, mut step, mut segment, mut tile) = (0, 0, 0, 0);
        let mut firsts = Vec::with_capacity(runs.len());
        for run in runs {
            let first = if run.len > 1 { row } else { step_row + step };
            firsts.push(first);
            if run.len > 1 {
                self.host.segments.values_mut()[segment] = Four([row, run.len, run.slot, 0].map(int));
                (row, segment) = (row + run.len, segment + 1);
            } else {
                self.host.steps.values_mut()[step] = int(run.slot);
                step += 1;
            }
            for at in (0..if tiled { run.len } else { 0 }).step_by(TILE) {
                let four = [first + at, TILE.min(run.len - at), first, run.slot];
                self.host.tiles.values_mut()[tile] = Four(four.map(int));
                tile += 1;
            }
        }
        let [rows, segments, steps, tiles] = [size.rows, segment, step, tile].map(int);
        self.host.head.values_mut()[0] =
            Head { rows, segments, steps, step_row: int(step_row), tiles, peeks: i32::from(peeks), ..Head::default() };
        self.head.put(lane, 0, &self.host.head, 1)?;
        self.segments.put(lane, 0, &self.host.segments, segment)?;
        self.steps.put(lane, 0, &self.host.steps, step)?;
        self.tiles.put(lane, 0, &self.host.tiles, tile)?;
        self.size = size;
        Ok(firsts)
    }

    /// The tokens of all rows, in the order of the rows that [`Wave::set`] gave.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn set_tokens(&mut self, lane: &Lane, fill: impl FnOnce(&mut [u32])) -> Result<(), CudaError> {
        fill(&mut self.host.tokens.values_mut()[..self.size.rows]);
        self.tokens.put(lane, 0, &self.host.tokens, self.size.rows)
    }

    /// Works out what the fused convolution asks of each row. `size`: this wave's, or a graph's.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn describe_rows(&self, lane: &Lane, size: Size) -> Result<(), CudaError> {
        let (head, segments, steps, info) = (self.head(), self.segments(), self.steps(), self.info());
        let args = &mut [arg(&head), arg(&segments), arg(&steps), arg(&info)];
        let grid = [size.segments + size.steps.div_ceil(256), 1, 1];
        let count = i32::try_from(size.segments).unwrap_or(i32::MAX);
        let [a, b, c, d] = *args;
        // SAFETY: the arguments of `wave_rows`; every buffer has room for `most` entries, which `set` keeps to.
        unsafe { self.rows.launch(lane, (grid, 256), &mut [a, b, c, d, arg(&count)]) }
    }

    /// What it holds.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// Rows that it has room for.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    pub(super) fn head(&self) -> u64 {
        self.head.at(0)
    }

    pub(super) fn segments(&self) -> u64 {
        self.segments.at(0)
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.at(0)
    }

    pub(super) fn tiles(&self) -> u64 {
        self.tiles.at(0)
    }

    pub(super) fn info(&self) -> u64 {
        self.info.at(0)
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens.at(0)
    }
}
