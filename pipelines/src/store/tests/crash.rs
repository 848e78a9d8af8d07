//! Crashes: the log cut at every byte, and processes killed at random moments.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;

/// Small files and a small log, so that states are saved and files removed all the time.
const SMALL: StoreOptions = StoreOptions {
    live_bytes: 40_000,
    memory_bytes: 20_000,
    state_bytes: 1 << 30,
    sessions: 100,
    sessions_per_owner: 100,
    history_bytes: 2000,
    log_bytes: 3000,
    replay_events: 60,
    segment_bytes: 700,
    append_bytes: 1 << 20,
};

/// The bases of a session's append: the same in every process.
fn bases(session: u64, number: u64) -> Vec<u8> {
    let mut draw = Draw(session << 32 | number);
    (0..draw.below(40)).map(|_| b"ACGTN"[draw.below(5) as usize]).collect()
}

fn copy_folder(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for name in ["log", "models"] {
        fs::create_dir(to.path().join(name)).expect("a folder");
    }
    fs::copy(from.join("states.redb"), to.path().join("states.redb")).expect("copies");
    for entry in fs::read_dir(from.join("log")).expect("a folder") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, to.path().join("log").join(path.file_name().expect("a name"))).expect("copies");
    }
    to
}

fn last_file(dir: &Path) -> PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(dir.join("log")).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.pop().expect("a file")
}

/// Whatever byte the log ends at, the session is as it was after the last append whose record is whole.
#[test]
fn cut_at_every_byte() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let models = [Arc::clone(&model)];
    let (spec, key) = (embedding(&model), key("a"));
    let store = open_with(Some(dir.path()), StoreOptions::default(), &models).expect("opens");
    store.open_session(&key, &spec, Time(0)).expect("a session").wait().expect("durable");
    append(&store, &key, 1, &bases(0, 1)).expect("applied");
    store.checkpoint().expect("saves");
    // (bytes of the log's file, appends that it holds)
    let mut whole = vec![];
    let file = last_file(dir.path());
    for number in 2..6 {
        append(&store, &key, number, &bases(0, number)).expect("applied").durable.wait().expect("durable");
        whole.push((fs::metadata(&file).expect("there").len(), number));
    }
    drop(store);
    let appends: Vec<Vec<u8>> = (1..6).map(|number| bases(0, number)).collect();
    let appends: Vec<&[u8]> = appends.iter().map(|bases| &bases[..]).collect();
    for cut in whole[0].0 - 60..=whole[3].0 {
        let copy = copy_folder(dir.path());
        let file = fs::OpenOptions::new().write(true).open(last_file(copy.path())).expect("opens");
        file.set_len(cut).expect("cuts");
        let number = whole.iter().rev().find(|(bytes, _)| *bytes <= cut).map_or(1, |(_, number)| *number);
        let store = open_with(Some(copy.path()), StoreOptions::default(), &models).expect("opens");
        let again = append(&store, &key, number, b"").expect("again");
        let (state, reply) = alone(&model, &spec, &appends[..number as usize]);
        assert_eq!((&*again.state, &*again.output, again.repeated), (&state, &reply, true), "{cut} bytes");
    }
}

/// A damaged middle is an error that names file and place; nothing is changed by the try.
#[test]
fn a_damaged_middle_is_told() {
    let (model, dir) = (dna_model(), tempfile::tempdir().expect("a folder"));
    let models = [Arc::clone(&model)];
    let (spec, key) = (embedding(&model), key("a"));
    let store = open_with(Some(dir.path()), StoreOptions::default(), &models).expect("opens");
    store.open_session(&key, &spec, Time(0)).expect("a session").wait().expect("durable");
    for number in 1..4 {
        append(&store, &key, number, b"ACGT").expect("applied").durable.wait().expect("durable");
    }
    drop(store);
    let file = last_file(dir.path());
    let mut log = fs::read(&file).expect("reads");
    log[150] ^= 1;
    fs::write(&file, &log).expect("writes");
    let error = open_with(Some(dir.path()), StoreOptions::default(), &models).map(|_| ()).expect_err("damage");
    assert!(error.to_string().contains(&format!("{} is damaged at byte ", file.display())), "{error}");
    assert_eq!(fs::read(&file).expect("reads"), log);
}

/// The folder, in a process that is to be killed.
const FOLDER: &str = "UNSPOOL_TEST_STORE_FOLDER";
const SESSIONS: u64 = 6;

fn name(session: u64) -> Key {
    key(&format!("s{session}"))
}

