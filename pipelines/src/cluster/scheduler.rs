//! The scheduler: hands groups out to executors, and looks after those that die. It keeps nothing on disk: jobs do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ballista_core::{config::TaskSchedulingPolicy, utils::default_session_builder};
use ballista_scheduler::{
    cluster::BallistaCluster,
    config::SchedulerConfig,
    scheduler_process::{create_scheduler, start_grpc_service_with_listener},
};
use datafusion::{execution::FunctionRegistry, prelude::SessionConfig};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpListener;

use super::{
    MESSAGE_BYTES,
    error::{Error, Result},
    function::RunGroup,
};
use crate::Cancel;

/// How long a group's outcome may wait to be fetched, and how long what is known of it is kept (its argument included), in seconds.
const KEPT_SECONDS: (u64, u64) = (60, 90);

/// How a scheduler works.
#[derive(Clone, Debug)]
pub struct SchedulerOptions {
    /// An executor that says nothing for so long is given up: its groups go to others.
    pub executor_timeout: Duration,
}

/// Schedules until it is cancelled.
///
/// # Errors
/// When the engine fails.
pub async fn schedule(listener: TcpListener, options: SchedulerOptions, cancel: Cancel) -> Result<()> {
    let address = listener.local_addr().map_err(|error| Error::Engine(format!("the scheduler: {error}")))?;
    let config = Arc::new(config(address, &options));
    let failed = |error: ballista_core::error::BallistaError| Error::Engine(format!("the scheduler: {error}"));
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(failed)?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, config).await.map_err(failed)?;
    tokio::select! {
        served = start_grpc_service_with_listener(listener, scheduler) => served.map_err(failed),
        () = cancel.cancelled() => Ok(()),
    }
}

fn config(address: SocketAddr, options: &SchedulerOptions) -> SchedulerConfig {
    let seconds = options.executor_timeout.as_secs().max(1);
    SchedulerConfig {
        bind_host: address.ip().to_string(),
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        // Executors ask for work: they come back to a scheduler that was started again, and need no second port.
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        finished_job_data_clean_up_interval_seconds: KEPT_SECONDS.0,
        finished_job_state_clean_up_interval_seconds: KEPT_SECONDS.1,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        executor_timeout_seconds: seconds,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: seconds,
        override_session_builder: Some(Arc::new(|config: SessionConfig| {
            let mut state = default_session_builder(config)?;
            state.register_udf(Arc::new(RunGroup::function(None)))?;
            Ok(state)
        })),
        ..SchedulerConfig::default()
    }
}
