//! States to bytes and back.

use serde::{Deserialize, Serialize};

use super::Model;
use crate::{
    Digest, Pooled, Result, State,
    encoder::Route,
    error::StateError,
    series::SeriesState,
    state::{
        Options,
        bytes::{Reader, Writer},
    },
};

/// What a saved state says of itself.
#[derive(Serialize, Deserialize)]
struct About {
    model: String,
    route: String,
    position: u64,
    options: Options,
}

impl Model {
    /// A state's byte form: versioned, checksummed, with the model's digest. Equal states have equal bytes.
    ///
    /// # Errors
    /// When the state is of another model.
    pub fn save(&self, state: &State) -> Result<Vec<u8>> {
        self.owns(state)?;
        let mut writer = Writer::default();
        if let Some(backbone) = &state.backbone {
            writer.f32("backbone", &self.encoder.export(backbone)?);
        }
        if state.series.as_ref().is_some_and(SeriesState::pairs) {
            // Where there is none as yet: zeros, as a fresh one has.
            let none = || Ok(vec![0.0; self.info.config.state_len()]);
            writer.f32("backbone.young", &state.young.as_ref().map_or_else(none, |y| self.encoder.export(y))?);
        }
        for (layer, pooled) in state.options.layers.iter().zip(&state.pools) {
            writer.u64(&format!("pool.{layer}.count"), &[pooled.count]);
            writer.f64(&format!("pool.{layer}.sum"), &pooled.sum);
            writer.f32(&format!("pool.{layer}.last"), &pooled.last);
            writer.f32(&format!("pool.{layer}.max"), &pooled.max);
        }
        if let Some(predicted) = &state.predicted {
            writer.f64("predicted", predicted);
        }
        if let Some(series) = &state.series {
            series.write(&mut writer);
        }
        let about = About {
            model: state.model.to_string(),
            route: state.route.to_string(),
            position: state.position,
            options: state.options.clone(),
        };
        Ok(writer.seal(&about)?)
    }

    /// The state that [`Model::save`] wrote.
    ///
    /// One that was saved on another route is restored and keeps that route's name ([`State::route`]): from there on its
    /// bits are no longer those of an undisturbed run.
    ///
    /// # Errors
    /// [`StateError`], when the bytes are no state, damaged, cut short, of another version or another model.
    pub fn restore(&self, bytes: &[u8]) -> Result<State> {
        let (about, reader) = Reader::open::<About>(bytes)?;
        let model: Digest = about.model.parse().map_err(|e| StateError::Content(format!("{e}")))?;
        if model != self.info.digest {
            let (expected, found) = (self.info.digest.to_string(), about.model);
            return Err(StateError::Model { expected, found }.into());
        }
        let mut state = self.open(&about.options)?;
        state.route = Route(about.route);
        state.position = about.position;
        if let Some(backbone) = &mut state.backbone {
            let len = self.info.config.state_len();
            *backbone = self.encoder.import(&reader.f32("backbone", len)?)?;
        }
        for (layer, pooled) in state.options.layers.iter().zip(&mut state.pools) {
            let d = pooled.last.len();
            *pooled = Pooled {
                count: reader.u64(&format!("pool.{layer}.count"), 1)?[0],
                sum: reader.f64(&format!("pool.{layer}.sum"), d)?,
                last: reader.f32(&format!("pool.{layer}.last"), d)?,
                max: reader.f32(&format!("pool.{layer}.max"), d)?,
            };
        }
        if let Some(predicted) = &mut state.predicted {
            predicted.copy_from_slice(&reader.f64("predicted", 4)?);
        }
        if let Some(series) = &mut state.series {
            series.read(&reader)?;
            if series.pairs() {
                let young = reader.f32("backbone.young", self.info.config.state_len())?;
                state.young = series.has_young().then(|| self.encoder.import(&young)).transpose()?;
            }
        }
        Ok(state)
    }
}
