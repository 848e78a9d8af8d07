use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use futures::future::join_all;
use unspool_model::{Item, Model, Options, Output, Pool, State, series::Forecast};

use super::*;
use crate::{
    Events, Owner,
    testing::{dna_model, series_model},
};

const SMALL: EngineOptions = EngineOptions {
    pack_tokens: 32,
    slice_tokens: 4,
    open_sequences: 3,
    waiting_tokens: 100_000,
    waiting_tasks: 1000,
    owner_percent: 100,
};

fn engine(options: EngineOptions) -> Engine {
    Engine::start(options, Box::new(|_| ())).expect("a thread")
}

/// An engine that stands still within its first step until the guard is let go.
fn held(options: EngineOptions) -> (Engine, std::sync::mpsc::Sender<()>, Receiver<()>) {
    let ((go, wait), (began, begun)) = (channel::<()>(), channel());
    let wait = Mutex::new(wait);
    let observer = move |_: &Stepped| {
        // The receiver may have gone: then nobody counts.
        let _ = began.send(());
        let _ = wait.lock().expect("not poisoned").recv();
    };
    (Engine::start(options, Box::new(observer)).expect("a thread"), go, begun)
}

fn bases(len: usize, seed: usize) -> Events {
    let letters: Vec<u8> = (0..len).map(|i| b"ACGTN"[(i * i + seed * 7 + i / 3) % 5]).collect();
    Events::Bases(letters.into())
}

fn values(len: usize, seed: usize) -> Events {
    let values: Vec<f64> = (0..len).map(|i| ((i + seed) as f64 * 0.7).sin() * 10.0 + i as f64 * 0.01).collect();
    Events::Values(values.into())
}

fn pooled(layer: usize) -> Options {
    Options { layers: vec![layer], pools: true, ..Options::default() }
}

fn task(model: &Arc<Model>, owner: u64, events: Events) -> Task {
    let options = if model.series_shape().is_some() { Options::default() } else { pooled(2) };
    let model = Arc::clone(model);
    Task { owner: Owner(owner), model, subject: Subject::Fresh(options), events, horizon: None, deadline: None }
}

/// What the model gives when nothing else is there.
fn alone(task: &Task) -> (State, Output, Option<Forecast>) {
    let Subject::Fresh(options) = &task.subject else { panic!("fresh") };
    let mut state = task.model.open(options).expect("opens");
    let events = task.events.as_model();
    let output = task.model.append(&mut [Item { state: &mut state, events }]).expect("appends").remove(0);
    let forecast =
        task.horizon.map(|horizon| task.model.forecast(&[&state], horizon.get()).expect("forecasts").remove(0));
    (state, output, forecast)
}

