//! Small scenarios, each on topics of its own.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::{
    broker::{Broker, Got, Sent},
    job::{Job, Numbers, events},
    worker::Worker,
};

pub(crate) const SCORES: &str = "[output]\ngive = 'scores'\n";
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Events of one series in order, one a step.
pub(crate) fn steps((from, to): (u64, u64)) -> Vec<Sent> {
    let step = |t: u64| Sent {
        key: Some("a".into()),
        payload: Some(format!("{{\"t\":{t},\"v\":{}}}", (t as f64 / 7.0).sin())),
        ..Sent::default()
    };
    (from..to).map(step).collect()
}

/// A broker, a folder, and a job on topics of its own.
pub(crate) struct Scene {
    pub broker: Broker,
    folder: tempfile::TempDir,
    pub input: &'static str,
    partitions: i32,
}

impl Scene {
    pub(crate) fn new(broker: &Broker, name: &str, partitions: i32) -> Self {
        let broker = broker.clone();
        let input = broker.unique(name);
        broker.create(input, partitions, &[]);
        Self { broker, folder: tempfile::tempdir().unwrap(), input, partitions }
    }

    /// A job `NAME`, and its file.
    pub(crate) fn job(&self, name: &str, more: &'static str) -> (Job<'_>, String) {
        let name = format!("{}-{name}", self.input).leak();
        let job = Job { broker: &self.broker, input: self.input, name, more };
        let file = job.write(self.folder.path(), self.partitions).to_str().unwrap().to_owned();
        (job, file)
    }

    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Worker {
        Worker::start(self.folder.path(), name, arguments)
    }

    /// Runs a job until it has committed all there is.
    pub(crate) fn run(&self, (job, file): &(Job<'_>, String)) {
        let worker = self.start("run", &[file]);
        self.broker.wait_for(job.name, self.input, self.broker.patience);
        worker.ready(SOON);
        worker.stop();
    }

    /// Starts what must refuse to run, and gives its last line.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let mut worker = self.start("refused", arguments);
        let status = worker.ended(SOON);
        assert!(!status.success());
        worker.log().lines().last().unwrap_or_default().to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Scene {
    /// What the workers said stays where a scenario fails.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("the workers' logs are in {}", self.folder.path().display());
        }
    }
}

pub(crate) fn payloads(all: &[Got]) -> Vec<&str> {
    all.iter().map(|got| &got.payload[..]).collect()
}

pub(crate) fn a_stop_and_a_start_go_on_where_it_was(broker: &Broker) {
    let scene = Scene::new(broker, "stop", 1);
    scene.broker.send(scene.input, &steps((0, 100)));
    let halves = scene.job("halves", SCORES);
    scene.run(&halves);
    assert_eq!(scene.broker.read(&halves.0.out()).len(), 100);
    scene.broker.send(scene.input, &steps((100, 200)));
    scene.run(&halves);
    let whole = scene.job("whole", SCORES);
    scene.run(&whole);
    let (halves, whole) = (scene.broker.read(&halves.0.out()), scene.broker.read(&whole.0.out()));
    assert_eq!(whole.len(), 200);
    assert_eq!(payloads(&halves), payloads(&whole));
    let headers: Vec<&String> = whole[7].headers.keys().collect();
    assert_eq!(headers, ["unspool-model", "unspool-route", "unspool-source"]);
    assert_eq!(whole[7].headers["unspool-source"], format!("{}/0/7", scene.input));
}

pub(crate) fn forecasts_and_embeddings(broker: &Broker) {
    let scene = Scene::new(broker, "kinds", 2);
    scene.broker.send(scene.input, &events(&mut Numbers(3), 2, (0, 2000)));
    let forecasts = scene.job("forecasts", "[output]\ngive = 'forecasts'\nhorizon = 3\nevery_events = 4\n");
    scene.run(&forecasts);
    let given = scene.broker.read(&forecasts.0.out());
    assert!(given.len() > 30 && given.len().is_multiple_of(3), "{}", given.len());
    assert!(given.iter().all(|got| got.payload.contains("\"q50\":")));
    let embeddings = scene.job("embeddings", "[output]\ngive = 'embeddings'\nevery_events = 20\n");
    scene.run(&embeddings);
    let given = scene.broker.read(&embeddings.0.out());
    assert!(!given.is_empty() && given.iter().all(|got| got.payload.contains("\"embedding\":[")));
}

