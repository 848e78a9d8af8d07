//! The sessions that events arrive for.

use std::{net::SocketAddr, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use unspool_proto::v1::{
    self, InputKind, model_service_client::ModelServiceClient, session_service_client::SessionServiceClient,
};
use uuid::Uuid;

use super::{draw, load::Shape};
use crate::error::{Error, Result};

/// Calls at a time while sessions are opened and closed.
const AT_ONCE: usize = 32;
/// The largest reply, in bytes.
const REPLY_BYTES: usize = 256 << 20;

/// Sessions of one model, over some connections.
pub(super) struct Fleet {
    model: v1::ModelInfo,
    members: Vec<Member>,
}

/// A connection with its share of the sessions.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) client: SessionServiceClient<Channel>,
    pub(super) sessions: Vec<Arc<Mutex<Session>>>,
}

/// A session as the client knows it.
pub(super) struct Session {
    id: String,
    kind: InputKind,
    seed: u64,
    /// The last append's number.
    number: u64,
    position: u64,
}

impl Fleet {
    /// Connects, and opens sessions of a model (none named: the server's default for sessions).
    ///
    /// # Errors
    /// When the server is not there, has no such model, or refuses a session.
    pub(super) async fn open((address, model): (SocketAddr, &str), sessions: u32, connections: u16) -> Result<Self> {
        let model = find(connect(address).await?, model).await?;
        let run = Uuid::new_v4().simple().to_string();
        let connections = u32::from(connections).min(sessions);
        let mut members = vec![];
        for connection in 0..connections {
            let client = SessionServiceClient::new(connect(address).await?).max_decoding_message_size(REPLY_BYTES);
            let seeds = (connection..sessions).step_by(connections as usize);
            let opened = seeds.map(|seed| {
                let (session_id, model) = (format!("bench-{run}-{seed}"), model.clone());
                let mut client = client.clone();
                async move {
                    let (id, digest) = (session_id.clone(), model.digest.clone());
                    let request = v1::OpenRequest { session_id, model: digest, ..v1::OpenRequest::default() };
                    client.open(request).await.map_err(Error::call("Open"))?;
                    let session = Session { id, kind: model.input(), seed: seed.into(), number: 0, position: 0 };
                    Ok::<_, Error>(Arc::new(Mutex::new(session)))
                }
            });
            let sessions = stream::iter(opened).buffered(AT_ONCE).try_collect().await?;
            members.push(Member { client, sessions });
        }
        Ok(Self { model, members })
    }

    /// What is measured, for people.
    pub(super) fn describe(&self) -> String {
        let v1::ModelInfo { name, width, layers, route, .. } = &self.model;
        let sessions: usize = self.members.iter().map(|member| member.sessions.len()).sum();
        let connections = self.members.len();
        let connections = if connections == 1 { "one connection".into() } else { format!("{connections} connections") };
        format!("{name}, d={width}, {layers} layers, {route}; {sessions} sessions over {connections}\n")
    }

    /// The sessions are of series.
    pub(super) fn is_series(&self) -> bool {
        self.model.input() == InputKind::Series
    }

    /// Events of a hidden row.
    pub(super) fn row_events(&self) -> u32 {
        self.model.row_events.max(1)
    }

    /// The connections.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many sessions the server does not have as their client left them.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn lost(&self) -> Result<usize> {
        let mut lost = 0;
        for Member { client, sessions } in &self.members {
            let looks = sessions.iter().map(|session| {
                let mut client = client.clone();
                async move {
                    let session = session.lock().await;
                    let (session_id, expected) = (session.id.clone(), (session.number + 1, session.position));
                    let read = client.read(v1::ReadRequest { session_id, ..v1::ReadRequest::default() }).await;
                    let found = read.map_err(Error::call("Read"))?.into_inner().session.unwrap_or_default();
                    Ok::<_, Error>((found.next_sequence_number, found.position) != expected)
                }
            });
            let looked: Vec<bool> = stream::iter(looks).buffer_unordered(AT_ONCE).try_collect().await?;
            lost += looked.into_iter().filter(|lost| *lost).count();
        }
        Ok(lost)
    }

    /// Closes the sessions: a server that was there before is left as it was.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn close(self) -> Result<()> {
        for Member { client, sessions } in self.members {
            let closes = sessions.iter().map(|session| {
                let mut client = client.clone();
                async move {
                    let session_id = session.lock().await.id.clone();
                    client.close(v1::CloseRequest { session_id }).await.map_err(Error::call("Close")).map(|_| ())
                }
            });
            stream::iter(closes).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        }
        Ok(())
    }
}

impl Session {
    /// Its next append.
    pub(super) fn append(&self, shape: Shape) -> v1::AppendRequest {
        let events = draw::events(self.kind, self.seed, (self.position, shape.events));
        let durability = if shape.durable { v1::Durability::Durable } else { v1::Durability::Memory };
        v1::AppendRequest {
            session_id: self.id.clone(),
            sequence_number: self.number + 1,
            events: Some(events.into_wire()),
            forecast: shape.horizon.map(|horizon| v1::ForecastOptions { horizon, levels: vec![] }),
            durability: durability.into(),
            ..v1::AppendRequest::default()
        }
    }

    /// The append was applied, or is going to be.
    pub(super) fn moved(&mut self, shape: Shape) {
        self.number += 1;
        self.position += u64::from(shape.events);
    }
}

/// A connection.
///
/// # Errors
/// When nobody listens there.
pub(super) async fn connect(address: SocketAddr) -> Result<Channel> {
    let refused =
        |error: tonic::transport::Error| Error::Usage(format!("{address}: no server answers there ({error})"));
    Endpoint::from_shared(format!("http://{address}")).map_err(refused)?.connect().await.map_err(refused)
}

/// What the server says of a model.
///
/// # Errors
/// When it has none of that name.
async fn find(channel: Channel, name: &str) -> Result<v1::ModelInfo> {
    let listed = ModelServiceClient::new(channel).list_models(Request::new(v1::ListModelsRequest {})).await;
    let models = listed.map_err(Error::call("ListModels"))?.into_inner().models;
    let is_it = |model: &v1::ModelInfo| match name {
        "" => model.session_default,
        name => model.name == name || model.digest == name,
    };
    let found = models.into_iter().find(is_it);
    found.ok_or_else(|| Error::Usage(format!("--model {name}: the server has no such model")))
}
