"""TREC text: `<DOC>` elements with a `<DOCNO>`, several to a file.

The title comes from the first of `TITLES` and the text from all of `TEXTS`, in their order; a document with none of
`TEXTS` (a web page, say) has all its content as text. A mapping names other elements. Mark-up inside is dropped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from index.readers.files import MAX_LINE, File
from index.readers.layout import Layout
from index.readers.records import Fault, Record

TITLES: Final = ("TITLE", "HEADLINE", "HEAD", "HL", "TTL", "TI")
TEXTS: Final = ("TEXT", "LP", "LEADPARA", "ABSTRACT", "BODY")

_OPEN: Final = re.compile(r"<DOC\s*>", re.IGNORECASE)
_CLOSE: Final = re.compile(r"</DOC\s*>", re.IGNORECASE)
_UNSEEN: Final = re.compile(r"<!--.*?-->|<(script|style|dochdr)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")


def read(file: File, layout: Layout) -> Iterator[Record | Fault]:
    """One record per `<DOC>`, at the line where it begins."""
    start, size, found = 0, 0, False
    parts: list[str] | None = None  # of the open document
    for line in file.lines():
        at = 0
        while at < len(line):
            if parts is None:
                opening = _OPEN.search(line, at)
                if not opening:
                    break
                parts, size, start, found, at = [], 0, file.line, True, opening.end()
                continue
            closing = _CLOSE.search(line, at)
            end = closing.start() if closing else len(line)
            again = _OPEN.search(line, at, end)
            size += end - at
            if again or size > MAX_LINE:
                reason = "has no </DOC>" if again else f"is longer than {MAX_LINE // 2**20} MiB"
                yield Fault(start, f"the <DOC> that begins here {reason}")
                parts, at = None, again.start() if again else end
                continue
            parts.append(line[at:end])
            at = closing.end() if closing else end
            if closing:
                yield Record(start, _values("".join(parts), layout))
                parts = None
    if parts is not None:
        yield Fault(start, "the <DOC> that begins here has no </DOC>: the file ends in it")
    elif file.line and not found:
        yield Fault(1, "there is no <DOC> in the file")


def _values(content: str, layout: Layout) -> dict[str, object]:
    """The values of one document: under the names that the mapping uses, or as docno, title and text."""
    content = _UNSEEN.sub(" ", content)
    elements = _elements(content, _tags(*layout.columns))
    values: dict[str, object] = {
        name: "\n".join(map(_plain, elements.get(name.upper(), ())))
        for name in layout.columns
        if name.upper() in elements or name not in layout.typed  # a text may be absent and is empty then
    }
    if "id" not in layout.mapped and "DOCNO" in elements:
        values["docno"] = _plain(elements["DOCNO"][0])
    if "title" not in layout.mapped:
        values["title"] = next((_plain(elements[name][0]) for name in TITLES if name in elements), "")
    if "text" not in layout.mapped:
        texts = [part for name in TEXTS for part in elements.get(name, ())]
        values["text"] = "\n".join(map(_plain, texts)) if texts else _rest(content)
    return values


@lru_cache
def _tags(*names: str) -> re.Pattern[str]:
    """The tags of the elements that are read, and of those named."""
    named = "|".join(map(re.escape, ("DOCNO", *TITLES, *TEXTS, *names)))
    return re.compile(rf"<(/?)({named})(?:\s[^<>]*)?>", re.IGNORECASE)


def _elements(content: str, tags: re.Pattern[str]) -> dict[str, list[str]]:
    """What stands inside the elements, in the order of the document; an element that is never closed has none."""
    begun: dict[str, int] = {}
    elements: dict[str, list[str]] = {}
    for tag in tags.finditer(content):
        name = tag[2].upper()
        if not tag[1]:
            begun[name] = tag.end()
        elif name in begun:
            elements.setdefault(name, []).append(content[begun.pop(name) : tag.start()])
    return elements


def _rest(content: str) -> str:
    """Everything but the DOCNO and the titles."""
    named = "|".join(("DOCNO", *TITLES))
    return _plain(re.sub(rf"<({named})\b[^<>]*>[^<]*</\1\s*>", " ", content, flags=re.IGNORECASE))


def _plain(markup: str) -> str:
    """Text without tags and with the characters that its entities stand for."""
    lines = html.unescape(_TAG.sub(" ", markup)).splitlines()
    return "\n".join(line for line in map(str.strip, lines) if line)