pub(crate) fn the_broker_may_assign(broker: &Broker) {
    let scene = Scene::new(broker, "kip848", 2);
    scene.broker.send(scene.input, &events(&mut Numbers(3), 2, (0, 300)));
    let assigned = scene.job("assigned", "[output]\ngive = 'scores'\n[group]\nprotocol = 'consumer'\n");
    scene.run(&assigned);
    let classic = scene.job("classic", SCORES);
    scene.run(&classic);
    let all = |job: &Job<'_>| {
        let mut all = scene.broker.read(&job.out());
        all.sort();
        all
    };
    assert!(all(&classic.0).len() > 200);
    assert_eq!(all(&assigned.0), all(&classic.0));
}

pub(crate) fn an_abandoned_transaction_ends(broker: &Broker) {
    let scene = Scene::new(broker, "abandoned", 1);
    let abandoned = scene.broker.abandon(scene.input, Duration::from_secs(3));
    scene.broker.send(scene.input, &steps((0, 50)));
    let (job, file) = scene.job("job", SCORES);
    let worker = scene.start("run", &[&file]);
    let until = Instant::now() + scene.broker.patience;
    // what was never committed is never read, and what follows it is read all the same
    while scene.broker.read(&job.out()).len() < 50 {
        assert!(Instant::now() < until, "the events behind an abandoned transaction do not come");
    }
    worker.stop();
    assert_eq!(scene.broker.read(&job.out()).len(), 50);
    assert_eq!(scene.broker.read(&job.dead()).len(), 0);
    drop(abandoned);
}

pub(crate) fn another_worker_takes_over(broker: &Broker) {
    let scene = Scene::new(broker, "takeover", 4);
    let (job, file) = scene.job("job", SCORES);
    for part in 0..3u64 {
        let worker = scene.start("killed", &[&file, "--member", &format!("member-{part}")]);
        scene.broker.send(scene.input, &events(&mut Numbers(part), 4, (1000 * part, 1000 * part + 1000)));
        std::thread::sleep(Duration::from_millis(700 * (part + 1)));
        worker.kill();
    }
    scene.run(&(job, file));
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    let of = |name: &str| scene.broker.read(&format!("{}-{name}-out", scene.input));
    let by_key = |all: Vec<Got>| {
        let mut by = std::collections::BTreeMap::<String, Vec<Got>>::new();
        all.into_iter().for_each(|got| by.entry(got.key.clone()).or_default().push(got));
        by
    };
    let expected = by_key(of("plain"));
    assert_eq!(expected.len(), 40);
    assert_eq!(by_key(of("job")), expected);
}

pub(crate) fn an_idle_flush_is_committed_and_replayed(broker: &Broker) {
    let scene = Scene::new(broker, "idle", 1);
    let more = "[event_time]\nlateness = 1000\nidle_flush_ms = 700\n[output]\ngive = 'scores'\n[run]\nsnapshot_interval_ms = 600000\n";
    let (job, file) = scene.job("job", more);
    scene.broker.send(scene.input, &steps((0, 50)));
    let wait = |count: usize| {
        let until = Instant::now() + SOON;
        while scene.broker.read(&job.out()).len() < count {
            assert!(Instant::now() < until, "{count} outputs did not come");
        }
    };
    let worker = scene.start("first", &[&file]);
    wait(50);
    // no snapshot since the begin: all is replayed, the flush too, and nothing is given twice
    worker.kill();
    scene.broker.send(scene.input, &steps((50, 80)));
    let worker = scene.start("second", &[&file]);
    wait(80);
    worker.stop();
    let given = scene.broker.read(&job.out());
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    assert_eq!(payloads(&given), payloads(&scene.broker.read(&plain.0.out())));
    let marks = scene.broker.read(&format!("{}-flushes", job.name));
    assert_eq!(payloads(&marks), ["{\"offset\":50}", "{\"offset\":80}"]);
}

pub(crate) fn at_least_once_loses_nothing(broker: &Broker) {
    let scene = Scene::new(broker, "atleast", 1);
    let (job, file) = scene.job("job", "[output]\ngive = 'scores'\nguarantee = 'at-least-once'\n");
    for part in 0..3 {
        scene.broker.send(scene.input, &steps((part * 100, part * 100 + 100)));
        let worker = scene.start("killed", &[&file]);
        std::thread::sleep(Duration::from_millis(400 * (part + 1)));
        worker.kill();
    }
    scene.run(&(job, file));
    let mut given = scene.broker.read(&format!("{}-job-out", scene.input));
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    let mut once = scene.broker.read(&plain.0.out());
    given.sort();
    given.dedup();
    once.sort();
    assert_eq!(given, once, "what comes twice is the same to the bit");
}

