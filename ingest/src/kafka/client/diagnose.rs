//! Why nobody answers: a client says so only in passing, in events that a question does not wait for.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext},
};

use super::{Connection, Error};

/// How long a refusal is listened for.
const LISTEN: Duration = Duration::from_secs(4);

/// The first refusal heard.
#[derive(Default)]
struct Heard(Mutex<Option<String>>);

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) = error.rdkafka_error_code() {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get_or_insert_with(|| reason.to_owned());
        }
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl Connection {
    /// What a question that failed means: a client that nobody answers is asked whether it was refused.
    pub(super) fn diagnosed(&self, error: KafkaError) -> Error {
        let error = self.failed(error);
        let Error::NoBroker { bootstrap, .. } = &error else { return error };
        let Ok(client) = self.config(&[]).create_with_context::<_, BaseProducer<Heard>>(Heard::default()) else {
            return error;
        };
        let until = Instant::now() + LISTEN;
        while Instant::now() < until {
            client.poll(Duration::from_millis(100));
            let heard = client.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(problem) = heard {
                return Error::Refused { bootstrap: bootstrap.clone(), problem };
            }
        }
        error
    }
}
