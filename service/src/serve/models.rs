//! `ModelService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use unspool_model::{Digest, Front, Model};
use unspool_proto::v1::{self, model_service_server::ModelService};

use super::{
    app::App,
    error::{CallError, CallResult},
    registry::Purpose,
    tenant::Tenant,
    warm,
};

/// `ModelService` of a server.
pub(crate) struct Models(pub(crate) Arc<App>);

impl Models {
    fn info(&self, model: &Model) -> CallResult<v1::ModelInfo> {
        let digest = model.info().digest;
        self.0.models.info(digest).ok_or_else(|| CallError::UnknownModel(digest.to_string()))
    }
}

fn admin(tenant: &Tenant, what: &'static str) -> CallResult<()> {
    if tenant.admin { Ok(()) } else { Err(CallError::Denied(what)) }
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        self.0.caller(&request)?;
        Ok(Response::new(v1::ListModelsResponse { models: self.0.models.list() }))
    }

    async fn get_model(&self, request: Request<v1::GetModelRequest>) -> Result<Response<v1::GetModelResponse>, Status> {
        self.0.caller(&request)?;
        let model = self.0.models.find(&request.into_inner().model, Purpose::Whole(Front::Series))?;
        Ok(Response::new(v1::GetModelResponse { model: Some(self.info(&model)?) }))
    }

    async fn load_model(
        &self,
        request: Request<v1::LoadModelRequest>,
    ) -> Result<Response<v1::LoadModelResponse>, Status> {
        admin(self.0.caller(&request)?.as_ref(), "load models")?;
        let (app, path) = (Arc::clone(&self.0), request.into_inner().path);
        let model = self.0.blocking(move || app.models.load_from_folder(&path)).await?;
        warm::up(&self.0, &model).await?;
        Ok(Response::new(v1::LoadModelResponse { model: Some(self.info(&model)?) }))
    }

    async fn unload_model(
        &self,
        request: Request<v1::UnloadModelRequest>,
    ) -> Result<Response<v1::UnloadModelResponse>, Status> {
        admin(self.0.caller(&request)?.as_ref(), "unload models")?;
        let digest: Result<Digest, _> = request.into_inner().digest.parse();
        let digest = digest.map_err(|error| CallError::invalid("digest", error.to_string()))?;
        self.0.models.unload(digest)?;
        Ok(Response::new(v1::UnloadModelResponse {}))
    }
}
