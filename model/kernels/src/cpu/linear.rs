//! Products with weights packed once: `y = W x + b`, each output one chain of fused multiply-adds over the inputs in order.
//!
//! The chain is the same for one row and for thousands, so the batch law costs nothing. Weights lie in panels of 64
//! outputs, `[panel][n_in][64]`: a step streams them once, a prefill keeps a panel in the cache while all rows pass.

use super::{
    Buffer, Isa, LANES, Team, padded,
    simd::{Simd, on_isa},
    team::Shared,
};

/// Outputs in a panel.
const PANEL: usize = 64;
/// Rows in a tile.
const ROWS: usize = 6;
/// Multiply-adds below which one thread is faster than two.
const WORTH: usize = 1 << 17;

/// A linear map, packed.
pub struct Linear {
    n_in: usize,
    n_out: usize,
    panels: Buffer,
    bias: Buffer,
}

/// Where a product's rows go.
pub struct Out<'a> {
    /// Rows, `stride` values apart.
    pub y: &'a mut [f32],
    /// Values from one row to the next.
    pub stride: usize,
    /// Add to what is there.
    pub accumulate: bool,
}

impl Linear {
    /// Packs a matrix of `[n_out, n_in]` rows; `bias` is `[n_out]`. Outputs are padded with zeros to a multiple of [`LANES`].
    ///
    /// # Panics
    /// When the sizes do not fit.
    #[must_use]
    pub fn new(weight: &[f32], n_in: usize, bias: Option<&[f32]>) -> Self {
        assert!(n_in > 0 && weight.len().is_multiple_of(n_in), "rows of {n_in}");
        let rows = weight.len() / n_in;
        let n_out = padded(rows);
        let mut panels = Buffer::zeros(n_out * n_in);
        for (o, row) in weight.chunks_exact(n_in).enumerate() {
            let first = o / PANEL * PANEL;
            let width = PANEL.min(n_out - first);
            for (k, value) in row.iter().enumerate() {
                panels[first * n_in + k * width + (o - first)] = *value;
            }
        }
        let mut padded_bias = Buffer::zeros(n_out);
        if let Some(bias) = bias {
            assert_eq!(bias.len(), rows, "one bias an output");
            padded_bias[..rows].copy_from_slice(bias);
        }
        Self { n_in, n_out, panels, bias: padded_bias }
    }

    /// Outputs, padded.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Inputs.
    #[must_use]
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// `y[i] = W x[i] + b` for `rows` rows of `x`, `stride` values apart.
    ///
    /// # Panics
    /// When a row would lie outside `x` or `out`.
    pub fn forward(&self, (isa, team): (Isa, &Team), (x, stride): (&[f32], usize), rows: usize, out: Out<'_>) {
        if rows == 0 {
            return;
        }
        assert!(stride >= self.n_in && x.len() >= (rows - 1) * stride + self.n_in, "x holds {rows} rows");
        assert!(out.stride >= self.n_out && out.y.len() >= (rows - 1) * out.stride + self.n_out, "y holds {rows} rows");
        let panels = self.n_out.div_ceil(PANEL);
        // A panel stays in the second cache while all rows pass; rows are split only where panels are too few.
        let parts = (4 * team.threads()).div_ceil(panels).min(rows.div_ceil(ROWS));
        let part = rows.div_ceil(parts).next_multiple_of(ROWS);
        let parts = rows.div_ceil(part);
        let y = Shared(out.y.as_mut_ptr());
        let worth = rows * self.n_in * self.n_out >= WORTH;
        team.run(panels * parts, worth, |task| {
            let (panel, first) = (task / parts, task % parts * part);
            let tile = Tiles {
                linear: self,
                panel,
                rows: part.min(rows - first),
                x: x[first * stride..].as_ptr(),
                x_stride: stride,
                // SAFETY: `first` is one of the rows, which lie in `y`; the task writes these rows' outputs of this panel only.
                y: unsafe { y.get().add(first * out.stride + panel * PANEL) },
                y_stride: out.stride,
                accumulate: out.accumulate,
            };
            on_isa!(isa, tiles, &tile, &Tiles<'_>);
        });
    }
}

/// One panel's outputs of some rows.
struct Tiles<'a> {
    linear: &'a Linear,
    panel: usize,
    rows: usize,
    x: *const f32,
    x_stride: usize,
    y: *mut f32,
    y_stride: usize,
    accumulate: bool,
}

/// # Safety
/// `rows` rows of x and of y's panel exist.
#[inline(always)]
unsafe fn tiles<S: Simd>(t: &Tiles<'_>) {
    let width = PANEL.min(t.linear.n_out - t.panel * PANEL);
    let mut column = 0;
    while column < width {
        // SAFETY: columns lie in the panel.
        unsafe {
            match S::TILE.min((width - column) / LANES) {
                4 => columns::<S, 4>(t, column, width),
                3 => columns::<S, 3>(t, column, width),
                2 => columns::<S, 2>(t, column, width),
                _ => columns::<S, 1>(t, column, width),
            }
        }
        column += S::TILE * LANES;
    }
}

#[inline(always)]
unsafe fn columns<S: Simd, const N: usize>(t: &Tiles<'_>, column: usize, width: usize) {
    let mut row = 0;
    while row < t.rows {
        // SAFETY: rows lie in x and y.
        unsafe {
            match t.rows - row {
                1 => tile::<S, 1, N>(t, row, column, width),
                2 => tile::<S, 2, N>(t, row, column, width),
                3 => tile::<S, 3, N>(t, row, column, width),
                4 => tile::<S, 4, N>(t, row, column, width),
                5 => tile::<S, 5, N>(t, row, column, width),
                _ => tile::<S, ROWS, N>(t, row, column, width),
            }
        }
        row += ROWS;
    }
}

/// `M` rows by `N` vectors of outputs, held in registers over the whole chain.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const N: usize>(t: &Tiles<'_>, row: usize, column: usize, width: usize) {
    // SAFETY: the caller names rows of x and y, and columns of the panel.
    unsafe {
        let n_in = t.linear.n_in;
        let first = t.panel * PANEL;
        let mut weights = t.linear.panels.as_ptr().add(first * n_in + column);
        let x = t.x.add(row * t.x_stride);
        let mut sums = [[S::splat(0.0); N]; M];
        for k in 0..n_in {
            let mut w = [S::splat(0.0); N];
            for (v, w) in w.iter_mut().enumerate() {
                *w = S::load(weights.add(v * LANES));
            }
            weights = weights.add(width);
            for (m, sums) in sums.iter_mut().enumerate() {
                let x = S::splat(*x.add(m * t.x_stride + k));
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = S::fma(x, w, *sum);
                }
            }
        }
        let bias = t.linear.bias.as_ptr().add(first + column);
        for (m, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let y = t.y.add((row + m) * t.y_stride + column + v * LANES);
                let sum = S::add(*sum, S::load(bias.add(v * LANES)));
                S::store(y, if t.accumulate { S::add(S::load(y), sum) } else { sum });
            }
        }
    }
}

#[cfg(test)]
mod tests;
