//! The clock on the wall, set back.
//!
//! The Kafka client waits by that clock (librdkafka 2.12: `cnd_timedwait` until a time of day): where it is set back, a wait of a
//! moment lasts for as long as that went, and a client that waits cannot be closed either. So the worker begins anew in its own
//! place, as if it had been killed and started again, which loses nothing and repeats nothing. A step forward only ends waits early.

use std::{
    env,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use unspool_pipelines::Cancel;

use crate::progress::say;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// A wait may last so much longer.
const BEARABLE: Duration = Duration::from_secs(2);

/// Looks at the clock until the stop.
pub(super) fn watch(stop: &Cancel) {
    let stop = stop.clone();
    thread::spawn(move || {
        let mut before = (SystemTime::now(), Instant::now());
        while !stop.is_cancelled() {
            thread::sleep(LOOK);
            let now = (SystemTime::now(), Instant::now());
            if let Some(back) = set_back(before, now)
                && !stop.is_cancelled()
            {
                begin_anew(back);
            }
            before = now;
        }
    });
}

/// How far the clock was set back between two looks, if that is too far.
fn set_back((wall, at): (SystemTime, Instant), (wall_now, now): (SystemTime, Instant)) -> Option<Duration> {
    let expected = wall.checked_add(now.saturating_duration_since(at))?;
    expected.duration_since(wall_now).ok().filter(|back| *back > BEARABLE)
}

fn begin_anew(back: Duration) -> ! {
    say(&format!("warning: the clock was set back by {} s: the worker begins anew", back.as_secs()));
    let program = env::current_exe().unwrap_or_else(|_| "unspool".into());
    // Files and locks of this process are closed by that.
    let error = Command::new(program).args(env::args_os().skip(1)).exec();
    say(&format!("the worker could not begin anew: {error}; start it again: nothing is lost"));
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_is_noticed() {
        let check = |elapsed_ms: u64, wall_ms: i64, expected: Option<u64>| {
            let (wall, at) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30), Instant::now());
            let moved = Duration::from_millis(wall_ms.unsigned_abs());
            let wall_now = if wall_ms < 0 { wall - moved } else { wall + moved };
            let found = set_back((wall, at), (wall_now, at + Duration::from_millis(elapsed_ms)));
            assert_eq!(found, expected.map(Duration::from_millis), "{elapsed_ms}, {wall_ms}");
        };
        check(500, 500, None);
        check(500, 3_600_500, None);
        check(500, -1000, None);
        check(500, -3_599_500, Some(3_600_000));
        // A machine that was busy for a while.
        check(90_000, 90_001, None);
        check(90_000, 60_000, Some(30_000));
    }
}
