//! Warming up: each model computes once before anyone is told that the server is ready.

use std::{num::NonZeroUsize, sync::Arc};

use unspool_model::{Front, Model, Options};
use unspool_pipelines::{
    Events, Owner,
    engine::{Done, Subject, Task},
};

use super::{app::App, error::CallResult};

/// Has a model compute a few events, and a forecast where it can.
///
/// # Errors
/// When it cannot: then nobody else could either.
pub(crate) async fn up(app: &App, model: &Arc<Model>) -> CallResult<()> {
    let events = match model.info().front {
        Front::Series => Events::Values((0..100).map(f64::from).collect::<Vec<_>>().into()),
        Front::Dna => Events::Bases(b"ACGTN".repeat(20).into()),
        Front::Tokens => Events::Tokens(vec![0; 100].into()),
    };
    let horizon = model.series_shape().and_then(|shape| NonZeroUsize::new(shape.horizon));
    let (owner, model) = (Owner(u64::MAX), Arc::clone(model));
    let subject = Subject::Fresh(Options::default());
    let task = Task { owner, model, subject, events, horizon, deadline: None };
    let done: CallResult<Vec<Done>> = app.compute(vec![task]).await?.into_iter().collect();
    done.map(|_| ())
}
