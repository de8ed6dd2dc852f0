"""The formats: their names, the endings they go by, and the functions that read them. Add a format here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from index.errors import InputError, NotFoundError
from index.readers import delimited, jsonl, parquet, text, trec
from index.readers.files import COMPRESSED, File
from index.readers.layout import Layout
from index.readers.records import Fault, Record

Reader: TypeAlias = Callable[[File, Layout], Iterator[Record | Fault]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. The first of `names` is its own, the others are what people also call it."""

    names: tuple[str, ...]
    endings: tuple[str, ...]
    read: Reader


JSONL: Final = Format(("jsonl", "beir", "pyserini"), (".jsonl", ".ndjson", ".json"), jsonl.read)
TEXT: Final = Format(("text",), (".txt", ".md"), text.read)
FORMATS: Final = (
    JSONL,
    Format(("parquet",), (".parquet", ".pq"), parquet.read),
    Format(("trec", "trectext"), (".trec", ".trectext", ".sgml", ".sgm"), trec.read),
    Format(("tsv",), (".tsv", ".tab"), delimited.read_tsv),
    Format(("csv",), (".csv",), delimited.read_csv),
    TEXT,
)
KNOWN: Final = "The formats are " + ", ".join(f"{f.names[0]} ({' '.join(f.endings)})" for f in FORMATS) + "."
BEIR_CORPUS: Final = "corpus.jsonl"


def format_named(name: str) -> Format:
    """The format of that name. Raises InputError listing those that there are."""
    for format in FORMATS:
        if name.lower() in format.names:
            return format
    raise InputError(f"There is no format {name}.", KNOWN)


def format_of(path: Path) -> Format | None:
    """The format that a file's ending stands for, or None. `.gz` and `.zst` after it do not count."""
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return next((format for format in FORMATS if inner.suffix.lower() in format.endings), None)


def find_files(source: Path, format: Format | None) -> list[tuple[Path, Format]]:
    """The files to read, with their formats: one file, or those of a folder in the order of their paths.

    A folder in BEIR layout is its corpus alone. In another, files of unknown endings and hidden ones are passed over,
    and texts are where there are files of other formats, of which they tell, as a README does; where none has an ending
    of the format asked for, all files are of that format (TREC collections have odd names).
    Raises NotFoundError where there is nothing, InputError where nothing is readable.
    """
    if not source.exists():
        raise NotFoundError(f"There is no file or folder {source}.", "Check the path; relative ones begin here.")
    if not source.is_dir():
        chosen = format or format_of(source)
        if chosen is TEXT and not format:  # it may as well be a document a line
            raise InputError(f"{source} is one text.", "Name a folder of texts, or say with --format what the file is.")
        if chosen:
            return [(source, chosen)]
        raise InputError(f"{source} has an ending of no known format.", f"{KNOWN} Or say which it is with --format.")
    for corpus in (source / f"{BEIR_CORPUS}{ending}" for ending in ("", *COMPRESSED)):
        if corpus.is_file() and format in (None, JSONL):
            return [(corpus, JSONL)]
    paths = _walk(source)
    if not paths:
        raise InputError(f"The folder {source} has no files.", "Name a folder that holds the documents.")
    known = [(path, found) for path in paths if (found := format_of(path)) and found is (format or found)]
    if known:
        return [one for one in known if one[1] is not TEXT] or known
    if format:
        return [(path, format) for path in paths]
    endings = sorted({path.suffix or path.name for path in paths})
    shown = ", ".join(endings[:8]) + (", …" if len(endings) > 8 else "")
    raise InputError(f"The folder {source} has only files of unknown endings: {shown}.", KNOWN)


def _walk(folder: Path) -> list[Path]:
    """Every file under a folder, less the hidden ones, sorted."""
    found: list[Path] = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())
