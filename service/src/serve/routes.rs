//! The services of a server.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use tonic::service::Routes;
use unspool_proto::v1::{
    embedding_service_server::EmbeddingServiceServer, forecast_service_server::ForecastServiceServer,
    model_service_server::ModelServiceServer, session_service_server::SessionServiceServer,
    variant_service_server::VariantServiceServer,
};

use super::{
    app::App, embedding::Embeddings, flight::Flight, forecasting::Forecasts, models::Models, sessions::Sessions,
    variants::Variants,
};
use crate::error::{Error, Result};

/// Services whose health can be asked for by name.
pub(crate) const SERVICES: [&str; 6] = [
    "arrow.flight.protocol.FlightService",
    "unspool.v1.EmbeddingService",
    "unspool.v1.ForecastService",
    "unspool.v1.ModelService",
    "unspool.v1.SessionService",
    "unspool.v1.VariantService",
];

/// All services but health, with the limit of a message's size.
///
/// # Errors
/// When the descriptors are damaged.
pub(crate) fn all(app: &Arc<App>) -> Result<Routes> {
    let size = app.limits.message_bytes;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(unspool_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let damaged = |error: tonic_reflection::server::Error| Error::Usage(format!("reflection: {error}"));
    let mut routes = Routes::builder();
    routes
        .add_service(reflection().build_v1().map_err(damaged)?)
        .add_service(reflection().build_v1alpha().map_err(damaged)?)
        .add_service(EmbeddingServiceServer::new(Embeddings(Arc::clone(app))).max_decoding_message_size(size))
        .add_service(ForecastServiceServer::new(Forecasts(Arc::clone(app))).max_decoding_message_size(size))
        .add_service(ModelServiceServer::new(Models(Arc::clone(app))).max_decoding_message_size(size))
        .add_service(SessionServiceServer::new(Sessions(Arc::clone(app))).max_decoding_message_size(size))
        .add_service(VariantServiceServer::new(Variants::new(Arc::clone(app))).max_decoding_message_size(size))
        .add_service(FlightServiceServer::new(Flight(Arc::clone(app))).max_decoding_message_size(size));
    Ok(routes.routes())
}
