"""The topics that a TREC run answers: query id to query."""

from __future__ import annotations

import html
import json
import re
from typing import Final

from index.errors import InputError
from ranking.jobs.inputs import format_of, input_files, lines_of
from ranking.jobs.storage import Place

_TOPIC: Final = re.compile(r"<top\b[^>]*>(.*?)(?=</top\s*>|<top\b|\Z)", re.IGNORECASE | re.DOTALL)
_NUMBER: Final = re.compile(r"<num\b[^>]*>\s*(?:Number:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title\b[^>]*>\s*(?:Topic:)?(.*?)(?=<|\Z)", re.IGNORECASE | re.DOTALL)


def read_topics(uri: str) -> dict[str, str]:
    """Topics of JSONL (BEIR's `_id` and `text`, or `query_id` and `query`), of TSV, or of TREC's `<top>` and its title.

    Raises NotFoundError where there is no such file, InputError for one that holds none.
    """
    (file, *_) = input_files(uri)
    try:
        if format_of(file) == "jsonl":
            topics = _json(file)
        elif format_of(file) == "tsv":
            topics = _tsv(file)
        else:
            topics = _trec(b"\n".join(line for _, line in lines_of(file)).decode())
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8.", "Convert it.") from None
    if not topics:
        raise InputError(f"{file} holds no topics.", "Use .jsonl, .tsv, or TREC's <top> elements.")
    return topics


def _json(file: Place) -> dict[str, str]:
    topics = {}
    for number, line in lines_of(file):
        if line.strip():
            try:
                row = json.loads(line)
                topics[str(row["_id"] if "_id" in row else row["query_id"])] = str(
                    row["text"] if "text" in row else row["query"]
                )
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{file}:{number}: this is no topic.", 'Write {"_id": "1", "text": "..."}.') from None
    return topics


def _tsv(file: Place) -> dict[str, str]:
    cells = (line.decode().partition("\t") for _, line in lines_of(file) if line.strip())
    return {name.strip(): text for name, _, text in cells}


def _trec(text: str) -> dict[str, str]:
    topics = {}
    for content in _TOPIC.findall(text):
        number, title = _NUMBER.search(content), _TITLE.search(content)
        if number and title:
            topics[number[1]] = " ".join(html.unescape(title[1]).split())
    return topics
