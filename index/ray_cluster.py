"""Ray, where more than one machine is wanted: a cluster that is there, or one on this machine alone.

A cluster of our own listens on the loopback address only and reports to nobody. It counts more logical processors than
two: with two, actors that hold models took both and whatever was to feed them waited for ever.
"""

from __future__ import annotations

import atexit
import ipaddress
import os
import socket
import threading
from typing import Any, Final

from index.errors import UnavailableError
from index.signals import signals_kept

LEAST_CPUS: Final = 4
"""Logical processors of a cluster of our own."""
_STORE_BYTES: Final = 256 * 2**20  # for what is sent between processes: requests and rankings, not corpora
_KNOCK: Final = 5.0  # seconds that a cluster has to open its door
_connecting = threading.Lock()


def connected(address: str = "") -> Any:
    """The module `ray`, connected to the cluster at `address`, else at RAY_ADDRESS, else to one of our own.

    A process is connected to one cluster at a time: the first one. Raises UnavailableError where Ray is not installed,
    or the cluster does not answer.
    """
    address = address or os.environ.get("RAY_ADDRESS", "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about the future of Ray
    if _on_this_machine(address):
        # Read when Ray is imported: without it Ray takes the loopback address for another of this machine's.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        raise UnavailableError("Ray is not installed.", "Run: pip install 'clickwise[ray]'") from error
    with _connecting:
        if not ray.is_initialized():
            quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "clickwise"}
            try:
                with signals_kept():  # Ray takes those that the JVM lives on
                    if address:
                        _knock(address)
                        ray.init(address=address, **quiet)
                    else:
                        ray.init(
                            address="local",
                            num_cpus=max(LEAST_CPUS, os.cpu_count() or 1),
                            object_store_memory=_STORE_BYTES,
                            include_dashboard=False,
                            _node_ip_address="127.0.0.1",
                            **quiet,
                        )
                atexit.register(disconnect)  # after Ray's own, so it comes before it
            except (ConnectionError, OSError, RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise UnavailableError(
                    f"The Ray cluster {address or 'of this machine'} does not answer: {reason}",
                    "Check the address, and that 'ray status' shows its nodes.",
                ) from error
    return ray


def disconnect() -> None:
    """Leave the cluster, if this process is connected to one; one of our own ends."""
    import ray

    with _connecting, signals_kept():
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()


def _on_this_machine(address: str) -> bool:
    host = address.removeprefix("ray://").rpartition(":")[0] or address
    if host in ("", "local", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
