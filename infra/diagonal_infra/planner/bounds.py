"""What each resource of a cluster allows by itself."""

from diagonal_infra.planner.config import ClusterModel, Pictures


def bounds(cluster: ClusterModel, pictures: Pictures, workers: int) -> dict[str, float]:
    """Candidates a second that each resource allows if all others were endless."""
    success = pictures.success_share
    return {
        "cpu": workers / pictures.cpu_seconds / success,
        "latency": workers * cluster.in_flight / cluster.mean_slot_seconds,
        "hosts": min(rate / share for share, rate in cluster.heavy_hosts),
        "bandwidth": pictures.link_rate(cluster.uplink_gigabits) / success,
    }
