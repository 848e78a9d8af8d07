//! A backbone's sizes, padded to what the kernels take.

use super::TrainingError;

/// What a backbone of RMS norms and Mamba-1 mixers looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Model width.
    pub d: usize,
    /// Inner width.
    pub d_in: usize,
    /// States a channel.
    pub n: usize,
    /// Convolution width.
    pub k: usize,
    /// Rank of dt.
    pub r: usize,
    /// Number of layers.
    pub layers: usize,
    /// Rows of the embedding; 0: only rows come in.
    pub vocab: usize,
    /// The norms' epsilon.
    pub eps: f32,
    /// in_proj and out_proj have biases.
    pub linear_bias: bool,
    /// The convolution has a bias.
    pub conv_bias: bool,
    /// A series model's networks before and after the backbone.
    pub series: Option<SeriesEnds>,
    /// A head of tokens after the backbone, `[vocab, d]`.
    pub head: Option<TokenHead>,
}

/// What a head of tokens tells apart: so many of its outputs, from the first on. The others have no part in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHead {
    /// The first of them.
    pub first: usize,
    /// Their number.
    pub count: usize,
}

/// What a series model has around its backbone: two two-layer networks of inner width 2 d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesEnds {
    /// Features of a patch.
    pub features: usize,
    /// Values that are predicted after each patch.
    pub reach: usize,
    /// So many of the first of them are the patch's own: they count where they were not observed.
    pub within: usize,
    /// Quantiles of each value.
    pub levels: usize,
}

impl SeriesEnds {
    /// Features of a row as it is passed in: with zeros up to a multiple of 8.
    #[must_use]
    pub fn padded_features(&self) -> usize {
        self.features.next_multiple_of(EIGHT)
    }

    /// The head's outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.reach * self.levels
    }
}

/// A shape with its padded sizes: zero rows and columns add nothing to any result, and spare the kernels all tails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Padded {
    pub shape: Shape,
    /// Model width.
    pub d: usize,
    /// Inner width.
    pub ip: usize,
    /// States: 16, 32 or 64.
    pub n: usize,
    /// Taps: 4 or 8.
    pub k: usize,
    /// Rank of dt.
    pub r: usize,
}

/// Widths are multiples of it.
const EIGHT: usize = 8;
/// The largest width whose sums over rows fit into shared memory.
const WIDEST: usize = 4096;

impl Padded {
    /// # Errors
    /// When the kernels do not have the shape.
    pub fn new(shape: Shape) -> Result<Self, TrainingError> {
        let least = |sizes: &[usize], size: usize| sizes.iter().copied().find(|&padded| padded >= size);
        let refuse = |what, size, most| Err(TrainingError::Shape { what, size, most });
        if shape.d > WIDEST {
            return refuse("a model width", shape.d, WIDEST);
        }
        let Some(n) = least(&[16, 32, 64], shape.n) else { return refuse("a state size", shape.n, 64) };
        let Some(k) = least(&[4, 8], shape.k) else { return refuse("a convolution width", shape.k, 8) };
        if let Some(TokenHead { first, count }) = shape.head
            && (count == 0 || first + count > shape.vocab)
        {
            return refuse("a head that ends at output", first + count, shape.vocab);
        }
        let eight = |size: usize| size.next_multiple_of(EIGHT);
        Ok(Self { shape, d: eight(shape.d), ip: eight(shape.d_in), n, k, r: eight(shape.r) })
    }

    /// Inner width of the networks around the backbone.
    pub fn hidden(&self) -> usize {
        (2 * self.shape.d).next_multiple_of(EIGHT)
    }

    /// Rows of the embedding, and outputs of the head.
    pub fn vocab(&self) -> usize {
        self.shape.vocab.next_multiple_of(EIGHT)
    }

    /// Width of x_proj's output: dt, B, C.
    pub fn width(&self) -> usize {
        self.r + 2 * self.n
    }

    /// Values of A_log, D and dt's bias together.
    pub fn scan_values(&self) -> usize {
        self.ip * (self.n + 2)
    }

    /// Pieces of 128 columns that the norm's kernels hold of a row. The last are too many for registers: right, but slow.
    pub fn norm_pieces(&self) -> usize {
        match self.d {
            0..=256 => 2,
            257..=1024 => 8,
            _ => WIDEST / 128,
        }
    }

    /// Channels that a thread of the scan holds, forward and backward: the fastest that registers allow.
    pub fn scan_channels(&self) -> [usize; 2] {
        match self.n {
            16 => [2, 4],
            32 => [2, 2],
            _ => [1, 1],
        }
    }

    /// Blocks of channels of the scan, forward and backward.
    pub fn scan_blocks(&self) -> [usize; 2] {
        self.scan_channels().map(|channels| self.ip.div_ceil(32 * channels))
    }
}
