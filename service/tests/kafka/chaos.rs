//! Workers killed at random instants, frozen until they are given up, a broker that crashes: and the output is that of
//! one undisturbed worker, bit for bit.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    broker::{Broker, Got},
    job::{Job, Numbers, events},
    worker::Worker,
};

const PARTITIONS: i32 = 8;
/// Events written at once, and how long the writer then waits.
const BURST: u64 = 50;
const PAUSE: Duration = Duration::from_millis(100);

const SCORES: &str = "[event_time]\nlateness = 8\n[output]\ngive = 'scores'\n";
const FILES: &str = "[event_time]\nlateness = 8\n[output]\ngive = 'scores'\nfile_interval_ms = 600\n";

/// Runs the job undisturbed.
fn calm(broker: &Broker, folder: &Path, wild: &Job<'_>) -> Job<'static> {
    let input = wild.input;
    let name: &'static str = format!("{input}-calm").leak();
    let more = wild.more.to_owned().leak();
    let job = Job { broker: Box::leak(Box::new(broker.clone())), input: input.to_owned().leak(), name, more };
    let file = job.write(folder, PARTITIONS);
    let worker = Worker::start(folder, "calm", &[file.to_str().unwrap()]);
    broker.wait_for(job.name, input, Duration::from_secs(120));
    worker.stop();
    job
}

/// Outputs of each series, in order.
fn by_series(all: Vec<Got>) -> BTreeMap<String, Vec<Got>> {
    let mut by = BTreeMap::<String, Vec<Got>>::new();
    for got in all {
        by.entry(got.key.clone()).or_default().push(got);
    }
    by
}

fn assert_same(folder: &Path, (calm, wild): (&Job<'_>, &Job<'_>)) {
    let ((expected, mut letters), (found, mut letters_found)) = (calm.given(folder), wild.given(folder));
    let (expected, found) = (by_series(expected), by_series(found));
    assert!(expected.len() == 40 && expected.values().all(|all| all.len() > 10), "the test has little to say");
    for (series, expected) in &expected {
        let found = found.get(series).map_or(&[][..], |all| &all[..]);
        let differ = expected.iter().zip(found).position(|(a, b)| a != b);
        assert!(
            differ.is_none() && expected.len() == found.len(),
            "{series}: {} outputs expected, {} found; the first that differs is {differ:?}: {:?}",
            expected.len(),
            found.len(),
            differ.map(|at| (&expected[at], &found[at]))
        );
    }
    assert_eq!(found.len(), expected.len());
    letters.sort();
    letters_found.sort();
    assert!(!letters.is_empty());
    assert_eq!(letters_found, letters, "dead letters");
}

/// One act of violence.
fn disturb(numbers: &mut Numbers, (broker, folder, file): (&Broker, &Path, &str), workers: &mut Vec<Worker>) {
    let start = |workers: &Vec<Worker>| Worker::start(folder, &format!("wild-{}", workers.len()), &[file]);
    match numbers.next(10) {
        // killed, and started again at once or after a while
        0..=6 => {
            let victim = numbers.next(workers.len() as u64) as usize;
            workers.swap_remove(victim).kill();
            thread::sleep(Duration::from_millis(numbers.next(1500)));
            workers.push(start(workers));
        }
        // frozen until the group gives it up, while another one takes over; then it wakes
        7 => {
            workers[0].freeze();
            thread::sleep(Duration::from_millis(7000 + numbers.next(2000)));
            workers[0].wake();
        }
        8 => broker.restart(),
        // all at once
        _ => {
            workers.drain(..).for_each(Worker::kill);
            while workers.len() < 3 {
                workers.push(start(workers));
            }
        }
    }
}

fn chaos((input, more): (&str, &'static str), acts: usize, seed: u64) {
    // The folder is kept when the test fails: the workers' logs are in it.
    let (broker, folder) = (Broker::of_the_tests(), tempfile::tempdir().unwrap().keep());
    let (folder, input) = (&folder, broker.unique(input));
    broker.create(input, PARTITIONS, &[]);
    let wild = Job { broker: &broker, input, name: format!("{input}-wild").leak(), more };
    let file = wild.write(folder, PARTITIONS);
    let file = file.to_str().unwrap();
    let mut workers: Vec<Worker> = (0..3).map(|n| Worker::start(folder, &format!("wild-{n}"), &[file])).collect();
    let (done, ended) = mpsc::channel::<()>();
    let writes = {
        let broker = broker.clone();
        thread::spawn(move || {
            let (mut numbers, mut n) = (Numbers(seed), 0);
            let writer = broker.writer();
            while ended.try_recv() == Err(mpsc::TryRecvError::Empty) || n < 4000 {
                writer.send(input, &events(&mut numbers, PARTITIONS, (n, n + BURST)));
                n += BURST;
                thread::sleep(PAUSE);
            }
            n
        })
    };
    let mut numbers = Numbers(seed ^ 0xc4a05);
    let began = Instant::now();
    for act in 0..acts {
        thread::sleep(Duration::from_millis(300 + numbers.next(2500)));
        match act {
            // each kind once, whatever the numbers say
            2 => broker.restart(),
            4 => {
                workers[0].freeze();
                thread::sleep(Duration::from_secs(8));
                workers[0].wake();
            }
            _ => disturb(&mut numbers, (&broker, folder, file), &mut workers),
        }
    }
    // one stays dead
    workers.swap_remove(0).kill();
    drop(done);
    let events = writes.join().unwrap();
    if !broker.comes_to_its_end(wild.name, input, Duration::from_secs(60)) {
        // A broker (4.3.1) that crashed was seen to forget when a member's session ends: nothing but the member itself moves
        // the group then. Anything else that keeps it from its end is ours.
        assert_eq!(broker.members(wild.name).len(), 3, "the dead worker was given up, and nobody took its partitions");
        println!("the broker holds on to the worker that is dead: it comes back");
        workers.push(Worker::start(folder, "wild-3", &[file]));
        broker.wait_for(wild.name, input, Duration::from_secs(120));
    }
    for worker in &mut workers {
        worker.assert_runs();
    }
    workers.into_iter().for_each(Worker::stop);
    println!("{acts} disturbances and {events} events in {:?}", began.elapsed());
    let calm = calm(&broker, folder, &wild);
    assert_same(folder, (&calm, &wild));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "needs Apache Kafka: .ci/kafka.sh"]
fn ten_disturbances_change_no_bit() {
    chaos(("chaos-short", SCORES), 10, 1);
}

#[test]
#[ignore = "needs Apache Kafka: .ci/kafka.sh"]
fn ten_disturbances_change_no_file() {
    chaos(("chaos-files", FILES), 10, 3);
}

#[test]
#[ignore = "needs Apache Kafka, and a quarter of an hour"]
fn two_hundred_disturbances_change_no_bit() {
    chaos(("chaos-long", SCORES), 200, 2);
}
