//! Appends that are calls of their own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;
use unspool_proto::v1::session_service_client::SessionServiceClient;

use super::{
    fleet::{Fleet, Member, Session},
    load::Shape,
    pace,
    tally::{Outcome, Tally},
};
use crate::error::{Error, Result};

/// Calls at a time when the most is measured.
const AT_ONCE: usize = 64;
/// Answers are waited for so long after the last arrival.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events a second that the server can take: so many calls at a time, each followed by the next one.
///
/// # Errors
/// Never, in practice.
pub(super) async fn flood(fleet: &Fleet, shape: Shape, duration: Duration) -> Result<f64> {
    let tally = Arc::new(Tally::new(Instant::now() + duration / 5, duration)?);
    let mut callers = JoinSet::new();
    for Member { client, sessions } in fleet.members() {
        let at_once = (AT_ONCE / fleet.members().len()).clamp(1, sessions.len());
        for caller in 0..at_once {
            let own: Vec<_> = sessions.iter().skip(caller).step_by(at_once).cloned().collect();
            let (mut client, tally) = (client.clone(), Arc::clone(&tally));
            callers.spawn(async move {
                for session in own.iter().cycle() {
                    let begun = Instant::now();
                    if begun >= tally.end() {
                        return;
                    }
                    let (outcome, advice) = append(&mut client, session, shape).await;
                    tally.answered(begun, outcome);
                    sleep(advice).await;
                }
            });
        }
    }
    callers.join_all().await;
    Ok(tally.rate())
}

/// What comes of events that arrive at a rate.
///
/// # Errors
/// Never, in practice.
pub(super) async fn at_rate(fleet: &Fleet, (shape, rate): (Shape, f64), duration: Duration) -> Result<Arc<Tally>> {
    let begin = Instant::now();
    let tally = Arc::new(Tally::new(begin + duration / 5, duration)?);
    let turns: Vec<_> = turns(fleet);
    let (runtime, counted) = (Handle::current(), Arc::clone(&tally));
    let appends_a_second = rate / f64::from(shape.events);
    let calls = Arc::new(std::sync::Mutex::new(JoinSet::new()));
    let spawned = Arc::clone(&calls);
    let arrive = move |number: u64, due: Instant| {
        let (client, session) = &turns[usize::try_from(number).unwrap_or(0) % turns.len()];
        let (mut client, session) = (client.clone(), Arc::clone(session));
        let mut waiting = Waiting { due, tally: Arc::clone(&counted), answered: false };
        let call = async move {
            let (outcome, _) = append(&mut client, &session, shape).await;
            waiting.answered = true;
            waiting.tally.answered(due, outcome);
        };
        if let Ok(mut calls) = spawned.lock() {
            calls.spawn_on(call, &runtime);
            // What has ended takes no more room.
            while calls.try_join_next().is_some() {}
        }
    };
    pace::arrivals(appends_a_second, (begin, tally.end()), arrive).await;
    let calls = calls.lock().map(|mut calls| std::mem::take(&mut *calls)).map_err(|_| Error::Fault)?;
    // Those that are still open then are given up, and counted so.
    let _ = timeout(PATIENCE, calls.join_all()).await;
    Ok(tally)
}

/// Sessions in the order in which events arrive for them, with their connections.
fn turns(fleet: &Fleet) -> Vec<(SessionServiceClient<Channel>, Arc<Mutex<Session>>)> {
    let longest = fleet.members().iter().map(|member| member.sessions.len()).max().unwrap_or(0);
    let places = (0..longest).flat_map(|place| fleet.members().iter().map(move |member| (member, place)));
    places
        .filter_map(|(member, place)| Some((member.client.clone(), Arc::clone(member.sessions.get(place)?))))
        .collect()
}

/// An append that has not been answered.
struct Waiting {
    due: Instant,
    tally: Arc<Tally>,
    answered: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            self.tally.given_up(self.due);
        }
    }
}

/// Appends to a session, after what it is doing now; also gives the advice when to come again.
async fn append(
    client: &mut SessionServiceClient<Channel>,
    session: &Mutex<Session>,
    shape: Shape,
) -> (Outcome, Duration) {
    let mut session = session.lock().await;
    match client.append(session.append(shape)).await {
        Ok(_) => {
            session.moved(shape);
            (Outcome { events: shape.events.into(), ..Outcome::default() }, Duration::ZERO)
        }
        Err(status) => match advice(&status) {
            Some(advice) => (Outcome { refused: 1, ..Outcome::default() }, advice),
            None => (Outcome { failed: 1, ..Outcome::default() }, Duration::from_millis(10)),
        },
    }
}

/// When to come again, of a refusal that says so.
fn advice(status: &Status) -> Option<Duration> {
    let exhausted = status.code() == Code::ResourceExhausted;
    status.get_details_retry_info().filter(|_| exhausted)?.retry_delay
}
