"""Measuring fairly: contenders take turns query by query, so that a machine that drifts drifts for all of them."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def take_turns(
    contenders: Mapping[str, Callable[[Any], object]], inputs: Sequence[Any], rounds: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Milliseconds of every call: each input goes to each contender in turn, in an order that rotates.

    The `warm_up` first rounds are not counted.
    """
    names = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + warm_up):
        for number, item in enumerate(inputs):
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                start = time.perf_counter()
                contenders[name](item)
                if turn >= warm_up:
                    taken[name].append(1000 * (time.perf_counter() - start))
    return taken


def percentile(milliseconds: Sequence[float], p: float) -> float:
    return round(float(np.percentile(milliseconds, p)), 3)


def command_seconds(command: Sequence[str], runs: int = 7) -> float:
    """The median wall time of a command, in seconds, after one run that is not counted."""
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return round(statistics.median(taken[1:]), 3)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
