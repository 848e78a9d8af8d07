//! Who may call: the tenant of the bearer token, for every service, reflection, health and Flight included.

use std::sync::Arc;

use tonic::{Request, Status, service::Interceptor};

use super::tenant::Tenants;

/// Lets a call in and notes its tenant, or refuses it.
#[derive(Clone)]
pub(crate) struct Auth(pub(crate) Arc<Tenants>);

impl Interceptor for Auth {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let Some(tenant) = self.0.find(header) else {
            metrics::counter!("unspool_unauthenticated_total").increment(1);
            return Err(Status::unauthenticated("a token is needed: authorization: Bearer TOKEN"));
        };
        tracing::Span::current().record("tenant", tenant.name.as_str());
        request.extensions_mut().insert(tenant);
        Ok(request)
    }
}
