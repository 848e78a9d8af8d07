//! The files, what their values are aggregated to, and how far each is forecast.

/// A file of series of one kind.
pub(in crate::eval) struct Family {
    /// The file, in the folder of training series.
    pub(in crate::eval) file: &'static str,
    /// The columns of times and of values, where it is a CSV.
    pub(in crate::eval) columns: Option<(Option<&'static str>, &'static str)>,
    /// Where its first series stands among those that are held out by number.
    pub(in crate::eval) index: usize,
    /// Yearly or quarterly as it is.
    pub(in crate::eval) low: bool,
    /// Windows of each series, at most.
    pub(in crate::eval) origins: usize,
    /// As it is, and then slower.
    pub(in crate::eval) rates: &'static [Rate],
}

/// A frequency.
#[derive(Clone, Copy)]
pub(in crate::eval) struct Rate {
    /// What it is called.
    pub(in crate::eval) name: &'static str,
    /// Values of the file in one of this frequency.
    pub(in crate::eval) every: usize,
    /// Steps of a season.
    pub(in crate::eval) season: usize,
    /// Steps to forecast.
    pub(in crate::eval) horizon: usize,
}

const fn rate(name: &'static str, every: usize, season: usize, horizon: usize) -> Rate {
    Rate { name, every, season, horizon }
}

const fn competition(file: &'static str, low: bool, rates: &'static [Rate]) -> Family {
    Family { file, columns: None, index: 0, low, origins: 3, rates }
}

/// From months on.
const MONTHLY: &[Rate] = &[rate("monthly", 1, 12, 12), rate("quarterly", 3, 4, 8), rate("yearly", 12, 1, 4)];
/// From hours on.
const HOURLY: &[Rate] = &[
    rate("hourly", 1, 24, 48),
    rate("daily", 24, 7, 28),
    rate("weekly", 168, 1, 13),
    rate("four-weekly", 672, 13, 13),
    rate("quarterly", 2184, 4, 4),
];

/// Hourly load: the only long series.
pub(in crate::eval) const LOAD: Family =
    Family { file: "gefcom2012_load_hourly.tsf.gz", columns: None, index: 0, low: false, origins: 4, rates: HOURLY };

/// All files that hold a series which is held out.
pub(in crate::eval) const FAMILIES: [Family; 10] = [
    competition("nngc1_yearly.tsf", true, &[rate("yearly", 1, 1, 4)]),
    competition("nngc1_quarterly.tsf", true, &[rate("quarterly", 1, 4, 8), rate("yearly", 4, 1, 4)]),
    competition("nngc1_monthly.tsf", false, MONTHLY),
    competition(
        "nngc1_weekly.tsf",
        false,
        &[rate("weekly", 1, 1, 13), rate("four-weekly", 4, 13, 13), rate("quarterly", 13, 4, 8)],
    ),
    competition(
        "nngc1_daily.tsf",
        false,
        &[rate("daily", 1, 7, 28), rate("weekly", 7, 1, 8), rate("four-weekly", 28, 1, 4)],
    ),
    competition("nngc1_hourly.tsf", false, &[rate("hourly", 1, 24, 48), rate("daily", 24, 7, 7)]),
    Family { file: "pbs_scripts_monthly.tsf", columns: None, index: 0, low: false, origins: 2, rates: MONTHLY },
    Family { file: "aus_retail_monthly.tsf", columns: None, index: 0, low: false, origins: 2, rates: MONTHLY },
    LOAD,
    // The fifth of the eight classic files, in the order of their names' bytes.
    Family {
        file: "classic/nottem.csv",
        columns: Some((Some("rownames"), "value")),
        index: 4,
        low: false,
        origins: 6,
        rates: MONTHLY,
    },
];
