//! TLS and mutual TLS.

use std::{error::Error as _, fs, path::Path, time::Duration};

use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::config::file::TlsFile;
use crate::error::{Error, Result};

/// Whoever does not come to an end with the handshake by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A server that speaks TLS.
///
/// # Errors
/// When a file cannot be read, or certificates and key are damaged or do not go together.
pub(crate) fn apply(server: Server, files: &TlsFile) -> Result<Server> {
    server.tls_config(config(files)?).map_err(|error| refused(files, &error))
}

/// Reads the certificates and the key.
fn config(files: &TlsFile) -> Result<ServerTlsConfig> {
    let read = |path: &Path| fs::read(path).map_err(|source| Error::Io { path: path.into(), source });
    let identity = Identity::from_pem(read(&files.cert)?, read(&files.key)?);
    let config = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE);
    match &files.client_ca {
        Some(ca) => Ok(config.client_ca_root(Certificate::from_pem(read(ca)?))),
        None => Ok(config),
    }
}

/// The certificates and the key do not go together, or are damaged.
fn refused(files: &TlsFile, error: &tonic::transport::Error) -> Error {
    let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    Error::Usage(format!("tls: {} and {}: {why}", files.cert.display(), files.key.display()))
}
