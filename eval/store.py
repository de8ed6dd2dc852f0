"""The cache of an evaluation: indexes and finished parts, each under a hash of all that it depends on.

    ROOT/indexes/NAME-HASH/      the index of a collection
    ROOT/parts/HASH.json         what was computed: episodes, measured values
    ROOT/parts/HASH.jsonl        the rankings of one ranker for one collection and k, one line per topic
    ROOT/parts/HASH.partial      the same, not finished (HASH.PROCESS.partial where another process is at that one)

Finished files appear under their names at once and whole. Rankings are appended line by line to a partial file, so
that a run which is interrupted or killed goes on with the topic after the last whole line.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from index.errors import UnavailableError


class Store:
    """The cache in one directory. Several processes may use it: the worst is that both compute the same part."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with writing_errors(root):
            (root / "parts").mkdir(parents=True, exist_ok=True)
            (root / "indexes").mkdir(exist_ok=True)

    def index(self, name: str, digest: str) -> Path:
        return self.root / "indexes" / f"{name}-{digest[:12]}"

    def read(self, digest: str) -> Any | None:
        """A finished part, None where there is none (or none that can be read: it is computed again)."""
        with suppress(FileNotFoundError, ValueError):
            return json.loads(self._path(digest, "json").read_text(encoding="utf-8"))
        return None

    def write(self, digest: str, content: object) -> None:
        write_text(self._path(digest, "json"), json.dumps(content, separators=(",", ":")))

    def rankings(self, digest: str) -> dict[str, Any] | None:
        """A finished part's records by topic, None where it is not finished."""
        path = self._path(digest, "jsonl")
        return dict(_records(path)) if path.exists() else None

    def finished(self, digest: str) -> bool:
        return self._path(digest, "jsonl").exists()

    @contextmanager
    def journal(self, digest: str) -> Iterator[Journal]:
        """Append to a part's rankings; what an earlier run has left is there."""
        partial = self._path(digest, "partial")
        with ExitStack() as opened:
            with writing_errors(partial):
                file = opened.enter_context(partial.open("a", encoding="utf-8"))
                if not _locked(file):  # two at one file would mix their lines
                    partial = self._path(digest, f"{os.getpid()}.partial")
                    file = opened.enter_context(partial.open("a", encoding="utf-8"))
                _cut_torn_line(partial)
            yield Journal(file, partial, {topic for topic, _ in _records(partial)})

    def finish(self, digest: str, journal: Journal) -> None:
        """Every topic is in the journal: from now on the part is finished."""
        try:
            os.replace(journal.path, self._path(digest, "jsonl"))
        except FileNotFoundError:  # another process has found it complete, and was quicker
            if not self.finished(digest):
                raise

    def _path(self, digest: str, ending: str) -> Path:
        return self.root / "parts" / f"{digest}.{ending}"


class Journal:
    """A part under way, in the file `path`. `done` are the topics that it has."""

    def __init__(self, file: IO[str], path: Path, done: set[str]) -> None:
        self._file, self.path, self.done = file, path, done

    def add(self, topic: str, record: object) -> None:
        """Append and hand over to the system: a killed process loses nothing that was added."""
        self._file.write(json.dumps([topic, record], separators=(",", ":")) + "\n")
        self._file.flush()
        self.done.add(topic)


def write_text(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all."""
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    with writing_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        os.replace(fresh, path)


@contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into UnavailableError."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{path} cannot be written: {error.strerror or error}.", "Free some space, or choose another folder."
        ) from error


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                topic, record = json.loads(line)
                yield topic, record


def _locked(file: IO[str]) -> bool:
    """Take the file for this process alone, as long as it is open. Gives whether nobody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _cut_torn_line(path: Path) -> None:
    """Remove what a killed process has left after the last whole line."""
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            os.truncate(path, content.rfind(b"\n") + 1)
