//! The two passes over a batch.

use std::sync::Arc;

use cudarc::driver::CudaSlice;

use super::{
    Address, Training, TrainingError, TrainingInput,
    args::Norm,
    batch::{Batch, Ids},
    launch::int,
    layer::{LayerCall, LayerTape, Tokens, Work},
    memory::{Block, Places},
};

/// What a forward pass leaves.
pub struct TrainingTape {
    of: Owner,
    batch: Batch,
    layers: Vec<LayerTape>,
    /// The residual stream after the last layer and the hidden rows, f32 `[t, d]`.
    last: Address,
    pub(super) hidden: Address,
    _memory: Block,
}

/// Gradients for hidden rows, on the card.
pub struct HiddenGradient {
    of: Owner,
    values: CudaSlice<f32>,
    tokens: usize,
}

/// What a backward pass leaves: gradients on the card.
pub struct TrainingGradients {
    of: Owner,
    pub(super) weights: CudaSlice<f32>,
    work: Work,
    tokens: usize,
    _memory: Block,
}

/// Whose they are: another [`Training`] has other sizes, perhaps another card.
pub(super) type Owner = Arc<()>;

impl TrainingTape {
    /// Tokens of the batch.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.batch.tokens
    }

    /// Where the residual stream before the first layer goes.
    pub(super) fn first(&self) -> Address {
        self.layers.first().map_or(self.last, |layer| layer.x)
    }
}

impl TrainingGradients {
    pub(super) fn of(&self) -> &Owner {
        &self.of
    }

    /// The memory of the backward pass.
    pub(super) fn work(&self) -> Work {
        self.work
    }
}

impl Training {
    /// Encodes packed sequences from fresh states. offsets: `[b + 1]`, growing from 0 to t.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, a length does not fit, or memory does not suffice.
    pub fn forward(&self, input: TrainingInput<'_>, offsets: &[usize]) -> Result<TrainingTape, TrainingError> {
        let (gpu, p) = (&*self.launcher.gpu, &self.launcher.p);
        let (count, ids) = match input {
            TrainingInput::Tokens(ids) => (ids.len(), Some(Ids::new(gpu, ids, p.shape.vocab)?)),
            TrainingInput::Rows(rows) => (self.rows_in(rows)?, None),
        };
        let mut batch = Batch::new(gpu, offsets, (count, p.scan_blocks()[1]))?;
        batch.ids = ids;
        let tape = self.tape(batch)?;
        if count > 0 {
            self.run_forward(input, &tape)?;
        }
        Ok(tape)
    }

    /// Room for a batch's tape.
    pub(super) fn tape(&self, batch: Batch) -> Result<TrainingTape, TrainingError> {
        let (gpu, p, count) = (&*self.launcher.gpu, &self.launcher.p, batch.tokens);
        let place = |start| {
            let mut places = Places::from(start);
            let layer = |_| LayerTape::take(&mut places, p, batch.sizes(), self.precision);
            let layers: Vec<LayerTape> = (0..p.shape.layers).map(layer).collect();
            let (last, hidden) = (places.take(count * p.d, 4), places.take(count * p.d, 4));
            (layers, last, hidden, places.bytes)
        };
        let memory = self.spare.take(gpu, "the tape of a batch", place(0).3)?;
        let (layers, last, hidden, _) = place(memory.address(gpu));
        Ok(TrainingTape { of: Arc::clone(&self.owner), batch, layers, last, hidden, _memory: memory })
    }

    fn run_forward(&self, input: TrainingInput<'_>, tape: &TrainingTape) -> Result<(), TrainingError> {
        let (l, batch, first) = (&self.launcher, &tape.batch, tape.first());
        if let TrainingInput::Rows(rows) = input {
            self.staging.copy_in(&l.gpu, rows, self.width(), first)?;
        }
        if let Some(ids) = &batch.ids {
            let table = self.address(&self.weights) + 4 * self.layout.embedding as Address;
            l.embed(table, self.address(&ids.ids), batch.tokens, first)?;
        }
        self.run_layers(tape)
    }

    /// From the rows before the first layer to the hidden rows.
    pub(super) fn run_layers(&self, tape: &TrainingTape) -> Result<(), TrainingError> {
        let (l, batch, tokens) = (&self.launcher, &tape.batch, self.tokens(&tape.batch));
        let offsets = (self.address(&batch.offsets), batch.sequences);
        l.bounds(offsets, batch.tokens, [tokens.begins, tokens.ends])?;
        for layer in 0..tape.layers.len() {
            let next = tape.layers.get(layer + 1).map_or(tape.last, |layer| layer.x);
            self.layer(layer, tape, tokens).forward(next)?;
        }
        l.norm(self.norm_f(tape), tape.hidden, true)
    }

    /// The last hidden rows after the final norm, `[t, d]`.
    ///
    /// # Errors
    /// When the tape is not this backbone's, the driver refuses, or a kernel failed.
    pub fn hidden(&self, tape: &TrainingTape) -> Result<Vec<f32>, TrainingError> {
        self.own(&tape.of)?;
        self.staging.copy_out(&self.launcher.gpu, tape.hidden, tape.batch.tokens, self.width())
    }

    /// Brings gradients for hidden rows to the card. d_hidden: `[t, d]`
    ///
    /// # Errors
    /// When they are not rows, or memory does not suffice.
    pub fn hidden_gradient(&self, d_hidden: &[f32]) -> Result<HiddenGradient, TrainingError> {
        let tokens = self.rows_in(d_hidden)?;
        let values = self.launcher.gpu.zeros("gradients of a batch", (tokens * self.launcher.p.d).max(1))?;
        self.staging.copy_in(&self.launcher.gpu, d_hidden, self.width(), self.address(&values))?;
        Ok(HiddenGradient { of: Arc::clone(&self.owner), values, tokens })
    }

