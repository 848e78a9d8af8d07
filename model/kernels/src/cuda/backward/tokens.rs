//! A step of a model of tokens: ids in, the gradients of its next token's cross-entropy out, all on the card.

use super::{
    Address, Precision, Training, TrainingError, TrainingInput,
    args::{CrossEntropy, Product},
    launch::{Matrix, f64_sums, int},
    memory::{Block, Places},
    pass::{TrainingGradients, TrainingTape},
    shape::{Padded, TokenHead},
};

/// Sequences of tokens packed end to end, and what comes after each token.
#[derive(Clone, Copy, Debug)]
pub struct TokenInput<'a> {
    /// Ids, `[t]`.
    pub tokens: &'a [u32],
    /// The sequences' first tokens, and the end, `[b + 1]`.
    pub offsets: &'a [usize],
    /// Which of the head's outputs is right after each token, counted from [`TokenHead::first`]; none where negative. `[t]`
    pub targets: &'a [i32],
    /// What a token's term weighs in the loss, `[t]`.
    pub weights: &'a [f32],
}

/// The rows after the backbone, on the card.
#[derive(Clone, Copy)]
struct Ends {
    /// The backbone's output in rows, `[t, d]`.
    hidden: Address,
    loss: CrossEntropy,
    /// The gradients of the outputs in rows, `[t, vocab]`.
    d_outputs: Address,
    /// f32 `[t, d]`
    d_hidden: Address,
    sums: Address,
}

impl Ends {
    fn place(places: &mut Places, p: &Padded, precision: Precision, (t, head): (usize, TokenHead)) -> Self {
        let mut f32 = |count: usize| places.take(count, 4);
        let (outputs, d_hidden, sums) = (f32(t * p.vocab()), f32(t * p.d), f32(2 * f64_sums(t).max(1)));
        let [targets, weights, losses] = [(); 3].map(|()| f32(t));
        let [hidden, d_outputs] = [p.d, p.vocab()].map(|width| places.take(t * width, precision.bytes()));
        let [tokens, width, first, count] = [t, p.vocab(), head.first, head.count].map(int);
        let loss = CrossEntropy { outputs, targets, weights, losses, tokens, width, first, count };
        Self { hidden, loss, d_outputs, d_hidden, sums }
    }
}

impl TokenInput<'_> {
    fn check(&self, head: TokenHead) -> Result<usize, TrainingError> {
        let t = self.tokens.len();
        if self.targets.len() != t || self.weights.len() != t {
            let (targets, weights) = (self.targets.len(), self.weights.len());
            return Err(TrainingError::Input(format!("{targets} targets and {weights} weights for {t} tokens")));
        }
        match self.targets.iter().find(|&&target| usize::try_from(target).is_ok_and(|target| target >= head.count)) {
            Some(target) => Err(TrainingError::Input(format!("target {target}: the head tells {} apart", head.count))),
            None => Ok(t),
        }
    }
}

impl Training {
    /// The gradients of the cross-entropy, in bits; the loss itself joins the report.
    ///
    /// # Errors
    /// When the shape has no [`TokenHead`], the input's sizes do not go together, or memory does not suffice.
    pub fn token_gradients(&self, input: &TokenInput<'_>) -> Result<TrainingGradients, TrainingError> {
        let (ends, tape, _memory) = self.token_forward(input)?;
        let (l, p, t) = (&self.launcher, &self.launcher.p, tape.tokens());
        l.report_loss((ends.loss.losses, t), ends.sums, self.address(&self.report))?;
        let gradients = self.gradients(&tape)?;
        let (Some(head), true) = (self.layout.head, t > 0) else { return Ok(gradients) };
        let (work, out) = (gradients.work(), self.address(&gradients.weights));
        let (d_outputs, hidden) = (Matrix::new(ends.d_outputs, p.vocab()), Matrix::new(ends.hidden, p.d));
        l.weight(t, (d_outputs, hidden), (work.partial, out + 4 * head as Address))?;
        l.back_sum(t, (d_outputs, Matrix::new(ends.d_hidden, p.d)), self.in_rows(head), false)?;
        self.run_backward(&tape, ends.d_hidden, &work, out)?;
        Ok(gradients)
    }

    /// Each token's loss in bits, weighed; nothing joins the report.
    ///
    /// # Errors
    /// As [`Self::token_gradients`].
    pub fn token_losses(&self, input: &TokenInput<'_>) -> Result<Vec<f32>, TrainingError> {
        let (ends, tape, _memory) = self.token_forward(input)?;
        self.staging.copy_out(&self.launcher.gpu, ends.loss.losses, tape.tokens(), [1, 1])
    }

    /// To the losses and the outputs' gradients.
    fn token_forward(&self, input: &TokenInput<'_>) -> Result<(Ends, TrainingTape, Block), TrainingError> {
        let none = || TrainingError::Input("this backbone was not made with a head of tokens".into());
        let (shape, place) = self.launcher.p.shape.head.zip(self.layout.head).ok_or_else(none)?;
        let t = input.check(shape)?;
        let (l, p) = (&self.launcher, &self.launcher.p);
        let (mut ends, memory) = self.take_token_ends(input, (t, shape))?;
        let tape = self.forward(TrainingInput::Tokens(input.tokens), input.offsets)?;
        if t == 0 {
            return Ok((ends, tape, memory));
        }
        if self.narrow.is_some() {
            l.narrow(tape.hidden, t * p.d, ends.hidden)?;
        } else {
            ends.hidden = tape.hidden;
        }
        let (hidden, outputs) = (Matrix::new(ends.hidden, p.d), Matrix::new(ends.loss.outputs, p.vocab()));
        l.forward_sum(t, (hidden, outputs), self.in_rows(place), Product::default())?;
        l.cross_entropy(ends.loss, ends.d_outputs)?;
        Ok((ends, tape, memory))
    }

    /// Takes memory for the rows, and copies targets and weights there.
    fn take_token_ends(
        &self,
        input: &TokenInput<'_>,
        (t, head): (usize, TokenHead),
    ) -> Result<(Ends, Block), TrainingError> {
        let (p, gpu) = (&self.launcher.p, &*self.launcher.gpu);
        let place = |start| {
            let mut places = Places::from(start);
            (Ends::place(&mut places, p, self.precision, (t, head)), places.bytes)
        };
        let memory = self.spare.take(gpu, "the rows of a batch", place(0).1)?;
        let ends = place(memory.address(gpu)).0;
        let targets: Vec<f32> = input.targets.iter().map(|target| f32::from_bits(target.cast_unsigned())).collect();
        for (values, to) in [(&targets[..], ends.loss.targets), (input.weights, ends.loss.weights)] {
            self.staging.copy_in(gpu, values, [1, 1], to)?;
        }
        Ok((ends, memory))
    }
}
