//! A model as its users see it: sequences are opened, events appended, forecasts asked for.
//!
//! ```text
//! events ──front end──► tokens or embedded patches ──encoder──► hidden rows ──► pools, rows, head
//!                │                                      │
//!                └───────────────── State ──────────────┘
//! ```

mod bases;
mod load;
mod save;
mod sequence;
mod tokens;
mod values;
mod windows;

pub(crate) use self::load::{SERIES, open};
pub use self::windows::WindowModel;
use crate::{
    Device, Digest, Error, Pooled, Result, State,
    config::Config,
    dna,
    encoder::{Encoder, Route},
    series::{FrontEnd, SeriesShape},
    state::Options,
};

/// What a model eats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// Bases, one token each ([`dna`]).
    Dna,
    /// Token ids of a published language model.
    Tokens,
    /// Values of a series, in patches.
    Series,
}

/// What a model says of itself.
#[derive(Clone, Debug)]
pub struct Info {
    /// Its name: the configuration's, else the directory's.
    pub name: String,
    /// The hash of its configuration and weights.
    pub digest: Digest,
    /// Where and how it computes.
    pub route: Route,
    /// Where its encoder runs; never [`Device::Auto`].
    pub device: Device,
    /// Why it runs on the CPU though the best device was asked for, in a program that could use a GPU: a warning to pass on.
    pub fell_back: Option<String>,
    /// What is to be known of how it computes there, such as a shape without tuned kernels: a line for the log.
    pub note: Option<String>,
    /// What it eats.
    pub front: Front,
    /// Its backbone's shape.
    pub config: Config,
    /// False for weights that were only drawn at random.
    pub trained: bool,
}

/// Front end, encoder and head, loaded. It holds no sequence: share it, and keep one [`State`] a sequence.
pub struct Model {
    info: Info,
    encoder: Box<dyn Encoder>,
    series: Option<FrontEnd>,
    bases: Option<bases::BaseHead>,
}

/// What arrives of one sequence.
#[derive(Clone, Copy, Debug)]
pub enum Events<'a> {
    /// Bases, for a DNA model.
    Bases(&'a [u8]),
    /// Token ids, for a model of tokens.
    Tokens(&'a [u32]),
    /// Values, NaN where missing, for a series model.
    Values(&'a [f64]),
}

/// One sequence's part of a batch.
#[derive(Debug)]
pub struct Item<'a> {
    /// Its state, moved on by [`Model::append`].
    pub state: &'a mut State,
    /// What arrives; may be empty.
    pub events: Events<'a>,
}

/// What one sequence's events gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// With [`Options::rows`]: for each of [`Options::layers`], hidden rows `[l, d]`; one a token, or one a patch completed.
    pub rows: Vec<Vec<f32>>,
    /// With [`Options::anomaly`]: the p-value of each value, NaN where it is missing or nothing was forecast yet. With
    /// [`Options::bits`]: -log2 of the probability of each base given those before it (2 of the first), NaN of N and what else is
    /// not predicted.
    pub scores: Vec<f64>,
}

impl Model {
    /// What the model says of itself.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// What a series model forecasts, and from what; `None` for other models.
    #[must_use]
    pub fn series_shape(&self) -> Option<&SeriesShape> {
        self.series.as_ref().map(|series| &series.shape)
    }

    /// The state of a sequence before its first event.
    ///
    /// # Errors
    /// When a layer is greater than the number of layers, or named twice, or scores are asked of a model that is not for series,
    /// or bits of one that is not for DNA.
    pub fn open(&self, options: &Options) -> Result<State> {
        let config = &self.info.config;
        for (i, layer) in options.layers.iter().enumerate() {
            if *layer > config.layers || options.layers[..i].contains(layer) {
                let problem =
                    if *layer > config.layers { "is greater than the number of layers" } else { "is named twice" };
                return Err(Error::Input(format!(
                    "layer {layer} {problem} ({} has layers 0 to {})",
                    self.info.name, config.layers
                )));
            }
        }
        if options.anomaly && self.series.is_none() {
            return Err(Error::Input(format!("{} is no series model: it gives no anomaly scores", self.info.name)));
        }
        if options.bits && self.bases.is_none() {
            return Err(Error::Input(format!("{} is no DNA model: it tells no bits of bases", self.info.name)));
        }
        let pools = if options.pools { options.layers.iter().map(|_| Pooled::new(config.d)).collect() } else { vec![] };
        let runs = self.series.as_ref().is_none_or(|series| series.runs_encoder(options));
        Ok(State {
            model: self.info.digest,
            route: self.info.route.clone(),
            options: options.clone(),
            position: 0,
            backbone: runs.then(|| self.encoder.fresh()),
            young: None,
            pools,
            predicted: options.bits.then(dna::no_context),
            series: self.series.as_ref().map(FrontEnd::fresh),
        })
    }

