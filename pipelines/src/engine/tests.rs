use std::{
    collections::HashMap,
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
    store::{self, Key, Spec, StoreOptions, Time},
    testing::{dna_model, series_model},
};

const SMALL: EngineOptions = EngineOptions {
    pack_tokens: 32,
    gpu_pack_tokens: 32,
    pack_slices: 8,
    open_sequences: 3,
    waiting_tokens: 100_000,
    waiting_tasks: 1000,
    owner_percent: 100,
};

/// A store in memory.
fn store(models: &[&Arc<Model>]) -> Arc<Store> {
    let models: HashMap<_, _> = models.iter().map(|model| (model.info().digest, Arc::clone(model))).collect();
    Arc::new(Store::open(None, StoreOptions::default(), Arc::new(models)).expect("opens"))
}

fn engine(options: EngineOptions) -> Engine {
    Engine::start(options, store(&[]), Box::new(|_| ())).expect("a thread")
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
    (Engine::start(options, store(&[]), Box::new(observer)).expect("a thread"), go, begun)
}

fn bases(len: usize, seed: usize) -> Events {
    let letters: Vec<u8> = (0..len).map(|i| b"ACGTN"[(i * i + seed * 7 + i / 3) % 5]).collect();
    Events::Bases(letters.into())
}

fn waves(len: usize, seed: usize) -> Vec<f64> {
    (0..len).map(|i| ((i + seed) as f64 * 0.7).sin() * 10.0 + i as f64 * 0.01).collect()
}

fn values(len: usize, seed: usize) -> Events {
    Events::Values(waves(len, seed).into())
}

fn values_of(len: usize) -> Events {
    values(len, 0)
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
        let given = done.state.expect("given");
        assert_eq!(*given, state);
        assert_eq!(done.output.scores.len(), output.scores.len());
        assert!(done.output.scores.iter().zip(&output.scores).all(|(a, b)| a.to_bits() == b.to_bits()));
        let bits = |forecast: &Option<Forecast>| {
            forecast.as_ref().map(|forecast| forecast.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        assert_eq!(bits(&done.forecast), bits(&forecast));
        assert_eq!(given.pooled(2, Pool::Mean), state.pooled(2, Pool::Mean));
    }
    assert_eq!(engine.load(), Load { tasks: 0, tokens: 0, alive: true });
}

#[tokio::test]
async fn a_fork_leaves_its_state() {
    let series = series_model();
    let engine = engine(SMALL);
    let first = engine.submit(vec![task(&series, 0, values(100, 1))]).expect("room").remove(0).await.expect("done");
    let first = first.state.expect("given");
    let fork = |events| Task { subject: Subject::Fork(Arc::clone(&first)), ..task(&series, 0, events) };
    let mut ahead = fork(values(0, 0));
    ahead.horizon = NonZeroUsize::new(5);
    let [same, moved] = [ahead, fork(values(7, 2))].map(|task| engine.submit(vec![task]).expect("room").remove(0));
    let same = same.await.expect("done");
    assert!(Arc::ptr_eq(&same.state.expect("given"), &first));
    assert_eq!(same.forecast.expect("asked for"), series.forecast(&[&first], 5).expect("forecasts")[0]);
    let moved = moved.await.expect("done").state.expect("given");
    assert_eq!((moved.position(), first.position()), (107, 100));
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
    // Longer than a pack: it is there still when the engine stands.
    let _first = put(0, 40).expect("room");
    let refused = put(0, 11).err().expect("more than the owner's share");
    assert!(matches!(refused, Error::Full { waiting: 40, retry_after } if retry_after > Duration::ZERO), "{refused}");
    let _second = put(1, 50).expect("another owner has its own share");
    assert!(matches!(put(2, 11).err(), Some(Error::Full { waiting: 90, .. })), "above the whole limit");
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

#[tokio::test]
async fn appends_of_a_session_follow_one_another_among_other_work() {
    let series = series_model();
    let store = store(&[&series]);
    let engine = Engine::start(SMALL, Arc::clone(&store), Box::new(|_| ())).expect("a thread");
    let options = Options { anomaly: true, ..Options::default() };
    let spec = Spec { model: series.info().digest, options: options.clone(), ttl: None };
    let keys = ["a", "b"].map(|id| Key::new(b"owner", id));
    let lengths = [3, 900, 0, 40, 1];
    let all: Vec<Vec<f64>> = lengths.iter().enumerate().map(|(i, len)| waves(*len, i)).collect();
    let mut tickets = vec![];
    for key in &keys {
        store.open_session(key, &spec, Time(0)).expect("opens");
        for (number, values) in (1..).zip(&all) {
            let subject = Subject::Session { key: key.clone(), number, state: number == 5 };
            let mut append = Task { subject, ..task(&series, 0, Events::Values(values.clone().into())) };
            append.horizon = NonZeroUsize::new(3);
            tickets.extend(engine.submit(vec![append, task(&series, 1, values_of(100))]).expect("room"));
        }
    }
    let done: Vec<Done> = join_all(tickets).await.into_iter().map(|done| done.expect("done")).collect();
    let mut alone = series.open(&options).expect("opens");
    for (i, values) in all.iter().enumerate() {
        let mut items = [Item { state: &mut alone, events: unspool_model::Events::Values(values) }];
        let output = series.append(&mut items).expect("appends").remove(0);
        let forecast = series.forecast(&[&alone], 3).expect("forecasts").remove(0);
        for done in [&done[2 * i], &done[2 * (lengths.len() + i)]] {
            let appended = done.appended.as_ref().expect("a session's");
            assert_eq!((appended.position, appended.repeated), (alone.position(), false));
            assert!(!appended.route_changed);
            // The last one's was asked for.
            assert_eq!(done.state.as_deref(), (i == 4).then_some(&alone));
            let bits = |all: &[f64]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&done.output.scores), bits(&output.scores));
            assert_eq!(bits(&done.forecast.as_ref().expect("asked for").values), bits(&forecast.values));
        }
    }
    assert_eq!(*store.read(&keys[1], Time(0)).expect("there").state, alone);
}

