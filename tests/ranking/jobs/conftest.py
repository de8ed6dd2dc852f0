"""What the tests of jobs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from index.build import build_index
from index.encoder import load_encoder
from index.index import Index
from index.types import Document
from ranking.jobs import Job


@pytest.fixture(scope="session")
def real_index(tmp_path_factory: pytest.TempPathFactory, corpus: list[Document]) -> Index:
    """With the packaged encoder, which worker processes can load. Shared by all tests: do not write to it."""
    path = tmp_path_factory.mktemp("indexes") / "real"
    encoder = load_encoder()
    build_index(path, corpus, encoder=encoder)
    return Index.open(path, encoder=encoder)


def rerank_job(index: Index, rows: str | Path, out: str | Path, **options: Any) -> Job:
    """A re-ranking job on an index."""
    return Job("rerank", str(rows), str(out), {"index": str(index.path), **options})
