//! A session over gRPC: values come one by one, and the next ones are forecast.

use unspool_proto::v1::{
    AppendRequest, CloseRequest, Events, ForecastOptions, OpenRequest, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (step, quantiles) in (1..).zip(live("http://127.0.0.1:50051").await?) {
        println!("{step} ahead: {quantiles:.3?}");
    }
    Ok(())
}

/// The quantiles of four steps ahead, after 200 values of a session of its own.
pub async fn live(address: &'static str) -> Result<Vec<Vec<f64>>, Box<dyn std::error::Error>> {
    let mut sessions = SessionServiceClient::connect(address).await?;
    let session = sessions.open(OpenRequest::default()).await?.into_inner().session.ok_or("no session")?;
    let (session_id, mut ahead) = (session.session_id, vec![]);
    for number in 1..=200_u32 {
        let values = vec![(f64::from(number) / 7.0).sin()];
        let request = AppendRequest {
            session_id: session_id.clone(),
            // Sent again with the same number, an append counts once: retry as you like.
            sequence_number: number.into(),
            events: Some(Events { kind: Some(Kind::Values(Values { values })) }),
            forecast: (number == 200).then(|| ForecastOptions { horizon: 4, levels: vec![0.1, 0.5, 0.9] }),
            ..AppendRequest::default()
        };
        let reply = sessions.append(request).await?.into_inner();
        ahead = reply.quantiles.chunks(reply.levels.len().max(1)).map(<[f64]>::to_vec).collect();
    }
    sessions.close(CloseRequest { session_id }).await?;
    Ok(ahead)
}
