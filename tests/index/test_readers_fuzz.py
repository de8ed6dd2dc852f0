"""Whatever a file holds, its readers give documents or say what is wrong with it in the house's words."""

from __future__ import annotations

import gzip
import io
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from index.errors import ClickwiseError
from index.readers.reading import read_documents
from tests.mutations import broken

JSONL = [
    b'{"_id": "1", "title": "One", "text": "first \\u00e9", "metadata": {"year": 2001}}\n{"_id": "2", "text": "x"}\n',
    b'{"id": "a", "contents": "Title\\nand more", "tags": ["p", "q"], "n": 1.5}\n',
]
TREC = [b"<DOC>\n<DOCNO> A-1 </DOCNO>\n<TITLE>One</TITLE>\n<TEXT>\nfirst & second\n</TEXT>\n</DOC>\n"]
CSV = [b'id,title,text,year\n1,One,"first, quoted ""text""",2001\n2,Two,second,\n']
TSV = [b"id\ttitle\ttext\n1\tOne\tfirst\n2\tTwo\tsecond\n"]


def _parquet() -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table({"id": ["1", "2"], "text": ["first", "second"], "year": [1, 2]}), file)
    return file.getvalue()


SAMPLES = {".jsonl": JSONL, ".trec": TREC, ".csv": CSV, ".tsv": TSV, ".parquet": [_parquet()]}
GZIPPED = [gzip.compress(sample) for sample in JSONL]
ZSTANDARD = [zstandard.compress(sample) for sample in JSONL]
CASES = {**SAMPLES, ".jsonl.gz": GZIPPED, ".jsonl.zst": ZSTANDARD}


@pytest.mark.parametrize("ending", CASES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_documents_or_an_error_of_ours(ending: str, tmp_path: Path, choice: st.DataObject) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(choice.draw(broken(CASES[ending])))
    for on_error in ("stop", "skip"):
        with suppress(ClickwiseError):
            for document in read_documents(path, on_error=on_error):  # type: ignore[arg-type]
                assert document.id
                document.contents.encode()


@pytest.mark.parametrize("ending", CASES)
def test_the_samples_themselves_are_read(ending: str, tmp_path: Path) -> None:
    for sample in CASES[ending]:
        path = tmp_path / f"file{ending}"
        path.write_bytes(sample)
        assert list(read_documents(path))
