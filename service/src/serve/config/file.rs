//! The TOML file, as it is written. Unknown keys are refused.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use unspool_model::{Device, Weights};

use crate::{error::Result, job_file, serve::args::LogFormat};

/// Everything that a file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) data_dir: Option<PathBuf>,
    #[serde(default)]
    pub(crate) model: Vec<String>,
    pub(crate) models_dir: Option<PathBuf>,
    pub(crate) device: Option<Device>,
    pub(crate) weights: Option<Weights>,
    pub(crate) threads: Option<u16>,
    pub(crate) tls: Option<TlsFile>,
    pub(crate) allow_insecure: Option<bool>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) log_format: Option<LogFormat>,
    #[serde(default)]
    pub(crate) limits: LimitsFile,
    #[serde(default)]
    pub(crate) tenants: Vec<TenantFile>,
}

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFile {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

/// `[limits]`; see `Limits` for what they mean.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsFile {
    pub(crate) message_bytes: Option<usize>,
    pub(crate) request_events: Option<usize>,
    pub(crate) request_sequences: Option<usize>,
    pub(crate) horizon: Option<u32>,
    pub(crate) stream_messages: Option<usize>,
    pub(crate) session_ttl_s: Option<u64>,
    pub(crate) default_session_ttl_s: Option<u64>,
    pub(crate) sessions: Option<u64>,
    pub(crate) session_memory_bytes: Option<u64>,
    pub(crate) session_state_bytes: Option<u64>,
    pub(crate) session_log_bytes: Option<u64>,
    pub(crate) session_replay_events: Option<u64>,
    pub(crate) session_history_bytes: Option<u64>,
    pub(crate) gpu_state_bytes: Option<u64>,
    pub(crate) batch_tokens: Option<usize>,
    pub(crate) waiting_tokens: Option<usize>,
    pub(crate) waiting_tasks: Option<usize>,
    pub(crate) tenant_percent: Option<usize>,
    pub(crate) connections: Option<usize>,
    pub(crate) connection_calls: Option<u32>,
    pub(crate) models: Option<usize>,
    pub(crate) drain_s: Option<u64>,
}

/// `[[tenants]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantFile {
    /// Its name, in the log and the metrics; a tenant's sessions belong to the name.
    pub(crate) name: String,
    /// SHA-256 of each of its tokens, 64 hexadecimal digits: `printf %s "$TOKEN" | sha256sum`.
    pub(crate) token_sha256: Vec<String>,
    /// It may load and unload models.
    #[serde(default)]
    pub(crate) admin: bool,
    /// Sessions at once, at most.
    pub(crate) sessions: Option<u64>,
    /// Events of one request, at most; `limits.request_events` holds beside it.
    pub(crate) request_events: Option<usize>,
    /// Calls (and messages of a stream) a second.
    pub(crate) requests_per_s: Option<f64>,
    /// Events a second.
    pub(crate) events_per_s: Option<f64>,
}

impl File {
    /// Reads a file; paths in it are relative to it.
    ///
    /// # Errors
    /// When it cannot be read, or is not understood: the line says where.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut file: Self = job_file::read(path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let paths = [&mut file.data_dir, &mut file.models_dir];
        paths.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        if let Some(tls) = &mut file.tls {
            let paths = [Some(&mut tls.cert), Some(&mut tls.key), tls.client_ca.as_mut()];
            paths.into_iter().flatten().for_each(|path| *path = folder.join(&*path));
        }
        Ok(file)
    }
}