#[tokio::test]
async fn neither_packs_nor_batch_mates_change_a_bit() {
    let (dna, series) = (dna_model(), series_model());
    let mut tasks = vec![];
    for i in 0..40 {
        tasks.push(task(&dna, i % 3, bases([0, 1, 3, 17, 90][i as usize % 5] + i as usize, i as usize)));
        let mut ahead = task(&series, i % 3, values(i as usize * 13, i as usize));
        let anomaly = i % 2 == 0;
        ahead.subject = Subject::Fresh(Options { anomaly, ..Options::default() });
        ahead.horizon = NonZeroUsize::new([0, 3, 70][i as usize % 3]);
        tasks.push(ahead);
    }
    let expected: Vec<_> = tasks.iter().map(alone).collect();
    let engine = engine(SMALL);
    let tickets = engine.submit(tasks).expect("room");
    for (done, (state, output, forecast)) in join_all(tickets).await.into_iter().zip(expected) {
        let done = done.expect("done");
        assert_eq!(*done.state, state);
        assert_eq!(done.output.scores.len(), output.scores.len());
        assert!(done.output.scores.iter().zip(&output.scores).all(|(a, b)| a.to_bits() == b.to_bits()));
        let bits = |forecast: &Option<Forecast>| {
            forecast.as_ref().map(|forecast| forecast.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(&done.forecast), bits(&forecast));
        assert_eq!(done.state.pooled(2, Pool::Mean), state.pooled(2, Pool::Mean));
    }
    assert_eq!(engine.load(), Load { tasks: 0, tokens: 0, alive: true });
}

#[tokio::test]
async fn a_fork_leaves_its_state() {
    let series = series_model();
    let engine = engine(SMALL);
    let first = engine.submit(vec![task(&series, 0, values(100, 1))]).expect("room").remove(0).await.expect("done");
    let fork = |events| Task { subject: Subject::Fork(Arc::clone(&first.state)), ..task(&series, 0, events) };
    let mut ahead = fork(values(0, 0));
    ahead.horizon = NonZeroUsize::new(5);
    let [same, moved] = [ahead, fork(values(7, 2))].map(|task| engine.submit(vec![task]).expect("room").remove(0));
    let same = same.await.expect("done");
    assert!(Arc::ptr_eq(&same.state, &first.state));
    assert_eq!(same.forecast.expect("asked for"), series.forecast(&[&first.state], 5).expect("forecasts")[0]);
    assert_eq!((moved.await.expect("done").state.position(), first.state.position()), (107, 100));
}

#[test]
fn what_a_model_refuses_never_gets_into_a_pack() {
    let (dna, series) = (dna_model(), series_model());
    let engine = engine(SMALL);
    let check = |task: Task, expected: &str| {
        let error = engine.submit(vec![task]).err().expect("refused").to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(task(&dna, 0, Events::Bases(b"ACG!".into())), "'!' at base 3");
    check(task(&dna, 0, values(3, 0)), "takes bases");
    check(task(&dna, 0, Events::Tokens(vec![99].into())), "token 99 is outside");
    check(task(&series, 0, bases(3, 0)), "takes values of a series");
    check(Task { horizon: NonZeroUsize::new(1), ..task(&dna, 0, bases(3, 0)) }, "gives no forecasts");
    check(Task { subject: Subject::Fresh(pooled(99)), ..task(&dna, 0, bases(3, 0)) }, "layer 99");
    assert_eq!(engine.load().tasks, 0);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let dna = dna_model();
    let options = EngineOptions { waiting_tokens: 100, owner_percent: 50, ..SMALL };
    let (engine, go, _begun) = held(options);
    let put = |owner, len| engine.submit(vec![task(&dna, owner, bases(len, 0))]);
    assert!(matches!(put(0, 51).err(), Some(Error::TooLarge { tokens: 51, limit: 50 })));
    let _first = put(0, 30).expect("room");
    let refused = put(0, 21).err().expect("more than the owner's share");
    assert!(matches!(refused, Error::Full { waiting: 30, retry_after } if retry_after > Duration::ZERO), "{refused}");
    let _second = put(1, 50).expect("another owner has its own share");
    assert!(matches!(put(2, 21).err(), Some(Error::Full { waiting: 80, .. })), "above the whole limit");
    drop(go);
}

#[tokio::test]
async fn who_goes_or_is_late_leaves_the_queue() {
    let dna = dna_model();
    let (engine, go, begun) = held(SMALL);
    let first = engine.submit(vec![task(&dna, 0, bases(3, 0))]).expect("room").remove(0);
    begun.recv().expect("the first step is over");
    let gone = engine.submit(vec![task(&dna, 0, bases(500, 1))]).expect("room").remove(0);
    let late = Task { deadline: Some(Instant::now()), ..task(&dna, 0, bases(500, 2)) };
    let late = engine.submit(vec![late]).expect("room").remove(0);
    let last = engine.submit(vec![task(&dna, 0, bases(3, 3))]).expect("room").remove(0);
    drop(gone);
    drop(go);
    assert!(first.await.is_ok());
    assert!(matches!(late.await, Err(Error::Expired)));
    assert!(last.await.is_ok());
    assert_eq!(engine.load(), Load { tasks: 0, tokens: 0, alive: true });
    drop(engine);
    // One step for each of the two that were done, the first of which was counted above: the others took none.
    assert_eq!(begun.try_iter().count(), 1);
}

#[tokio::test]
async fn a_closed_engine_works_off_what_waits() {
    let dna = dna_model();
    let (engine, go, _begun) = held(SMALL);
    let tickets = engine.submit((0..50).map(|i| task(&dna, i, bases(20, 1))).collect()).expect("room");
    engine.close();
    assert!(matches!(engine.submit(vec![task(&dna, 0, bases(1, 1))]), Err(Error::Closing)));
    drop(go);
    assert!(join_all(tickets).await.into_iter().all(|done| done.is_ok()));
}
