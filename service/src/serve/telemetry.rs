//! The log, and traces over OTLP.

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use super::{args::LogFormat, config::Config};
use crate::error::{Error, Result};

/// What is never logged in more detail, whatever is asked for.
const SECRETIVE: [&str; 3] = ["h2=info", "hyper=info", "tonic=info"];

/// Sends what is left of the traces when it is dropped.
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Starts both. Within a runtime: the sender of traces needs one.
///
/// # Errors
/// When the endpoint is no address.
pub(crate) fn start(config: &Config) -> Result<Telemetry> {
    let filter = EnvFilter::try_from_env("UNSPOOL_LOG").unwrap_or_else(|_| EnvFilter::new("unspool=info,error"));
    // The traces of the HTTP library hold headers, and so tokens.
    let filter = SECRETIVE.iter().filter_map(|one| one.parse().ok()).fold(filter, EnvFilter::add_directive);
    let (writer, colours) = (std::io::stderr, std::io::stderr().is_terminal());
    let log: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Text => {
            tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(writer).with_filter(filter).boxed()
        }
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(writer).with_filter(filter).boxed(),
    };
    let provider = config.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        // Our own spans only: those of the sender itself would never end.
        let filter = EnvFilter::new("unspool=info");
        tracing_opentelemetry::layer().with_tracer(provider.tracer("unspool")).with_filter(filter)
    });
    tracing_subscriber::registry().with(log).with(traces).init();
    Ok(Telemetry(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| Error::Usage(format!("--otlp-endpoint {endpoint}: {error}")))?;
    let resource = Resource::builder().with_service_name("unspool").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
