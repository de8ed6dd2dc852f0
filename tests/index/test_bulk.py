"""Loops composed inside the JVM give what reading value by value gives."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index import bulk
from index.analyzers import analyzer
from index.index import Index
from index.java import cast, java_class, text


def _stream(words: str) -> Any:
    value = text(words)
    return cast("org.apache.lucene.analysis.TokenStream", analyzer("english").tokenStream("contents", value))


def _token_by_token(words: str) -> list[tuple[str, int, int]]:
    attributes = "org.apache.lucene.analysis.tokenattributes."
    stream = _stream(words)
    kinds = [java_class("java.lang.Class").forName(attributes + n) for n in ("CharTermAttribute", "OffsetAttribute")]
    term, offset = (cast(kind.getName(), stream.getAttribute(kind)) for kind in kinds)
    stream.reset()
    found = []
    while stream.incrementToken():
        found.append((term.toString(), offset.startOffset(), offset.endOffset()))
    stream.close()
    return found


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_tokens_are_those_read_one_by_one(words: str) -> None:
    stream = _stream(words)
    in_bulk = bulk.tokens(stream)
    stream.close()
    assert in_bulk == _token_by_token(words)


@given(st.text(st.sampled_from("ab\t\n .😀é"), max_size=60), st.sets(st.sampled_from(["a", "b", "ab", "é", "x"])))
def test_wanted_tokens_are_some_of_all(words: str, wanted: set[str]) -> None:
    found = []
    for some in (wanted, None):
        stream = _stream(words)
        found.append(bulk.tokens(stream, some))
        stream.close()
    assert found[0] == [token for token in found[1] if token[0] in wanted]


def test_hits_are_those_read_one_by_one(lexical_index: Index) -> None:
    view = lexical_index.view().lexical
    searcher = view._own_searcher(None, None)
    everything = java_class("org.apache.lucene.search.MatchAllDocsQuery")()
    found = searcher.search(everything, 50)
    numbers, scores = bulk.hits(found)
    assert numbers.tolist() == [hit.doc for hit in found.scoreDocs]
    np.testing.assert_allclose(scores, [hit.score for hit in found.scoreDocs])
    assert numbers.shape == scores.shape == (50,)


def test_no_hits_give_empty_arrays(lexical_index: Index) -> None:
    searcher = lexical_index.view().lexical._own_searcher(None, None)
    nothing = java_class("org.apache.lucene.search.MatchNoDocsQuery")()
    numbers, scores = bulk.hits(searcher.search(nothing, 10))
    assert numbers.shape == scores.shape == (0,)


def test_bits_of_a_set() -> None:
    bits = java_class("org.apache.lucene.util.FixedBitSet")(70)
    for place in (0, 3, 64, 69):
        bits.set(place)
    found = bulk.live_bits(cast("org.apache.lucene.util.Bits", bits), 70)
    assert np.flatnonzero(found).tolist() == [0, 3, 64, 69]


def test_many_threads_read_their_own_answers(lexical_index: Index) -> None:
    """pyjnius shares method objects between threads: what one thread asks must not reach another."""
    view = lexical_index.view().lexical
    expected = {topic: view.analyze(f"{topic} boats running") for topic in ("coffee", "sailing", "python", "medicine")}
    wrong: list[str] = []

    def ask(topic: str) -> None:
        for _ in range(200):
            if view.analyze(f"{topic} boats running") != expected[topic]:
                wrong.append(topic)

    threads = [threading.Thread(target=ask, args=(topic,)) for topic in expected for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_map_has_what_was_put_in_one_by_one() -> None:
    values = {"plain": 0.1, "naïve": 1 / 3, "😀 wide": 2.0, "lone \ud800": 1e30}
    one_by_one = java_class("java.util.HashMap")()
    for key, number in values.items():
        java_key, weight = text(key), java_class("java.lang.Float")(number)
        one_by_one.put(java_key, weight)
    assert bulk.float_map(values).equals(one_by_one)
    assert bulk.float_map({}).isEmpty()
