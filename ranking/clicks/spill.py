"""Bringing together what belongs together when it does not fit into memory: a partition by hash, on disk.

The grace hash join (Kitsuregawa et al., 1983): rows go to files by the hash of their key, so equal keys meet in one
file, and a file that is still too large is split again by another hash.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

LIMIT: Final = 64 * 2**20
"""Bytes of Arrow that are held in memory before rows go to disk."""
FILES: Final = 64
"""Files that a stream is split into, per level."""
_DEEPEST: Final = 3  # 64 ** 3 files: what is larger then has one key, and no hash splits it


@dataclass(frozen=True, slots=True)
class Stream:
    """Record batches of one schema."""

    schema: Any
    batches: Iterable[Any]


def together(streams: Sequence[Stream], key: str, limit: int = LIMIT, level: int = 0) -> Iterator[tuple[Any, ...]]:
    """One table per stream at a time, such that all rows with the same `key` come at the same time, in their order.

    What fits into `limit` bytes comes at once and touches no disk; else the tables come in an order of their own, the
    same for the same rows, by way of files in the folder for temporary ones (TMPDIR).
    """
    held: list[list[Any]] = [[] for _ in streams]
    rests = [iter(stream.batches) for stream in streams]
    size = 0
    for own, rest in zip(held, rests, strict=True):
        for batch in rest:
            own.append(batch)
            size += batch.nbytes
            if size > limit and level < _DEEPEST:
                begun = [Stream(s.schema, chain(h, r)) for s, h, r in zip(streams, held, rests, strict=True)]
                yield from _split(begun, key, limit, level)
                return
    if size or not level:
        yield tuple(pa.Table.from_batches(own, stream.schema) for own, stream in zip(held, streams, strict=True))


def _split(streams: Sequence[Stream], key: str, limit: int, level: int) -> Iterator[tuple[Any, ...]]:
    with tempfile.TemporaryDirectory(prefix="clickwise-") as name:
        folders = [Path(name, str(number)) for number in range(len(streams))]
        for folder, stream in zip(folders, streams, strict=True):
            folder.mkdir()
            _scatter(stream, key, folder, level)
        for number in range(FILES):
            with ExitStack() as files:
                parts = [
                    Stream(stream.schema, _gather(folder / str(number), files))
                    for folder, stream in zip(folders, streams, strict=True)
                ]
                yield from together(parts, key, limit, level + 1)


def _scatter(stream: Stream, key: str, folder: Path, level: int) -> None:
    packed = pa.ipc.IpcWriteOptions(compression="lz4")
    with ExitStack() as files:
        writers = [
            files.enter_context(pa.ipc.new_stream(str(folder / str(number)), stream.schema, options=packed))
            for number in range(FILES)
        ]
        for batch in stream.batches:
            target = _targets(batch.column(key), level)
            order = np.argsort(target, kind="stable")
            ordered = batch.take(pa.array(order))
            bounds = np.searchsorted(target[order], np.arange(FILES + 1))
            for number in np.unique(target).tolist():
                first, last = int(bounds[number]), int(bounds[number + 1])
                writers[number].write_batch(ordered.slice(first, last - first))


def _targets(keys: Any, level: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The file of each row: six bits of a Fibonacci hash of the key's crc32, other ones on every level."""
    hashed = [0 if key is None else zlib.crc32(key.encode()) for key in keys.to_pylist()]
    mixed = np.array(hashed, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(58 - 6 * level)) % np.uint64(FILES)).astype(np.int64)


def _gather(path: Path, files: ExitStack) -> Iterator[Any]:
    yield from files.enter_context(pa.ipc.open_stream(files.enter_context(pa.OSFile(str(path)))))
