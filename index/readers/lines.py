"""The lines of a text file that is neither documents nor a table: topics, judgements, runs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import InputError, NotFoundError
from index.readers.files import File
from index.readers.records import Broken


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not blank, with their numbers; `.gz` and `.zst` are unpacked.

    A byte that is no UTF-8 becomes a lone surrogate. Raises NotFoundError without a file, InputError where it breaks
    off.
    """
    with opened(path) as file:
        for line in file.lines():
            if line.strip():
                yield file.line, line.rstrip("\r\n")


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """The open file. Raises NotFoundError without one, InputError where it breaks off."""
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Check the path; relative ones begin where you are.")
    file = File(path)
    try:
        yield file
    except (OSError, EOFError, zlib.error, Broken) as error:
        raise InputError(f"{path} breaks off: {error}.", "Fetch the file again.") from None
    finally:
        file.close()


def bad_line(path: object, line: int, reason: str) -> InputError:
    """That a line cannot be used. `path` is a path, or what else names the file."""
    return InputError(f"{path}:{line}: {reason}.", "Mend the line.")
