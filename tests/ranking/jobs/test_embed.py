"""Embedding jobs: the vectors of the encoder, and after a change only what is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from index.encoder import load_encoder
from index.errors import ConflictError
from ranking.jobs import Job, run
from server.cli import run as clickwise

TEXTS = {f"d{i}": f"Document {i} is about {word}." for i, word in enumerate(["tea", "wind", "stars", "snow"] * 6)}


def write(path: Path, texts: dict[str, str], more: str = "") -> str:
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in texts.items()]
    path.write_text("\n".join(lines) + "\n" + more)
    return str(path)


def embed(corpus: str, out: Path, **options: Any) -> Job:
    return Job("embed", corpus, str(out), {"partitions": 3, "max_tokens": 32, **options})


def vectors(out: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(out)
    assert len(set(table["id"].to_pylist())) == len(table)
    return dict(zip(table["id"].to_pylist(), map(np.array, table["vector"].to_pylist()), strict=True))


def test_the_vectors_are_those_of_the_encoder(tmp_path: Path) -> None:
    summary = run(embed(write(tmp_path / "corpus.jsonl", TEXTS), tmp_path / "out"))
    found = vectors(tmp_path / "out")
    wanted = load_encoder(max_tokens=32).encode(list(TEXTS.values()))
    np.testing.assert_allclose(np.stack([found[name] for name in TEXTS]), wanted, atol=2e-3)
    assert summary.counts == {"embedded": 24, "reused": 0}
    ids = [pq.read_table(file)["id"].to_pylist() for file in sorted((tmp_path / "out").glob("part-*"))]
    assert len(ids) == 3
    assert all(some == sorted(some) for some in ids)


def test_only_what_is_new_or_changed_is_embedded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(embed(write(tmp_path / "corpus.jsonl", TEXTS), out))
    before = vectors(out)
    changed = {**TEXTS, "d3": "Something else altogether.", "new": "A new document."}
    del changed["d5"]
    job = embed(write(tmp_path / "corpus.jsonl", changed), out)
    summary = run(job)
    assert summary.counts == {"embedded": 2, "reused": 22}
    after = vectors(out)
    assert set(after) == set(changed)
    assert not np.allclose(after["d3"], before["d3"])
    assert all((after[name] == before[name]).all() for name in set(TEXTS) - {"d3", "d5"})
    assert run(job).resumed == 24
    run(embed(str(tmp_path / "corpus.jsonl"), tmp_path / "anew"))
    for name, vector in vectors(tmp_path / "anew").items():
        np.testing.assert_allclose(vector, after[name], atol=2e-3)


def test_there_are_as_many_files_as_have_documents(tmp_path: Path) -> None:
    out = tmp_path / "out"
    some = {"a": "tea", "b": "wind"}
    summary = run(embed(write(tmp_path / "corpus.jsonl", some), out, partitions=64))
    files = {file.name: pq.read_table(file)["id"].to_pylist() for file in out.glob("part-*")}
    assert (summary.parts, len(files)) == (2, 2)
    (gone,) = [name for name, ids in files.items() if ids == ["a"]]
    (kept,) = [name for name, ids in files.items() if ids == ["b"]]
    del some["a"]
    before = vectors(out)
    summary = run(embed(write(tmp_path / "corpus.jsonl", some), out, partitions=64))
    assert summary.counts == {"embedded": 0, "reused": 1}
    assert [file.name for file in out.glob("part-*")] == [kept] != [gone]
    assert (vectors(out)["b"] == before["b"]).all()
    assert run(embed(write(tmp_path / "corpus.jsonl", {}), out, partitions=64)).rows == 0
    assert vectors(out) == {}


def test_an_output_with_a_file_for_every_partition_is_taken_up(tmp_path: Path) -> None:
    """As earlier versions have written it: partitions without documents as tables without rows."""
    out, corpus = tmp_path / "out", write(tmp_path / "corpus.jsonl", {"a": "tea"})
    run(embed(corpus, out, partitions=8))
    (file,) = out.glob("part-*")
    for number in range(8):
        if file.name != f"part-{number:05d}.parquet":
            pq.write_table(pq.read_table(file).slice(0, 0), out / f"part-{number:05d}.parquet")
    before = vectors(out)
    assert list(before) == ["a"]
    summary = run(embed(write(tmp_path / "corpus.jsonl", {"a": "tea", "b": "wind"}), out, partitions=8))
    assert summary.counts == {"embedded": 1, "reused": 1}
    assert len(list(out.glob("part-*"))) == 2
    assert (vectors(out)["a"] == before["a"]).all()


def test_another_model_is_no_continuation(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus.jsonl", TEXTS)
    run(embed(corpus, tmp_path / "out"))
    with pytest.raises(ConflictError, match="max tokens was 32 and is 16"):
        run(embed(corpus, tmp_path / "out", max_tokens=16))


def test_the_command_rejects_bad_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write(tmp_path / "corpus.jsonl", {"a": "tea", "b": ""}, 'no json\n{"_id": "a", "text": "again"}\n')
    where = ["embed", corpus, str(tmp_path / "out"), "--engine", "in-process", "--partitions", "2", "--json"]
    assert clickwise(where) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["rejected"], summary["counts"]["embedded"]) == (4, 2, 2)
    rejects = [json.loads(line) for line in (tmp_path / "out" / "_rejects.jsonl").read_text().splitlines()]
    assert [reject["row"] for reject in rejects] == [3, 4]
    assert "occurs a second time" in rejects[1]["detail"]
