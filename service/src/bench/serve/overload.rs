//! Ten times what the server can take: it goes on at its full rate, refuses the rest with advice, and loses no session.

use std::time::Duration;

use super::{BenchServeArgs, calls, fleet::Fleet, load::Shape, process::Server};
use crate::{
    error::{Error, Result},
    print,
};

/// How many times too much.
const TIMES: f64 = 10.0;
/// Settings of the server: about half a second of work may wait.
const LIMITS: &str = "waiting_tokens = 8192\n";
/// Rows of hidden states that a call's events make.
const ROWS: u32 = 64;
/// Sessions and connections: so many that their number holds nothing back.
const CLIENTS: (u32, u16) = (2048, 8);

/// Prints what comes of it.
///
/// # Errors
/// When the server cannot be had, or does not answer any more afterwards.
pub(super) async fn run(args: &BenchServeArgs, duration: Duration) -> Result<()> {
    let server = Server::start(args, LIMITS)?;
    let fleet = Fleet::open((server.address(), ""), CLIENTS.0, CLIENTS.1).await?;
    let shape: Shape = args.shape(ROWS * fleet.row_events());
    let full = calls::flood(&fleet, shape, duration).await?;
    if full <= 0.0 {
        return Err(Error::Usage("no call was answered in time: give a longer --duration-s".into()));
    }
    let tally = calls::at_rate(&fleet, (shape, TIMES * full), duration).await?;
    let (counts, served, lost) = (tally.counts(), tally.rate(), fleet.lost().await?);
    print(&format!("\nTen times too much, calls of {} events, at most 8,192 rows waiting, events/s", shape.events))?;
    print(&format!("{:<60}{full:>12.0}", "all that it can take"))?;
    print(&format!("{:<60}{:>12.0}", "offered", TIMES * full))?;
    let share = 100.0 * served / full;
    print(&format!("{:<60}{served:>12.0}  {share:.0} % of all that it can take", "served"))?;
    print(&format!("{:<60}{:>12}", "calls refused, with advice when to come again", counts.refused))?;
    print(&format!("{:<60}{:>12}", "calls that failed otherwise, or had no answer", counts.failed))?;
    print(&format!("{:<60}{lost:>12}", "sessions lost"))
}
