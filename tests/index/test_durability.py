"""Builds and updates that are killed, starved of disk, or shut out: what was committed stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from index.build import BuildOptions, build_index
from index.errors import UnavailableError
from index.index import Index
from index.lexical import LexicalQuery
from index.types import Document
from tests.fakes import HashingEncoder

NewIndex = Callable[..., Index]
ROOT = Path(__file__).parents[2]

# The child does one piece of work and kills itself at a named point: just before or just after a function runs.
CHILD = """
import os, signal, sys
from pathlib import Path
import index.build, index.generations, index.index, index.lucene_writer, index.manifest, index.space, index.vectors
from index.build import BuildOptions, build_index
from index.index import Index
from index.types import Document
from tests.fakes import HashingEncoder

work, where, owner, name, moment = sys.argv[1:6]
place = index
for part in owner.split("."):
    place = getattr(place, part)
original = getattr(place, name)

def dying(*args, **kwargs):
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(place, name, dying)
documents = [Document(f"new-{n}", text=f"zyzzyva number {n}") for n in range(1100)]
if work == "build":
    build_index(Path(where), documents, BuildOptions(overwrite=True), encoder=HashingEncoder())
elif work == "update":
    Index.open(Path(where), encoder=HashingEncoder()).upsert(documents)
else:
    Index.open(Path(where), encoder=HashingEncoder()).delete([f"coffee-{n:02d}" for n in range(12)])
print("survived")
"""
BUILD_POINTS = [
    ("vectors.VectorFile", "append", "after"),
    ("lucene_writer.LuceneWriter", "add", "after"),
    ("lucene_writer.LuceneWriter", "commit", "before"),
    ("lucene_writer.LuceneWriter", "commit", "after"),
    ("space.Space", "save", "after"),
    ("manifest.Manifest", "save", "before"),
    ("manifest.Manifest", "save", "after"),
    ("generations", "write_current", "before"),
]
UPDATE_POINTS = [
    ("vectors.VectorFile", "append", "after"),
    ("lucene_writer.LuceneWriter", "put", "after"),
    ("lucene_writer.LuceneWriter", "commit", "before"),
]
COMMITTED_POINTS = [
    ("lucene_writer.LuceneWriter", "commit", "after"),
    ("generations", "write_current", "before"),
    ("generations", "write_current", "after"),
]


def kill(work: str, index: Index, point: tuple[str, str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, work, str(index.path), *point], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "survived" not in done.stdout


def check_whole(index: Index, encoder: HashingEncoder, count: int, absent: str) -> None:
    """The index opens, answers from both sides, and agrees with itself."""
    view = Index.open(index.path, encoder=encoder).view()
    assert view.documents == count
    assert len(view.lexical.search(LexicalQuery(text=absent), 5)) == 0
    assert view.vectors is not None
    everything = view.vectors.nearest(view.vectors.condition(encoder.encode(["espresso beans"])), count + 100)[0]
    assert set(everything.ids) == {doc for doc in view.lexical.segments.ids if doc in view.lexical}
    assert view.vectors.take(everything.ids, "raw").any(axis=1).all()


@pytest.mark.kill
@pytest.mark.parametrize("point", BUILD_POINTS, ids=".".join)
def test_a_killed_build_leaves_the_previous_generation(
    new_index: NewIndex, encoder: HashingEncoder, point: tuple[str, str, str]
) -> None:
    index = new_index()
    kill("build", index, point)
    check_whole(index, encoder, 60, "zyzzyva")
    rebuilt = [Document("next", text="phoenix")]
    manifest = build_index(index.path, rebuilt, BuildOptions(overwrite=True), encoder=encoder)
    assert index.view().generation == manifest.generation
    assert not list((index.path / "generations").glob(".building-*"))
    check_whole(index, encoder, 1, "espresso")


@pytest.mark.kill
@pytest.mark.parametrize("point", UPDATE_POINTS, ids=".".join)
def test_a_killed_update_leaves_the_commit_before(
    new_index: NewIndex, encoder: HashingEncoder, point: tuple[str, str, str]
) -> None:
    index = new_index()
    kill("update", index, point)
    check_whole(index, encoder, 60, "zyzzyva")
    index.upsert([Document("next", text="phoenix rising")])
    check_whole(index, encoder, 61, "zyzzyva")
    view = index.view()
    assert view.vectors is not None
    assert view.vectors.nearest(view.vectors.condition(encoder.encode(["phoenix rising"])), 1)[0].ids == ("next",)


@pytest.mark.kill
@pytest.mark.parametrize("point", COMMITTED_POINTS, ids=".".join)
def test_an_update_killed_after_its_commit_is_there(
    new_index: NewIndex, encoder: HashingEncoder, point: tuple[str, str, str]
) -> None:
    index = new_index()
    kill("update", index, point)
    check_whole(index, encoder, 1160, "phoenix")
    index.upsert([Document("next", text="phoenix")])
    assert index.view().documents == 1161  # also for the one who had the index open all along


@pytest.mark.kill
def test_a_delete_killed_before_its_commit_deletes_nothing(new_index: NewIndex, encoder: HashingEncoder) -> None:
    index = new_index()
    kill("delete", index, ("lucene_writer.LuceneWriter", "commit", "before"))
    check_whole(index, encoder, 60, "zyzzyva")


def test_an_interrupt_leaves_nothing_behind(new_index: NewIndex, encoder: HashingEncoder) -> None:
    index = new_index()

    def interrupted() -> object:
        yield from (Document(f"new-{n}", text="zyzzyva") for n in range(3000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(index.path, interrupted(), BuildOptions(overwrite=True), encoder=encoder)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        index.upsert(interrupted())  # type: ignore[arg-type]
    assert [p.name for p in (index.path / "generations").iterdir()] == ["000001"]
    check_whole(index, encoder, 60, "zyzzyva")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from index.build import BuildOptions, build_index
from index.errors import UnavailableError
from index.index import Index
from index.types import Document
from tests.fakes import HashingEncoder

work, where, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
index = Index.open(where, encoder=HashingEncoder())
index.view()
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
documents = (Document(f"new-{n}", text=f"zyzzyva {n} " * 50) for n in range(4000))
try:
    if work == "build":
        build_index(where, documents, BuildOptions(overwrite=True), encoder=HashingEncoder())
    else:
        index.upsert(documents)
except UnavailableError as problem:
    print(problem)
"""


@pytest.mark.kill
@pytest.mark.parametrize("work", ["build", "update"])
@pytest.mark.parametrize("limit", [100_000, 300_000])
def test_a_full_disk_is_said_and_harms_nothing(
    new_index: NewIndex, encoder: HashingEncoder, work: str, limit: int
) -> None:
    """No file may grow beyond `limit` bytes: vectors hit it first, or Lucene's files do."""
    index = new_index()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, work, str(index.path), str(limit)], cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert any(word in done.stdout.lower() for word in ("disk", "space"))
    check_whole(index, encoder, 60, "zyzzyva")
    index.upsert([Document("next", text="phoenix")])
    check_whole(index, encoder, 61, "zyzzyva")


def test_an_index_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A file stands where the directory should be: root, too, cannot write there."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="Check that the directory exists and may be written"):
        build_index(tmp_path / "file" / "index", [Document("a")])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to read-only directories")
def test_a_read_only_index_is_readable_but_not_writable(new_index: NewIndex) -> None:
    index = new_index()
    for path in [index.path, *index.path.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    reader = Index.open(index.path)
    assert reader.view().documents == 60
    with pytest.raises(UnavailableError):
        reader.upsert([Document("new")])