pub(crate) fn outputs_may_be_lines_of_text(broker: &Broker) {
    let scene = Scene::new(broker, "lines", 1);
    scene.broker.send(scene.input, &steps((0, 60)));
    let plain = scene.job("plain", SCORES);
    scene.run(&plain);
    let (job, file) = scene.job("lines", "[output]\ngive = 'scores'\nguarantee = 'at-least-once'\n");
    let text = std::fs::read_to_string(&file).unwrap().replace(&format!("topic = '{}'", job.out()), "stdout = true");
    std::fs::write(&file, text).unwrap();
    let mut worker = scene.start("lines", &[&file, "--quiet"]);
    scene.broker.wait_for(job.name, scene.input, SOON);
    let log = worker.log();
    worker.assert_runs();
    worker.stop();
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines, payloads(&scene.broker.read(&plain.0.out())));
}

pub(crate) fn what_stands_in_the_way_is_said(broker: &Broker) {
    let scene = Scene::new(broker, "refusals", 2);
    let (job, file) = scene.job("job", SCORES);
    scene.broker.send(scene.input, &steps((0, 50)));
    let check = |arguments: &[&str], expected: &str| {
        let line = scene.refused(arguments);
        assert!(line.contains(expected), "{arguments:?}: '{line}', expected '{expected}'");
    };
    let with = |from: &str, to: &str| {
        let path = scene.folder().join("changed.toml");
        std::fs::write(&path, std::fs::read_to_string(&file).unwrap().replace(from, to)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    check(&[&file, "--check", "--bootstrap", "127.0.0.1:1"], "is the address right, and the broker up?");
    check(&[&with(&format!("'{}'", scene.input), "'no-such-topic'"), "--check"], "there is no topic 'no-such-topic'");
    check(&[&with(&job.out(), "no-such-output"), "--check"], "there is no topic 'no-such-output'");
    check(&[&with("give = 'scores'", "give = 'sores'"), "--check"], "unknown variant `sores`");
    check(
        &[&with("values = ['v']", "sequence = 'v'"), "--check"],
        "is a series model: give `values`, or name a DNA model",
    );
    check(
        &[&with("[kafka]", "[kafka]\nsettings = { \"no.such\" = 1 }"), "--check"],
        "the Kafka client refuses a setting: no.such",
    );
    let compacted = scene.broker.unique("compacted");
    scene.broker.create(compacted, 1, &[("cleanup.policy", "compact")]);
    check(&[&with(scene.input, compacted), "--check"], "it is compacted");
    scene.run(&(job, file.clone()));
    // snapshots of other settings
    check(&[&with("values = ['v']", "values = ['w']")], "holds snapshots of a job with other settings (fields:");
    // records that the states need are gone
    let snapshots = scene.folder().join(format!("data-{}-job/snapshots/{0}-job/{0}/0", scene.input));
    std::fs::remove_dir_all(&snapshots).unwrap();
    scene.broker.delete_before(scene.input, 0, 10);
    check(&[&file], "has no snapshot at or before it");
    // a topic that has grown
    scene.broker.grow(scene.input, 3);
    check(&[&file], "it has 3 partitions, and had 2 when this job began");
}

/// A broker that has crashed may answer with offsets of long before: nothing is given twice, and a job that was told the right one goes on.
pub(crate) fn a_group_that_forgets_has_nothing_given_twice(broker: &Broker) {
    let scene = Scene::new(broker, "forgets", 1);
    scene.broker.send(scene.input, &steps((0, 60)));
    let whole = scene.job("job", "[output]\ngive = 'scores'\n[run]\nretry_timeout_ms = 1000\n");
    scene.run(&whole);
    let (job, file) = &whole;
    scene.broker.set(job.name, scene.input, 10);
    let line = scene.refused(&[file]);
    assert!(line.contains("the committed offset is 10, and was 60 before: the broker has not found again"), "{line}");
    assert_eq!(scene.broker.read(&job.out()).len(), 60);
    scene.broker.set(job.name, scene.input, 60);
    scene.broker.send(scene.input, &steps((60, 90)));
    scene.run(&whole);
    assert_eq!(scene.broker.read(&job.out()).len(), 90);
}

pub(crate) fn too_many_rejects_stop_the_job_if_that_is_asked(broker: &Broker) {
    let scene = Scene::new(broker, "rejects", 1);
    let bad = Sent { key: Some("a".into()), payload: Some("?".into()), ..Sent::default() };
    scene.broker.send(scene.input, &vec![bad; 1500]);
    let (job, file) = scene.job("job", "[output]\ngive = 'scores'\n[run]\nmax_reject_share = 0.5\n");
    let line = scene.refused(&[&file]);
    assert!(line.contains("more than the share of 0.5 that the job allows"), "{line}");
    let dead = scene.broker.read(&job.dead());
    assert!(!dead.is_empty());
    assert_eq!((dead[0].payload.as_str(), dead[0].headers["unspool-kind"].as_str()), ("?", "payload"));
    assert_eq!(dead[0].headers["unspool-source"], format!("{}/0/0", scene.input));
}

pub(crate) fn workers_leave_one_after_the_other(broker: &Broker) {
    let scene = Scene::new(broker, "leave", 8);
    let (job, file) = scene.job("job", SCORES);
    for _ in 0..3 {
        scene.broker.send(scene.input, &events(&mut Numbers(5), 8, (0, 200)));
        let workers = [scene.start("one", &[&file]), scene.start("two", &[&file]), scene.start("three", &[&file])];
        scene.broker.wait_for(job.name, scene.input, SOON);
        workers.into_iter().for_each(Worker::stop);
    }
}

/// A member that ends in the middle of a cooperative rebalance and comes back at once leaves partitions to nobody.
pub(crate) fn partitions_that_are_nobodys_find_someone(broker: &Broker) {
    let scene = Scene::new(broker, "orphans", 4);
    let (job, file) = scene.job("job", SCORES);
    let holds = |member: &BaseConsumer, count: usize| {
        let until = Instant::now() + SOON;
        while member.assignment().unwrap().count() != count {
            let _ = member.poll(Duration::from_millis(50));
            assert!(Instant::now() < until, "{:?}", member.assignment());
        }
    };
    let member = scene.broker.member(job.name, scene.input, "other");
    holds(&member, 4);
    let worker = scene.start("run", &[&file, "--member", "a-worker"]);
    let until = Instant::now() + SOON;
    while !scene.broker.agreed(job.name, 2) {
        assert!(Instant::now() < until, "the worker does not join");
        std::thread::sleep(Duration::from_millis(100));
    }
    // it is told to give two away, does not, and begins anew under its name
    drop(member);
    let member = scene.broker.member(job.name, scene.input, "other");
    while !worker.log().contains("unspool streams 2 partitions") {
        let _ = member.poll(Duration::from_millis(50));
        assert!(Instant::now() < until, "two partitions are nobody's: {}", worker.log());
    }
    assert!(worker.log().contains("were nobody's"), "the broker has shared them by itself: {}", worker.log());
    worker.stop();
}

pub(crate) fn encrypted_and_with_credentials(broker: &Broker) {
    let scene = Scene::new(broker, "secure", 1);
    scene.broker.send(scene.input, &steps((0, 20)));
    let (address, ca) = scene.broker.secure();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let (job, file) = scene.job(&mechanism.to_lowercase(), SCORES);
        let with = |password: &str, ca: &str| {
            let settings = format!(
                "[kafka]\nbootstrap = '{address}'\n[kafka.settings]\n'security.protocol' = 'SASL_SSL'\n\
                 'sasl.mechanism' = '{mechanism}'\n'sasl.username' = 'alice'\n'sasl.password' = '{password}'\n{ca}"
            );
            let text = std::fs::read_to_string(&file).unwrap();
            let path = scene.folder().join(format!("{mechanism}.toml"));
            std::fs::write(&path, settings + "\n" + &text[text.find("[input]").unwrap()..]).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let trusted = format!("'ssl.ca.location' = '{}'", ca.display());
        let line = scene.refused(&[&with("wrong", &trusted), "--check"]);
        assert!(line.contains("refuse this client") && line.contains("sasl.*"), "{mechanism}: {line}");
        let line = scene.refused(&[&with("alice-secret", ""), "--check"]);
        assert!(line.contains("refuse this client") && line.contains("ssl.*"), "{mechanism}: {line}");
        scene.run(&(job, with("alice-secret", &trusted)));
        assert_eq!(scene.broker.read(&format!("{}-{}-out", scene.input, mechanism.to_lowercase())).len(), 20);
    }
}
