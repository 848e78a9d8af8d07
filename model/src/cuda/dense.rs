//! A series model's small networks on the card: `down(silu(up(x))) + skip(x)`, in f32 whatever the encoder's route.

use std::sync::{Arc, Mutex, PoisonError};

use unspool_kernels::cuda::{CudaError, Gpu, Lane, Linear, On, Out, Pinned, Rows, Run, Type, Wave};

use crate::{
    Result,
    series::{DenseRows, DenseWeights},
};

/// Rows that go through at once: more come one lot after the other.
const ROWS: usize = 2048;

/// The network's weights on the card, and room for rows.
pub(crate) struct Dense {
    sizes: (usize, usize, usize),
    up: Linear,
    down: Linear,
    skip: Linear,
    room: Mutex<Room>,
    spare: Spare,
}

/// Memory that nobody reads any more, for [`ROWS`] outputs each.
type Spare = Arc<Mutex<Vec<Pinned<f32>>>>;

/// Outputs where the card wrote them. Dropping it gives the memory back.
pub(crate) struct Lent {
    /// There until it is dropped.
    memory: Option<Pinned<f32>>,
    len: usize,
    spare: Spare,
}

impl Lent {
    pub(crate) fn values(&self) -> &[f32] {
        self.memory.as_ref().map_or(&[], |memory| &memory.values()[..self.len])
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(self.memory.take());
    }
}

/// One caller's at a time.
struct Room {
    gpu: Arc<Gpu>,
    lane: Lane,
    wave: Wave,
    x: Rows,
    hidden: Rows,
    y: Rows,
    host_x: Pinned<f32>,
}

impl Dense {
    /// # Errors
    /// When there is no such card, or its memory does not suffice.
    pub(crate) fn new(ordinal: usize, weights: &DenseWeights) -> Result<Self> {
        let gpu = Gpu::open(ordinal)?;
        let (n_in, hidden, n_out) = weights.sizes;
        let linear =
            |(weight, bias): &(Vec<f32>, Vec<f32>), n_in| Linear::new(&gpu, Type::F32, (weight, n_in), Some(bias));
        let (up, down, skip) =
            (linear(&weights.up, n_in)?, linear(&weights.down, hidden)?, linear(&weights.skip, n_in)?);
        let rows = |cols| Rows::new(&gpu, Type::F32, (ROWS, cols));
        let room = Room {
            gpu: Arc::clone(&gpu),
            lane: Lane::new(&gpu)?,
            wave: Wave::new(&gpu, ROWS)?,
            x: rows(n_in)?,
            hidden: rows(hidden)?,
            y: rows(n_out)?,
            host_x: Pinned::zeros(&gpu, ROWS * n_in)?,
        };
        Ok(Self { sizes: weights.sizes, up, down, skip, room: Mutex::new(room), spare: Spare::default() })
    }

    /// Rows `[l, n_in]` → `[l, n_out]`.
    ///
    /// # Errors
    /// When the card fails.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<DenseRows> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let (n_in, _, n_out) = self.sizes;
        if x.len() <= ROWS * n_in {
            return Ok(DenseRows::Lent(self.some(&mut room, x)?));
        }
        let mut y = Vec::with_capacity(x.len() / n_in * n_out);
        for x in x.chunks(ROWS * n_in) {
            y.extend_from_slice(self.some(&mut room, x)?.values());
        }
        Ok(DenseRows::Owned(y))
    }

    /// At most [`ROWS`] rows. The lane is through then.
    fn some(&self, room: &mut Room, x: &[f32]) -> Result<Lent, CudaError> {
        let Room { gpu, lane, wave, x: rows, hidden, y, host_x } = room;
        if x.is_empty() {
            return Ok(Lent { memory: None, len: 0, spare: Arc::clone(&self.spare) });
        }
        let memory = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = memory.map_or_else(|| Pinned::zeros(gpu, ROWS * self.sizes.2), Ok)?;
        lane.enter()?;
        let len = x.len() / self.sizes.0;
        wave.set(lane, &[Run { len, slot: 0 }], (false, false))?;
        host_x.values_mut()[..x.len()].copy_from_slice(x);
        rows.buffer().put(lane, 0, host_x, x.len())?;
        let on = On { lane, wave, size: wave.size() };
        self.up.forward(on, rows, Out::Silu(hidden))?;
        self.down.forward(on, hidden, Out::Wide(y))?;
        self.skip.forward(on, rows, Out::Add(y))?;
        let outputs = len * self.sizes.2;
        y.buffer().get(lane, 0, &mut memory, outputs)?;
        lane.finish()?;
        Ok(Lent { memory: Some(memory), len: outputs, spare: Arc::clone(&self.spare) })
    }
}
