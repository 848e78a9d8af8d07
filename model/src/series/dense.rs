//! The small networks before and after the backbone: `down(silu(up(x))) + skip(x)`, row by row.

use unspool_kernels::cpu::{Isa, Linear, Out, Team, silu};

use crate::{Result, checkpoint::Tensors};

/// A two-layer network with a linear path beside it. Widths padded to a multiple of 16.
pub(super) struct Dense {
    up: Linear,
    down: Linear,
    skip: Linear,
    n_out: usize,
}

impl Dense {
    /// Takes `{name}.up`, `.down` and `.skip`, each with weight and bias.
    pub(super) fn take(
        tensors: &mut Tensors,
        name: &str,
        (n_in, hidden, n_out): (usize, usize, usize),
    ) -> Result<Self> {
        let mut linear = |part: &str, n_in: usize, n_out: usize| -> Result<Linear> {
            let weight = tensors.take(&format!("{name}.{part}.weight"), &[n_out, n_in])?;
            let bias = tensors.take(&format!("{name}.{part}.bias"), &[n_out])?;
            Ok(Linear::new(&weight, n_in, Some(&bias)))
        };
        let (up, down) = (linear("up", n_in, hidden)?, linear("down", hidden, n_out)?);
        Ok(Self { up, down, skip: linear("skip", n_in, n_out)?, n_out })
    }

    /// Rows `[l, n_in]` → `[l, n_out]`.
    pub(super) fn forward(&self, on: (Isa, &Team), x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.up.n_in();
        let (wide, out) = (self.up.n_out(), self.skip.n_out());
        let mut hidden = vec![0.0; rows * wide];
        let mut y = vec![0.0; rows * out];
        self.up.forward(on, (x, self.up.n_in()), rows, Out { y: &mut hidden, stride: wide, accumulate: false });
        silu(on, &mut hidden);
        self.down.forward(on, (&hidden, wide), rows, Out { y: &mut y, stride: out, accumulate: false });
        self.skip.forward(on, (x, self.skip.n_in()), rows, Out { y: &mut y, stride: out, accumulate: true });
        if out == self.n_out {
            return y;
        }
        y.chunks_exact(out).flat_map(|row| &row[..self.n_out]).copied().collect()
    }
}
