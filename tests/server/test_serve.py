"""`clickwise serve` as a process: one line when ready, an orderly end by Ctrl-C, and nothing lost by SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from index.errors import ConflictError, InputError, NotFoundError
from index.index import Index
from server.serve import _listen, _url, run
from server.settings import Settings
from server.store import Store

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "-c", "from server.cli import main; main()", "serve", "--port", "0"]
PATIENCE = 300.0  # seconds; only a busy machine comes near it


@contextmanager
def serving(index: Index, home: Path, *flags: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the line that it prints when it is ready. `more` are variables of its environment."""
    environment = {**os.environ, "CLICKWISE_INDEXES__DOCS": str(index.path), "PYTHONPATH": str(ROOT), **more}
    home.mkdir(exist_ok=True)
    command = [*COMMAND, "--home", str(home), *flags]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            assert line, server.stderr and server.stderr.read()
            yield server, line
        finally:
            server.kill()


def test_from_ready_to_ctrl_c(lexical_index: Index, tmp_path: Path) -> None:
    with serving(lexical_index, tmp_path / "home") as (server, line):
        assert line.startswith("Clickwise is ready: open http://127.0.0.1:")
        url = line.split()[4]
        with httpx.Client(base_url=url, timeout=PATIENCE) as client:
            assert client.get("readyz").json()["status"] == "ready"
            answer = client.post("v1/search", json={"query": "espresso"}).json()
        assert answer["index"] == "docs"
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=PATIENCE)
        assert (server.returncode, out, err) == (0, "", "")
    with closing(Store.open(f"sqlite:///{tmp_path / 'home' / 'store.db'}")) as store:
        assert store.query(answer["query_id"]).text == "espresso"


def test_a_flag_splits_the_sessions(lexical_index: Index, tmp_path: Path) -> None:
    with (
        serving(lexical_index, tmp_path / "home", "--json", "--split", "bm25:bm25-qe") as (_, line),
        httpx.Client(base_url=json.loads(line)["url"], timeout=PATIENCE) as client,
    ):
        asked = [{"query": "espresso", "session_id": f"s{number}"} for number in range(32)]
        given = {client.post("v1/search", json=one).json()["pipeline"] for one in asked}
        [experiment] = client.get("v1/experiments").json()["experiments"]
    assert given == {"bm25", "bm25-qe"}
    assert (experiment["experiment"], sum(arm["pages"] for arm in experiment["arms"])) == ("bm25:bm25-qe", 32)


def test_sigterm_finishes_what_has_begun_and_exits_with_zero(lexical_index: Index, tmp_path: Path) -> None:
    """/readyz says 503 at once while all else is answered, until a second SIGTERM; what was acknowledged is there."""
    drain = {"CLICKWISE_DRAIN_SECONDS": "600"}  # longer than this takes, however busy the machine
    with (
        serving(lexical_index, tmp_path / "home", "--json", **drain) as (server, line),
        httpx.Client(base_url=json.loads(line)["url"], timeout=PATIENCE) as client,
    ):

        def acknowledged() -> str:
            answer = client.post("v1/search", json={"query": "espresso"})
            assert answer.status_code == 200
            return str(answer.json()["query_id"])

        queries = [acknowledged()]
        assert client.get("readyz").status_code == 200
        server.send_signal(signal.SIGTERM)
        while (ready := client.get("readyz")).status_code == 200:
            pass
        assert "about to end" in ready.json()["detail"]
        queries += [acknowledged() for _ in range(3)]
        server.send_signal(signal.SIGTERM)
        with suppress(httpx.TransportError):
            while True:
                queries.append(acknowledged())
        out, err = server.communicate(timeout=PATIENCE)
        assert (server.returncode, out, err) == (0, "", "")
    with closing(Store.open(f"sqlite:///{tmp_path / 'home' / 'store.db'}")) as store:
        assert [store.query(query_id).text for query_id in queries] == ["espresso"] * len(queries)


def test_after_the_drain_it_ends_by_itself(lexical_index: Index, tmp_path: Path) -> None:
    with serving(lexical_index, tmp_path / "home", CLICKWISE_DRAIN_SECONDS="0.01") as (server, _):
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=PATIENCE)
        assert (server.returncode, out, err) == (0, "", "")


@pytest.mark.kill
def test_what_it_acknowledged_survives_sigkill(lexical_index: Index, tmp_path: Path) -> None:
    with serving(lexical_index, tmp_path / "home", "--json") as (server, line):
        with httpx.Client(base_url=json.loads(line)["url"], timeout=PATIENCE) as client:
            answer = client.post("v1/search", json={"query": "espresso"}).json()
            event = {"query_id": answer["query_id"], "document": answer["hits"][0]["id"], "kind": "relevant"}
            assert client.post("v1/feedback", json=event).status_code == 201
        server.kill()
    with closing(Store.open(f"sqlite:///{tmp_path / 'home' / 'store.db'}")) as store:
        assert list(store.marks(answer["query_id"])) == [event["document"]]
        first = store.round(answer["query_id"])
        assert first is not None
        assert first.ranking.ids[: len(answer["hits"])] == tuple(hit["id"] for hit in answer["hits"])


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=rf"There is no index in {tmp_path}\..*clickwise index build"):
        run(Settings(home=tmp_path, port=0), lambda _: None)


def test_a_taken_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=rf"127\.0\.0\.1:{port}.*--port"):
            run(Settings(port=port), lambda _: None)


def test_an_address_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="--host"):
        run(Settings(host="no.such.host.invalid", port=0), lambda _: None)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/"),
        ("0.0.0.0", "http://127.0.0.1:80/"),
        ("::", "http://[::1]:80/"),
        ("example.org", "http://example.org:80/"),
    ],
)
def test_the_address_to_open(host: str, url: str) -> None:
    assert _url(host, 80) == url


def test_answers_do_not_wait_for_acknowledgements(tmp_path: Path) -> None:
    """Connections inherit TCP_NODELAY from the listening socket."""
    with _listen(Settings(home=tmp_path, port=0)) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
