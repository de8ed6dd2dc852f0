"""Where jobs may read and write: below the folders of the setting `job_roots`, whatever a request says.

A request names a place as ROOT/rest, with a root's name and a relative path below it. There is no way to say anything
else: neither an absolute path nor a URI nor `..` has a meaning, and what symbolic links lead to has to lie below a root
as well. It is looked at when a job is asked for and again when it is begun; whoever can change the folders in between
could read and write there anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from index.errors import ConflictError, InputError, NotFoundError


class Roots:
    """The folders that jobs may use, by name."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    def path(self, place: str, *, exists: bool) -> Path:
        """The file or folder that ROOT/rest means on this machine; with `exists` it, and all in it, has to be there.

        Raises ConflictError where no roots are set, InputError for what is no such place or leads elsewhere, and
        NotFoundError for an unknown root or a missing file.
        """
        if not self._folders:
            raise ConflictError(
                "This service has no folder for jobs.", 'Name some in the settings: job_roots = { data = "/srv/data" }.'
            )
        name, _, rest = place.partition("/")
        parts = rest.split("/")
        if "\0" in place or "\\" in place or ":" in name or not all([name, *parts]) or {".", ".."} & {name, *parts}:
            raise InputError(f"{place!r} is no place below a root.", f"Write ROOT/path, as in {self._example}.")
        if name not in self._folders:
            raise NotFoundError(f"There is no root {name!r}.", f"Write ROOT/path, as in {self._example}.")
        path = self._folders[name].joinpath(*parts)
        if exists and not path.exists():
            raise NotFoundError(f"There is nothing at {place}.", "Check the path below the root.")
        for found in _all(path) if exists else (path,):
            self._check(found, place)
        return path

    @property
    def _example(self) -> str:
        return " or ".join(f"{name}/rows.parquet" for name in self._folders)

    def _check(self, path: Path, place: str) -> None:
        """Raises InputError for a path that leads out of every root."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a loop of links
            real = Path("/")
        if not any(real.is_relative_to(root.resolve()) for root in self._folders.values()):
            raise InputError(f"{place!r} leads out of the roots by a symbolic link.", "Put the file itself there.")


def _all(path: Path) -> Iterator[Path]:
    """A path, and every link below it: what is no link lies where its folder lies."""
    yield path
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            below = Path(folder, name)
            if below.is_symlink():
                yield below
