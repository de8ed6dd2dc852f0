"""What most tests share: a small corpus and indexes of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document
from tests.fakes import HashingEncoder
from tests.ray_cluster import two_nodes

# No test fails because the machine is busy, and every run draws the same examples, so that what fails has to do with
# what was changed. `--hypothesis-profile=searching` draws others each time.
patient = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("searching", patient, derandomize=False)
hypothesis.settings.register_profile("steady", patient, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")

_TOPICS = {
    "coffee": "espresso beans roast grinder brew filter crema barista arabica robusta",
    "sailing": "boat mast keel rudder wind tack jib halyard harbour tide",
    "python": "function module class iterator generator decorator exception package list dictionary",
    "medicine": "patient trial dose statin cholesterol heart blood pressure therapy placebo",
    "astronomy": "star planet telescope orbit galaxy nebula comet redshift spectrum moon",
}


def small_corpus() -> list[Document]:
    """60 documents on five topics; each shares some words with its topic's others and few with the rest."""
    documents = []
    for topic, line in _TOPICS.items():
        words = line.split()
        for number in range(12):
            chosen = [words[(number * step + step) % len(words)] for step in (1, 3, 7)] + words[number % 3 :: 3]
            text = f"A note on {topic}, part {number}: {' '.join(chosen)}. Mostly about {chosen[0]} and {chosen[1]}."
            fields = {"topic": topic, "part": number, "even": number % 2 == 0}
            documents.append(Document(f"{topic}-{number:02d}", f"{topic.title()} and {chosen[0]}", text, fields))
    return documents


@pytest.fixture(scope="session")
def corpus() -> list[Document]:
    return small_corpus()


@pytest.fixture(scope="session")
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture(scope="session")
def lexical_index(tmp_path_factory: pytest.TempPathFactory, corpus: list[Document]) -> Index:
    """BM25 only; shared by all tests: do not write to it."""
    path = tmp_path_factory.mktemp("indexes") / "lexical"
    build_index(path, corpus)
    return Index.open(path)


@pytest.fixture(scope="session")
def dense_index(tmp_path_factory: pytest.TempPathFactory, corpus: list[Document], encoder: HashingEncoder) -> Index:
    """BM25 and vectors; shared by all tests: do not write to it."""
    path = tmp_path_factory.mktemp("indexes") / "dense"
    build_index(path, corpus, encoder=encoder)
    return Index.open(path, encoder=encoder)


@pytest.fixture
def new_index(tmp_path: Path, corpus: list[Document], encoder: HashingEncoder) -> Callable[..., Index]:
    """Build an index of one's own, to write to: `new_index(vectors=True, name="own", **options)`."""

    def build(
        *, vectors: bool = True, name: str = "own", documents: list[Document] | None = None, **options: Any
    ) -> Index:
        own = encoder if vectors else None
        build_index(tmp_path / name, corpus if documents is None else documents, BuildOptions(**options), encoder=own)
        return Index.open(tmp_path / name, encoder=own)

    return build


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of two nodes; skips where Ray is not installed."""
    with two_nodes() as address:
        yield address


@pytest.fixture(scope="session")
def data() -> Path:
    """Real collections for measuring; tests that use them skip where they are absent."""
    path = Path(os.environ.get("CLICKWISE_DATA", "../shared/data"))
    if not path.is_dir():
        pytest.skip(f"no measurement data at {path}: set CLICKWISE_DATA")
    return path
