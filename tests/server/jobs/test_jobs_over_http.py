"""Jobs from the request to the result: a real service, a real queue, a real worker and its child."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from index.index import Index
from ranking.clicks.log import ClickLog
from ranking.clicks.pages import Event, Page
from server.jobs.queue import Queue
from server.jobs.worker import Pace, Worker
from server.service import Service
from server.store.tables import jobs
from tests.server.conftest import MakeService, client_of
from tests.server.jobs.test_kinds import write_rows
from tests.server.test_problems import problem

JOB = {"kind": "rerank", "input": "data/rows.parquet", "output": "data/ranked", "pipeline": "bm25", "limit": 5}


@pytest.fixture
def service(make_service: MakeService, lexical_index: Index, tmp_path: Path) -> Service:
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "rows.parquet")
    (tmp_path / "home" / "indexes").mkdir(parents=True)
    (tmp_path / "home" / "indexes" / "docs").symlink_to(lexical_index.path)  # where the worker finds it
    return make_service({"docs": lexical_index}, job_roots={"data": tmp_path / "data"})


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with client_of(service) as client:
        yield client


def post(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_from_the_request_to_the_rankings(client: TestClient, service: Service, tmp_path: Path) -> None:
    asked = post(client, job=JOB, idempotency_key="once")
    assert (asked["state"], asked["kind"], asked["attempts"]) == ("queued", "rerank", 0)
    assert asked["job"]["input"] == "data/rows.parquet"
    again = client.post("/v1/jobs", json={"job": JOB, "idempotency_key": "once"})
    assert (again.status_code, again.json()["id"]) == (200, asked["id"])
    worker = Worker(Queue(service.store), service.settings, Pace(poll=0.05, beat=0.05))
    assert worker.run(threading.Event(), drain=True) == 1
    done = client.get(f"/v1/jobs/{asked['id']}").json()
    assert done["state"] == "done", done["problem"]
    assert done["progress"]["done"] == done["progress"]["total"] == 20
    assert done["result"]["rows"] == 20
    assert done["finished"] >= done["started"] >= done["created"]
    files = sorted((tmp_path / "data" / "ranked").glob("**/*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files if "_rejects" not in str(file)) > 0
    ranked = client.post("/v1/search", json={"query": "coffee part 0", "pipeline": "bm25", "limit": 5}).json()
    rows = [row for file in files for row in pq.read_table(file).to_pylist() if row.get("query_id") == "q0"]
    assert rows
    assert ranked["hits"][0]["id"] in str(rows)


def test_a_click_model_that_is_there_is_a_conflict_at_once(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    ClickLog.write(tmp_path / "data" / "log", [Page(f"p{n}", "q", ["a", "b"], events=[Event("a")]) for n in range(40)])
    job = {"kind": "fit-clicks", "input": "data/log", "output": "data/model"}
    asked = {"job": job, "idempotency_key": "nightly"}
    first, second = post(client, **asked), post(client, job=job)  # both are asked for before there is a model
    worker = Worker(Queue(service.store), service.settings, Pace(poll=0.05, beat=0.05))
    worker.run(threading.Event(), drain=True)
    assert client.get(f"/v1/jobs/{first['id']}").json()["state"] == "done"
    later = client.get(f"/v1/jobs/{second['id']}").json()
    assert (later["state"], later["problem"]["kind"]) == ("failed", "conflict")
    refused = problem(client.post("/v1/jobs", json={"job": job}), 409, "conflict")
    assert "There is a click model at data/model already." in refused["detail"]
    assert client.post("/v1/jobs", json=asked).json()["id"] == first["id"]  # sent again it is the job that was done
    assert post(client, job={**job, "overwrite": True})["state"] == "queued"


def test_the_index_and_pipeline_of_a_job_are_those_of_the_service_that_took_it(
    service: Service, tmp_path: Path, lexical_index: Index
) -> None:
    """It was started with flags of its own; its workers know neither, and there are two indexes."""
    (tmp_path / "home" / "indexes" / "other").symlink_to(lexical_index.path)
    flags = {"default_index": "docs", "default_pipeline": "bm25-qe"}
    with_flags = Service(service.catalog, service.store, service.settings.model_copy(update=flags))
    with client_of(with_flags) as client:
        asked = post(client, job={name: value for name, value in JOB.items() if name != "pipeline"})
        assert (asked["job"]["index"], asked["job"]["pipeline"]) == ("docs", "bm25-qe")
        worker = Worker(Queue(service.store), service.settings, Pace(poll=0.05, beat=0.05))
        worker.run(threading.Event(), drain=True)
        done = client.get(f"/v1/jobs/{asked['id']}").json()
    assert done["state"] == "done", done["problem"]


def test_listing_and_cancelling(client: TestClient) -> None:
    first, second = (post(client, job={**JOB, "output": f"data/{name}"}) for name in ("one", "two"))
    page = client.get("/v1/jobs", params={"limit": 1}).json()
    assert [job["id"] for job in page["jobs"]] == [second["id"]]
    more = client.get("/v1/jobs", params={"before": page["next"]}).json()
    assert ([job["id"] for job in more["jobs"]], more["next"]) == ([first["id"]], None)
    cancelled = client.post(f"/v1/jobs/{first['id']}:cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert [job["id"] for job in client.get("/v1/jobs", params={"state": "queued"}).json()["jobs"]] == [second["id"]]


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"input": "data/none"}, 404, "nothing at data/none"),
        ({"input": "/etc/passwd"}, 422, "no place below a root"),
        ({"input": "data/../../etc/passwd"}, 422, "no place below a root"),
        ({"output": "s3://bucket/key"}, 422, "no place below a root"),
        ({"output": "other/x"}, 404, "no root 'other'"),
        ({"pipeline": "none"}, 404, "no pipeline 'none'"),
        ({"index": "none"}, 404, "no index 'none'"),
        ({"limit": 0}, 422, "`job.rerank.limit`"),
        ({"nonsense": 1}, 422, "`job.rerank.nonsense`"),
        ({"kind": "nonsense"}, 422, "`job`"),
    ],
)
def test_what_is_wrong_is_told_at_once(client: TestClient, change: dict[str, Any], status: int, told: str) -> None:
    answer = client.post("/v1/jobs", json={"job": {**JOB, **change}})
    assert answer.status_code == status
    assert told in answer.json()["detail"]
    assert client.get("/v1/jobs").json()["jobs"] == []


def test_what_another_version_has_recorded_is_shown_as_far_as_it_can_be_read(
    client: TestClient, service: Service
) -> None:
    asked = [post(client, job={**JOB, "output": f"data/{name}"})["id"] for name in "abcde"]
    recorded = [
        {"request": '{"kind": "rerank", "input": "data/rows.parquet", "output": "data/a", "depth": 7}'},
        {"request": '{"kind": "summarise", "input": "data/x"}', "progress": '{"stage": "reading", "share": 0.5}'},
        {"request": "{half", "result": "[1, 2]"},
        {"problem": '{"kind": "unavailable"}', "progress": "no JSON"},
    ]
    with service.store.writing() as connection:
        for job_id, values in zip(asked, recorded, strict=False):
            connection.execute(update(jobs).where(jobs.c.job_id == job_id).values(**values))
    listed = {job["id"]: job for job in client.get("/v1/jobs").json()["jobs"]}
    assert list(listed) == asked[::-1]
    older, unknown, broken, odd, plain = (listed[job_id] for job_id in asked)
    assert older["job"]["depth"] == 7
    assert older["unread"] == ["job: `rerank.depth`: there is no such field"]
    assert unknown["job"] == {"kind": "summarise", "input": "data/x"}
    assert unknown["progress"] is None
    assert [line.partition(":")[0] for line in unknown["unread"]] == ["job", "progress"]
    assert "summarise" in unknown["unread"][0]
    assert (broken["job"], broken["result"]) == ({}, None)
    assert [line.partition(":")[0] for line in broken["unread"]] == ["result", "job"]
    assert (odd["problem"], odd["progress"]) == (None, None)
    assert odd["unread"] == ["progress: no JSON object", "problem: `message`: field required"]
    assert plain["unread"] == []
    for job in listed.values():
        assert client.get(f"/v1/jobs/{job['id']}").json() == job
    assert client.post(f"/v1/jobs/{asked[2]}:cancel").json()["state"] == "cancelled"


def test_a_job_that_this_version_cannot_read_fails_with_the_reason(client: TestClient, service: Service) -> None:
    job_id = post(client, job=JOB)["id"]
    older = '{"kind": "rerank", "input": "data/rows.parquet", "output": "data/a", "depth": 7}'
    with service.store.writing() as connection:
        connection.execute(update(jobs).values(request=older))
    Worker(Queue(service.store), service.settings, Pace(poll=0.05, beat=0.05)).run(threading.Event(), drain=True)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert job["problem"]["message"] == "This version cannot read the job: `rerank.depth`: there is no such field."


def test_unknown_jobs(client: TestClient) -> None:
    for answer in (client.get("/v1/jobs/7"), client.post("/v1/jobs/7:cancel")):
        assert answer.status_code == 404
        assert answer.json()["detail"] == "There is no job 7."
    assert client.get("/v1/jobs/x").status_code == 422
    assert client.get("/v1/jobs", params={"state": "x"}).status_code == 422


def test_without_roots_there_are_no_jobs(make_service: Callable[..., Service], lexical_index: Index) -> None:
    with client_of(make_service({"docs": lexical_index})) as client:
        answer = client.post("/v1/jobs", json={"job": JOB})
    assert answer.status_code == 409
    assert "job_roots" in answer.json()["advice"]
