"""The vectors of the queries asked last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from index.query_vectors import QueryVectors
from tests.fakes import HashingEncoder


class Counting(HashingEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode(
        self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None
    ) -> npt.NDArray[np.float32]:
        self.encoded += texts
        return super().encode(texts, on_progress=on_progress)


def test_each_text_is_encoded_once_and_every_row_is_the_encoders() -> None:
    encoder, remembered = Counting(), QueryVectors()
    texts = ["a boat", "", "a boat", "coffee"]
    for _ in range(2):
        np.testing.assert_array_equal(remembered.encoded(encoder, texts), HashingEncoder().encode(texts))
    remembered.encoded(encoder, ["coffee", "tea"])
    assert encoder.encoded == ["a boat", "", "coffee", "tea"]
    assert remembered.encoded(encoder, []).shape == (0, encoder.dimension)


def test_the_least_recently_asked_is_forgotten() -> None:
    encoder, remembered = Counting(), QueryVectors(kept=2)
    for text in ("one", "two", "one", "three", "one", "two"):
        remembered.encoded(encoder, [text])
    assert encoder.encoded == ["one", "two", "three", "two"]


def test_another_model_shares_nothing() -> None:
    first, second, remembered = Counting(), Counting(), QueryVectors()
    second.checksum = "another"
    remembered.encoded(first, ["one"])
    remembered.encoded(second, ["one"])
    assert second.encoded == ["one"]


def test_what_is_remembered_cannot_be_changed_from_outside() -> None:
    encoder, remembered = Counting(), QueryVectors()
    remembered.encoded(encoder, ["one"])[:] = 0
    assert remembered.encoded(encoder, ["one"]).any()


def test_what_was_asked_for_is_counted() -> None:
    vectors, encoder = QueryVectors(), HashingEncoder()
    for texts in (["a", "b", "a"], ["b", "c"], []):
        vectors.encoded(encoder, texts)
    assert (vectors.hits, vectors.misses, len(vectors)) == (1, 3, 3)
