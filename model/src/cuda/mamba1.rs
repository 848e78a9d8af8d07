//! The mixer of Mamba-1 (arXiv 2312.00752) on the card.

use unspool_kernels::cuda::{
    Columns, Conv, CudaError, Dt, Gpu, LayerStates, Linear, Norm, NormDtBc, On, Out, Rows, Scan, ScanRows, Size,
    StackLayer, Step, StepRows, Type,
};

use super::layer::{Carried, OnCard, Tell, linear};
use crate::{config::MixerConfig, weights::Mixer};

/// One layer's mixer.
pub(super) struct Mamba1 {
    in_proj: InProj,
    conv: Conv,
    x_proj: Linear,
    norm_dt_bc: Option<(NormDtBc, usize)>,
    /// Where the scan does not make dt itself.
    dt_proj: Option<Linear>,
    scan: Scan,
    out_proj: OutProj,
    /// For few rows, where every product is a fused one.
    step: Option<Step>,
}

enum InProj {
    /// u and z at once.
    Convolved(Linear),
    /// x and z; the convolution comes after.
    Plain(Linear),
}

enum OutProj {
    /// The next layer's rows too.
    Normed(Linear),
    Plain(Linear),
}

/// Rows between its steps.
pub(super) struct Mamba1Rows {
    /// `[rows, d_in]`, where the convolution is fused; else empty.
    z: Rows,
    /// `[rows, 2 d_in]`: x, z, where it is not; else empty.
    xz: Rows,
    u: Rows,
    dt_r: Rows,
    dt: Rows,
    bc: Rows,
    y: Rows,
    /// What windows will hold.
    tails: Rows,
}

/// The shape's choices.
#[derive(Clone, Copy)]
struct Ways {
    /// The tuned scan.
    scan: bool,
    /// The convolution is part of the product before it.
    convolved: bool,
    /// Columns of dt_r: r, in the bf16 route rounded up to the matrix units' depth.
    r: usize,
}

impl Ways {
    fn of((gpu, kind): OnCard<'_>, mixer: &MixerConfig) -> Self {
        let &MixerConfig::Mamba1 { d_in, n, k, r, .. } = mixer else { unreachable!("a Mamba-1 configuration") };
        let (scan, bf16) = (Scan::is_tuned_for(gpu, d_in, n), kind == Type::Bf16);
        let convolved = scan && bf16 && k == 4 && d_in.is_multiple_of(128);
        Self { scan, convolved, r: if bf16 { r.next_multiple_of(16) } else { r } }
    }
}

