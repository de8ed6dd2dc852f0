"""Hashes that say whether something has changed since it was last used."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

WHOLE = 256 * 2**20
"""Up to this many bytes files are hashed whole; of larger ones only the name, the size and the time of change."""


def digest_of(content: object) -> str:
    """A hash of anything that JSON can say, the same whatever the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:20]


def files_digest(path: Path, pattern: str = "**/*") -> str:
    """A hash of a file, or of the files of a folder that fit a pattern."""
    files = [path] if path.is_file() else sorted(file for file in path.glob(pattern) if file.is_file())
    large = sum(file.stat().st_size for file in files) > WHOLE
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
        if large:
            status = file.stat()
            total.update(f"{status.st_size} {status.st_mtime_ns}".encode())
        else:
            with file.open("rb") as opened:
                total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()[:20]


RANKING = ("index/**/*.py", "ranking/**/*.py", "eval/crowds.py", "eval/jobs.py", "eval/sessions.py")
EPISODES = ("eval/collections.py", "eval/episodes.py", "eval/protocol.py", "eval/users.py", "eval/formats/*.py")
MEASURING = ("eval/experiment.py", "eval/measures.py", "eval/protocol.py", "eval/provider.py")
REPORTING = ("eval/*.py", "eval/report.css")
"""The source files that decide about rankings, feedback, measured values and reports."""


@cache
def code_digest(patterns: tuple[str, ...]) -> str:
    """A hash of source files of this house, by patterns from its root: what a cached result was computed by."""
    root = Path(__file__).resolve().parent.parent
    files = sorted({file for pattern in patterns for file in root.glob(pattern)})
    return digest_of([[str(file.relative_to(root)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])
