"""Handlers of signals that a library has changed are put back, so that Java lives on."""

from __future__ import annotations

import ctypes
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from index.signals import SIGNALS, action, signals_kept

ROOT = Path(__file__).resolve().parents[2]


def handlers() -> list[bytes]:
    """The addresses of the handlers; what else is in the structures is not filled in whole."""
    return [action(number).raw[: ctypes.sizeof(ctypes.c_void_p)] for number in SIGNALS]


def test_what_a_block_changes_is_undone() -> None:
    before = handlers()
    with signals_kept():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert handlers() != before
    assert handlers() == before


IN_A_PROCESS_OF_ITS_OWN = """
from index.java import java_class
from index.ray_cluster import connected, disconnect
from tests.index.test_signals import handlers

java_class("java.lang.String")
before = handlers()
connected()
assert handlers() == before, "connected"
disconnect()
assert handlers() == before, "disconnected"
print("kept")
"""


def test_ray_leaves_the_jvm_its_signals() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the extra 'ray'")
    run = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (run.stdout.strip(), run.returncode) == ("kept", 0), run.stderr
