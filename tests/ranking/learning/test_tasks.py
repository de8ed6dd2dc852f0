from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InputError, NotFoundError
from ranking.learning.tasks import Task, episode, ranked_part, read_tasks, write_tasks
from tests.ranking.learning.samples import sample_task, sample_tasks

sizes = st.tuples(st.integers(0, 8), st.integers(0, 12))


def numbered(relevant: int, others: int) -> Task:
    """A task whose documents are all different."""
    texts = tuple(f"text {number}" for number in range(relevant + others))
    relevance = np.array([1.0] * relevant + [0.0] * others)
    return Task("query", texts, relevance, np.linspace(0, 1, len(texts)))


def test_files_give_back_the_tasks(tmp_path: Path) -> None:
    tasks = sample_tasks(5)
    tasks[0].weight[:] = np.linspace(0.25, 1.0, len(tasks[0]))
    assert write_tasks(tmp_path / "some.parquet", tasks[:3], group=2) == 3
    assert write_tasks(tmp_path / "others.parquet", tasks[3:]) == 2
    again = read_tasks([tmp_path / "some.parquet", tmp_path / "others.parquet"])
    for before, after in zip(tasks, again, strict=True):
        assert (before.query, before.texts, before.kind, before.source) == (
            after.query,
            after.texts,
            after.kind,
            after.source,
        )
        for name in ("relevance", "prior", "weight"):
            np.testing.assert_allclose(getattr(before, name), getattr(after, name), atol=1e-6)


def test_weights_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "tasks.parquet"
    write_tasks(path, [sample_task()])
    pq.write_table(pq.read_table(path).drop_columns(["weight"]), path)
    (task,) = read_tasks([path])
    np.testing.assert_array_equal(task.weight, np.ones(len(task)))


def test_what_is_no_task_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no task file"):
        read_tasks([tmp_path / "missing.parquet"])
    (tmp_path / "text.parquet").write_text("text")
    pq.write_table(pa.table({"query": ["a"]}), tmp_path / "other.parquet")
    for name in ("text", "other"):
        with pytest.raises(InputError, match="is not a task file"):
            read_tasks([tmp_path / f"{name}.parquet"])


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield sample_task()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_tasks(tmp_path / "tasks.parquet", broken(), group=1)
    assert list(tmp_path.iterdir()) == []


@given(sizes, st.integers(1, 5), st.integers(3, 12), st.integers(0, 99))
def test_an_episode_divides_a_task(size: tuple[int, int], k: int, documents: int, seed: int) -> None:
    task = numbered(*size)
    made = episode(task, k, documents, np.random.default_rng(seed))
    if size[0] < 2 or size[1] < 3:
        assert made is None
        return
    assert made is not None
    given_, asked = made.support, made.target
    assert not set(given_.texts) & set(asked.texts)
    relevant = int(given_.relevance.sum())
    assert 1 <= relevant <= k
    assert len(given_) == 2 * relevant
    assert 0 < asked.relevance.sum() < len(asked) <= documents
    for part in (given_, asked):
        rows = [task.texts.index(text) for text in part.texts]
        np.testing.assert_array_equal(part.relevance, task.relevance[rows])
        np.testing.assert_array_equal(part.prior, task.prior[rows])


@given(st.integers(1, 8), st.integers(0, 12), st.integers(3, 12), st.integers(0, 99))
def test_a_list_has_some_of_both_kinds(relevant: int, others: int, documents: int, seed: int) -> None:
    part = ranked_part(numbered(relevant, others), documents, np.random.default_rng(seed))
    assert len(part) <= documents
    assert 1 <= part.relevance.sum() <= max(1, documents // 3)
    assert len(set(part.texts)) == len(part)


def test_the_same_generator_gives_the_same_episode() -> None:
    made = [episode(sample_task(), 2, 6, np.random.default_rng(4)) for _ in range(2)]
    assert made[0] is not None
    assert made[1] is not None
    assert made[0].support.texts == made[1].support.texts
    assert made[0].target.texts == made[1].target.texts