    /// Takes in what arrived of many sequences, and moves their states on.
    ///
    /// Ragged: any lengths, empty ones too. Under the chunk law and the batch law: cuts and batch-mates never change a bit.
    ///
    /// # Errors
    /// When an item's events are not what the model eats, a token or base is unknown, or a state is of another model;
    /// no state has moved then.
    pub fn append(&self, items: &mut [Item<'_>]) -> Result<Vec<Output>> {
        for item in items.iter() {
            self.check(item)?;
        }
        match &self.series {
            Some(series) => self.append_values(series, items),
            None => self.append_tokens(items),
        }
    }

    /// Whether [`Model::append`] would take these events, whatever else is in its batch.
    ///
    /// # Errors
    /// When they are not what the model eats, or a token or base is unknown.
    pub fn check_events(&self, events: Events<'_>) -> Result<()> {
        self.takes(events)?;
        if let Events::Bases(bases) = events {
            dna::check(bases).map_err(|e| Error::Input(e.to_string()))?;
        }
        Ok(())
    }

    /// Refuses a state of another model.
    fn owns(&self, state: &State) -> Result<()> {
        if state.model == self.info.digest {
            return Ok(());
        }
        let (expected, found) = (self.info.digest.to_string(), state.model.to_string());
        Err(crate::StateError::Model { expected, found }.into())
    }

    /// Refuses an item that [`Model::append`] could not take in whole.
    fn check(&self, item: &Item<'_>) -> Result<()> {
        self.owns(item.state)?;
        self.takes(item.events)
    }

    /// Refuses events of the wrong kind, and unknown tokens.
    fn takes(&self, events: Events<'_>) -> Result<()> {
        let vocab = self.info.config.vocab;
        match (self.info.front, events) {
            (Front::Dna, Events::Bases(_)) | (Front::Series, Events::Values(_)) => Ok(()),
            (Front::Dna | Front::Tokens, Events::Tokens(tokens)) => match tokens.iter().find(|t| **t as usize >= vocab)
            {
                Some(token) => Err(Error::Input(format!("token {token} is outside the vocabulary of {vocab}"))),
                None => Ok(()),
            },
            (front, events) => {
                let (found, wanted) = (events.name(), front.name());
                Err(Error::Input(format!("{} takes {wanted}, not {found}", self.info.name)))
            }
        }
    }
}

/// All layers that any item's hidden rows are wanted of, in order.
fn taps(items: &[Item<'_>]) -> Vec<usize> {
    let all: std::collections::BTreeSet<usize> =
        items.iter().flat_map(|item| item.state.options.layers.iter().copied()).collect();
    all.into_iter().collect()
}

impl Output {
    fn new(options: &Options) -> Self {
        Self { rows: if options.rows { vec![vec![]; options.layers.len()] } else { vec![] }, scores: vec![] }
    }

    /// Takes in a sequence's hidden rows `[taps][l, d]`.
    fn take(&mut self, options: &Options, pools: &mut [Pooled], taps: &[usize], hidden: &[&[f32]]) {
        for (i, layer) in options.layers.iter().enumerate() {
            let Ok(tap) = taps.binary_search(layer) else { continue };
            if let Some(rows) = self.rows.get_mut(i) {
                rows.extend_from_slice(hidden[tap]);
            }
            if let Some(pooled) = pools.get_mut(i) {
                pooled.push(hidden[tap]);
            }
        }
    }
}

impl Events<'_> {
    /// Bases, tokens or values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bases(bases) => bases.len(),
            Self::Tokens(tokens) => tokens.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// None arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Bases(_) => "bases",
            Self::Tokens(_) => "token ids",
            Self::Values(_) => "values",
        }
    }
}

impl Front {
    fn name(self) -> &'static str {
        match self {
            Self::Dna => "bases",
            Self::Tokens => "token ids",
            Self::Series => "values of a series",
        }
    }
}
