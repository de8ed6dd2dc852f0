"""JSON lines: one object per line, in the manner of BEIR (`_id,title,text,metadata`) or Pyserini (`id,contents`)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from index.readers.files import File
from index.readers.layout import Layout
from index.readers.records import Fault, Record


def read(file: File, layout: Layout) -> Iterator[Record | Fault]:
    """One record per line; blank lines count but are none."""
    for line in file.lines():
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            yield Fault(file.line, f"it is not JSON ({error.msg} at column {error.colno})")
            continue
        except (ValueError, RecursionError) as error:  # an integer of thousands of digits, thousands of brackets
            yield Fault(file.line, f"it is not usable JSON ({error})")
            continue
        if isinstance(values, dict):
            yield Record(file.line, values)
        else:
            yield Fault(file.line, f"one JSON object per line is expected, and this is a {type(values).__name__}")
