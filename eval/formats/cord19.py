"""CORD-19, the corpus of TREC-COVID: `metadata.csv`, and the full texts as JSON beside it.

A paper's text is its abstract; with `full_text` the paragraphs of its PMC or PDF parse follow. Of several rows with one
cord_uid the first stays, which is what the track's organisers advise.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from index.errors import InputError
from index.readers.lines import read_lines
from index.types import Document


def read_documents(path: Path, excluded: Counter[str], *, full_text: bool = False) -> Iterator[Document]:
    """The papers of a `metadata.csv`, or of the folder that holds one.

    Rows without a cord_uid, with one that has come before, or with neither title nor abstract are counted in
    `excluded`. Raises InputError where a column is missing.
    """
    table = path / "metadata.csv" if path.is_dir() else path
    csv.field_size_limit(2**27)
    rows = csv.DictReader(line + "\n" for _, line in read_lines(table))
    missing = {"cord_uid", "title", "abstract"} - set(rows.fieldnames or ())
    if missing:
        raise InputError(f"{table} has no column {', '.join(sorted(missing))}.", "Name CORD-19's metadata.csv.")
    seen: set[str] = set()
    for row in rows:
        doc, title = (row["cord_uid"] or "").strip(), (row["title"] or "").strip()
        if not doc:
            excluded["papers without a cord_uid"] += 1
        elif doc in seen:
            excluded["papers whose cord_uid came before"] += 1
        else:
            text = "\n".join(filter(None, [(row["abstract"] or "").strip(), *_body(table.parent, row, full_text)]))
            if title or text:
                seen.add(doc)
                yield Document(doc, title, text)
            else:
                excluded["papers without title and abstract"] += 1


def _body(folder: Path, row: dict[str, str], wanted: bool) -> Iterator[str]:
    """The paragraphs of the first parse that is there: PMC's is the cleaner one."""
    if not wanted:
        return
    names = [name for column in ("pmc_json_files", "pdf_json_files") for name in (row.get(column) or "").split(";")]
    for name in map(str.strip, names):
        if name and (folder / name).is_file():
            parsed = json.loads((folder / name).read_text(encoding="utf-8"))
            yield from (paragraph["text"] for paragraph in parsed.get("body_text", ()) if paragraph.get("text"))
            return
