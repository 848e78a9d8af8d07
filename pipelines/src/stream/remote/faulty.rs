//! A store that fails, stalls or is slow as told.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart, memory::InMemory, path::Path,
};

/// What happens to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused; the next one may not be.
    Fails,
    /// It is refused for good.
    Forbidden,
    /// It is never answered.
    Stalls,
    /// It is answered after a while.
    Slow(Duration),
}

/// Questions to come, one fault each, then the last one for ever (none: all goes well).
#[derive(Debug, Default)]
pub(crate) struct Plan(Mutex<(VecDeque<Fault>, Option<Fault>)>);

impl Plan {
    /// These, then all is well.
    pub(crate) fn some(&self, faults: &[Fault]) {
        *self.0.lock().unwrap() = (faults.iter().copied().collect(), None);
    }

    /// This one for ever.
    pub(crate) fn always(&self, fault: Fault) {
        *self.0.lock().unwrap() = (VecDeque::new(), Some(fault));
    }

    async fn next(&self) -> Result<()> {
        let fault = {
            let mut plan = self.0.lock().unwrap();
            plan.0.pop_front().or(plan.1)
        };
        match fault {
            None => Ok(()),
            Some(Fault::Fails) => Err(super::generic("503 Slow Down".into())),
            Some(Fault::Forbidden) => {
                Err(object_store::Error::PermissionDenied { path: "x".into(), source: "403 Forbidden".into() })
            }
            Some(Fault::Stalls) => std::future::pending().await,
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
        }
    }
}

/// The store.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) inner: Arc<InMemory>,
    pub(crate) plan: Arc<Plan>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.plan.next().await?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.plan.next().await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner, plan: Arc::clone(&self.plan) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.plan.next().await?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let plan = Arc::clone(&self.plan);
        let all = futures::stream::once(async move { plan.next().await });
        let inner = Arc::clone(&self.inner);
        let mut locations = Some(locations);
        all.flat_map(move |done| match (done, locations.take()) {
            (Ok(()), Some(locations)) => inner.delete_stream(locations),
            (Err(error), _) => futures::stream::once(async { Err(error) }).boxed(),
            (Ok(()), None) => futures::stream::empty().boxed(),
        })
        .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (plan, inner, prefix) = (Arc::clone(&self.plan), Arc::clone(&self.inner), prefix.cloned());
        futures::stream::once(async move { plan.next().await })
            .flat_map(move |done| match done {
                Ok(()) => inner.list(prefix.as_ref()),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.plan.next().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.plan.next().await?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, part) = (Arc::clone(&self.plan), self.inner.put_part(data));
        Box::pin(async move {
            plan.next().await?;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.plan.next().await?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
