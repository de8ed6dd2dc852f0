"""What goes over to Java for one call is not kept for ever, and neither are views of an index."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from index import bulk, java
from index.index import Index
from index.java import java_class
from index.java_frames import LocalFrame
from index.lexical import LexicalQuery
from index.types import Document

LARGE = ["x" * 1_000 for _ in range(1_000)]  # a megabyte of Java's memory


@pytest.fixture(autouse=True)
def no_cycles_looked_for() -> Iterator[None]:
    """What earlier tests have left, also in Java, goes before and not meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def heap() -> int:
    """Bytes of Java's heap that something holds on to."""
    for _ in range(3):  # what has a finalizer takes more than one
        java_class("java.lang.System").gc()
    used = java.heap()
    assert used is not None
    return used[0]


def test_what_is_handed_over_in_a_frame_goes_with_it() -> None:
    holder, seen = java_class("java.util.ArrayList")(), []
    for _ in range(2):  # at first pyjnius loads what it needs
        with LocalFrame():
            with LocalFrame():
                holder.add(LARGE)
            holder.add(LARGE)
            holder.clear()
            seen.append(heap())  # the frame that has not ended holds one of both
        seen.append(heap())
    assert 700_000 < seen[2] - seen[3] < 1_500_000


def test_what_python_holds_outlives_the_frame() -> None:
    with LocalFrame():
        made = java_class("java.util.ArrayList")()
        made.add("kept")
    heap()
    assert made.get(0) == "kept"


def test_a_frame_ends_when_its_block_raises() -> None:
    from jnius import JavaException

    holder = java_class("java.util.ArrayList")()
    before = heap()
    with pytest.raises(JavaException), LocalFrame():
        holder.set(7, LARGE)  # there is no such place
    assert heap() < before + 300_000


def test_weighted_terms_leave_nothing_in_java() -> None:
    terms = {f"{number} {'x' * 1_000}": 1.0 for number in range(1_000)}
    bulk.float_map(terms)
    before = heap()
    for _ in range(5):
        bulk.float_map(terms)
    assert heap() < before + 1_000_000


def test_a_view_goes_as_soon_as_nobody_reads_it(new_index: Callable[..., Index]) -> None:
    index = new_index()
    seen = []
    for number in range(3):
        lexical = index.view().lexical
        assert len(lexical.search(LexicalQuery(text="espresso", terms={"coffe": 0.5}), 10)) > 0
        lexical.doc_frequencies(lexical.analyze("espresso"))
        seen.append(weakref.ref(lexical))
        del lexical
        index.upsert([Document(f"new-{number}", "", "espresso")])
    assert [view() for view in seen] == [None, None, None]
