"""The Washington Post collection, the corpus of TREC News: JSON lines of articles, each a list of blocks."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from index.readers.lines import bad_line, read_lines
from index.types import Document

_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def read_documents(path: Path, excluded: Counter[str]) -> Iterator[Document]:
    """The articles with their titles and paragraphs; captions, dates and by-lines are no text.

    Articles that repeat an id and those without title and paragraphs are counted in `excluded`. Raises InputError for
    a line that is no article.
    """
    seen: set[str] = set()
    for line, text in read_lines(path):
        try:
            article = json.loads(text)
            doc, blocks = str(article["id"]), [block for block in article["contents"] or () if block]
        except (ValueError, KeyError, TypeError):
            raise bad_line(path, line, "this is no article with id and contents") from None
        title = str(article.get("title") or _first_title(blocks))
        body = "\n".join(_plain(block["content"]) for block in blocks if _is_paragraph(block))
        if doc in seen:
            excluded["articles whose id came before"] += 1
        elif title or body:
            seen.add(doc)
            yield Document(doc, " ".join(title.split()), body)
        else:
            excluded["articles without title and text"] += 1


def _first_title(blocks: list[dict[str, object]]) -> object:
    return next((block.get("content") or "" for block in blocks if block.get("type") == "title"), "")


def _is_paragraph(block: dict[str, object]) -> bool:
    return block.get("subtype") == "paragraph" and isinstance(block.get("content"), str)


def _plain(markup: object) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", str(markup))).split())
