"""A Ray cluster on this machine: two nodes, which are processes of their own and listen on the loopback address."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NODE = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}


@contextmanager
def two_nodes() -> Iterator[str]:
    """Its address while it lives. Skips where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra 'ray'")
    # Ray reads these when it is imported: no reports to its makers, and the loopback address is an address.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from ray.cluster_utils import Cluster

    from index.ray_cluster import connected, disconnect

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        cluster.add_node(**NODE, num_gpus=1)  # a GPU by name only
        connected(cluster.address)
        yield cluster.address
        disconnect()
    finally:
        cluster.shutdown()
