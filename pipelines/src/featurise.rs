//! Rows to chunks of events: one featuriser for each of the two schemas.

mod reads;
mod series;

pub use self::{
    reads::{ReadsFeaturiser, Record},
    series::{Series, SeriesFeaturiser},
};
