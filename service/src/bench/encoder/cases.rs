//! What is timed, and what mamba-ssm takes for it.

use std::fmt;

use unspool_model::config::Config;

/// Where the peer's figures come from.
pub(super) const PEER: &str = "mamba-ssm 2.3.2 with its own CUDA kernels, bf16 (its states too), steps by a CUDA graph, whole backbone forward, vocabulary \
                               256, on one NVIDIA H100, as measured for DESIGN.md, section 4";

/// A Mamba-1 backbone of the published kind: n 16, k 4, expand 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backbone {
    pub(super) d: usize,
    pub(super) layers: usize,
    /// Tokens that a CPU is given at once: about a tenth of a second of work.
    cpu_tokens: usize,
}

const SMALL: Backbone = Backbone { d: 256, layers: 8, cpu_tokens: 2048 };
const LARGE: Backbone = Backbone { d: 768, layers: 24, cpu_tokens: 256 };

impl Backbone {
    pub(super) fn config(&self) -> Config {
        Config { layers: self.layers, vocab: 256, ..Config::mamba1(self.d) }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mamba-1 d={}, {} layers", self.d, self.layers)
    }
}

/// The sequences of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// All of one length.
    Whole { sequences: usize, length: usize },
    /// One token each.
    Step { sequences: usize },
    /// Every length from 1 to the longest, equally often, in an order without a pattern.
    Mix { sequences: usize, longest: usize },
}

impl Shape {
    /// The sequences' lengths.
    pub(super) fn lengths(self) -> Vec<usize> {
        match self {
            Self::Whole { sequences, length } => vec![length; sequences],
            Self::Step { sequences } => vec![1; sequences],
            // 787 is a prime: with a power of two for the longest it visits every length.
            Self::Mix { sequences, longest } => (0..sequences).map(|i| 1 + i * 787 % longest).collect(),
        }
    }

    /// The same kind of work with no more than `tokens` tokens; `None` for steps of too many sequences.
    fn within(self, tokens: usize) -> Option<Self> {
        let few = |sequences: usize| if sequences > tokens / 4 { tokens / 32 } else { sequences };
        match self {
            Self::Whole { sequences, length } => {
                let sequences = few(sequences);
                Some(Self::Whole { sequences, length: length.min(tokens / sequences) })
            }
            Self::Step { sequences } => (sequences <= tokens / 2).then_some(self),
            Self::Mix { sequences, longest } => {
                let sequences = few(sequences);
                Some(Self::Mix { sequences, longest: longest.min(2 * tokens / sequences) })
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { sequences, length } => write!(f, "{sequences} x {length}"),
            Self::Step { sequences } => write!(f, "step, B={sequences}"),
            Self::Mix { sequences, longest } => write!(f, "{sequences} of 1 to {longest}"),
        }
    }
}

/// A case: a row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) backbone: Backbone,
    /// As it stands in the table.
    pub(super) shape: Shape,
    /// What the peer takes, in milliseconds.
    pub(super) peer_ms: Option<f64>,
}

impl Case {
    /// What is run: the shape, or on a CPU a smaller form of it.
    pub(super) fn runs(&self, on_cpu: bool) -> Option<Shape> {
        if on_cpu { self.shape.within(self.backbone.cpu_tokens) } else { Some(self.shape) }
    }
}

/// The cases, by backbone. A mix comes right after its like of equal lengths.
pub(super) fn cases() -> Vec<Case> {
    // Tokens and the peer's Mtok/s make its milliseconds.
    let rate = |tokens: f64, mtok_s: f64| tokens / mtok_s / 1e3;
    let whole = |sequences, length| Shape::Whole { sequences, length };
    let step = |sequences| Shape::Step { sequences };
    let small = [
        (whole(8, 8192), Some(9.56)),
        (whole(64, 1024), Some(rate(65_536.0, 7.00))),
        (whole(512, 128), Some(rate(65_536.0, 5.80))),
        (whole(1, 1 << 20), None),
        (step(1), Some(0.154)),
        (step(64), Some(0.174)),
        (step(1024), Some(0.429)),
        (step(8192), Some(2.05)),
        (whole(4096, 1024), None),
        (Shape::Mix { sequences: 4096, longest: 2048 }, None),
    ];
    let large = [
        (whole(8, 8192), Some(81.7)),
        (step(1), Some(0.670)),
        (step(64), Some(0.808)),
        (step(1024), Some(2.81)),
        (step(8192), Some(18.2)),
    ];
    let case = |backbone| move |(shape, peer_ms)| Case { backbone, shape, peer_ms };
    small.into_iter().map(case(SMALL)).chain(large.into_iter().map(case(LARGE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_has_every_length_equally_often() {
        let mut counts = vec![0; 2049];
        Shape::Mix { sequences: 4096, longest: 2048 }.lengths().iter().for_each(|length| counts[*length] += 1);
        assert!(counts[0] == 0 && counts[1..].iter().all(|count| *count == 2));
    }

    #[test]
    fn smaller_forms_keep_their_kind_and_their_size() {
        let check = |shape: Shape, expected: &str| {
            let small = shape.within(2048);
            assert_eq!(small.map_or("none".into(), |shape| shape.to_string()), expected, "{shape}");
        };
        check(Shape::Whole { sequences: 8, length: 8192 }, "8 x 256");
        check(Shape::Whole { sequences: 512, length: 128 }, "512 x 4");
        check(Shape::Whole { sequences: 1, length: 1 << 20 }, "1 x 2048");
        check(Shape::Whole { sequences: 4096, length: 1024 }, "64 x 32");
        check(Shape::Mix { sequences: 4096, longest: 2048 }, "64 of 1 to 64");
        check(Shape::Step { sequences: 1024 }, "step, B=1024");
        check(Shape::Step { sequences: 8192 }, "none");
    }
}
