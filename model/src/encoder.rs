//! The third trait of the flow: packed sequences and their states to hidden rows, and the states moved on.

use std::{fmt, ops::Range};

use crate::{
    Error, Pooled, Result,
    config::{Config, Strands, WindowConfig},
};

/// Where and how numbers are computed: outputs are equal to the bit only along one route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route(pub String);

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What goes into a backbone.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Token ids, `[t]`.
    Tokens(&'a [u32]),
    /// Embedded rows, `[t, d]`.
    Rows(&'a [f32]),
}

/// Sequences packed end to end, without padding.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// All tokens or rows.
    pub input: Input<'a>,
    /// `[b + 1]`, growing from 0 to t: sequence i is `offsets[i]..offsets[i + 1]`. A sequence may be empty.
    pub offsets: &'a [usize],
}

impl Packed<'_> {
    /// Checks a call of [`Encoder::encode`] and returns the number of tokens `t`.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, tokens are given to a backbone without one, the offsets do not run from 0
    /// to t or do not fit the number of states, a state is of another size, or a tap is greater than `layers`.
    ///
    /// `state_len` is the number of values in the encoder's own states.
    pub fn check(
        &self,
        config: &Config,
        state_len: usize,
        states: &[&mut BackboneState],
        taps: &[usize],
    ) -> Result<usize> {
        states.iter().try_for_each(|state| state.has(state_len))?;
        self.check_layout(config, states.len(), taps)
    }

    /// As [`Packed::check`], for states whose values are elsewhere.
    pub(crate) fn check_layout(&self, config: &Config, states: usize, taps: &[usize]) -> Result<usize> {
        let t = self.input.len(config)?;
        let refuse = |problem: String| Err(Error::Input(problem));
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&t) || !self.offsets.is_sorted() {
            return refuse(format!("offsets must grow from 0 to the number of tokens, {t}"));
        }
        if self.offsets.len() != states + 1 {
            return refuse(format!("{} sequences, but {states} states", self.offsets.len() - 1));
        }
        match taps.iter().find(|&&tap| tap > config.layers) {
            Some(tap) => refuse(format!("layer {tap}: this backbone has layers 0 to {}", config.layers)),
            None => Ok(t),
        }
    }

    /// Refuses sequences of more than one row.
    pub(crate) fn check_single_rows(&self) -> Result<()> {
        match self.offsets.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).find(|len| *len > 1) {
            Some(len) => Err(Error::Input(format!("{len} rows: a state that is to stay is shown one at most"))),
            None => Ok(()),
        }
    }
}

impl Input<'_> {
    fn len(&self, config: &Config) -> Result<usize> {
        match self {
            Input::Tokens(tokens) => match tokens.iter().fold(0, |most, token| most.max(*token)) {
                token if token as usize >= config.vocab && !tokens.is_empty() => {
                    Err(Error::Input(format!("token {token} is outside the vocabulary of {}", config.vocab)))
                }
                _ => Ok(tokens.len()),
            },
            Input::Rows(rows) if rows.len() % config.d == 0 => Ok(rows.len() / config.d),
            Input::Rows(rows) => Err(Error::Input(format!("{} values are not rows of width {}", rows.len(), config.d))),
        }
    }
}

/// The backbone's state of one sequence: for each layer the convolution's window and the state `h`, in f32.
///
/// The values' order is the encoder's own; [`Encoder::export`] gives the published one. A GPU's encoder keeps them on the
/// card, and moves them to memory when others need the room; a clone is a fork wherever they are.
#[derive(Clone, Debug, PartialEq)]
pub struct BackboneState(pub(crate) Place);

/// Where a state's values are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    Memory(Box<[f32]>),
    #[cfg(feature = "cuda")]
    Card(crate::cuda::Resident),
}

impl BackboneState {
    pub(crate) fn in_memory(values: impl Into<Box<[f32]>>) -> Self {
        Self(Place::Memory(values.into()))
    }

    /// Its values, of a state that is in memory; none of one that belongs to a card.
    pub(crate) fn values(&self) -> &[f32] {
        match &self.0 {
            Place::Memory(values) => values,
            #[cfg(feature = "cuda")]
            Place::Card(_) => &[],
        }
    }

    /// Refuses another number of values in memory.
    pub(crate) fn has(&self, len: usize) -> Result<()> {
        match self.values().len() {
            found if found == len => Ok(()),
            found => Err(Error::Input(format!("a state of {found} values; this backbone's has {len}"))),
        }
    }

    /// As [`BackboneState::values`].
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Place::Memory(values) => values,
            #[cfg(feature = "cuda")]
            Place::Card(_) => &mut [],
        }
    }
}

