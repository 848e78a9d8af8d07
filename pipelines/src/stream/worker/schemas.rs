//! Schemas that payloads name, asked of the registry once each.

use unspool_ingest::kafka::{Decoder, Record, Registry, RegistryError};

use super::{
    super::{error::Error, job::StreamJob},
    session::Ended,
};

/// The job's registry, if it names one.
pub(super) struct Schemas(Option<Registry>);

impl Schemas {
    pub(super) fn of(job: &StreamJob) -> Self {
        Self(job.registry.clone().map(Registry::new))
    }

    /// Asks for schemas that these records name for the first time.
    pub(super) fn learn(&self, decoder: &mut Decoder, records: &[Record<'_>]) -> Result<(), Ended> {
        for id in decoder.missing(records) {
            let schema = match self.0.as_ref().map(|registry| registry.schema(id)) {
                None => Err(format!("the payload names schema {id}, but the job names no registry")),
                Some(Ok(schema)) => Ok(schema),
                Some(Err(error @ RegistryError::Unknown(_))) => Err(error.to_string()),
                Some(Err(error @ RegistryError::Refused { .. })) => {
                    return Err(Ended::Bad(Error::Settings(error.to_string())));
                }
                Some(Err(error)) => return Err(Ended::Again(error.to_string())),
            };
            decoder.learn(id, schema).map_err(|problem| Ended::Bad(Error::Settings(problem)))?;
        }
        Ok(())
    }
}
