"""Java objects used by several threads at once: everybody gets the answers of their own objects."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from index.index import Index
from index.java import java_class
from index.lexical import LexicalQuery
from index.types import Document

WORKERS = 8


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns far more often than they would by themselves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)


def test_a_method_stays_with_the_object_it_was_looked_up_on() -> None:
    array_list = java_class("java.util.ArrayList")
    one, two = array_list(), array_list()
    one.add("a")
    size_of_one, size_of_two = one.size, two.size
    assert (size_of_one(), size_of_two()) == (1, 0)
    one.add(str(one.get(0)) + str(two.add("b")))  # the same method, called while the arguments of a call are made
    assert ([one.get(i) for i in range(one.size())], two.get(0)) == (["a", "aTrue"], "b")


def test_static_and_overloaded_methods_still_work() -> None:
    assert java_class("java.lang.Integer").parseInt("12") == 12
    assert java_class("java.lang.String").valueOf(True) == "true"
    builder = java_class("java.lang.StringBuilder")()
    builder.append("a").append(1)
    assert builder.toString() == "a1"


@pytest.mark.usefixtures("many_switches")
def test_threads_keep_their_objects_apart() -> None:
    array_list = java_class("java.util.ArrayList")

    def work(worker: int) -> None:
        for number in range(200):
            mine = array_list()
            mine.add(f"{worker}/{number}")
            assert mine.size() == 1
            # Each object in this chain is held by nothing but the call.
            assert mine.subList(0, 1).iterator().next() == f"{worker}/{number}"

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))


@pytest.mark.usefixtures("many_switches")
def test_threads_read_their_own_documents(lexical_index: Index, corpus: list[Document]) -> None:
    lexical = lexical_index.view().lexical
    texts = {document.id: document.text for document in corpus}
    ids = list(texts)
    queries = ["espresso grinder", "boat mast wind", "generator class", "statin heart trial"]
    expected = [lexical.search(LexicalQuery(text=query), 100) for query in queries]
    terms = [lexical.analyze(query) for query in queries]

    def work(worker: int) -> None:
        for number in range(40):
            some = [ids[(number * 7 + worker * 3 + step) % len(ids)] for step in range(10)]
            assert [document and document.text for document in lexical.documents(some)] == [texts[doc] for doc in some]
            which = (worker + number) % len(queries)
            assert lexical.search(LexicalQuery(text=queries[which]), 100) == expected[which]
            assert lexical.analyze(queries[which]) == terms[which]

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))


def test_a_forgotten_view_closes_its_own_reader(lexical_index: Index) -> None:
    path = lexical_index.path
    kept, forgotten = Index.open(path), Index.open(path)
    newest = Index.open(path)
    del forgotten
    gc.collect()
    for index in (kept, newest):
        assert "coffee-00" in index.view().lexical
        assert len(index.view().lexical.search(LexicalQuery(text="espresso"), 10)) > 0
