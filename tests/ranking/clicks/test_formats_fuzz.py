"""Whatever a click log holds, its readers give pages or say what is wrong with it in the house's words."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from index.errors import ClickwiseError
from ranking.clicks.reading import ReadReport, read_log
from tests.mutations import broken

_QUERY = {
    "query_id": "q",
    "user_query": "shoes",
    "query_response_hit_ids": ["a", "b"],
    "timestamp": "2026-01-01T00:00:00Z",
}
_CLICK = {
    "query_id": "q",
    "action_name": "click",
    "timestamp": "2026-01-01T00:00:01Z",
    "event_attributes": {"object": {"object_id": "b"}, "position": {"ordinal": 2}},
}
_SHOWN = [b"x", b"12\x0113", b"14\x0115", b"0"] + [b"-"] * 27
UBI = [f"{json.dumps(_QUERY)}\n{json.dumps(_CLICK)}\n".encode(), json.dumps([_QUERY, _CLICK]).encode()]
YANDEX = [b"q1\ta b c : b;q2\td e : d e d;\n"]
BAIDU = [b"7\t10\x0111\t9\n" + b"".join(b"\t".join([b"%d" % rank, *_SHOWN]) + b"\n" for rank in range(1, 7))]


def _parquet() -> bytes:
    file = io.BytesIO()
    rows = {
        "query_id": ["q", "q"],
        "query": ["x", "x"],
        "document": ["a", "b"],
        "rank": [1, 2],
        "clicked": [False, True],
    }
    parquet.write_table(pa.table(rows), file)
    return file.getvalue()


CASES = {
    "ubi.ndjson": UBI,
    "ubi.ndjson.gz": [gzip.compress(sample) for sample in UBI],
    "yandex": YANDEX,
    "baidu": BAIDU,
    "parquet.parquet": [_parquet()],
    "parquet.csv": [b"query_id,query,document,rank,clicked\nq,x,a,1,0\nq,x,b,2,1\n"],
}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_pages_or_an_error_of_ours(name: str, tmp_path: Path, choice: st.DataObject) -> None:
    path = tmp_path / name
    path.write_bytes(choice.draw(broken(CASES[name])))
    report = ReadReport()
    with suppress(ClickwiseError):
        pages = sum(len(batch) for batch in read_log(path, name.partition(".")[0], report=report))
        assert pages == report.pages > 0


@pytest.mark.parametrize("name", CASES)
def test_the_samples_themselves_are_read(name: str, tmp_path: Path) -> None:
    for sample in CASES[name]:
        (tmp_path / name).write_bytes(sample)
        assert sum(len(batch) for batch in read_log(tmp_path / name, name.partition(".")[0])) > 0
