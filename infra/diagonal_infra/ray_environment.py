"""Variables that every process of a Ray cluster of ours must have, before it starts."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # By default a node that vanishes without a reset is noticed after minutes, and its tasks do not
    # fail (Ray PR 44612). With these it is dead after three looks, at most period + timeout
    # apart: 9 s. Its tasks fail after about 30 s: 10 s until the connection counts as
    # broken, and gRPC's 20 s in vain for a new one, over which Ray asks why the task failed.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_grpc_client_keepalive_time_ms": "5000",
    "RAY_grpc_client_keepalive_timeout_ms": "5000",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
