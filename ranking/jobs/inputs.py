"""The files of a job's input: which, of what format, and by what they are recognised again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, cast

import pyarrow as pa

from index.errors import InputError, NotFoundError
from index.readers.files import MAX_LINE
from ranking.jobs.storage import Place

_SAMPLE: Final = 65_536  # bytes at each end of a file that its fingerprint looks at


def input_files(uri: str) -> list[Place]:
    """The file that a path or URI names, or those in the folder, by name; hidden ones and those with an underscore are
    left out. Raises NotFoundError where there is none."""
    place = Place.at(uri)
    if place.is_file():
        return [place]
    found = [file for file in place.files(deep=True) if not _hidden(file.below)]
    if not found:
        raise NotFoundError(f"There is no input at {place}.", "Check the path.")
    return found


def fingerprint(files: Sequence[Place]) -> str:
    """Changes with any file's name, size, time of change, beginning or end. Reads little, whatever the size."""
    whole, size = hashlib.sha256(), 0
    for file in files:
        info = file.info()
        with file.open() as content:
            head = content.read(_SAMPLE)
            content.seek(max(0, info.size - _SAMPLE))
            tail = content.read(_SAMPLE)
        size += info.size
        whole.update(f"{file.name} {info.size} {info.mtime_ns}".encode("utf-8", "surrogateescape"))
        whole.update(hashlib.sha256(head + tail).digest())
    count = "1 file" if len(files) == 1 else f"{len(files):,} files"
    return f"{count} of {size:,} bytes ({whole.hexdigest()[:12]})"


def format_of(file: Place) -> str:
    """The last ending of a file's name but that of its compression: "parquet", "jsonl", ...; empty without one."""
    parts = file.name.lower().split(".")[1:]
    kept = [part for part in parts if part not in ("gz", "zst")]
    return kept[-1] if kept else ""


def lines_of(file: Place) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, with their numbers and without their ends; `.gz` and `.zst` are unpacked.

    Raises InputError where the file breaks off, or where a line has more than 64 MiB.
    """
    number = 0
    with breaking_off(file), _stream(file) as stream:
        while line := stream.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise InputError(
                    f"{file}:{number}: the line is longer than {MAX_LINE // 2**20} MiB.", "Write one row a line."
                )
            start = 3 if number == 1 and line.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
            yield number, line[start:].rstrip(b"\r\n")


@contextmanager
def breaking_off(file: Place) -> Iterator[None]:
    """Turn what the reading of a damaged file raises into an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {file}.", "Check the path.") from None
    except (OSError, EOFError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"{file} cannot be read: {reason}.", "Write or fetch it again.") from error


def _stream(file: Place) -> IO[bytes]:
    raw: Any = file.system.open_input_stream(file.path)  # unpacks by the ending
    return cast(IO[bytes], io.BufferedReader(raw, 2**20))


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))