fn fingerprint(output: &Output, state: &State, model: &Model) -> String {
    let mut hasher = blake3::Hasher::new();
    output.rows.iter().flatten().for_each(|value| {
        hasher.update(&value.to_le_bytes());
    });
    hasher.update(&model.save(state).expect("saves"));
    hasher.finalize().to_hex()[..16].into()
}

/// Not a test by itself: what the processes run that [`killed_at_random`] kills. It appends to some sessions in batches of random size,
/// and prints a line once an append is durable; first it repeats the last appends.
#[test]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let model = dna_model();
    let store = open_with(Some(Path::new(&folder)), SMALL, &[Arc::clone(&model)]).expect("opens");
    let spec = embedding(&model);
    let mut next = vec![];
    let report = |session: u64, applied: &Applied| {
        let line = fingerprint(&applied.output, &applied.state, &model);
        writeln!(std::io::stdout(), "ack {session} {} {line}", applied.number).expect("prints");
    };
    for session in 0..SESSIONS {
        let number = store.info(&name(session), Time(0)).map(|info| info.number);
        let number = number.unwrap_or_else(|_| {
            store.open_session(&name(session), &spec, Time(0)).expect("a session").wait().expect("durable");
            0
        });
        if number > 0 {
            let again = append(&store, &name(session), number, &bases(session, number)).expect("again");
            again.durable.wait().expect("durable");
            report(session, &again);
        }
        next.push(number + 1);
    }
    let mut draw = Draw(next.iter().sum());
    for _ in 0..100_000 {
        let chosen: Vec<u64> = (0..SESSIONS).filter(|_| draw.below(3) > 0).collect();
        let input: Vec<(Key, Vec<u8>)> = chosen.iter().map(|s| (name(*s), bases(*s, next[*s as usize]))).collect();
        let batch = chosen
            .iter()
            .zip(&input)
            .map(|(session, (key, bases))| Append::whole(key, next[*session as usize], Events::Bases(bases)));
        let applied = store.append(&batch.collect::<Vec<_>>(), Time(0));
        for (session, applied) in chosen.iter().zip(applied) {
            let applied = applied.expect("applied");
            next[*session as usize] += 1;
            // Some are acknowledged when durable, some never.
            if draw.below(2) == 0 {
                applied.durable.wait().expect("durable");
                report(*session, &applied);
            }
        }
        if draw.below(40) == 0 {
            store.checkpoint().expect("saves");
        }
    }
}

/// Processes are killed with SIGKILL at random moments; the next goes on in the same folder. Every append that was acknowledged as
/// durable is there, and every reply and state is that of an undisturbed run, to the bit.
#[test]
fn killed_at_random() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut draw = Draw(7);
    let mut seen: HashMap<(u64, u64), String> = HashMap::new();
    for round in 0..12 {
        let program = env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "store::tests::crash::child", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut newest = [0; SESSIONS as usize];
        for (session, number) in seen.keys() {
            newest[*session as usize] = newest[*session as usize].max(*number);
        }
        let mut first = [true; SESSIONS as usize];
        let wanted = 1 + draw.below(150);
        let mut left = wanted;
        while let Some(Ok(line)) = lines.next() {
            let Some(ack) = line.split("ack ").nth(1) else { continue };
            let mut words = ack.split(' ');
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
            let (session, number) = (number(), number());
            let reply = words.next().expect("a fingerprint").to_owned();
            if std::mem::take(&mut first[session as usize]) {
                assert!(number >= newest[session as usize], "round {round}: session {session} lost durable appends");
            }
            if let Some(before) = seen.insert((session, number), reply.clone()) {
                assert_eq!(before, reply, "append {number} of session {session} again");
            }
            left -= 1;
            if left == 0 {
                child.kill().expect("killed");
                // What it still printed was durable too, and is checked; a last line may be torn.
                left = u64::MAX;
            }
        }
        child.wait().expect("ended");
        assert!(left > wanted, "round {round}: the process ended by itself");
    }
    let model = dna_model();
    let store = open_with(Some(dir.path()), SMALL, &[Arc::clone(&model)]).expect("opens");
    let spec = embedding(&model);
    for session in 0..SESSIONS {
        let view = store.read(&name(session), Time(0)).expect("it is there");
        let mut state = model.open(&spec.options).expect("opens");
        for number in 1..=view.info.number {
            let bases = bases(session, number);
            let items = &mut [Item { state: &mut state, events: Events::Bases(&bases) }];
            let output = model.append(items).expect("appends").remove(0);
            if let Some(reply) = seen.get(&(session, number)) {
                assert_eq!(*reply, fingerprint(&output, &state, &model), "append {number} of session {session}");
            }
        }
        assert_eq!(*view.state, state);
    }
    assert!(seen.len() > 100);
}
