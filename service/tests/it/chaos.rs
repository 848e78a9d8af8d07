//! Chaos: the server is killed with SIGKILL at random moments while clients with retries go on; afterwards every reply and
//! every session is, to the bit, what a server that nobody disturbed gives.
//!
//! ```sh
//! UNSPOOL_CHAOS_KILLS=500 UNSPOOL_CHAOS_SEED=1 cargo test --release -p unspool --test it chaos -- --nocapture
//! ```

mod clients;
mod input;

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::Ordering::SeqCst, mpsc},
    time::Duration,
};

use futures::future::join_all;
use tokio::runtime::Runtime;

use self::{
    clients::{World, alone, finals, open, together},
    input::SESSIONS,
};
use crate::{
    command::folder,
    server::{Draw, Server, setting},
};

/// Few states fit into memory, so that they go to disk and come back all the time; and the log's files go soon.
const SETTINGS: &str = "[limits]\nsession_memory_bytes = 400000\nsession_log_bytes = 100000\n";
const ARGUMENTS: &str = "--model series-3 --model dna";
const DISTURBED: &str = "--model series-3 --model dna --metrics-listen 127.0.0.1:0 --config chaos.toml --data-dir kept";

/// A reply that does not come for so long never comes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills and restarts a server; in the end stops it gracefully, and starts it once more.
fn havoc(folder: &Path, world: &World, replies: &mpsc::Receiver<()>, (seed, kills): (u64, u64)) -> Server {
    let mut draw = Draw(seed);
    for kill in 0..kills {
        let mut server = Server::spawn(folder, DISTURBED);
        if draw.below(4) == 0 {
            // While it brings the sessions back.
            server.says("unspool answers probes on ");
            server.kill();
            continue;
        }
        world.address.send_replace(server.ready());
        (0..1 + draw.below(80)).for_each(|_| replies.recv_timeout(PATIENCE).unwrap());
        server.kill();
        if kill % 50 == 49 {
            println!("{} kills, {} replies", kill + 1, world.replies.lock().unwrap().len());
        }
    }
    let (server, address) = Server::start(folder, DISTURBED);
    world.address.send_replace(address);
    // The clients end with replies from this one.
    world.done.store(true, SeqCst);
    server
}

#[test]
fn killed_at_random_while_clients_go_on() {
    let (kills, seed) = (setting("UNSPOOL_CHAOS_KILLS", 10), setting("UNSPOOL_CHAOS_SEED", 20_260_101));
    let (folder, runtime) = (folder(), Runtime::new().unwrap());
    fs::write(folder.path().join("chaos.toml"), SETTINGS).unwrap();
    let (said, replies) = mpsc::channel();
    let world = Arc::new(World::new(said));
    // The first server opens the sessions.
    let (server, address) = Server::start(folder.path(), DISTURBED);
    world.address.send_replace(address);
    runtime.block_on(async { join_all((0..SESSIONS).map(|session| open(&world, session))).await });
    server.kill();
    // One client for each of the first half of the sessions, one with a stream for all of the others.
    let streamed = SESSIONS / 2..SESSIONS;
    let mut clients: Vec<_> =
        (0..SESSIONS / 2).map(|session| runtime.spawn(alone(Arc::clone(&world), session))).collect();
    clients.push(runtime.spawn(together(Arc::clone(&world), streamed.collect())));
    let server = havoc(folder.path(), &world, &replies, (seed, kills));
    let numbers: Vec<u64> =
        runtime.block_on(join_all(clients)).into_iter().flat_map(|client| client.unwrap()).collect();
    // What a graceful stop hands over is the same.
    server.stop();
    let (server, address) = Server::start(folder.path(), DISTURBED);
    world.address.send_replace(address);
    let after_chaos = runtime.block_on(finals(&world));
    server.stop();

    let undisturbed = World::new(mpsc::channel().0);
    let (server, address) = Server::start(folder.path(), ARGUMENTS);
    undisturbed.address.send_replace(address);
    runtime.block_on(async {
        join_all((0..SESSIONS).map(|session| open(&undisturbed, session))).await;
        join_all(numbers.iter().enumerate().map(|(session, last)| undisturbed.replay(session as u64, *last))).await;
    });
    let (disturbed, calm) = (world.replies.lock().unwrap(), undisturbed.replies.lock().unwrap());
    assert_eq!(disturbed.len(), calm.len(), "seed {seed}");
    for (at, reply) in &*calm {
        assert!(disturbed[at] == *reply, "append {} of session {} differs (seed {seed})", at.1, at.0);
    }
    assert!(after_chaos == runtime.block_on(finals(&undisturbed)), "a session's last state differs (seed {seed})");
    let (replayed, back) = (world.replayed.load(SeqCst), world.back.load(SeqCst));
    println!("{kills} kills, {} appends, {replayed} answered twice, {back} times back to a lost one", calm.len());
    server.stop();
}
