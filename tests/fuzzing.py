"""Fuzzing of the readers that coverage leads: `python -m tests.fuzzing jsonl -runs=100000`.

Whatever comes in, they answer or say what is wrong in the house's words; anything else is a finding, which libFuzzer
writes to a file `crash-…` that the same command takes as an argument. Needs the extra `fuzz`. The first argument
names one of `TARGETS`, the others are libFuzzer's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(
    include=["index.readers", "index.filters", "ranking.clicks.formats", "server.ubi_bodies"]
):
    from index.errors import ClickwiseError
    from index.filters import parse_filter
    from index.readers.reading import read_documents
    from ranking.clicks.reading import read_log
    from server.ubi_bodies import records

_FOLDER: Final = Path(tempfile.mkdtemp(prefix="fuzzing-"))


def documents(ending: str) -> Callable[[bytes], None]:
    """Documents of a file with this ending."""
    path = _FOLDER / f"file.{ending}"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for document in read_documents(path, on_error="skip"):
            document.contents.encode()

    return read


def log(form: str, name: str) -> Callable[[bytes], None]:
    """Pages of a click log of this format, in a file of this name."""
    path = _FOLDER / name

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for batch in read_log(path, form):
            len(batch)

    return read


def condition(content: bytes) -> None:
    """A condition on documents."""
    parse_filter(content.decode("utf-8", "surrogateescape"))


def behavior(content: bytes) -> None:
    """A body of User Behavior Insights."""
    for _ in records(content):
        pass


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    **{ending: documents(ending) for ending in ("jsonl", "trec", "csv", "tsv", "parquet")},
    "ubi": log("ubi", "log.ndjson"),
    "yandex": log("yandex", "log.txt"),
    "baidu": log("baidu", "log.txt"),
    "table": log("parquet", "log.csv"),
    "filter": condition,
    "behavior": behavior,
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def one(content: bytes) -> None:
        with suppress(ClickwiseError):
            target(content)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