impl Mamba1 {
    /// Also tells whether it norms the next layer's rows, by `next`. `plain_norms`: RMS norms, no MLP.
    pub(super) fn new(
        on: OnCard<'_>,
        config: &MixerConfig,
        weights: &Mixer,
        (next, plain_norms): (Option<&Norm>, bool),
    ) -> Result<(Self, bool), CudaError> {
        let (gpu, kind) = on;
        let (
            &MixerConfig::Mamba1 { d_in, n, k, r, bcdt_norm_eps },
            Mixer::Mamba1 { in_proj, conv, x_proj, dt_proj, a_log, d, out_proj },
        ) = (config, weights)
        else {
            unreachable!("the weights were checked against the configuration")
        };
        let ways = Ways::of(on, config);
        let conv = Conv::new(gpu, kind, (&conv.weight, k), conv.bias.as_deref())?;
        let in_weights = (&in_proj.weight[..], in_proj.n_in);
        let in_bias = in_proj.bias.as_deref();
        let convolved = match ways.convolved {
            true => Linear::with_convolution(gpu, kind, in_weights, in_bias, &conv)?,
            false => None,
        };
        let in_proj = match convolved {
            Some(convolved) => InProj::Convolved(convolved),
            None => InProj::Plain(linear(on, in_proj)?),
        };
        // dt_r's rows are filled up with zeros, which add nothing.
        let mut x_weights = x_proj.weight[..r * d_in].to_vec();
        x_weights.resize(ways.r * d_in, 0.0);
        x_weights.extend_from_slice(&x_proj.weight[r * d_in..]);
        let x_proj = Linear::new(gpu, kind, (&x_weights, d_in), None)?;
        let dt_weights: Vec<f32> = (dt_proj.weight.chunks_exact(r))
            .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, ways.r - r)))
            .collect();
        let dt_bias = dt_proj.bias.clone().unwrap_or_else(|| vec![0.0; d_in]);
        let fused = ways.scan && kind == Type::Bf16;
        let dt = if fused { Dt::Ranked(&dt_weights, ways.r) } else { Dt::Whole };
        let dt_proj = (!fused).then(|| Linear::new(gpu, kind, (&dt_weights, ways.r), None)).transpose()?;
        let scan = Scan::new(gpu, kind, (a_log, d, &dt_bias), (k, &dt))?;
        let normed = next
            .map(|next| Linear::with_norm(gpu, kind, (&out_proj.weight, d_in), out_proj.bias.as_deref(), next))
            .transpose()?
            .flatten();
        let is_normed = normed.is_some();
        let step = match (&in_proj, bcdt_norm_eps, plain_norms) {
            (InProj::Convolved(_), None, true) => {
                let in_map = (in_weights.0, in_bias);
                let out_map = (&out_proj.weight[..], out_proj.bias.as_deref());
                Step::new(gpu, (in_weights.1, d_in, ways.r), (in_map, &x_weights, out_map))?
            }
            _ => None,
        };
        let out_proj = match normed {
            Some(normed) => OutProj::Normed(normed),
            None => OutProj::Plain(linear(on, out_proj)?),
        };
        let norm_dt_bc =
            bcdt_norm_eps.map(|eps| Ok::<_, CudaError>((NormDtBc::new(gpu, kind, eps)?, r))).transpose()?;
        debug_assert!(n > 0);
        Ok((Self { in_proj, conv, x_proj, norm_dt_bc, dt_proj, scan, out_proj, step }, is_normed))
    }

    pub(super) fn is_tuned(&self) -> bool {
        let products = match &self.out_proj {
            OutProj::Normed(_) => true,
            OutProj::Plain(linear) => linear.is_tuned(),
        };
        products && self.scan.is_tuned() && self.x_proj.is_tuned()
    }

    pub(super) fn is_tiled(&self) -> bool {
        matches!(self.in_proj, InProj::Plain(_))
    }

    /// This layer as one of a stack that single rows go through at once. `None` where it is not for that.
    pub(super) fn of_stack(&self, norm: (&Norm, bool), states: LayerStates) -> Option<StackLayer> {
        Some(self.step.as_ref()?.of_stack(norm, (&self.conv, &self.scan), states))
    }

    /// Whether a wave is of few single rows, for [`Mamba1::step`].
    pub(super) fn steps(&self, size: Size) -> bool {
        self.step.is_some() && Step::takes(size)
    }

    /// Few single rows: `residual += mixer(norm(residual))` at once.
    pub(super) fn step(
        &self,
        on: On<'_>,
        (norm, by_quads): (&Norm, bool),
        residual: &Rows,
        (rows, states): (&Mamba1Rows, LayerStates),
    ) -> Result<(), CudaError> {
        let Some(step) = &self.step else { return Err(CudaError::NoKernel("a step of few rows".into())) };
        let Mamba1Rows { u, z: gate, y, .. } = rows;
        let rows = StepRows { residual, u, gate, y };
        step.forward(on, (norm, by_quads), (&self.conv, &self.scan), (rows, states))
    }

    /// `residual += mixer(normed)`; moves windows and states on, and tells of it.
    pub(super) fn forward(
        &self,
        on: On<'_>,
        (normed, residual): (&Rows, &Rows),
        (rows, states): (&Mamba1Rows, LayerStates),
        (next, tell): (Option<&Norm>, &mut Tell<'_>),
    ) -> Result<(), CudaError> {
        let Mamba1Rows { z, xz, u, dt_r, dt, bc, y, tails } = rows;
        let d_in = u.cols();
        let (x, z) = match &self.in_proj {
            InProj::Convolved(in_proj) => {
                in_proj.convolved(on, normed, (&self.conv, states), (u, z, tails))?;
                tell(Carried::WindowsMoved)?;
                (None, z.whole())
            }
            InProj::Plain(in_proj) => {
                in_proj.forward(on, normed, Out::Store(xz))?;
                self.conv.forward(on, xz.whole(), states, u)?;
                (Some(xz.whole()), Columns { rows: xz, from: d_in })
            }
        };
        self.x_proj.forward(on, u, Out::Split(dt_r, bc))?;
        if let Some((norm, r)) = &self.norm_dt_bc {
            norm.forward(on, (dt_r, *r), bc)?;
        }
        let dt = match &self.dt_proj {
            Some(dt_proj) => {
                dt_proj.forward(on, dt_r, Out::Wide(dt))?;
                dt
            }
            None => dt_r,
        };
        tell(Carried::StatesNext)?;
        self.scan.forward(on, ScanRows { u, z, gated: x.is_none(), dt, bc, x, y }, states)?;
        if x.is_some() {
            tell(Carried::WindowsMoved)?;
        }
        tell(Carried::StatesMoved)?;
        match (&self.out_proj, next) {
            (OutProj::Normed(out_proj), Some(norm)) => out_proj.added_and_normed(on, y, residual, (norm, normed)),
            (OutProj::Normed(_), None) => Err(CudaError::NoKernel("a norm after the last layer".into())),
            (OutProj::Plain(out_proj), _) => out_proj.forward(on, y, Out::Add(residual)),
        }
    }
}

impl Mamba1Rows {
    pub(super) fn new(on: OnCard<'_>, config: &MixerConfig, most: usize) -> Result<Self, CudaError> {
        let (gpu, kind): (&Gpu, Type) = on;
        let (d_in, n) = (config.d_in(), config.n());
        let ways = Ways::of(on, config);
        let rows = |kind, cols, used| Rows::new(gpu, kind, (if used { most } else { 0 }, cols));
        let fused = ways.scan && kind == Type::Bf16;
        // Runs of two rows or more: half as many as rows, at most.
        let tails = Rows::new(gpu, kind, (if ways.convolved { 3 * most.div_ceil(2) } else { 0 }, d_in))?;
        Ok(Self {
            z: rows(kind, d_in, ways.convolved)?,
            xz: rows(kind, 2 * d_in, !ways.convolved)?,
            u: rows(kind, d_in, true)?,
            dt_r: rows(kind, ways.r, true)?,
            dt: rows(Type::F32, d_in, !fused)?,
            bc: rows(Type::F32, 2 * n, true)?,
            y: rows(kind, d_in, true)?,
            tails,
        })
    }
}
