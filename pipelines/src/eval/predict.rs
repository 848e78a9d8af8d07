//! Forecasts of windows, made as a session or job makes them: a state is opened, fed, and asked.

use unspool_model::{Device, Events, Item, Model, Options, State};

use super::{Error, LEVELS, Result, Window, task::Quantiles};

/// A window counts as at least this many values of a pack: a forecast takes two backbone states, however short the context.
const LEAST_VALUES: usize = 256;

/// How many values a state is fed before it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// All, from the series' start on.
    #[default]
    All,
    /// The last ones, at most this many.
    Last(usize),
}

impl History {
    fn of(self, context: &[f64]) -> &[f64] {
        match self {
            Self::All => context,
            Self::Last(most) => &context[context.len().saturating_sub(most)..],
        }
    }
}

/// Forecasts each window with a model: a fresh state is fed the window's context and asked for its horizon.
///
/// # Errors
/// When the model is not for series or forecasts other levels than the nine deciles, or refuses.
pub fn forecast(model: &Model, windows: &[Window], history: History) -> Result<Vec<Quantiles>> {
    check(model)?;
    let most = pack_values(model);
    let mut forecasts = Vec::with_capacity(windows.len());
    let mut rest = windows;
    while !rest.is_empty() {
        let mut values = 0;
        let pack = rest.iter().take_while(|window| {
            let begins = values == 0;
            values += history.of(window.context()).len().max(LEAST_VALUES);
            begins || values <= most
        });
        let (now, later) = rest.split_at(pack.count());
        forecasts.extend(pack_forecast(model, now, history)?);
        rest = later;
    }
    Ok(forecasts)
}

fn pack_forecast(model: &Model, windows: &[Window], history: History) -> Result<Vec<Quantiles>> {
    let options = Options::default();
    let mut states = windows.iter().map(|_| model.open(&options)).collect::<Result<Vec<State>, _>>()?;
    let mut items: Vec<Item<'_>> = (states.iter_mut().zip(windows))
        .map(|(state, window)| Item { state, events: Events::Values(history.of(window.context())) })
        .collect();
    model.append(&mut items)?;
    let longest = windows.iter().map(|window| window.target().len()).max().unwrap_or(0);
    let forecasts = model.forecast(&states.iter().collect::<Vec<_>>(), longest)?;
    let cut = forecasts.into_iter().zip(windows).map(|(forecast, window)| {
        let mut values = forecast.values;
        values.truncate(window.target().len() * LEVELS.len());
        values
    });
    Ok(cut.collect())
}

/// Values that suit the model's device at once.
fn pack_values(model: &Model) -> usize {
    if let Device::Cuda(_) = model.info().device { 1 << 21 } else { 1 << 15 }
}

/// Refuses a model whose forecasts cannot be scored.
pub(super) fn check(model: &Model) -> Result<()> {
    let name = || model.info().name.clone();
    let Some(shape) = model.series_shape() else {
        return Err(Error::Model {
            model: name(),
            problem: "is no series model: there are no forecasts to score".into(),
        });
    };
    let same = |(level, decile): (&f64, f64)| (level - decile).abs() < 1e-6;
    if shape.levels.len() != LEVELS.len() || !shape.levels.iter().zip(LEVELS).all(same) {
        let problem = format!("forecasts the levels {:?}: only the nine deciles can be scored", shape.levels);
        return Err(Error::Model { model: name(), problem });
    }
    Ok(())
}
