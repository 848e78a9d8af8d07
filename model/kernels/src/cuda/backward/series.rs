//! A series model's step: patches in, the gradients of its quantile loss out, without a detour over the host.

use super::{
    Address, Precision, Training, TrainingError,
    args::{Product, Quantiles},
    batch::Batch,
    launch::{Matrix, Partial, f64_sums, int},
    layout::DensePlaces,
    memory::{Block, Places},
    pass::{TrainingGradients, TrainingTape},
    shape::{Padded, SeriesEnds},
};

/// Patches of windows packed end to end, and what is known of the values after each.
#[derive(Clone, Copy, Debug)]
pub struct SeriesInput<'a> {
    /// `[t, f]`, f as [`SeriesEnds::padded_features`].
    pub features: &'a [f32],
    /// The windows' first patches, and the end, `[b + 1]`.
    pub offsets: &'a [usize],
    /// The windows' values.
    pub values: &'a [f32],
    /// Of each value: whether it is known (1) and whether the model saw it (2).
    pub marks: &'a [u8],
    /// Where each patch's first predicted value lies among the values, `[t]`.
    pub firsts: &'a [u32],
    /// What a patch's predictions are measured in: `asinh((value - anchor) / step)`, `[t]` each.
    pub anchors: &'a [f32],
    /// Never 0.
    pub steps: &'a [f32],
    /// What the terms of a patch weigh in the loss, `[t]`.
    pub weights: &'a [f32],
    /// The quantiles' levels.
    pub levels: &'a [f32],
}

/// The rows of the networks around the backbone, on the card.
#[derive(Clone, Copy)]
struct Ends {
    /// `[t, f]`, f32 and rows.
    features_f32: Address,
    features: Address,
    width: usize,
    embed: Inner,
    /// The backbone's output in rows, `[t, d]`.
    hidden: Address,
    head: Inner,
    /// The gradients of the outputs in rows, `[t, outputs]`; the outputs are the quantiles'.
    d_outputs: Address,
    /// f32 `[t, d]`
    d_hidden: Address,
    /// The gradients of inner rows, `[t, h]`.
    d_inner: Address,
    quantiles: Quantiles,
    sums: Address,
}

/// Inner rows of a network before and after SiLU, `[t, h]`.
#[derive(Clone, Copy)]
struct Inner {
    up: Address,
    s: Address,
}

impl Ends {
    fn place(
        places: &mut Places,
        (p, shape): (&Padded, SeriesEnds),
        precision: Precision,
        input: &SeriesInput<'_>,
    ) -> Self {
        let (t, width, stride) = (input.firsts.len(), shape.padded_features(), shape.outputs().next_multiple_of(8));
        let mut f32 = |count: usize| places.take(count, 4);
        let (features_f32, d_hidden) = (f32(t * width), f32(t * p.d));
        let (values, marks) = (f32(input.values.len()), f32(input.marks.len().div_ceil(4)));
        let [firsts, anchors, steps, weights, losses] = [(); 5].map(|()| f32(t));
        let (outputs, levels) = (f32(t * stride), f32(shape.levels));
        let sums = f32(2 * f64_sums(t).max(1));
        let mut rows = |width: usize| places.take(t * width, precision.bytes());
        let features = if precision == Precision::Bf16 { rows(width) } else { features_f32 };
        let mut inner = || Inner { up: rows(p.hidden()), s: rows(p.hidden()) };
        let (embed, head) = (inner(), inner());
        let [hidden, d_outputs, d_inner] = [p.d, stride, p.hidden()].map(rows);
        let [tokens, reach, count, stride, within] = [t, shape.reach, shape.levels, stride, shape.within].map(int);
        let quantiles = Quantiles {
            outputs,
            levels,
            values,
            marks,
            firsts,
            anchors,
            steps,
            weights,
            losses,
            tokens,
            reach,
            count,
            stride,
            within,
        };
        Self { features_f32, features, width, embed, hidden, head, d_outputs, d_hidden, d_inner, quantiles, sums }
    }
}

