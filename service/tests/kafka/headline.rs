//! The headline test: the same series and DNA reads go in by every way that there is, and the same bits come out.
//!
//! ```sh
//! cargo test -p unspool --test kafka headline -- --nocapture                    # the CPU, a broker inside the process
//! UNSPOOL_DEVICE=cuda:0 UNSPOOL_GPU_STATE_BYTES=2000000000 cargo test --release --features cuda -p unspool --test kafka headline -- --nocapture   # a card
//! ```
//!
//! Stream workers are killed and share their partitions anew, the server is killed while its clients try again, and in the last way
//! each series is handed over twice in its middle.

mod batch;
mod flight;
mod given;
mod hand_over;
mod input;
mod sessions;
mod stage;
mod stream;

use std::time::Instant;

use self::{
    given::{Given, difference, table},
    input::Input,
    stage::Stage,
};
use crate::broker::Broker;

/// What a way cannot give: Flight keeps no states, batch jobs keep none of reads.
const GAPS: [(&str, &str, &str); 3] =
    [("Arrow Flight", "series", "states"), ("batch", "reads", "states"), ("Arrow Flight", "reads", "states")];

pub(crate) fn every_way_gives_the_same_bits(broker: &Broker) {
    // The folder is kept where the test fails: the workers' logs are in it.
    let folder = tempfile::tempdir().unwrap().keep();
    let stage = Stage::new(&folder, Input::read());
    let timed = |way: &'static str, run: &dyn Fn() -> Given| {
        let began = Instant::now();
        let given = run();
        println!("{way}: {:.1} s", began.elapsed().as_secs_f64());
        (way, given)
    };
    let ways = [
        timed("batch", &|| batch::run(&stage)),
        timed("stream", &|| stream::run(&stage, broker)),
        timed("sessions", &|| sessions::run(&stage)),
        timed("Arrow Flight", &|| flight::run(&stage)),
        timed("batch > stream > session", &|| hand_over::run(&stage, broker)),
    ];
    let (text, empty) = table(&stage.input, &ways);
    println!("{text}");
    let differences: Vec<String> = ways[1..].iter().filter_map(|way| difference(&ways[0], way)).collect();
    assert!(differences.is_empty(), "in {}: {}", folder.display(), differences.join("\n"));
    // What the first way cannot give the others must agree on, too.
    let more: Vec<String> = ways[2..].iter().filter_map(|way| difference(&ways[1], way)).collect();
    assert!(more.is_empty(), "in {}: {}", folder.display(), more.join("\n"));
    assert_eq!(empty, GAPS, "cells without a value");
    println!("all equal");
    std::fs::remove_dir_all(folder).unwrap();
}
