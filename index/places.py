"""Where an index is: a directory named outright, or a name under the home folder."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Protocol

from index.errors import InputError, NotFoundError

HOME = Path(".clickwise")


class Locate(Protocol):
    """Finds the directory of an index that a person named. `home` is what the command line gave, None without."""

    def __call__(self, name: str, home: Path | None = None) -> Path: ...


def is_path(name: str) -> bool:
    """Whether a person who wrote `name` meant a directory: it has a separator, or is one of the dots."""
    return os.sep in name or name in (".", "..")


def locate(name: str, home: Path | None = None) -> Path:
    """The plain rule, without a configuration: a path as it is, a name in the folder `indexes` under home."""
    return Path(name) if is_path(name) else (home or HOME) / "indexes" / name


def indexes_in(home: Path) -> dict[str, Path]:
    """The indexes under a home folder, by name. What a build that failed has left behind is none."""
    folder = home / "indexes"
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if (path / "current").exists()}


def none_in(home: Path) -> NotFoundError:
    """That a home folder has no index, and what to do."""
    where = home.absolute()
    flag = "" if home == HOME else f" --home {shlex.quote(str(home))}"
    return NotFoundError(
        f"There is no index in {where}{'' if where.is_dir() else ', which does not exist'}.",
        f"Build one there with 'clickwise index build --python-docs{flag}', or say with --home where yours are.",
    )


def check_name(name: str) -> str:
    """The name of an index to be made; InputError where it would lead out of its folder or hide in it."""
    if is_path(name) or not re.fullmatch(r"[\w-][\w. -]*", name):
        raise InputError(
            f"{name!r} cannot be the name of an index.", "Use letters, digits, - and _; --out takes a directory."
        )
    return name


def check_folder(path: Path) -> Path:
    """A folder to write to, there or not; InputError where there is a file in its place, or in that of one above it."""
    there = next((part for part in (path, *path.parents) if part.exists()), None)
    if there is not None and not there.is_dir():
        raise InputError(f"{there} is a file.", "Name a folder, or a new one.")
    return path


def name_for(source: str) -> str:
    """A name for the index of a source: its last part without endings, or the id of an ir_datasets collection."""
    collection = source.removeprefix("irds:")
    last = collection if collection != source else source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", last).strip("-_") or "index"
