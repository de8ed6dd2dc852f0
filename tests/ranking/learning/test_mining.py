from __future__ import annotations

import numpy as np
import pytest

from index.errors import InputError
from index.index import Index
from index.types import Document
from ranking.learning.mining import Mining, judged_tasks, keyword_tasks, title_tasks


def test_titles_ask_for_their_own_texts(dense_index: Index, corpus: list[Document]) -> None:
    by_text = {document.text: document for document in corpus}
    tasks = list(title_tasks(dense_index, 7, Mining(negatives=5)))
    assert len(tasks) == 7
    for task in tasks:
        assert by_text[task.texts[0]].title == task.query
        assert task.relevance.tolist() == [1.0] + [0.0] * (len(task) - 1)
        assert 1 < len(task) <= 6
        assert len(set(task.texts)) == len(task)
        assert task.kind == "single"
        assert np.all(np.abs(task.prior) <= 1.0 + 1e-5)


def test_priors_are_the_cosines_of_what_is_read(dense_index: Index) -> None:
    (task,) = title_tasks(dense_index, 1, Mining(negatives=3))
    query, *texts = dense_index.encode([task.query, *task.texts])
    np.testing.assert_allclose(task.prior, np.array(texts) @ query, atol=1e-5)


def test_more_than_there_is_gives_what_there_is(dense_index: Index, corpus: list[Document]) -> None:
    tasks = list(title_tasks(dense_index, 10_000, Mining(negatives=2)))
    assert sorted(task.texts[0] for task in tasks) == sorted(document.text for document in corpus)


def test_keywords_divide_what_a_title_finds(dense_index: Index, corpus: list[Document]) -> None:
    topic = {document.contents: document.fields["topic"] for document in corpus}
    tasks = list(keyword_tasks(dense_index, "topic", 6))
    assert len(tasks) == 6
    for task in tasks:
        relevant = {topic[text] for text, grade in zip(task.texts, task.relevance, strict=True) if grade}
        others = {topic[text] for text, grade in zip(task.texts, task.relevance, strict=True) if not grade}
        assert len(relevant) == 1
        assert not relevant & others
        assert 4 <= task.relevance.sum() <= 40 // 3
        assert task.kind == "feedback"
        assert task.source == f"keywords of {dense_index.name}"


def test_a_field_that_is_not_there_makes_no_task(dense_index: Index) -> None:
    with pytest.raises(InputError, match="No document of the index can make a task"):
        list(keyword_tasks(dense_index, "colour", 3))


def test_judgements_keep_their_grades_and_weights(dense_index: Index, corpus: list[Document]) -> None:
    contents = {document.id: document.contents for document in corpus}
    grades = {"1": {"coffee-01": 1.0, "coffee-02": 0.7, "sailing-03": 0.0, "gone": 1.0}, "2": {"coffee-01": 0.0}}
    weights = {"1": {"coffee-02": 0.25}}
    mining = Mining(negatives=6)
    topics = {"1": "espresso beans", "2": "keel", "3": "nothing judged"}
    (task,) = judged_tasks(dense_index, topics, grades, mining, weights, source="clicks")
    assert task.query == "espresso beans"
    assert task.texts[:3] == tuple(contents[doc] for doc in ("coffee-01", "coffee-02", "sailing-03"))
    np.testing.assert_allclose(task.relevance[:3], [1.0, 0.7, 0.0])
    np.testing.assert_allclose(task.weight[:3], [1.0, 0.25, 1.0])
    np.testing.assert_array_equal(task.weight[3:], 1.0)
    assert len(task) == 3 + 5  # one of six negatives was judged
    assert task.relevance[3:].sum() == 0
    assert len(set(task.texts)) == len(task)
    assert task.source == f"clicks of {dense_index.name}"


def test_the_same_seed_gives_the_same_tasks(dense_index: Index) -> None:
    def queries(seed: int) -> list[tuple[str, tuple[str, ...]]]:
        return [(task.query, task.texts) for task in title_tasks(dense_index, 8, Mining(negatives=4, seed=seed))]

    assert queries(1) == queries(1)
    assert queries(1) != queries(2)
