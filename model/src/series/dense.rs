//! The small networks before and after the backbone: `down(silu(up(x))) + skip(x)`, row by row.

use std::{ops::Deref, sync::Arc};

use unspool_kernels::cpu::{Isa, Linear, Out, Team, silu};

use crate::{Device, Result, checkpoint::Tensors};

/// Where front ends and heads run: the encoder's device, and the CPU's instructions and threads.
pub(crate) type Home = (Device, Isa, Arc<Team>);

/// A two-layer network with a linear path beside it, in f32.
pub(super) struct Dense(Place);

enum Place {
    Cpu(Box<OnCpu>),
    #[cfg(feature = "cuda")]
    Card(Box<crate::cuda::Dense>),
}

/// Weights, widths padded to a multiple of 16.
struct OnCpu {
    up: Linear,
    down: Linear,
    skip: Linear,
    n_out: usize,
    isa: Isa,
    team: Arc<Team>,
}

/// Weights `[n_out, n_in]` and bias of the linear maps up, down and skip.
pub(crate) struct DenseWeights {
    pub(crate) up: (Vec<f32>, Vec<f32>),
    pub(crate) down: (Vec<f32>, Vec<f32>),
    pub(crate) skip: (Vec<f32>, Vec<f32>),
    /// In, hidden, out.
    pub(crate) sizes: (usize, usize, usize),
}

impl Dense {
    /// Takes `{name}.up`, `.down` and `.skip`, each with weight and bias.
    ///
    /// # Errors
    /// When a tensor is missing or of another shape, or a card fails.
    pub(super) fn take(
        tensors: &mut Tensors,
        name: &str,
        sizes: (usize, usize, usize),
        (device, isa, team): &Home,
    ) -> Result<Self> {
        let (n_in, hidden, n_out) = sizes;
        let mut linear = |part: &str, n_in: usize, n_out: usize| -> Result<(Vec<f32>, Vec<f32>)> {
            let weight = tensors.take(&format!("{name}.{part}.weight"), &[n_out, n_in])?;
            Ok((weight, tensors.take(&format!("{name}.{part}.bias"), &[n_out])?))
        };
        let (up, down) = (linear("up", n_in, hidden)?, linear("down", hidden, n_out)?);
        let weights = DenseWeights { up, down, skip: linear("skip", n_in, n_out)?, sizes };
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(ordinal) => Ok(Self(Place::Card(Box::new(crate::cuda::Dense::new(*ordinal, &weights)?)))),
            _ => Ok(Self(Place::Cpu(Box::new(OnCpu::new(&weights, *isa, team))))),
        }
    }

    /// Rows `[l, n_in]` → `[l, n_out]`. A row's bits depend on no other row.
    ///
    /// # Errors
    /// When a card fails.
    pub(super) fn forward(&self, x: &[f32]) -> Result<Rows> {
        match &self.0 {
            Place::Cpu(net) => Ok(Rows::Owned(net.forward(x))),
            #[cfg(feature = "cuda")]
            Place::Card(net) => net.forward(x),
        }
    }
}

/// Rows that a network gave: a thousand forecasts are megabytes, which are read where the card wrote them.
pub(crate) enum Rows {
    Owned(Vec<f32>),
    #[cfg(feature = "cuda")]
    Lent(crate::cuda::Lent),
}

impl Deref for Rows {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Owned(rows) => rows,
            #[cfg(feature = "cuda")]
            Self::Lent(rows) => rows.values(),
        }
    }
}

impl OnCpu {
    fn new(weights: &DenseWeights, isa: Isa, team: &Arc<Team>) -> Self {
        let (n_in, hidden, n_out) = weights.sizes;
        let linear = |(weight, bias): &(Vec<f32>, Vec<f32>), n_in| Linear::new(weight, n_in, Some(bias));
        let (up, down, skip) = (linear(&weights.up, n_in), linear(&weights.down, hidden), linear(&weights.skip, n_in));
        Self { up, down, skip, n_out, isa, team: Arc::clone(team) }
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let on = (self.isa, &*self.team);
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