/// Tokens or embedded rows + states → hidden rows, and the states moved on.
///
/// Under the chunk law and the batch law: any way of cutting a sequence into calls, and any batch-mates, give the same
/// bits of rows and states. The conformance suite checks both for every implementation.
pub trait Encoder: Send + Sync {
    /// The backbone's shape.
    fn config(&self) -> &Config;

    /// Where and how it computes.
    fn route(&self) -> &Route;

    /// What its users should know of how it computes, such as a shape without tuned kernels: a line for the log.
    fn note(&self) -> Option<&str> {
        None
    }

    /// The state of a sequence before its first token.
    fn fresh(&self) -> BackboneState;

    /// Forks states: each goes its own way then. On a card all are copied in one go, where clones are copied one by one.
    ///
    /// # Errors
    /// When a state is of another encoder, or a card fails.
    fn fork(&self, states: &[&BackboneState]) -> Result<Vec<BackboneState>> {
        Ok(states.iter().map(|state| (*state).clone()).collect())
    }

    /// Encodes a packed batch, one state a sequence, and moves the states on.
    ///
    /// `taps` asks for hidden rows by the number of layers that were run: 0 is the embedding, `i` the residual stream
    /// after i layers, and `layers` the last one after the final norm. (So transformers counts for most models; for its
    /// Mamba models the list leaves the embedding out, so that its place `i - 1` is our tap `i`.) Returns one `[t, d]` block for each tap, in order.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, a length does not fit, or a tap is greater than `layers`; the states
    /// have not moved then.
    fn encode(&self, batch: &Packed<'_>, states: &mut [&mut BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>>;

    /// As [`Encoder::encode`], which keeps the hidden rows of the whole batch; here `take(sequence, rows)` gets a sequence's rows
    /// of each tap, `[taps][l, d]`, piece by piece in time order: on a card as they come, while it goes on.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; when a card fails, some rows may have been taken.
    fn encode_to(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        taps: &[usize],
        take: &mut dyn FnMut(usize, &[&[f32]]),
    ) -> Result<()> {
        let d = self.config().d;
        let blocks = self.encode(batch, states, taps)?;
        for (i, pair) in batch.offsets.windows(2).enumerate().filter(|(_, pair)| pair[0] < pair[1]) {
            let rows: Vec<&[f32]> = blocks.iter().map(|rows| &rows[pair[0] * d..pair[1] * d]).collect();
            take(i, &rows);
        }
        Ok(())
    }

    /// As [`Encoder::encode`] of one tap, whose hidden rows go into pools: on a card where they are, so that pools travel and
    /// rows do not. Any spans, overlapping ones too.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; and when a span is not of one sequence, or a pool of another width.
    fn encode_pooled(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        tap: usize,
        spans: &mut [PooledSpan],
    ) -> Result<()> {
        let d = self.config().d;
        spans.iter().try_for_each(|span| span.check(batch.offsets, d))?;
        let rows = self.encode(batch, states, &[tap])?.remove(0);
        spans.iter_mut().for_each(|span| span.pooled.push(&rows[span.rows.start * d..span.rows.end * d]));
        Ok(())
    }

    /// As [`Encoder::encode_to`] of the last tap, whose hidden rows are multiplied with `head`, `[d, 4]`: on a card where they
    /// are. Sums are f64, a column after the other, and the same bits wherever they are made of the same rows.
    ///
    /// # Errors
    /// As [`Encoder::encode_to`]; and when the head has another width.
    fn encode_through(
        &self,
        batch: &Packed<'_>,
        states: &mut [&mut BackboneState],
        head: &[[f64; 4]],
        take: &mut dyn FnMut(usize, &[[f64; 4]]),
    ) -> Result<()> {
        check_head(head, self.config())?;
        self.encode_to(batch, states, &[self.config().layers], &mut |sequence, rows| {
            let rows = rows[0].chunks_exact(head.len().max(1));
            take(sequence, &rows.map(|row| through(row, head)).collect::<Vec<_>>());
        })
    }

    /// As [`Encoder::encode`] of one row each, or none; the states do not move. On a card nothing is copied for that.
    ///
    /// # Errors
    /// As [`Encoder::encode`], and when a sequence has more than one row.
    fn peek(&self, batch: &Packed<'_>, states: &[&BackboneState], taps: &[usize]) -> Result<Vec<Vec<f32>>> {
        batch.check_single_rows()?;
        let mut forks = self.fork(states)?;
        self.encode(batch, &mut forks.iter_mut().collect::<Vec<_>>(), taps)
    }

    /// A state in the published order, the same on every route: for each layer the convolution's window
    /// `[channels, k - 1]` (oldest first), then h: `[d_in, n]` (Mamba-1) or `[heads, head_dim, n]` (Mamba-2).
    ///
    /// # Errors
    /// When the state is of another encoder, or a card does not give it back.
    fn export(&self, state: &BackboneState) -> Result<Vec<f32>>;

    /// The state that [`Encoder::export`] gave.
    ///
    /// # Errors
    /// When the number of values is not this backbone's.
    fn import(&self, values: &[f32]) -> Result<BackboneState>;
}

/// Rows of a batch, and the pool that takes them in.
#[derive(Clone, Debug, PartialEq)]
pub struct PooledSpan {
    /// Of the packed rows; of one sequence.
    pub rows: Range<usize>,
    /// What was pooled before them, then with them.
    pub pooled: Pooled,
}

impl PooledSpan {
    /// Refuses rows that are not of one sequence, and another width.
    pub(crate) fn check(&self, offsets: &[usize], d: usize) -> Result<()> {
        let Range { start, end } = self.rows;
        let sequence = offsets.partition_point(|offset| *offset <= start);
        let within = match offsets.get(sequence) {
            Some(next) => start <= end && end <= *next,
            None => start == end && offsets.last().is_some_and(|t| end <= *t),
        };
        if within && self.pooled.width() == d {
            return Ok(());
        }
        let width = self.pooled.width();
        Err(Error::Input(format!("rows {start} to {end}, pooled {width} wide: a span is of one sequence, {d} wide")))
    }
}

/// Refuses a head of another width.
pub(crate) fn check_head(head: &[[f64; 4]], config: &Config) -> Result<()> {
    if head.len() == config.d {
        return Ok(());
    }
    Err(Error::Input(format!("a head {} wide; rows are {} wide", head.len(), config.d)))
}

/// A hidden row `[d]` multiplied with a head `[d, 4]`: f64, a column after the other.
pub(crate) fn through(row: &[f32], head: &[[f64; 4]]) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for (&h, weights) in row.iter().zip(head) {
        let h = f64::from(h);
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += h * weight);
    }
    sums
}