#[tokio::test]
async fn an_append_again_gives_its_reply_again() {
    let series = series_model();
    let store = store(&[&series]);
    let engine = Engine::start(SMALL, Arc::clone(&store), Box::new(|_| ())).expect("a thread");
    let spec = Spec { model: series.info().digest, options: Options::default(), ttl: None };
    let key = Key::new(b"owner", "a");
    store.open_session(&key, &spec, Time(0)).expect("opens");
    let append = async |number, len| {
        let subject = Subject::Session { key: key.clone(), number, state: false };
        let append = Task { horizon: NonZeroUsize::new(2), ..task(&series, 0, values_of(len)) };
        engine.submit(vec![Task { subject, ..append }]).expect("room").remove(0).await
    };
    let first = append(1, 1000).await.expect("done");
    // A long one: its parts stop at the first.
    let again = append(1, 1000).await.expect("done");
    let told = |done: &Done| done.appended.as_ref().map(|appended| (appended.position, appended.repeated));
    assert_eq!((told(&first), told(&again)), (Some((1000, false)), Some((1000, true))));
    assert_eq!(again.forecast, first.forecast);
    assert!(matches!(append(3, 1).await, Err(Error::Store(store::Error::Gap { expected: 2, .. }))));
    append(2, 1).await.expect("goes on");
    assert!(matches!(append(1, 1000).await, Err(Error::Store(store::Error::Old { .. }))));
    assert_eq!(engine.load(), Load { tasks: 0, tokens: 0, alive: true });
}

#[tokio::test]
async fn an_append_that_nobody_waits_for_is_taken_back() {
    let series = series_model();
    let store = store(&[&series]);
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let observer = move |_: &Stepped| {
        // Sent or let go: both mean go on.
        let _ = wait.lock().expect("not poisoned").recv();
    };
    let engine = Engine::start(SMALL, Arc::clone(&store), Box::new(observer)).expect("a thread");
    let spec = Spec { model: series.info().digest, options: Options::default(), ttl: None };
    let key = Key::new(b"owner", "a");
    store.open_session(&key, &spec, Time(0)).expect("opens");
    let append = |number, len| Task {
        subject: Subject::Session { key: key.clone(), number, state: false },
        ..task(&series, 0, values_of(len))
    };
    // Long enough for several steps, in the first of which the engine stands still.
    let gone = engine.submit(vec![append(1, 5000)]).expect("room");
    go.send(()).expect("listens");
    drop(gone);
    let next = engine.submit(vec![append(1, 7)]).expect("room").remove(0);
    drop(go);
    let done = next.await.expect("done");
    assert_eq!(done.appended.map(|appended| appended.position), Some(7));
}
