"""The best window of a document."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from index.snippets import snippet

FILLER = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor " * 6


def _tokens(contents: str) -> list[tuple[str, int, int]]:
    """Words with offsets in UTF-16 units, as Lucene counts."""
    units = [0]
    for char in contents:
        units.append(units[-1] + (2 if char > "\uffff" else 1))
    return [(m.group().lower(), units[m.start()], units[m.end()]) for m in re.finditer(r"\w+", contents)]


def _cut(contents: str, words: dict[str, float], width: int = 120) -> tuple[str, list[str]]:
    found = snippet(contents, _tokens(contents), words, width)
    return found.text, [found.text[a:b] for a, b in found.highlights]


def test_the_window_with_most_of_the_query_wins_over_repetition() -> None:
    contents = "cat cat cat cat. " + FILLER + "the cat met the dog. " + FILLER
    text, marked = _cut(contents, {"cat": 1.0, "dog": 1.0})
    assert "the cat met the dog" in text
    assert marked == ["cat", "dog"]
    assert text.startswith("… ")
    assert text.endswith(" …")


def test_rare_terms_weigh_more() -> None:
    contents = "common words here. " + FILLER + "one rare word. " + FILLER
    text, marked = _cut(contents, {"common": 0.1, "rare": 5.0})
    assert marked == ["rare"]
    assert "one rare word" in text


def test_a_short_document_is_shown_whole() -> None:
    assert _cut("The dog sleeps.", {"dog": 1.0}) == ("The dog sleeps.", ["dog"])


def test_without_a_match_the_beginning_is_shown() -> None:
    text, marked = _cut(FILLER, {"absent": 1.0})
    assert text.startswith("lorem ipsum")
    assert marked == []


def test_marks_are_right_behind_characters_beyond_the_basic_plane() -> None:
    text, marked = _cut("😀😀 a dog 🎉 and a cat", {"dog": 1.0, "cat": 1.0})
    assert marked == ["dog", "cat"]
    assert text == "😀😀 a dog 🎉 and a cat"


def test_line_breaks_become_spaces() -> None:
    assert _cut("one\ndog\ttwo", {"dog": 1.0}) == ("one dog two", ["dog"])


def test_an_empty_document() -> None:
    assert _cut("", {"dog": 1.0}) == ("", [])


@given(
    st.lists(st.sampled_from(["dog", "cat", "naïve", "😀", "filler", "words\n", "and", "x" * 300]), max_size=80),
    st.integers(20, 300),
)
def test_every_mark_is_a_query_term_and_the_window_is_bounded(words: list[str], width: int) -> None:
    contents = " ".join(words)
    found = snippet(contents, _tokens(contents), {"dog": 1.0, "cat": 2.0, "naïve": 1.0}, width)
    assert all(found.text[a:b] in {"dog", "cat", "naïve"} for a, b in found.highlights)
    assert len(found.text) <= width + 4
    assert list(found.highlights) == sorted(found.highlights)
    if {"dog", "cat", "naïve"} & set(words):
        assert found.highlights
