"""The index directory: generations, the pointer to the current one, and the lock that writers hold.

    DIRECTORY/
        current              {"generation": "000002", "commit": 5}, replaced atomically
        write.lock           held by whoever builds or updates; the system frees it when the holder dies
        generations/000002/  manifest.json, lucene/, and where there are vectors: raw.f16, conditioned.f16, space, dense
        generations/.building-…  a build under way, or what a killed one left: the next build removes it

A generation appears under its name only when it is complete. Updates go to the current generation: vectors are appended
first, then one Lucene commit makes documents, rows and fields visible together, so a writer killed anywhere leaves the
commit before. `current` is rewritten after each commit: that is how other processes notice.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.errors import ClickwiseError, ConflictError, NotFoundError, UnavailableError
from index.vectors import sync

KEPT = 2  # generations that stay on disk: the newest and the one before, and the one that serves in any case


@dataclass(frozen=True, slots=True)
class Current:
    """Which generation serves, and how many commits it has seen."""

    generation: str
    commit: int


def read_current(directory: Path) -> Current:
    """The current generation. Raises NotFoundError where nothing has been built."""
    try:
        stored = json.loads((directory / "current").read_text(encoding="utf-8"))
        return Current(str(stored["generation"]), int(stored["commit"]))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(
            f"There is no index at {directory}.", "Build one with 'clickwise index build', or check the path."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConflictError(f"The pointer {directory}/current is damaged.", "Rebuild the index.") from None


def stamp(directory: Path) -> tuple[int, int]:
    """A value that changes whenever `current` is replaced: cheap enough to look at before every search."""
    status = os.stat(directory / "current")
    return status.st_ino, status.st_mtime_ns


def generation_path(directory: Path, generation: str) -> Path:
    return directory / "generations" / generation


def write_current(directory: Path, current: Current) -> None:
    """Replace the pointer atomically and durably."""
    fresh = directory / ".current.new"
    with file_errors("the index pointer", directory):
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(json.dumps({"generation": current.generation, "commit": current.commit}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, directory / "current")
        sync(directory)


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Hold the write lock of an index directory. Raises ConflictError where another writer holds it."""
    with file_errors("the index", directory):
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / "write.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"Another process is writing to the index {directory}.", "Wait until it has finished, then try again."
            ) from None
        yield
    finally:
        os.close(handle)


def names(directory: Path) -> list[str]:
    """The complete generations on disk, oldest first."""
    root = directory / "generations"
    return sorted(path.name for path in root.iterdir() if path.name.isdigit()) if root.is_dir() else []


def activate(directory: Path, generation: str | None = None) -> Current:
    """Make a generation the current one: the newest, or an older one by its name.

    Raises NotFoundError where it is not on disk, ConflictError where another process writes to the index.
    """
    with writing(directory):
        current, complete = read_current(directory), names(directory)
        wanted = generation or complete[-1]
        if wanted not in complete:
            raise NotFoundError(
                f"The index {directory} has no generation {wanted!r}.", f"On disk are: {', '.join(complete)}."
            )
        if wanted != current.generation:
            current = Current(wanted, current.commit + 1)
            write_current(directory, current)
        return current


@contextmanager
def new_generation(directory: Path, *, activated: bool = True) -> Iterator[tuple[str, Path]]:
    """A name and an empty folder for a build; on success the folder becomes that generation, and the current one
    where it is to be `activated` or is the first.

    The caller holds the write lock. An error or an interrupt removes the folder and changes nothing.
    """
    root = directory / "generations"
    with file_errors("the index", directory):
        root.mkdir(exist_ok=True)
        for leftover in root.glob(".building-*"):
            shutil.rmtree(leftover)
        numbers = [int(path.name) for path in root.iterdir() if path.name.isdigit()]
        name = f"{max(numbers, default=0) + 1:06d}"
        building = root / f".building-{name}"
        building.mkdir()
    try:
        yield name, building
        with file_errors("the index", directory):
            _sync_tree(building)
            os.rename(building, root / name)
            sync(root)
        if activated or not (directory / "current").exists():
            write_current(directory, Current(name, 0))
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    serving = read_current(directory).generation
    for number in sorted(numbers)[: -(KEPT - 1) or None]:
        if f"{number:06d}" != serving:
            shutil.rmtree(root / f"{number:06d}", ignore_errors=True)


@contextmanager
def file_errors(what: str, where: Path) -> Iterator[None]:
    """Turn what the file system refuses into an UnavailableError with a mend."""
    try:
        yield
    except ClickwiseError:
        raise
    except OSError as problem:
        full = problem.errno in (28, 27, 122)  # ENOSPC, EFBIG, EDQUOT
        raise UnavailableError(
            f"{what.capitalize()} could not be written in {where}: {(problem.strerror or str(problem)).lower()}.",
            "Free some space and try again; what was committed before is untouched."
            if full
            else "Check that the directory exists and may be written.",
        ) from problem


def _sync_tree(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        sync(path)
