"""What was seen of a precision, kept for the next start: a small file for each model, in the user's cache folder.

What cannot be read or written there costs the comparison once more, and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

from ranking.clicks.durable import write_durably
from ranking.learning.sample import PASSAGES, QUESTIONS


def conditions(checksum: str, precision: str) -> dict[str, str]:
    """Everything that a verdict depends on."""
    return {
        "model": checksum,
        "precision": precision,
        "processor": _processor(),
        "instructions": str(getattr(torch.cpu, "get_capabilities", dict)()),
        "torch": torch.__version__,
        "clickwise": importlib.metadata.version("clickwise"),
        "sample": hashlib.sha256(repr((QUESTIONS, PASSAGES)).encode()).hexdigest(),
    }


def read(about: Mapping[str, str]) -> tuple[float, float] | None:
    """Kendall's tau and nDCG@10 as they were seen under these conditions, None where nobody has seen them."""
    try:
        kept = json.loads(_path(about).read_bytes())
        tau, ndcg = float(kept["tau"]), float(kept["ndcg"])
        return (tau, ndcg) if kept["about"] == about and math.isfinite(tau) and math.isfinite(ndcg) else None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def write(about: Mapping[str, str], tau: float, ndcg: float) -> None:
    try:
        path = _path(about)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, json.dumps({"tau": tau, "ndcg": ndcg, "about": dict(about)}, indent=1).encode())
    except (OSError, RuntimeError):  # nobody's home, a disk that is read only or full
        return


def _path(about: Mapping[str, str]) -> Path:
    """Raises RuntimeError where the user has no home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    return cache / "clickwise" / "precision" / f"{name[:32]}.json"


def _processor() -> str:
    """As Linux names it; elsewhere by its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
