"""Files and objects: on this machine, and on an S3-compatible server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from index.errors import InputError, NotFoundError, UnavailableError
from index.index import Index
from ranking.jobs import run
from ranking.jobs.storage import Place, whole_stream
from tests.ranking.jobs.conftest import rerank_job

SERVER = """
import sys, time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 bucket of its own on loopback; its URI takes a path in the place of {}."""
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, stderr=nowhere, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    uri = f"s3://key:secret@jobs/{{}}?scheme=http&region=us-east-1&endpoint_override=127.0.0.1:{port}"
    s3 = fs.S3FileSystem(
        access_key="key",
        secret_key="secret",
        scheme="http",
        region="us-east-1",
        endpoint_override=f"127.0.0.1:{port}",
        allow_bucket_creation=True,
        connect_timeout=60,
        request_timeout=60,
    )
    s3.create_dir("jobs")
    yield uri
    process.stdin.close()
    process.wait(600)
    process.stdout.close()


def test_a_job_reads_and_writes_objects(bucket: str, lexical_index: Index, tmp_path: Path) -> None:
    queries = ["coffee", "wind", "star", "heart"] * 10
    table = pa.table({"query_id": [str(i) for i in range(40)], "query": queries})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=40)
    Place.at(bucket.format("in/rows.parquet")).write((tmp_path / "rows.parquet").read_bytes())
    options = {"pipeline": "bm25", "part_rows": 15}
    far = rerank_job(lexical_index, bucket.format("in"), bucket.format("out"), run=bucket.format("out.run"), **options)
    assert run(far).parts == 3
    near = rerank_job(lexical_index, tmp_path / "rows.parquet", tmp_path / "out", **options)
    run(near)
    out = Place.at(bucket.format("out"))
    assert [file.name for file in out.files()] == ["_manifest.json", *(f"part-{i:05d}.parquet" for i in range(3))]
    for file in (tmp_path / "out").glob("part-*"):
        assert (out / file.name).read() == file.read_bytes()
    assert Place.at(bucket.format("out.run")).read().startswith(b"0 Q0 coffee")
    assert run(far).resumed == 40
    assert "secret" not in str(out)


def fail_in(place: Place) -> None:
    with whole_stream(place) as stream:
        stream.write(b"the first half")
        raise ZeroDivisionError


def test_a_stream_that_fails_leaves_no_object(bucket: str, tmp_path: Path) -> None:
    for place in (Place.at(bucket.format("half")), Place.at(str(tmp_path / "half"))):
        with pytest.raises(ZeroDivisionError):
            fail_in(place)
        assert not place.is_file()
        with pytest.raises(NotFoundError, match="There is no file"):
            place.read()


def test_fsspec_serves_what_pyarrow_does_not_know() -> None:
    place = Place.at("memory://jobs/some") / "file"
    place.write(b"content")
    assert place.read() == b"content"
    assert [file.name for file in Place.at("memory://jobs/some").files()] == ["file"]


def test_what_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gopher://host/rows cannot be used"):
        Place.at("gopher://host/rows").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/below could not be written: "):
        (Place.at(str(tmp_path / "file")) / "below").write(b"")
