//! A series model's small networks on the card: `down(silu(up(x))) + skip(x)`, in f32 whatever the encoder's route.

use std::sync::{Mutex, PoisonError};

use unspool_kernels::cuda::{CudaError, Gpu, Lane, Linear, On, Out, Pinned, Rows, Run, Type, Wave};

use crate::{Result, series::DenseWeights};

/// Rows that go through at once: more come one lot after the other.
const ROWS: usize = 2048;

/// The network's weights on the card, and room for rows.
pub(crate) struct Dense {
    sizes: (usize, usize, usize),
    up: Linear,
    down: Linear,
    skip: Linear,
    room: Mutex<Room>,
}

/// One caller's at a time.
struct Room {
    lane: Lane,
    wave: Wave,
    x: Rows,
    hidden: Rows,
    y: Rows,
    host_x: Pinned<f32>,
    host_y: Pinned<f32>,
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
            lane: Lane::new(&gpu)?,
            wave: Wave::new(&gpu, ROWS)?,
            x: rows(n_in)?,
            hidden: rows(hidden)?,
            y: rows(n_out)?,
            host_x: Pinned::zeros(&gpu, ROWS * n_in)?,
            host_y: Pinned::zeros(&gpu, ROWS * n_out)?,
        };
        Ok(Self { sizes: weights.sizes, up, down, skip, room: Mutex::new(room) })
    }

    /// Rows `[l, n_in]` → `[l, n_out]`.
    ///
    /// # Errors
    /// When the card fails.
    pub(crate) fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let (n_in, _, n_out) = self.sizes;
        let mut y = Vec::with_capacity(x.len() / n_in * n_out);
        for x in x.chunks(ROWS * n_in) {
            y.extend_from_slice(self.some(&mut room, x)?);
        }
        Ok(y)
    }

    /// At most [`ROWS`] rows. The lane is through then.
    fn some<'a>(&self, room: &'a mut Room, x: &[f32]) -> Result<&'a [f32], CudaError> {
        let Room { lane, wave, x: rows, hidden, y, host_x, host_y } = room;
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
        y.buffer().get(lane, 0, host_y, outputs)?;
        lane.finish()?;
        Ok(&host_y.values()[..outputs])
    }
}
