"""JSON objects out of files of any size: one per line, an array of them, or an answer of OpenSearch."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from index.readers.files import File
from ranking.clicks.reading import BROKEN, Reading

LONGEST: Final = 16 * 2**20
"""Characters of one record."""
_ARRAY: Final = re.compile(r'"(?:hits|queries|events|ubi_queries|ubi_events)"\s*:\s*\[')
BULK: Final = frozenset({"index", "create"})  # action lines of the bulk API: the record is on the next line


def records(file: File, reading: Reading) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(line, name of the OpenSearch index or "", record) for every JSON object; the others are bad records.

    Objects that wrap a record (`_source`, as search answers and dumps have it) are unwrapped. In a file that is no
    JSON lines, records are the elements of the array that it is, or of the arrays named hits, queries or events in it.
    """
    text = _text(file, reading)
    head = next(text, "").removeprefix("\ufeff").lstrip()
    index = ""
    found = _lines(file, head, text, reading) if _is_lines(head) else _elements(file, head, text, reading)
    for line, value in found:
        if not isinstance(value, dict):
            reading.bad(file.path, line, f"a JSON object is expected, and this is a {type(value).__name__}")
        elif len(value) == 1 and not BULK.isdisjoint(value):
            action = next(iter(value.values()))
            index = str(action.get("_index", "")) if isinstance(action, dict) else ""
        elif isinstance(value.get("_source"), dict):
            yield line, str(value.get("_index", "")), value["_source"]
        else:
            yield line, index, value


def _text(file: File, reading: Reading) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for block in reading.chunks(file):
        yield decoder.decode(block)


def _is_lines(head: str) -> bool:
    """Whether the first line is a record of its own."""
    first, _, _ = head.partition("\n")
    try:
        value = json.loads(first)
    except ValueError:
        return not _ARRAY.search(head) and not head.startswith("[")
    return isinstance(value, dict) and not _ARRAY.search(first)


def _lines(file: File, head: str, text: Iterator[str], reading: Reading) -> Iterator[tuple[int, Any]]:
    broken = reading.report.counts[BROKEN]
    rest = head
    while True:
        *whole, rest = rest.split("\n")
        for line in whole:
            file.line += 1
            if line.strip():
                yield from _parsed(file, line, reading)
        block = next(text, None)
        if block is None:
            break
        rest += block
        if len(rest) > LONGEST + 2**21:
            reading.bad(file.path, file.line + 1, f"the line is longer than {LONGEST} characters")
            return
    if rest.strip() and reading.report.counts[BROKEN] == broken:
        file.line += 1
        yield from _parsed(file, rest, reading)


def _parsed(file: File, line: str, reading: Reading) -> Iterator[tuple[int, Any]]:
    try:
        yield file.line, json.loads(line)
    except (ValueError, RecursionError) as error:
        reading.bad(file.path, file.line, f"it is not usable JSON ({error})")


def _elements(file: File, head: str, text: Iterator[str], reading: Reading) -> Iterator[tuple[int, Any]]:
    """The elements of arrays, parsed one by one; the line is that of the text before them."""
    decoder, buffer, inside = json.JSONDecoder(), head, False
    if buffer.startswith("["):
        buffer, inside = buffer[1:], True
    while True:
        if not inside:
            opened = _ARRAY.search(buffer)
            if opened:
                file.line += buffer.count("\n", 0, opened.end())
                buffer, inside = buffer[opened.end() :], True
                continue
        else:
            buffer = _skip(file, buffer)
            if buffer.startswith("]"):
                buffer, inside = buffer[1:], False
                continue
            try:
                value, end = decoder.raw_decode(buffer)
            except (ValueError, RecursionError):
                end = 0
            # A number at the very end may go on in the next block; an object is over when it is over.
            if end and buffer[end:]:
                yield file.line + 1, value
                file.line += buffer.count("\n", 0, end)
                buffer = buffer[end:]
                continue
        block = next(text, None)
        if block is None:
            break
        # Outside of arrays only what may be the beginning of one is kept.
        buffer = (buffer if inside else buffer[-64:]) + block
        if len(buffer) > LONGEST + 2**21:
            reading.bad(file.path, file.line + 1, "it is not usable JSON, or longer than a record may be")
            return
    if inside and buffer.strip():
        reading.bad(file.path, file.line + 1, "it is not usable JSON, or it breaks off")


def _skip(file: File, buffer: str) -> str:
    rest = buffer.lstrip(" \t\r\n,")
    file.line += buffer.count("\n", 0, len(buffer) - len(rest))
    return rest
