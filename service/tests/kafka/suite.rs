//! The scenarios, on Apache Kafka and on the broker inside the process, which the demonstration runs on.

use std::time::Duration;

use crate::{broker::Broker, environment, headline, modes, scenarios};

/// Each scenario is a test on both. What follows a colon is how the embedded broker is known to fail it: a version of it that
/// passes breaks the test, and the words go.
macro_rules! on_both {
    ($($of:ident::$name:ident $(: $gap:literal)?),+ $(,)?) => {
        mod apache {
            use super::*;

            $(#[test]
            #[ignore = "needs Apache Kafka: .ci/kafka.sh"]
            fn $name() {
                $of::$name(&Broker::of_the_tests());
            })+
        }

        mod embedded {
            use super::*;

            $(#[test]
            $(#[should_panic(expected = $gap)])?
            fn $name() {
                const GAPS: &[&str] = &[$($gap)?];
                let patience = if GAPS.is_empty() { 60 } else { 10 };
                $of::$name(&Broker::embedded(Duration::from_secs(patience)));
            })+
        }
    };
}

on_both! {
    scenarios::a_stop_and_a_start_go_on_where_it_was,
    scenarios::forecasts_and_embeddings,
    // no ConsumerGroupHeartbeat (KIP-848)
    scenarios::the_broker_may_assign: "are still not committed",
    // transactions have no end of their own
    scenarios::an_abandoned_transaction_ends: "the events behind an abandoned transaction do not come",
    // a dead member's session has no end either
    scenarios::another_worker_takes_over: "are still not committed",
    scenarios::an_idle_flush_is_committed_and_replayed,
    scenarios::at_least_once_loses_nothing,
    scenarios::outputs_may_be_lines_of_text,
    scenarios::what_stands_in_the_way_is_said,
    // a dead member's session has no end
    scenarios::a_group_that_forgets_has_nothing_given_twice: "cannot be set",
    scenarios::too_many_rejects_stop_the_job_if_that_is_asked,
    scenarios::workers_leave_one_after_the_other,
    // a member that comes back under its name has the group share anew
    scenarios::partitions_that_are_nobodys_find_someone: "the broker has shared them by itself",
    // no TLS, and no credentials
    scenarios::encrypted_and_with_credentials: "PLAIN: unspool: no answer from the Kafka brokers",
    environment::metrics_tell_how_a_job_stands,
    environment::a_check_looks_at_the_newest_messages,
    environment::tokens_that_nobody_has_signed: "are still not committed",
    modes::batch_stream_and_sessions_give_the_same_bits,
    environment::states_move_through_an_object_store,
    environment::outputs_may_be_files,
    environment::a_full_disk_stops_a_job_that_then_goes_on,
    headline::every_way_gives_the_same_bits,
}
