//! A session over gRPC: values come one by one, and the next ones are forecast.
//!
//! ```sh
//! unspool serve &
//! cargo run -p unspool --example forecast
//! ```

use unspool_proto::v1::{
    AppendRequest, CloseRequest, Events, ForecastOptions, OpenRequest, Values, events::Kind,
    session_service_client::SessionServiceClient,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sessions = SessionServiceClient::connect("http://127.0.0.1:50051").await?;
    let session = sessions.open(OpenRequest::default()).await?.into_inner().session.ok_or("no session")?;
    let session_id = session.session_id;
    for number in 1..=200_u32 {
        let values = vec![(f64::from(number) / 7.0).sin()];
        let request = AppendRequest {
            session_id: session_id.clone(),
            // Sent again with the same number, an append counts once.
            sequence_number: number.into(),
            events: Some(Events { kind: Some(Kind::Values(Values { values })) }),
            forecast: (number == 200).then(|| ForecastOptions { horizon: 4, levels: vec![0.1, 0.5, 0.9] }),
            ..AppendRequest::default()
        };
        let reply = sessions.append(request).await?.into_inner();
        for (step, quantiles) in (1..).zip(reply.quantiles.chunks(reply.levels.len().max(1))) {
            println!("{step} ahead: {quantiles:.3?}");
        }
    }
    sessions.close(CloseRequest { session_id }).await?;
    Ok(())
}
