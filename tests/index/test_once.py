"""Values that are made once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from index.once import Once


def test_many_who_ask_have_it_made_once() -> None:
    once: Once[str, object] = Once()
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: once.get("a", make), range(100)))
    assert len(made) == 1
    assert all(value is made[0] for value in found)


def test_who_asks_for_another_does_not_wait() -> None:
    once: Once[str, str] = Once()
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert may_end.wait(60)
        return "slow"

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(once.get, "a", slow), pool.submit(once.get, "a", slow)
        assert begun.wait(60)
        assert once.get("b", lambda: "quick") == "quick"
        assert once.made() == {"b": "quick"}
        may_end.set()
        assert (first.result(), second.result()) == ("slow", "slow")
    assert once.made() == {"a": "slow", "b": "quick"}


def test_what_fails_is_tried_again() -> None:
    once: Once[str, int] = Once()

    def fails() -> int:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            once.get("a", fails)
    assert once.made() == {}
    assert once.get("a", lambda: 1) == 1
    once.put("a", 2)
    assert once.get("a", lambda: 3) == 2
    once.forget("a")
    assert once.get("a", lambda: 4) == 4
    once.clear()
    assert once.made() == {}