impl SeriesInput<'_> {
    fn check(&self, ends: &SeriesEnds) -> Result<usize, TrainingError> {
        let t = self.firsts.len();
        let sizes = [
            ("features", self.features.len(), t * ends.padded_features()),
            ("anchors", self.anchors.len(), t),
            ("steps", self.steps.len(), t),
            ("weights", self.weights.len(), t),
            ("marks", self.marks.len(), self.values.len()),
            ("levels", self.levels.len(), ends.levels),
        ];
        if let Some((what, found, expected)) = sizes.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(TrainingError::Input(format!("{found} {what} for {t} patches; {expected} are needed")));
        }
        let last = self.firsts.iter().max().map_or(0, |&first| first as usize + ends.reach);
        if last > self.values.len() {
            let problem = format!("predictions to value {last} of {}", self.values.len());
            return Err(TrainingError::Input(problem));
        }
        Ok(t)
    }
}

impl Training {
    /// The gradients of the quantile loss; the loss itself joins the report.
    ///
    /// # Errors
    /// When the shape has no [`SeriesEnds`], the input's sizes do not go together, or memory does not suffice.
    pub fn series_gradients(&self, input: &SeriesInput<'_>) -> Result<TrainingGradients, TrainingError> {
        let [embed, head] = self.ends()?;
        let (ends, tape, _memory) = self.series_forward(input)?;
        let (l, p, t) = (&self.launcher, &self.launcher.p, tape.tokens());
        l.quantile_loss(ends.quantiles, ends.d_outputs)?;
        l.report_loss((ends.quantiles.losses, t), ends.sums, self.address(&self.report))?;
        let gradients = self.gradients(&tape)?;
        let work = gradients.work();
        let out = (work.partial, self.address(&gradients.weights));
        if t == 0 {
            return Ok(gradients);
        }
        let (hidden, d_outputs) = (Matrix::new(ends.hidden, p.d), Matrix::new(ends.d_outputs, ends.quantiles.width()));
        self.dense_back(&head, t, (hidden, d_outputs), (ends.head, ends.d_inner), out)?;
        let d_hidden = Matrix::new(ends.d_hidden, p.d);
        l.back_sum(t, (d_outputs, d_hidden), self.in_rows(head.skip), false)?;
        l.back_sum(t, (Matrix::new(ends.d_inner, p.hidden()), d_hidden), self.in_rows(head.up), true)?;
        self.run_backward(&tape, ends.d_hidden, &work, out.1)?;
        let (features, dx) = (Matrix::new(ends.features, ends.width), Matrix::new(work.dx_rows, p.d));
        self.dense_back(&embed, t, (features, dx), (ends.embed, ends.d_inner), out)?;
        Ok(gradients)
    }

    /// What the head predicts after each patch, `[t, reach * levels]`.
    ///
    /// # Errors
    /// As [`Self::series_gradients`].
    pub fn series_outputs(&self, input: &SeriesInput<'_>) -> Result<Vec<f32>, TrainingError> {
        let (ends, tape, _memory) = self.series_forward(input)?;
        let outputs = self.launcher.p.shape.series.map_or(0, |ends| ends.outputs());
        let widths = [outputs, ends.quantiles.width()];
        self.staging.copy_out(&self.launcher.gpu, ends.quantiles.outputs, tape.tokens(), widths)
    }

    fn series_forward(&self, input: &SeriesInput<'_>) -> Result<(Ends, TrainingTape, Block), TrainingError> {
        let ([embed, head], shape) = (self.ends()?, self.launcher.p.shape.series);
        let t = input.check(&shape.ok_or_else(no_ends)?)?;
        let (l, p) = (&self.launcher, &self.launcher.p);
        let (mut ends, memory) = self.take_ends(input)?;
        let tape = self.tape(Batch::new(&l.gpu, input.offsets, (t, p.scan_blocks()[1]))?)?;
        if t == 0 {
            return Ok((ends, tape, memory));
        }
        if self.narrow.is_some() {
            l.narrow(ends.features_f32, t * ends.width, ends.features)?;
        }
        let first = Matrix::new(tape.first(), p.d);
        self.dense(&embed, t, (Matrix::new(ends.features, ends.width), first), ends.embed)?;
        self.run_layers(&tape)?;
        if self.narrow.is_some() {
            l.narrow(tape.hidden, t * p.d, ends.hidden)?;
        } else {
            ends.hidden = tape.hidden;
        }
        let outputs = Matrix::new(ends.quantiles.outputs, ends.quantiles.width());
        self.dense(&head, t, (Matrix::new(ends.hidden, p.d), outputs), ends.head)?;
        Ok((ends, tape, memory))
    }