/// Whole windows → hidden rows, for backbones that read both ways: a row depends on what comes after it too, so that there is
/// no state to carry from one call to the next.
///
/// Under the batch law: what other windows are in the call never changes a window's bits.
pub trait WindowEncoder: Send + Sync {
    /// The backbone's shape.
    fn config(&self) -> &WindowConfig;

    /// Where and how it computes.
    fn route(&self) -> &Route;

    /// Encodes windows, packed end to end: window i is `tokens[offsets[i]..offsets[i + 1]]`, and may be empty.
    ///
    /// `taps` as in [`Encoder::encode`]: 0 is the embedding, `i` the residual stream after i layers, `layers` the last after the
    /// final norm. Returns one `[t, width]` block for each tap ([`WindowConfig::width`]), in order. Of both strands a row's
    /// columns are the strand's as given, then the other strand's at the same place with its columns reversed; in a `swapped`
    /// model the halves change places with every layer, as the published ones' do.
    ///
    /// # Errors
    /// When a token is outside the vocabulary, the offsets do not run from 0 to t, or a tap is greater than `layers`.
    fn encode_window(&self, tokens: &[u32], offsets: &[usize], taps: &[usize]) -> Result<Vec<Vec<f32>>>;
}

/// The strands that go through the layers, one after the other: windows, or each window and its other strand.
pub(crate) struct StrandTokens {
    /// `[all strands' tokens]`
    pub(crate) tokens: Vec<u32>,
    /// `[strands + 1]`
    pub(crate) offsets: Vec<usize>,
}

impl StrandTokens {
    /// Checks a call of [`WindowEncoder::encode_window`] and lays out its strands.
    pub(crate) fn new(config: &WindowConfig, (tokens, offsets): (&[u32], &[usize]), taps: &[usize]) -> Result<Self> {
        let batch = Packed { input: Input::Tokens(tokens), offsets };
        batch.check_layout(&config.backbone, offsets.len().saturating_sub(1), taps)?;
        let mut strands = Self { tokens: vec![], offsets: vec![0] };
        for window in offsets.windows(2).map(|ends| &tokens[ends[0]..ends[1]]) {
            strands.push(window.iter().copied());
            if config.strands != Strands::One {
                strands.push(config.reverse_complement(window));
            }
        }
        Ok(strands)
    }

    fn push(&mut self, strand: impl Iterator<Item = u32>) {
        self.tokens.extend(strand);
        self.offsets.push(self.tokens.len());
    }
}
