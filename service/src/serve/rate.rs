//! A bucket that fills at a steady rate: calls or events a second.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Units a second; one second's worth may come at once.
#[derive(Debug)]
pub(crate) struct Rate {
    per_s: f64,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Below 0: more came at once than a second's worth, and it is being paid off.
    units: f64,
    filled: Instant,
}

/// Too many units; in so long there will be some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFast(pub(crate) Duration);

impl Rate {
    /// `per_s` is more than 0.
    pub(crate) fn new(per_s: f64) -> Self {
        Self { per_s, bucket: Mutex::new(Bucket { units: per_s, filled: Instant::now() }) }
    }

    /// Takes units out. A large request is let in whole as long as anything is in the bucket, and paid off afterwards: else it
    /// could never come in.
    ///
    /// # Errors
    /// When the bucket is empty.
    pub(crate) fn take(&self, units: f64) -> Result<(), TooFast> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.filled).as_secs_f64() * self.per_s;
        bucket.units = (bucket.units + gained).min(self.per_s.max(1.0));
        bucket.filled = now;
        let needed = units.min(1.0);
        if bucket.units < needed {
            let wait = Duration::try_from_secs_f64((needed - bucket.units) / self.per_s);
            return Err(TooFast(wait.unwrap_or(Duration::MAX).max(Duration::from_millis(1))));
        }
        bucket.units -= units;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_and_no_more() {
        let rate = Rate::new(5.0);
        assert!((0..5).all(|_| rate.take(1.0).is_ok()));
        let TooFast(wait) = rate.take(1.0).expect_err("empty");
        assert!(wait <= Duration::from_millis(200), "{wait:?}");
    }

    #[test]
    fn a_large_request_comes_in_and_is_paid_off() {
        let rate = Rate::new(1e-3);
        rate.take(0.0).expect("nothing is wanted");
        let rate = Rate::new(100.0);
        rate.take(1e6).expect("something is in the bucket");
        let TooFast(wait) = rate.take(1.0).expect_err("it is being paid off");
        assert!(wait > Duration::from_secs(9_000), "{wait:?}");
    }
}