    /// The gradients of a loss from its gradient for the hidden rows.
    ///
    /// # Errors
    /// When there are not as many of them as hidden rows, the tape or they are another backbone's, or memory does not
    /// suffice.
    pub fn backward(&self, tape: &TrainingTape, d_hidden: &HiddenGradient) -> Result<TrainingGradients, TrainingError> {
        let batch = &tape.batch;
        self.own(&tape.of)?;
        self.own(&d_hidden.of)?;
        if d_hidden.tokens != batch.tokens {
            let d = self.launcher.p.shape.d;
            let problem = format!("gradients of {} values for {} hidden ones", d_hidden.tokens * d, batch.tokens * d);
            return Err(TrainingError::Input(problem));
        }
        let gradients = self.gradients(tape)?;
        if batch.tokens > 0 {
            let out = self.address(&gradients.weights);
            self.run_backward(tape, self.address(&d_hidden.values), &gradients.work, out)?;
        }
        Ok(gradients)
    }

    /// Room for a backward pass; the gradients are 0 as yet.
    pub(super) fn gradients(&self, tape: &TrainingTape) -> Result<TrainingGradients, TrainingError> {
        let (gpu, batch) = (&self.launcher.gpu, &tape.batch);
        let weights = gpu.zeros("gradients", self.layout.len)?;
        let place = |start| {
            let mut places = Places::from(start);
            (Work::take(&mut places, &self.launcher, batch.sizes(), self.precision), places.bytes)
        };
        let memory = self.spare.take(gpu, "the backward pass of a batch", place(0).1)?;
        let work = place(memory.address(gpu)).0;
        let of = Arc::clone(&self.owner);
        Ok(TrainingGradients { of, weights, work, tokens: batch.tokens, _memory: memory })
    }

    /// d_hidden: f32 `[t, d]`.
    pub(super) fn run_backward(
        &self,
        tape: &TrainingTape,
        d_hidden: Address,
        work: &Work,
        out: Address,
    ) -> Result<(), TrainingError> {
        let (l, batch, tokens) = (&self.launcher, &tape.batch, self.tokens(&tape.batch));
        let norm_f = (work.partial, out + 4 * self.layout.norm_f as Address);
        let dx = (work.dx, work.dx_rows);
        l.last_norm_back(self.norm_f(tape), d_hidden, dx, norm_f)?;
        for layer in (0..tape.layers.len()).rev() {
            self.layer(layer, tape, tokens).backward(work, out)?;
        }
        let Some(ids) = &batch.ids else { return Ok(()) };
        l.sum_chosen(work.dx, (self.address(&ids.order), self.address(&ids.cuts), ids.pieces), work.partial.0)?;
        let rows = (0, self.address(&ids.rows), l.p.shape.vocab);
        l.sum_chosen(work.partial.0, rows, out + 4 * self.layout.embedding as Address)
    }

    /// The gradients of all tensors in the order and form of checkpoints; of the head where the shape has it.
    ///
    /// # Errors
    /// When they are another backbone's, the driver refuses, or a kernel failed.
    pub fn weight_gradients(&self, gradients: &TrainingGradients) -> Result<Vec<Vec<f32>>, TrainingError> {
        self.own(&gradients.of)?;
        let (gpu, from) = (&self.launcher.gpu, self.address(&gradients.weights));
        let all = self.staging.copy_out(gpu, from, self.layout.len, [1, 1])?;
        Ok(self.layout.tensors.iter().map(|tensor| tensor.get(&all)).collect())
    }

    /// The gradients for the embedded rows, `[t, d]`.
    ///
    /// # Errors
    /// As [`Self::weight_gradients`].
    pub fn row_gradients(&self, gradients: &TrainingGradients) -> Result<Vec<f32>, TrainingError> {
        self.own(&gradients.of)?;
        self.staging.copy_out(&self.launcher.gpu, gradients.work.dx, gradients.tokens, self.width())
    }

    pub(super) fn own(&self, of: &Owner) -> Result<(), TrainingError> {
        let mine = Arc::ptr_eq(of, &self.owner);
        mine.then_some(()).ok_or_else(|| TrainingError::Input("this tape, or gradient, is another backbone's".into()))
    }

    /// The number of rows of the model's width.
    fn rows_in(&self, values: &[f32]) -> Result<usize, TrainingError> {
        let d = self.launcher.p.shape.d;
        let whole = values.len().is_multiple_of(d).then_some(values.len() / d);
        whole.ok_or_else(|| TrainingError::Input(format!("{} values are not rows of width {d}", values.len())))
    }

    /// The model's width, true and padded.
    fn width(&self) -> [usize; 2] {
        [self.launcher.p.shape.d, self.launcher.p.d]
    }

    fn tokens(&self, batch: &Batch) -> Tokens {
        let (begins, ends) = (self.address(&batch.begins), self.address(&batch.ends));
        Tokens { count: batch.tokens, scanned: batch.scanned(&self.launcher.gpu), begins, ends }
    }

    fn layer(&self, layer: usize, tape: &TrainingTape, tokens: Tokens) -> LayerCall<'_> {
        let (launcher, weights) = (&self.launcher, self.layer_weights(layer));
        LayerCall { launcher, weights, tape: tape.layers[layer], tokens }
    }

    fn norm_f(&self, tape: &TrainingTape) -> Norm {
        let p = &self.launcher.p;
        let weight = self.address(&self.weights) + 4 * self.layout.norm_f as Address;
        let tokens = int(tape.batch.tokens);
        Norm { x: tape.last, weight, tokens, dp: int(p.d), d: int(p.shape.d), eps: p.shape.eps }
    }
}
