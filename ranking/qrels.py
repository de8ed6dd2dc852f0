"""Judgements as files hold them: TREC's four columns, or BEIR's three under their header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from index.errors import InputError
from index.readers.lines import bad_line, read_lines


def read_qrels(path: Path, excluded: Counter[str] | None = None) -> dict[str, dict[str, int]]:
    """The judgements of a file; `.gz` and `.zst` are unpacked. Raises NotFoundError without it, and as `parse_qrels`
    does."""
    return parse_qrels(read_lines(path), path, excluded)


def parse_qrels(
    lines: Iterable[tuple[int, str]], where: object, excluded: Counter[str] | None = None
) -> dict[str, dict[str, int]]:
    """Judgements by topic and document, of lines with their numbers; `where` names their file.

    A line that comes twice and a grade below zero (which becomes 0) are counted in `excluded`. Raises InputError for
    two different grades of one document, for a grade that is no whole number, and for a file without judgements.
    """
    excluded = Counter() if excluded is None else excluded
    qrels: dict[str, dict[str, int]] = {}
    for line, text in lines:
        cells = text.split("\t") if "\t" in text else text.split()
        if len(cells) == 4:
            topic, doc, written = cells[0], cells[2], cells[3]
        elif len(cells) == 3:
            topic, doc, written = cells
            if line == 1 and not any(map(_is_number, cells)):
                continue  # BEIR's header: names alone
        else:
            raise bad_line(where, line, f"{len(cells)} columns where judgements have 4 (TREC) or 3 (BEIR)")
        if not (_is_number(written) and float(written).is_integer()):
            raise bad_line(where, line, f"the grade {written.strip()!r} is no whole number")
        grade = int(float(written))
        if grade < 0:
            excluded["judgements of a grade below 0, taken as 0"] += 1
            grade = 0
        judged = qrels.setdefault(topic.strip(), {})
        doc = doc.strip()
        if doc in judged:
            if judged[doc] != grade:
                raise bad_line(where, line, f"{doc} of topic {topic} has the grade {grade}, and {judged[doc]} above")
            excluded["judgements that repeat an earlier line"] += 1
        judged[doc] = grade
    if not qrels:
        raise InputError(f"{where} holds no judgements.", "Name a qrels file with lines.")
    return qrels


def _is_number(written: str) -> bool:
    try:
        float(written)
    except ValueError:
        return False
    return True
