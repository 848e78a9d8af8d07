//! Published figures of other forecasters on the benchmark's sets, each from one of two public tables.
//!
//! - [`CHRONOS`]: amazon-science/chronos-forecasting, `scripts/evaluation/results/*-zero-shot.csv` (2026-06-18); none of the
//!   models was trained on these sets.
//! - [`GIFT_EVAL`]: SalesforceAIResearch/gift-eval, `results/*/all_results.csv`, column MASE, short horizon (2026-08-06).
//!   Chronos-Bolt and Chronos-T5 say there that their training data hold some of these sets.
//!
//! A ratio takes the seasonal naive forecast of the same table. GIFT-Eval's has prediction intervals, so that its quantile
//! losses compare with nothing here and are left out.

use super::{Score, benchmark::FIVE, benchmark::SEVEN};

/// A model's results on [`SEVEN`].
pub struct Chronos {
    /// The model, and its parameters.
    pub name: &'static str,
    /// MASE and WQL of each set.
    sets: [(f64, f64); SEVEN.len()],
}

/// A model's results on [`FIVE`].
pub struct GiftEval {
    /// The model, and its parameters where they are known.
    pub name: &'static str,
    /// MASE of each set.
    sets: [f64; FIVE.len()],
}

const fn chronos(name: &'static str, sets: [(f64, f64); SEVEN.len()]) -> Chronos {
    Chronos { name, sets }
}

const fn gift_eval(name: &'static str, sets: [f64; FIVE.len()]) -> GiftEval {
    GiftEval { name, sets }
}

#[rustfmt::skip]
const CHRONOS_NAIVE: Chronos = chronos("seasonal naive", [
    (0.9316, 0.1221), (1.7402, 0.0130), (1.2917, 0.4246), (0.9205, 0.0726), (1.1462, 0.1485), (1.6309, 0.1042), (46.9124, 0.1331)]);

/// The Chronos models' own table.
#[rustfmt::skip]
pub const CHRONOS: [Chronos; 7] = [
    chronos("Chronos-Bolt tiny, 9 M", [(0.7941, 0.0748), (1.6857, 0.0115), (0.7228, 0.1817), (0.6980, 0.0586), (0.8745, 0.0944), (1.7896, 0.1058), (40.6741, 0.0672)]),
    chronos("Chronos-Bolt small, 48 M", [(0.7925, 0.0759), (1.7748, 0.0114), (0.5833, 0.1507), (0.6954, 0.0581), (0.8685, 0.0940), (1.6107, 0.0936), (36.4676, 0.0427)]),
    chronos("Chronos-Bolt base, 205 M", [(0.7479, 0.0706), (1.7095, 0.0120), (0.5764, 0.1501), (0.6883, 0.0570), (0.8511, 0.0927), (1.5283, 0.0903), (38.9017, 0.0474)]),
    chronos("Chronos-T5 tiny, 8 M", [(0.8184, 0.0858), (1.6621, 0.0109), (0.7022, 0.1907), (0.7063, 0.0579), (0.9096, 0.1012), (2.1517, 0.1136), (46.5308, 0.0920)]),
    chronos("Chronos-T5 small, 46 M", [(0.8517, 0.0867), (1.8143, 0.0145), (0.6131, 0.1677), (0.7098, 0.0570), (0.8857, 0.0999), (1.9251, 0.1094), (42.2990, 0.0634)]),
    chronos("Chronos-T5 base, 201 M", [(0.7653, 0.0809), (2.0556, 0.0111), (0.5927, 0.1630), (0.7053, 0.0563), (0.8627, 0.0964), (1.7938, 0.1026), (42.6850, 0.0422)]),
    chronos("Chronos-T5 large, 709 M", [(0.7816, 0.0788), (2.3439, 0.0148), (0.5755, 0.1573), (0.7055, 0.0552), (0.8559, 0.0957), (1.7304, 0.0998), (44.0735, 0.0611)]),
];

const GIFT_EVAL_NAIVE: GiftEval = gift_eval("seasonal naive", [1.1932, 2.7773, 1.8648, 0.9205, 46.9124]);

/// GIFT-Eval's table.
#[rustfmt::skip]
pub const GIFT_EVAL: [GiftEval; 9] = [
    gift_eval("AutoARIMA", [1.0300, 2.3600, 1.5800, 0.8260, 31.4000]),
    gift_eval("Chronos-Bolt base, 205 M", [0.8365, 2.0776, 0.4847, 0.7913, 38.8548]),
    gift_eval("Chronos-T5 base, 201 M", [0.6930, 2.0800, 0.4200, 0.8160, 42.7000]),
    gift_eval("Toto-2.0-4m", [1.0617, 2.1525, 0.4827, 0.7642, 30.8126]),
    gift_eval("Toto-Open-Base-1.0", [0.8608, 2.3996, 0.4980, 0.7832, 32.6191]),
    gift_eval("TempoPFN", [0.8085, 2.4931, 0.3866, 0.7631, 36.0452]),
    gift_eval("FlowState-9.1M", [0.7309, 2.0226, 0.4574, 0.7585, 34.6060]),
    gift_eval("TiRex", [0.7222, 1.9899, 0.4425, 0.7559, 34.0895]),
    gift_eval("Chronos-2", [0.7884, 2.0263, 0.3266, 0.7399, 32.5392]),
];

impl Chronos {
    /// Ratios to the seasonal naive forecast, in the order of [`SEVEN`].
    #[must_use]
    pub fn ratios(&self) -> [Score; SEVEN.len()] {
        std::array::from_fn(|i| {
            let ((mase, wql), (naive_mase, naive_wql)) = (self.sets[i], CHRONOS_NAIVE.sets[i]);
            Score { mase: mase / naive_mase, wql: wql / naive_wql }
        })
    }
}

impl GiftEval {
    /// Ratios of MASE to the seasonal naive forecast, in the order of [`FIVE`].
    #[must_use]
    pub fn ratios(&self) -> [f64; FIVE.len()] {
        std::array::from_fn(|i| self.sets[i] / GIFT_EVAL_NAIVE.sets[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::geometric_mean;

    /// As the tables' owners and the papers give them, to three digits.
    #[test]
    fn means_are_those_that_are_known() {
        let seven = |name: &str| {
            let ratios = CHRONOS.iter().find(|model| model.name.starts_with(name)).expect(name).ratios();
            format!("{:.3} {:.3}", geometric_mean(ratios.map(|r| r.mase)), geometric_mean(ratios.map(|r| r.wql)))
        };
        assert_eq!([seven("Chronos-Bolt tiny"), seven("Chronos-Bolt base")], ["0.822 0.671", "0.764 0.602"]);
        let five = |name: &str| {
            let model = GIFT_EVAL.iter().find(|model| model.name == name).expect(name);
            format!("{:.3}", geometric_mean(model.ratios()))
        };
        let found = ["Toto-2.0-4m", "TempoPFN", "FlowState-9.1M", "TiRex", "Chronos-2"].map(five);
        assert_eq!(found, ["0.628", "0.604", "0.582", "0.572", "0.543"]);
    }
}
