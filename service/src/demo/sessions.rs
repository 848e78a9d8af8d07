//! A session a series on the server: the same events, appended as they come.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::try_join_all;
use tonic::transport::{Channel, Endpoint};
use unspool_proto::v1::{
    AppendRequest, AppendResponse, Events, ForecastOptions, OpenRequest, SessionOptions, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

use super::{
    HORIZON,
    player::Played,
    rides::{Rides, ZONES},
};
use crate::error::{Error, Result};

/// Between two rounds of appends.
const EVERY: Duration = Duration::from_millis(100);
/// Values of an append, at most.
const MOST: usize = 256;

/// What a session was told and gave.
#[derive(Debug, Default)]
pub(super) struct Session {
    number: u64,
    /// P-values of the values so far.
    pub(super) p_values: Vec<f64>,
    /// After the last one: `[HORIZON, levels]`.
    pub(super) quantiles: Vec<f64>,
}

impl Session {
    /// How many appends it was.
    pub(super) fn appends(&self) -> u64 {
        self.number
    }
}

/// Opens a session a series, and appends what the player has played until that is all; then asks for forecasts.
///
/// # Errors
/// When the server refuses a call.
pub(super) async fn follow(address: SocketAddr, rides: Arc<Rides>, played: Played) -> Result<Vec<Session>> {
    let unreachable = |error: tonic::transport::Error| Error::Usage(format!("{address}: {error}"));
    let channel = Endpoint::from_shared(format!("http://{address}")).map_err(unreachable)?;
    let client = SessionServiceClient::new(channel.connect().await.map_err(unreachable)?);
    for zone in &rides.zones {
        let options = Some(SessionOptions { anomaly: true, ..SessionOptions::default() });
        let request = OpenRequest { session_id: zone.id.clone(), options, ..OpenRequest::default() };
        client.clone().open(request).await.map_err(Error::call("Open"))?;
    }
    let mut sessions: Vec<Session> = (0..rides.zones.len()).map(|_| Session::default()).collect();
    let unfinished = |sessions: &[Session]| sessions.iter().any(|session| session.quantiles.is_empty());
    while unfinished(&sessions) {
        // What whole rounds of all series have been played.
        let steps = played.events() / ZONES;
        let appends = sessions.iter_mut().enumerate().map(|(zone, session)| {
            let rows = &rides.zones[zone].rows;
            let end = steps.min(session.p_values.len() + MOST);
            let values = rows[session.p_values.len()..end].iter().map(|row| row.1).collect();
            append(client.clone(), &rides.zones[zone].id, session, (values, end == rows.len()))
        });
        try_join_all(appends).await?;
        if sessions.iter().all(|session| session.p_values.len() == steps) {
            tokio::time::sleep(EVERY).await;
        }
    }
    Ok(sessions)
}

async fn append(
    mut client: SessionServiceClient<Channel>,
    id: &str,
    session: &mut Session,
    (values, last): (Vec<f64>, bool),
) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let request = AppendRequest {
        session_id: id.to_owned(),
        sequence_number: session.number + 1,
        events: Some(Events { kind: Some(Kind::Values(Values { values })) }),
        forecast: last.then(|| ForecastOptions { horizon: HORIZON, levels: vec![] }),
        ..AppendRequest::default()
    };
    let reply: AppendResponse = client.append(request).await.map_err(Error::call("Append"))?.into_inner();
    session.number += 1;
    session.p_values.extend(reply.scores);
    session.quantiles = reply.quantiles;
    Ok(())
}
