//! Appends over streams, many a message.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join_all};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::timeout,
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use unspool_proto::v1::{self, stream_result::Outcome as Result1};

use super::{
    fleet::{Fleet, Member},
    load::Shape,
    pace,
    tally::{Outcome, Tally},
};
use crate::error::{Error, Result};

/// Messages on their way when the most is measured: as many as a server works on at a time, by default.
const AT_ONCE: usize = 8;
/// Answers are waited for so long after the last arrival.
const PATIENCE: Duration = Duration::from_secs(30);

/// Messages that were sent and not answered, by when they were due.
type Waiting = Arc<Mutex<VecDeque<Instant>>>;

/// Events a second that the server can take: some messages on their way, each answer followed by the next one.
///
/// # Errors
/// When a stream breaks.
pub(super) async fn flood(fleet: &Fleet, shape: Shape, duration: Duration) -> Result<f64> {
    let tally = Tally::new(Instant::now() + duration / 5, duration)?;
    let feeds = fleet.members().iter().map(|member| {
        let (sender, arrivals) = unbounded_channel();
        (0..AT_ONCE).try_for_each(|_| sender.send(Instant::now())).ok();
        let (mut sender, tally) = (Some(sender), &tally);
        let answered = move |due, outcome| {
            tally.answered(due, outcome);
            if Instant::now() >= tally.end() {
                // No more: the stream ends when what is on its way is answered.
                sender = None;
            }
            next(sender.as_ref());
        };
        feed(member, shape, (arrivals, Waiting::default()), answered)
    });
    try_join_all(feeds).await?;
    Ok(tally.rate())
}

/// One more message, now.
fn next(sender: Option<&UnboundedSender<Instant>>) {
    // A stream that has broken takes no more, and says so itself.
    let _ = sender.map(|sender| sender.send(Instant::now()));
}

/// What comes of events that arrive at a rate.
///
/// # Errors
/// When a stream breaks.
pub(super) async fn at_rate(fleet: &Fleet, (shape, rate): (Shape, f64), duration: Duration) -> Result<Arc<Tally>> {
    let begin = Instant::now();
    let tally = Arc::new(Tally::new(begin + duration / 5, duration)?);
    let (mut senders, mut feeds, mut all_waiting) = (vec![], vec![], vec![]);
    for member in fleet.members() {
        let (sender, arrivals) = unbounded_channel();
        let (waiting, counted) = (Waiting::default(), Arc::clone(&tally));
        all_waiting.push(Arc::clone(&waiting));
        senders.push(sender);
        let answered = move |due, outcome| counted.answered(due, outcome);
        feeds.push(feed(member, shape, (arrivals, waiting), answered));
    }
    let messages_a_second = rate / f64::from(shape.events) / f64::from(shape.message);
    let arrive = move |number: u64, due: Instant| {
        let turn = usize::try_from(number).unwrap_or(0) % senders.len();
        // A stream that has broken takes no more, and says so itself.
        let _ = senders[turn].send(due);
    };
    let arrivals = pace::arrivals(messages_a_second, (begin, tally.end()), arrive);
    let length = duration + duration / 5 + PATIENCE;
    let (fed, ()) = futures::join!(timeout(length, try_join_all(feeds)), arrivals);
    if let Ok(broken) = fed {
        broken?;
    }
    for waiting in all_waiting {
        waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|due| tally.given_up(due));
    }
    Ok(tally)
}

/// One stream: a message of the member's next sessions for each arrival, `answered` for each reply.
async fn feed(
    member: &Member,
    shape: Shape,
    (arrivals, waiting): (UnboundedReceiver<Instant>, Waiting),
    mut answered: impl FnMut(Instant, Outcome),
) -> Result<()> {
    let (mut client, sessions, sent) = (member.client.clone(), member.sessions.clone(), Arc::clone(&waiting));
    let (mut tag, mut turn) = (0, 0);
    let messages = UnboundedReceiverStream::new(arrivals).map(move |due| {
        sent.lock().unwrap_or_else(PoisonError::into_inner).push_back(due);
        let count = (shape.message as usize).min(sessions.len());
        let taken = sessions.iter().cycle().skip(turn).take(count);
        // This stream alone has these sessions.
        let appends = taken.filter_map(|session| {
            let mut session = session.try_lock().ok()?;
            let append = session.append(shape);
            session.moved(shape);
            Some(append)
        });
        let appends = appends.collect();
        (tag, turn) = (tag + 1, (turn + count) % sessions.len());
        v1::StreamRequest { tag, appends }
    });
    let stream = client.stream(messages).await.map_err(Error::call("Stream"))?;
    let mut replies = stream.into_inner();
    while let Some(reply) = replies.message().await.map_err(Error::call("Stream"))? {
        let due = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        answered(due.unwrap_or_else(Instant::now), outcome(&reply, shape));
    }
    Ok(())
}

fn outcome(reply: &v1::StreamResponse, shape: Shape) -> Outcome {
    let applied = |result: &&v1::StreamResult| matches!(result.outcome, Some(Result1::Reply(_)));
    let applied = reply.results.iter().filter(applied).count() as u64;
    let failed = reply.results.len() as u64 - applied;
    Outcome { events: applied * u64::from(shape.events), refused: 0, failed }
}
