"""BEIR's queries: JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

from eval.topics import Topic
from index.errors import InputError
from index.readers.lines import bad_line, read_lines

NAMES = {
    "id": ("_id", "id", "qid"),
    "title": ("text", "title", "query"),
    "description": ("description", "need", "question"),
    "narrative": ("narrative",),
}


def read_queries(path: Path) -> dict[str, Topic]:
    """Topics from JSON lines of `_id` and `text`, with a description and a narrative where they have them.

    Raises InputError for a line without id or that repeats one, and for a file without topics.
    """
    topics: dict[str, Topic] = {}
    for line, text in read_lines(path):
        try:
            record = json.loads(text)
        except ValueError:
            raise bad_line(path, line, "this is not JSON") from None
        if not isinstance(record, dict):
            raise bad_line(path, line, "this is no JSON object")
        parts = {part: _first(record, names) for part, names in NAMES.items()}
        if not parts["id"]:
            raise bad_line(path, line, "the topic has no _id")
        if parts["id"] in topics:
            raise bad_line(path, line, f"topic {parts['id']} comes twice")
        topics[parts["id"]] = Topic(**parts)
    if not topics:
        raise InputError(f"{path} holds no topics.", "Name a file with one JSON object a line.")
    return topics


def read_tsv_queries(path: Path) -> dict[str, Topic]:
    """Topics from lines of id, tab, text."""
    topics: dict[str, Topic] = {}
    for line, text in read_lines(path):
        topic, tab, words = text.partition("\t")
        if not tab or not topic.strip():
            raise bad_line(path, line, "a topic is an id, a tab and a text")
        if topic in topics:
            raise bad_line(path, line, f"topic {topic} comes twice")
        topics[topic] = Topic(topic, words.strip())
    if not topics:
        raise InputError(f"{path} holds no topics.", "Name a file with lines of id, tab, text.")
    return topics


def _first(record: dict[str, object], names: tuple[str, ...]) -> str:
    """The first of these members that is there, as text."""
    return next((str(record[name]) for name in names if record.get(name) not in (None, "")), "")
