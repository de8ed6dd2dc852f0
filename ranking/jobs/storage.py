"""Files and objects by path or URI: read in pieces, written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from index.errors import InputError, NotFoundError, UnavailableError
from index.vectors import sync


@dataclass(frozen=True, slots=True)
class Place:
    """A file, an object, or what lies under a common prefix: `below` the path that `root`, a path or URI, names.

    pyarrow's own file systems serve file://, s3://, gs:// and hdfs:// URIs, with their options in the query string
    (`s3://bucket/rows?endpoint_override=127.0.0.1:5000&scheme=http`); any other scheme is left to fsspec.
    """

    root: str
    below: str = ""

    @classmethod
    def at(cls, uri: str) -> Place:
        """The place of a path or URI; a relative path begins where this process is, whoever opens it later."""
        return cls(uri if _has_scheme(uri) else str(Path(uri).expanduser().absolute()))

    def __truediv__(self, name: str) -> Place:
        return Place(self.root, f"{self.below}/{name}" if self.below else name)

    def __str__(self) -> str:
        """What a person would write for it; what of a URI may be secret is left out."""
        base = re.sub(r"(?<=://)[^/@]*@", "", self.root.partition("?")[0]) if _has_scheme(self.root) else self.root
        return f"{base.rstrip('/')}/{self.below}" if self.below else base

    @property
    def system(self) -> Any:
        """The pyarrow file system."""
        return _resolved(self.root)[0]

    @property
    def path(self) -> str:
        """The path in `system`."""
        base = _resolved(self.root)[1]
        return f"{base.rstrip('/')}/{self.below}" if self.below else base

    @property
    def local(self) -> Path | None:
        """The path on this machine, None for objects elsewhere."""
        return Path(self.path) if isinstance(self.system, fs.LocalFileSystem) else None

    @property
    def name(self) -> str:
        return self.path.rstrip("/").rpartition("/")[2]

    def info(self) -> Any:
        """pyarrow's FileInfo: type, size in bytes, mtime_ns."""
        with _errors(self, "looked at"):
            return self.system.get_file_info(self.path)

    def is_file(self) -> bool:
        return bool(self.info().type == fs.FileType.File)

    def files(self, *, deep: bool = False) -> list[Place]:
        """The files in this folder, by name; none where there is no folder. With `deep` those of its folders too."""
        with _errors(self, "listed"):
            selector = fs.FileSelector(self.path, allow_not_found=True, recursive=deep)
            found = [info.path for info in self.system.get_file_info(selector) if info.type == fs.FileType.File]
        start = len(self.path.rstrip("/")) + 1
        return [self / path[start:] for path in sorted(found)]

    def open(self) -> Any:
        """The content for random access, as a pyarrow NativeFile. Raises NotFoundError where there is none."""
        with _errors(self, "read"):
            return self.system.open_input_file(self.path)

    def read(self) -> bytes:
        """The whole content. Raises NotFoundError where there is none."""
        with _errors(self, "read"), self.system.open_input_file(self.path) as file:
            content: bytes = file.read()
            return content

    def write(self, content: bytes | pa.Buffer) -> None:
        """Replace the content: durable when it returns, and until then nobody sees a part of it."""
        with _errors(self, "written"):
            if self.local is None:
                with self.system.open_output_stream(self.path) as stream:
                    stream.write(content)  # an object appears when its stream is closed
            else:
                with writing(self.local) as fresh:
                    fresh.write_bytes(content)

    def delete(self) -> None:
        """Delete a file, if it is there."""
        with _errors(self, "deleted"):
            if self.is_file():
                self.system.delete_file(self.path)

    def delete_folder(self) -> None:
        """Delete a folder with all that is in it, if it is there."""
        with _errors(self, "deleted"):
            if self.info().type == fs.FileType.Directory:
                self.system.delete_dir(self.path)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends well, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        yield fresh
        sync(fresh)
        os.replace(fresh, path)
        sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def whole_stream(place: Place) -> Iterator[Any]:
    """A stream to write to; its content appears at the place when the block ends well."""
    with _errors(place, "written"):
        if place.local is not None:
            with writing(place.local) as fresh, fresh.open("wb") as file:
                yield file
                file.flush()
            return
        # An object appears when its stream is closed, which a stream that has failed does as well: so gather it first.
        with tempfile.TemporaryFile() as gathered:
            yield gathered
            gathered.seek(0)
            with place.system.open_output_stream(place.path) as stream:
                shutil.copyfileobj(gathered, stream, 2**22)


def parquet_bytes(table: pa.Table, **options: Any) -> pa.Buffer:
    """A table as the bytes of a Parquet file."""
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", **options)
    return sink.getvalue()


def _has_scheme(root: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", root) is not None


@lru_cache(maxsize=64)
def _resolved(root: str) -> tuple[Any, str]:
    if not _has_scheme(root):
        return fs.LocalFileSystem(), root
    try:
        system, path = fs.FileSystem.from_uri(root)
        return system, path
    except pa.ArrowInvalid as unknown:
        try:
            from fsspec.core import url_to_fs

            system, path = url_to_fs(root)
        except (ImportError, ValueError):
            scheme = root.partition(":")[0]
            raise InputError(
                f"{root.partition('?')[0]} cannot be used: {str(unknown).splitlines()[0].rstrip('.')}.",
                f"Write a path or a URI; for {scheme}:// fsspec may need a further package.",
            ) from unknown
        return fs.PyFileSystem(fs.FSSpecHandler(system)), path


@contextmanager
def _errors(place: Place, doing: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {place}.", "Check the path.") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise UnavailableError(
            f"{place} could not be {doing}: {reason}.", "Check the address, the permissions and the room that is left."
        ) from error
