//! Any content, under sound checksums, of what a stream job saves of a partition: the manifest or a segment's index, by the first
//! byte. The job goes on from it or refuses it, and lets go what waits in it; both end.
#![no_main]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use unspool_ingest::kafka::{Content, Decoder, Fields, Format, Record, TimeFrom, TimeUnit};
use unspool_model::{Model, RunOptions};
use unspool_pipelines::stream::{
    core::{Core, CoreOptions},
    emit::{Emit, Every, Give},
    snapshot::{Manifest, Snapshots},
    time::{Aggregate, Grid, Order, TimeOptions},
};

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../model/tests/goldens/series-tiny/any");
    Arc::new(Model::load(&folder, RunOptions::cpu()).expect("the golden model loads"))
});

/// What a job saved once of a partition.
struct Saved {
    snapshots: Snapshots,
    manifest: Manifest,
    /// The path and the bytes of each of its two files.
    manifest_file: (PathBuf, Vec<u8>),
    segment_file: (PathBuf, Vec<u8>),
}

static SAVED: LazyLock<Saved> = LazyLock::new(|| {
    let dir = env::temp_dir().join(format!("unspool-fuzz-snapshot-{}", process::id()));
    let snapshots = Snapshots::new(dir, "{}".into());
    let mut core = core();
    core.begin((0, 0, 0), &snapshots, None).expect("it begins");
    feed(&mut core, 0);
    core.snapshot(0, &snapshots).expect("the disk takes it");
    let file = |ending: &str| {
        let all = fs::read_dir(snapshots.partition(0)).expect("there is a folder");
        let path =
            all.map(|entry| entry.expect("an entry").path()).find(|path| path.extension() == Some(ending.as_ref()));
        let path = path.expect("there is one");
        (path.clone(), fs::read(path).expect("it can be read"))
    };
    let (manifest_file, segment_file) = (file("snapshot"), file("states"));
    let manifest = snapshots.newest(0, i64::MAX).expect("it is sound").expect("it is there");
    Saved { snapshots, manifest, manifest_file, segment_file }
});

fn core() -> Core {
    let options = CoreOptions {
        time: TimeOptions {
            order: Order::Time { lateness: 5, most_waiting: 100 },
            grid: Some(Grid { step: 2, aggregate: Aggregate::Mean, most_missing: 10 }),
        },
        emit: Emit { give: Give::Scores, every: Every::Events(1) },
        states_bytes: 1 << 20,
    };
    Core::new(Arc::clone(&MODEL), &options).expect("the model gives scores")
}

/// Twenty messages of two series, from an offset on.
fn feed(core: &mut Core, from: i64) {
    let fields = Fields {
        id: "key".parse().expect("a place"),
        time: TimeFrom::Timestamp,
        time_unit: TimeUnit::Step,
        content: Content::Values(vec!["v".into()]),
    };
    let mut decoder = Decoder::new(&Format::Json, fields).expect("it is understood");
    let payload = |n: i64| format!("{{\"v\":{n}}}");
    for n in 0..20 {
        let (key, payload) = (if n % 3 == 0 { b"a" } else { b"b" }, payload(n));
        let (offset, time) = (from.saturating_add(n), Some(from.saturating_add(n)));
        let payload = Some(payload.as_bytes());
        let record = Record { offset, timestamp_ms: time, key: Some(key), payload, ..Record::default() };
        let decoded = decoder.decode(&[record]);
        // A segment may lead to what is no state.
        if core.process(&decoded.rows, &[(0, offset.saturating_add(1))]).is_err() {
            return;
        }
    }
}

impl Saved {
    /// The content of the manifest, and the index of the segment.
    fn contents(&self) -> [&[u8]; 2] {
        let (manifest, segment) = (&self.manifest_file.1, &self.segment_file.1);
        let tail = segment.len() - 40;
        let index = u64::from_le_bytes(segment[tail..tail + 8].try_into().expect("eight bytes")) as usize;
        [&manifest[8..manifest.len() - 32], &segment[tail - index..tail]]
    }

    /// The manifest as it is read with a content in the place of a sound one; `None`: it is refused.
    fn with(&self, number: usize, content: &[u8]) -> Option<Manifest> {
        let seal = blake3::hash(content);
        let (manifest, segment) = (&self.manifest_file, &self.segment_file);
        if number == 0 {
            fs::write(&segment.0, &segment.1).expect("a file can be written");
            fs::write(&manifest.0, [&manifest.1[..8], content, seal.as_bytes()].concat())
                .expect("a file can be written");
            return self.snapshots.newest(0, i64::MAX).ok()?;
        }
        let entries = segment.1.len() - 40 - self.contents()[1].len();
        let length = (content.len() as u64).to_le_bytes();
        let bytes = [&segment.1[..entries], content, &length, seal.as_bytes()].concat();
        fs::write(&segment.0, &bytes).expect("a file can be written");
        let mut manifest = self.manifest.clone();
        manifest.segments.iter_mut().for_each(|segment| segment.bytes = bytes.len() as u64);
        Some(manifest)
    }
}

fuzz_target!(
    init: {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/snapshot");
        fs::create_dir_all(&corpus).expect("a folder can be made");
        for (number, content) in (0u8..).zip(SAVED.contents()) {
            let seed = [&[number], content].concat();
            fs::write(corpus.join(format!("seed-{number}")), seed).expect("a file can be written");
        }
    },
    |bytes: &[u8]| {
        let Some((first, content)) = bytes.split_first() else { return };
        let Some(manifest) = SAVED.with(usize::from(first % 2), content) else { return };
        let (mut core, next) = (core(), manifest.next);
        if core.begin((0, next, next), &SAVED.snapshots, Some(manifest)).is_ok() && core.flush(0, true).is_ok() {
            feed(&mut core, next);
        }
    }
);
