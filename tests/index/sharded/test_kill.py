"""An upsert that is killed between the commits of two shards: what was there stays, and the same call completes it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from index.build import BuildOptions, build_index
from index.filters import parse_filter
from index.index import Index
from index.lexical import LexicalQuery
from index.sharded.shard import shard_of, shard_path
from index.types import Document
from tests.fakes import HashingEncoder

pytestmark = pytest.mark.kill

SHARDS = 3
CHILD = """
import json, os, signal, sys
from pathlib import Path
from index.index import Index
from index.lucene_writer import LuceneWriter
from index.types import Document
from tests.fakes import HashingEncoder

where, commits = Path(sys.argv[1]), int(sys.argv[2])
commit = LuceneWriter.commit

def dying(*args):
    global commits
    if commits == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    commit(*args)
    commits -= 1

LuceneWriter.commit = dying
documents = [Document(one["id"], text=one["text"], fields=one["fields"]) for one in json.load(sys.stdin)]
Index.open(where, encoder=HashingEncoder()).upsert(documents)
os.kill(os.getpid(), signal.SIGKILL)  # done, and nobody was told
"""


def documents(names: Sequence[str], text: str, **fields: str) -> list[Document]:
    return [Document(name, text=f"{text} {name}", fields=fields) for name in names]


def upsert_killed_after(commits: int, path: Path, given: Sequence[Document]) -> None:
    told = [{"id": one.id, "text": one.text, "fields": dict(one.fields)} for one in given]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(commits)], input=json.dumps(told), env={**os.environ},
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


def held(path: Path) -> dict[str, str]:
    """Every document with its text, by what the shards hold; each is in the one where it belongs, once, and has a
    vector of that text."""
    encoder, found = HashingEncoder(), {}
    for number in range(SHARDS):
        view = Index.open(shard_path(path, "000001", number), encoder=encoder).view()
        assert view.vectors is not None
        ids = [doc for doc in view.lexical.segments.ids if doc in view.lexical]
        texts = {one.id: one.text for one in view.lexical.documents(ids) if one}
        assert len(texts) == len(ids) == view.documents
        assert all(shard_of(doc, SHARDS) == number for doc in ids)
        vectors = view.vectors.take(ids, "raw")
        assert abs(vectors - encoder.encode([texts[doc] for doc in ids])).max() < 1e-3
        found |= texts
    return found


@pytest.fixture
def path(tmp_path: Path, encoder: HashingEncoder) -> Path:
    """An index with documents that it was built of, and others that were acknowledged."""
    build_index(
        tmp_path / "index", documents([f"built-{n}" for n in range(60)], "old"), BuildOptions(shards=SHARDS),
        encoder=encoder,
    )  # fmt: skip
    index = Index.open(tmp_path / "index", encoder=encoder)
    assert index.upsert(documents([f"told-{n}" for n in range(60)], "old")) == 60
    index.close()
    return tmp_path / "index"


@pytest.mark.parametrize("commits", range(SHARDS + 1))
def test_what_was_acknowledged_is_there_once_and_the_call_can_be_repeated(
    path: Path, encoder: HashingEncoder, commits: int
) -> None:
    before, reader = held(path), Index.open(path, encoder=encoder)
    assert len(before) == 120
    replaced = [f"{kind}-{n}" for kind in ("built", "told") for n in range(0, 60, 2)]
    change = documents([*replaced, *(f"new-{n}" for n in range(30))], "fresh")
    after = before | {one.id: one.text for one in change}
    upsert_killed_after(commits, path, change)

    # Each shard is as it was, or has its whole share of the change: in the order of the shards.
    there = {doc: text for doc, text in after.items() if shard_of(doc, SHARDS) < commits}
    there |= {doc: text for doc, text in before.items() if shard_of(doc, SHARDS) >= commits}
    assert held(path) == there
    opened = Index.open(path, encoder=encoder)
    assert opened.view().documents == len(there)
    fresh = {doc for doc, text in there.items() if text.startswith("fresh")}
    assert set(opened.view().lexical.search(LexicalQuery(text="fresh"), 1_000).ids) == fresh

    # Again, by one who had it open all along.
    assert reader.upsert(change) == len(change)
    assert held(path) == after
    for index in (reader, opened):
        view = index.view()
        assert view.documents == len(after) == 150
        assert set(view.lexical.search(LexicalQuery(text="fresh"), 1_000).ids) == {one.id for one in change}
        index.close()


@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "another write"])
def test_a_new_field_is_known_to_all_shards_after_the_next_write(
    path: Path, encoder: HashingEncoder, repeated: bool
) -> None:
    """Though the shard that committed before the kill knows it, and another one has no document of the change."""
    names = [f"new-{n}" for n in range(30) if shard_of(f"new-{n}", SHARDS) < 2]
    change = documents(names, "fresh", colour="red")
    upsert_killed_after(1, path, change)
    index = Index.open(path, encoder=encoder)
    index.upsert(change if repeated else documents(["other"], "old"))
    asked = LexicalQuery(text="fresh old", filter=parse_filter("colour == 'red'"))
    there = {doc for doc in names if repeated or shard_of(doc, SHARDS) == 0}
    assert set(index.view().lexical.search(asked, 1_000).ids) == there
    index.close()
