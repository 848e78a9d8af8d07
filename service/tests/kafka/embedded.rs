//! The scenarios on the broker inside the process, which the demonstration runs on, and what it is known to lack.

use std::time::Duration;

use crate::{broker::Broker, environment, modes, scenarios};

macro_rules! on_the_embedded_broker {
    ($($of:ident::$name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            $of::$name(&Broker::embedded(Duration::from_secs(60)));
        })+
    };
}

on_the_embedded_broker! {
    scenarios::a_stop_and_a_start_go_on_where_it_was,
    scenarios::forecasts_and_embeddings,
    scenarios::an_idle_flush_is_committed_and_replayed,
    scenarios::at_least_once_loses_nothing,
    scenarios::outputs_may_be_lines_of_text,
    scenarios::what_stands_in_the_way_is_said,
    scenarios::too_many_rejects_stop_the_job_if_that_is_asked,
    scenarios::workers_leave_one_after_the_other,
    environment::metrics_tell_how_a_job_stands,
    modes::batch_stream_and_sessions_give_the_same_bits,
    environment::states_move_through_an_object_store,
    environment::outputs_may_be_files,
    environment::a_full_disk_stops_a_job_that_then_goes_on,
}

/// Scenarios that it is known to fail, and how: a version that passes one breaks the test, and the line goes above.
macro_rules! known_gaps {
    ($($of:ident::$name:ident: $how:literal),+ $(,)?) => {
        $(#[test]
        #[should_panic(expected = $how)]
        fn $name() {
            $of::$name(&Broker::embedded(Duration::from_secs(10)));
        })+
    };
}

known_gaps! {
    // no ConsumerGroupHeartbeat (KIP-848)
    scenarios::the_broker_may_assign: "are still not committed",
    // a dead member's session has no end either
    scenarios::another_worker_takes_over: "are still not committed",
    // no TLS, and no credentials
    scenarios::encrypted_and_with_credentials: "PLAIN: unspool: no answer from the Kafka brokers",
    environment::tokens_that_nobody_has_signed: "are still not committed",
    // transactions have no end of their own
    scenarios::an_abandoned_transaction_ends: "the events behind an abandoned transaction do not come",
}
