"""Snippets: the window of a document that answers the query best, with the matching words marked."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SPACE: Final = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of a document and the (start, end) character spans in it that match the query."""

    text: str
    highlights: tuple[tuple[int, int], ...]


Token = tuple[str, int, int]


def snippet(contents: str, tokens: Sequence[Token], weights: Mapping[str, float], width: int) -> Snippet:
    """The best window of at most about `width` characters.

    `tokens` are the analysed terms of `contents` with their (start, end) in UTF-16 units, as Lucene counts; `weights`
    the query's terms. A window is worth the summed weight of the *distinct* query terms in it, so that one that covers
    more of the query beats one that repeats a word; ties go to the one with more matches, then to the earlier one.
    """
    spans = _in_characters(contents, [token for token in tokens if token[0] in weights])
    start = _best_start(spans, weights, width)
    start, end = _at_words(contents, start, width)
    body = contents[start:end]
    lead, tail = ("… " if start > 0 else ""), (" …" if end < len(contents) else "")
    shift = start - len(lead)
    marks = tuple((a - shift, b - shift) for _, a, b in spans if a >= start and b <= end)
    # Line breaks become spaces one for one, so that the marks stay right.
    return Snippet(lead + _SPACE.sub(" ", body) + tail, _joined(marks))


def _best_start(spans: Sequence[Token], weights: Mapping[str, float], width: int) -> int:
    best, best_key = 0, (0.0, 0)
    right = 0
    counts: dict[str, int] = {}
    value = 0.0
    for left, (term, start, _) in enumerate(spans):
        while right < len(spans) and spans[right][2] - start <= width * 0.8:
            entering = spans[right][0]
            counts[entering] = counts.get(entering, 0) + 1
            value += weights[entering] if counts[entering] == 1 else 0.0
            right += 1
        if (value, right - left) > best_key:
            best, best_key = start, (value, right - left)
        if right > left:
            counts[term] -= 1
            value -= weights[term] if counts[term] == 0 else 0.0
        else:
            right = left + 1
    return best


def _at_words(contents: str, match: int, width: int) -> tuple[int, int]:
    """A window that begins a little before the match, at the start of a word, and ends at the end of one."""
    start = max(0, min(match - width // 8, len(contents) - width))
    if start > 0:
        gap = contents.find(" ", start, match)
        start = gap + 1 if gap >= 0 else match
    end = min(len(contents), start + width)
    if end < len(contents):
        gap = contents.rfind(" ", start + width // 2, end)
        end = gap if gap > 0 else end
    return start, end


def _in_characters(contents: str, tokens: Sequence[Token]) -> list[Token]:
    """Token offsets in UTF-16 units as offsets in characters; the same unless characters lie beyond the basic plane."""
    wide = [position for position, char in enumerate(contents) if char > "\uffff"] if not contents.isascii() else []
    if not wide:
        return list(tokens)
    units = [position + before for before, position in enumerate(wide)]  # where each wide character starts, in units
    return [(term, a - bisect_right(units, a - 1), b - bisect_right(units, b - 1)) for term, a, b in tokens]


def _joined(marks: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Marks in order and without overlap (an analyser may give several terms for one word)."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(marks):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