    fn ends(&self) -> Result<[DensePlaces; 2], TrainingError> {
        self.layout.ends.ok_or_else(no_ends)
    }

    /// Takes memory for the rows, and copies the input there.
    fn take_ends(&self, input: &SeriesInput<'_>) -> Result<(Ends, Block), TrainingError> {
        let (p, gpu) = (&self.launcher.p, &*self.launcher.gpu);
        let shape = p.shape.series.ok_or_else(no_ends)?;
        let place = |start| {
            let mut places = Places::from(start);
            let ends = Ends::place(&mut places, (p, shape), self.precision, input);
            (ends, places.bytes)
        };
        let memory = self.spare.take(gpu, "the rows of a batch", place(0).1)?;
        let ends = place(memory.address(gpu)).0;
        let q = ends.quantiles;
        let words: Vec<f32> = input.marks.chunks(4).map(word).collect();
        let firsts: Vec<f32> = input.firsts.iter().map(|&first| f32::from_bits(first)).collect();
        let copies: [(&[f32], Address); 8] = [
            (input.features, ends.features_f32),
            (input.values, q.values),
            (&words, q.marks),
            (&firsts, q.firsts),
            (input.anchors, q.anchors),
            (input.steps, q.steps),
            (input.weights, q.weights),
            (input.levels, q.levels),
        ];
        for (values, to) in copies {
            self.staging.copy_in(gpu, values, [1, 1], to)?;
        }
        Ok((ends, memory))
    }

    /// A network: rows in, f32 out.
    fn dense(&self, w: &DensePlaces, t: usize, (x, y): (Matrix, Matrix), inner: Inner) -> Result<(), TrainingError> {
        let (l, hidden) = (&self.launcher, self.launcher.p.hidden());
        let bias = |place| Product { bias: self.in_f32(place), ..Product::default() };
        l.forward(t, (x, Matrix::new(inner.up, hidden)), self.in_rows(w.up), bias(w.up_bias))?;
        l.silu(inner.up, t * hidden, inner.s)?;
        l.forward_sum(t, (Matrix::new(inner.s, hidden), y), self.in_rows(w.down), bias(w.down_bias))?;
        l.forward_sum(t, (x, y), self.in_rows(w.skip), Product { add: y.at, ..bias(w.skip_bias) })
    }

    /// The gradients of a network's weights from dy, in rows; those of its inner rows are left in `d_inner`.
    fn dense_back(
        &self,
        w: &DensePlaces,
        t: usize,
        (x, dy): (Matrix, Matrix),
        (inner, d_inner): (Inner, Address),
        (partial, out): (Partial, Address),
    ) -> Result<(), TrainingError> {
        let (l, hidden) = (&self.launcher, self.launcher.p.hidden());
        let gradient = |place: usize| (partial, out + 4 * place as Address);
        let [s, d_s] = [inner.s, d_inner].map(|at| Matrix::new(at, hidden));
        l.weight(t, (dy, s), gradient(w.down))?;
        l.weight(t, (dy, x), gradient(w.skip))?;
        l.bias(t, (dy.at, dy.width), false, gradient(w.down_bias))?;
        l.bias(t, (dy.at, dy.width), false, gradient(w.skip_bias))?;
        l.back(t, (dy, d_s), self.in_rows(w.down), false)?;
        l.silu_back(inner.up, d_inner, t * hidden)?;
        l.weight(t, (d_s, x), gradient(w.up))?;
        l.bias(t, (d_inner, hidden), false, gradient(w.up_bias))
    }

    pub(super) fn in_f32(&self, place: usize) -> Address {
        self.address(&self.weights) + 4 * place as Address
    }

    pub(super) fn in_rows(&self, place: usize) -> Address {
        let all = self.narrow.as_ref().map_or_else(|| self.address(&self.weights), |narrow| self.address(narrow));
        all + (self.precision.bytes() * place) as Address
    }
}

impl Quantiles {
    /// From row to row of the outputs.
    fn width(&self) -> usize {
        usize::try_from(self.stride).unwrap_or(0)
    }
}

/// Four bytes, the first in the lowest place.
fn word(bytes: &[u8]) -> f32 {
    let mut four = [0; 4];
    four[..bytes.len()].copy_from_slice(bytes);
    f32::from_bits(u32::from_le_bytes(four))
}

fn no_ends() -> TrainingError {
    TrainingError::Input("this backbone was not made with a series model's networks".into())
}
