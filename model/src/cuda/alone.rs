//! The tuned scan by itself, for measurements: what a layer's other kernels cost is not in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use unspool_kernels::cuda::{Dt, Gpu, Lane, On, Rows, Run, Scan, ScanRows, States, Type, Wave};

use crate::Result;

/// Width of the convolution, whose windows the scan moves on.
const K: usize = 4;
const N: usize = 16;

/// A scan in bf16 with dt of rank r from its projection, gate and D, and all that it reads and writes.
pub struct ScanAlone {
    lane: Lane,
    wave: Wave,
    scan: Scan,
    states: States,
    /// u, gate, dt before its projection, B and C, output, what windows will hold.
    rows: [Rows; 5],
}

impl ScanAlone {
    /// For `b` sequences of `l` tokens, `d_in` channels of 16 states; rows are 0, which takes no less time than others.
    ///
    /// # Errors
    /// When the card does not have the tuned scan for the shape, or memory does not suffice.
    pub fn new(gpu: &Arc<Gpu>, (d_in, r): (usize, usize), (b, l): (usize, usize)) -> Result<Self> {
        let t = b * l;
        let a_log: Vec<f32> = (0..d_in * N).map(|i| ((i % N + 1) as f32).ln()).collect();
        let (zeros, dt) = (vec![0.0; d_in], vec![0.01; d_in * r]);
        let scan = Scan::new(gpu, Type::Bf16, (&a_log, &zeros, &zeros), (K, &Dt::Ranked(&dt, r)))?;
        let (lane, mut wave) = (Lane::new(gpu)?, Wave::new(gpu, t)?);
        let states = States::new(gpu, b, 1, d_in * (N + K - 1))?;
        let rows = |kind, cols| Rows::new(gpu, kind, (t, cols));
        let bf16 = |cols| rows(Type::Bf16, cols);
        let rows = [bf16(d_in)?, bf16(d_in)?, bf16(r)?, rows(Type::F32, 2 * N)?, bf16(d_in)?];
        lane.enter()?;
        let runs: Vec<Run> = (0..b).map(|slot| Run { len: l, slot }).collect();
        wave.set(&lane, &runs, (false, false))?;
        lane.finish()?;
        Ok(Self { lane, wave, scan, states, rows })
    }

    /// Whether it is the tuned scan that is timed.
    #[must_use]
    pub fn is_tuned(&self) -> bool {
        self.scan.is_tuned()
    }

    /// The time of one scan, the mean over so many one after the other.
    ///
    /// # Errors
    /// When the driver refuses, or a kernel failed.
    pub fn time(&self, times: u32) -> Result<Duration> {
        let Self { lane, wave, scan, states, rows: [u, z, dt, bc, y] } = self;
        lane.enter()?;
        let on = On { lane, wave, size: wave.size() };
        let start = Instant::now();
        for _ in 0..times {
            let rows = ScanRows { u, z: z.whole(), gated: true, dt, bc, x: None, y };
            scan.forward(on, rows, states.layer(0))?;
        }
        lane.finish()?;
        Ok(start.elapsed() / times.max(1))
    }
}
