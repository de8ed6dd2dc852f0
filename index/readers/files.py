"""One file being read: its bytes, decompressed by its ending, and the line that the reading has reached."""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import IO, Final, cast

from index.errors import InputError
from index.readers.records import Broken

MAX_LINE: Final = 64 * 2**20
"""Bytes of one line, and characters of one record: what keeps the memory bounded on a file without line ends."""
COMPRESSED: Final = (".gz", ".zst")


class File:
    """An open file. `name` is its path in what is read, where that is a folder. `line` counts the lines (or rows) that
    have been read: errors name the next one.

    Raises InputError where the file cannot be opened. While it is read, EOFError, OSError, zlib.error and Broken mean
    that it breaks off.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self.line = 0
        self._open = ExitStack()
        try:
            self._raw = self._open.enter_context(path.open("rb"))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{path} cannot be read: {reason}.", "Check the path and its permissions.") from error

    def close(self) -> None:
        self._open.close()

    @cached_property
    def stream(self) -> IO[bytes]:
        """The bytes, decompressed."""
        ending = self.path.suffix.lower()
        if ending not in COMPRESSED:
            return self._raw
        if not self._raw.peek(1):
            raise Broken("it is empty, which no compressed file is")
        if ending == ".gz":
            return cast(IO[bytes], self._open.enter_context(gzip.GzipFile(fileobj=self._raw)))
        # pyarrow, because it notices a truncated stream and reads one of several frames.
        import pyarrow as pa

        frames = self._open.enter_context(pa.CompressedInputStream(self._raw, "zstd"))
        return cast(IO[bytes], self._open.enter_context(io.BufferedReader(frames, 2**16)))

    def lines(self) -> Iterator[str]:
        """The lines with their ends, as UTF-8; a byte that is none becomes a lone surrogate, which `Layout` mends."""
        while line := self.stream.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise Broken(f"the line is longer than {MAX_LINE // 2**20} MiB")
            self.line += 1
            start = 3 if self.line == 1 and line.startswith(b"\xef\xbb\xbf") else 0  # a byte order mark
            yield line[start:].decode("utf-8", "surrogateescape")

    def seekable(self) -> IO[bytes]:
        """The bytes for readers that jump about: the file itself, or a temporary copy of what it decompresses to."""
        if self.stream is self._raw and self._raw.seekable():
            return self._raw
        copy = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as this file)
        self._open.callback(copy.close)
        shutil.copyfileobj(self.stream, copy, 2**20)
        copy.seek(0)
        return copy
