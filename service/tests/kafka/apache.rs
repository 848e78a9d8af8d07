//! The scenarios on Apache Kafka.

use crate::{broker::Broker, environment, scenarios};

macro_rules! on_apache_kafka {
    ($($of:ident::$name:ident),+ $(,)?) => {
        $(#[test]
        #[ignore = "needs Apache Kafka: .ci/kafka.sh"]
        fn $name() {
            $of::$name(&Broker::of_the_tests());
        })+
    };
}

on_apache_kafka! {
    scenarios::a_stop_and_a_start_go_on_where_it_was,
    scenarios::forecasts_and_embeddings,
    scenarios::the_broker_may_assign,
    scenarios::an_abandoned_transaction_ends,
    scenarios::another_worker_takes_over,
    scenarios::an_idle_flush_is_committed_and_replayed,
    scenarios::at_least_once_loses_nothing,
    scenarios::outputs_may_be_lines_of_text,
    scenarios::what_stands_in_the_way_is_said,
    scenarios::too_many_rejects_stop_the_job_if_that_is_asked,
    scenarios::workers_leave_one_after_the_other,
    scenarios::encrypted_and_with_credentials,
    environment::metrics_tell_how_a_job_stands,
    environment::tokens_that_nobody_has_signed,
    environment::states_move_through_an_object_store,
    environment::outputs_may_be_files,
    environment::a_full_disk_stops_a_job_that_then_goes_on,
}
