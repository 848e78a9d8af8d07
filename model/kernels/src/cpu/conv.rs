//! Causal depthwise convolution and SiLU over packed sequences, the window carried in the state.

use super::{
    Buffer, Isa, LANES, Team, maths, padded,
    simd::{Simd, on_isa},
    team::Shared,
};

/// Channels that one task takes.
const CHANNELS: usize = 256;
/// Multiply-adds below which one thread is faster than two.
const WORTH: usize = 1 << 16;

/// A convolution's weights, channels padded to a multiple of [`LANES`].
pub struct Conv {
    k: usize,
    channels: usize,
    /// `[k][channels]`
    taps: Buffer,
    /// `[channels]`
    bias: Buffer,
}

/// What a convolution runs over.
pub struct ConvArgs<'a, 'b> {
    /// Inputs: rows `x_stride` apart.
    pub x: &'a [f32],
    /// Values from one row of x to the next.
    pub x_stride: usize,
    /// `[b + 1]`: sequence i has rows `offsets[i]..offsets[i + 1]`.
    pub offsets: &'a [usize],
    /// Each sequence's window: `[k - 1][channels]`, oldest first.
    pub windows: &'a mut [&'b mut [f32]],
    /// Outputs `[t][channels]`.
    pub y: &'a mut [f32],
}

struct Task<'a> {
    conv: &'a Conv,
    first: usize,
    channels: usize,
    x: *const f32,
    x_stride: usize,
    window: *mut f32,
    y: *mut f32,
    rows: usize,
}

impl Conv {
    /// Packs `[channels, k]` weights (the last tap weighs the present) of channels that lie in padded rows.
    ///
    /// # Panics
    /// When the sizes do not fit.
    #[must_use]
    pub fn new(weight: &[f32], k: usize, bias: Option<&[f32]>) -> Self {
        assert!(k > 0 && weight.len().is_multiple_of(k), "{k} taps a channel");
        let rows = weight.len() / k;
        let channels = padded(rows);
        let (mut taps, mut padded_bias) = (Buffer::zeros(k * channels), Buffer::zeros(channels));
        for (c, row) in weight.chunks_exact(k).enumerate() {
            for (j, value) in row.iter().enumerate() {
                taps[j * channels + c] = *value;
            }
        }
        if let Some(bias) = bias {
            padded_bias[..rows].copy_from_slice(bias);
        }
        Self { k, channels, taps, bias: padded_bias }
    }

    /// Channels, padded.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Values of one window.
    #[must_use]
    pub fn window_len(&self) -> usize {
        (self.k - 1) * self.channels
    }

    /// `y[t] = silu(b + sum_j w[j] x[t - (k - 1) + j])`, each a chain in order of j; moves the windows on.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn forward(&self, (isa, team): (Isa, &Team), args: ConvArgs<'_, '_>) {
        let t = args.offsets[args.offsets.len() - 1];
        if t == 0 {
            return;
        }
        assert!(args.offsets.is_sorted() && args.offsets.len() == args.windows.len() + 1);
        assert!(args.x_stride >= self.channels && args.x.len() >= (t - 1) * args.x_stride + self.channels);
        assert!(args.y.len() >= t * self.channels);
        assert!(args.windows.iter().all(|window| window.len() == self.window_len()));
        let parts = self.channels.div_ceil(CHANNELS);
        let y = Shared(args.y.as_mut_ptr());
        let windows: Vec<Shared> = args.windows.iter_mut().map(|window| Shared(window.as_mut_ptr())).collect();
        let (x, x_stride, offsets) = (args.x, args.x_stride, args.offsets);
        team.run(parts * windows.len(), t * self.channels * self.k >= WORTH, |task| {
            let (sequence, first) = (task / parts, task % parts * CHANNELS);
            let rows = offsets[sequence + 1] - offsets[sequence];
            if rows == 0 {
                return;
            }
            let task = Task {
                conv: self,
                first,
                channels: CHANNELS.min(self.channels - first),
                x: x[offsets[sequence] * x_stride + first..].as_ptr(),
                x_stride,
                // SAFETY: the task alone touches these channels of this window.
                window: unsafe { windows[sequence].get().add(first) },
                // SAFETY: the task writes these channels of this sequence's rows only.
                y: unsafe { y.get().add(offsets[sequence] * self.channels + first) },
                rows,
            };
            on_isa!(isa, convolve, &task, &Task<'_>);
        });
    }
}

impl Task<'_> {
    /// Where the input stands that lies `back + 1 - k` rows after row 0: in the window for the first k - 1.
    #[inline(always)]
    unsafe fn input(&self, at: usize) -> *const f32 {
        let window = self.conv.k - 1;
        // SAFETY: the caller asks for rows of the window or of x.
        unsafe {
            if at >= window {
                self.x.add((at - window) * self.x_stride)
            } else {
                self.window.add(at * self.conv.channels)
            }
        }
    }
}

/// # Safety
/// The task's channels lie in all of its arrays.
#[inline(always)]
unsafe fn convolve<S: Simd>(t: &Task<'_>) {
    let (k, channels) = (t.conv.k, t.conv.channels);
    for row in 0..t.rows {
        for c in (0..t.channels).step_by(LANES) {
            // SAFETY: rows and channels lie in the arrays.
            unsafe {
                let mut sum = S::load(t.conv.bias.as_ptr().add(t.first + c));
                for j in 0..k {
                    let w = S::load(t.conv.taps.as_ptr().add(j * channels + t.first + c));
                    sum = S::fma(w, S::load(t.input(row + j).add(c)), sum);
                }
                S::store(t.y.add(row * channels + c), maths::silu::<S>(sum));
            }
        }
    }
    for row in 0..k - 1 {
        for c in (0..t.channels).step_by(LANES) {
            // SAFETY: rows of the window; a row is read before it is written, since sources lie after targets.
            unsafe { S::store(t.window.add(row * channels + c), S::load(t.input(t.rows + row).add(c))) };
        }
    }
}

#[cfg(test)]
mod tests;
