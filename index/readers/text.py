"""Plain text and Markdown: a file is a document.

Its id is its path in the folder that is read, its title the first line that is not blank, its text the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

from index.readers.files import MAX_LINE, File
from index.readers.layout import Layout
from index.readers.records import Broken, Fault, Record


def read(file: File, _layout: Layout) -> Iterator[Record | Fault]:
    """The one record of a file."""
    lines, size = [], 0
    for line in file.lines():
        lines.append(line)
        size += len(line)
        if size > MAX_LINE:
            raise Broken(f"the text is longer than {MAX_LINE // 2**20} MiB")
    title, _, text = "".join(lines).strip().partition("\n")
    if title.startswith("<DOC>"):
        yield Fault(1, "this is TREC text: read it with --format trec")
        return
    yield Record(1, {"id": file.name, "title": title.lstrip("#").strip(), "text": text.strip()})
