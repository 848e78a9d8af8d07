//! What a backbone that reads whole windows looks like: Caduceus (arXiv 2403.03234).

use super::Config;

/// The shape of a backbone that reads whole windows, in both directions, of one strand or of both.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowConfig {
    /// The layers that one strand goes through in one direction; `d` is the width of one strand's rows.
    pub backbone: Config,
    /// How a layer's two directions become one; `None`: windows are read forwards only.
    pub directions: Option<Join>,
    /// The mixers of both directions share their projections in and out.
    pub tied: bool,
    /// Which strands go through the layers.
    pub strands: Strands,
    /// Each token's complement, `[vocab]`.
    pub complement: Vec<u32>,
    /// The tokens of A, C, G, T and of a base that stands for any.
    pub alphabet: [u32; 5],
}

/// How the outputs of two directions become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Their sum.
    Add,
    /// Their product, value by value.
    Multiply,
}

/// Which strands go through the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strands {
    /// The one that is given ("Ph": its users average both strands' results themselves).
    One,
    /// Both, through the same weights ("PS"): rows are twice as wide, and those of the other strand are the same values with
    /// rows and columns reversed.
    Both {
        /// Each layer takes the first half of the columns for the other strand and the second for this one, as the published
        /// code does where it fuses sums and norms.
        swapped: bool,
    },
}

impl WindowConfig {
    /// Columns of a hidden row: d, or 2 d of both strands.
    #[must_use]
    pub fn width(&self) -> usize {
        match self.strands {
            Strands::One => self.backbone.d,
            Strands::Both { .. } => 2 * self.backbone.d,
        }
    }

    /// The other strand's tokens, in its own direction of reading.
    pub(crate) fn reverse_complement<'a>(&'a self, tokens: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        tokens.iter().rev().map(|&token| self.complement[token as usize])
    }
}
