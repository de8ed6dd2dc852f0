"""`clickwise doctor`: what it finds, what it advises, and how it exits."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from index.build import build_index
from index.errors import UnavailableError
from index.types import Document
from server import cli, doctor
from server.configuration import load_settings
from server.doctor import Check
from server.settings import Settings
from server.store import Store


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(place: Path) -> Settings:
    return load_settings({"home": place / "home"})


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_java_and_lucene_are_started_and_named(settings: Settings) -> None:
    found = by_name(doctor.java(settings))
    assert found["Java"].status == "ok"
    assert "heap" in found["Java"].detail
    assert found["Lucene"].detail.startswith("9.")
    assert "Anserini" in found["Lucene"].detail


def test_a_java_home_that_is_too_old_is_explained(
    settings: Settings, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "release").write_text('JAVA_VERSION="11.0.2"\n', encoding="utf-8")
    monkeypatch.setenv("JAVA_HOME", str(place))
    assert "Java 11.0.2" in by_name(doctor.java(settings))["Java"].detail


def test_the_processor_says_what_it_can_do(settings: Settings) -> None:
    found = by_name(doctor.processor(settings))
    assert found["Torch"].status == found["CPU"].status == "ok"
    assert "bf16 " in found["CPU"].detail
    assert "VNNI " in found["CPU"].detail


def test_packages_are_held_against_what_clickwise_requires(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.status for check in doctor.packages(settings)] == ["ok"]
    wanted = ["numpy>=99", "no-such-package", 'unwanted ; extra == "dev"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted)
    (check,) = doctor.packages(settings)
    assert check.status == "problem"
    assert "no-such-package is missing" in check.detail
    assert ">=99" in check.detail
    assert "unwanted" not in check.detail
    assert "pip install" in check.advice


def test_a_model_that_cannot_be_loaded_is_a_warning_with_advice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        raise UnavailableError("The default model is not installed.", "Install the extra.")

    monkeypatch.setattr("index.encoder.load_encoder", load)
    (check,) = doctor.models(settings)
    assert (check.status, check.advice) == ("warning", "Install the extra.")


def test_an_old_sqlite_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check.status for check in doctor.store(settings)] == ["ok"]
    monkeypatch.setattr(doctor.sqlite3, "sqlite_version_info", (3, 20, 0))
    (check,) = doctor.store(settings)
    assert (check.status, "CLICKWISE_STORE_URL" in check.advice) == ("problem", True)


def test_the_store_is_looked_at_where_there_is_one(tmp_path: Path) -> None:
    def found(url: str) -> list[Check]:
        return [check for check in doctor.store(Settings(store_url=url)) if check.name == "Store"]

    url = f"sqlite:///{tmp_path}/store.db"
    assert found(url) == []
    Store.open(url).close()
    (check,) = found(url)
    assert (check.status, check.advice) == ("ok", "")
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    (check,) = found(url)
    assert check.status == "warning"
    assert "clickwise store migrate" in check.advice
    (check,) = found(f"postgresql://me:secret@/none?host={tmp_path}")
    assert check.status == "problem"
    assert "cannot be reached" in check.detail
    assert "secret" not in check.detail


@pytest.mark.parametrize(("free", "status"), [(50 << 30, "ok"), (1 << 30, "warning"), (1 << 20, "problem")])
def test_the_disk_is_looked_at_before_the_home_exists(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert [check.status for check in doctor.disk(settings)] == [status]


def test_a_home_that_cannot_be_written_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    (check,) = doctor.disk(settings)
    assert (check.status, "CLICKWISE_HOME" in check.advice) == ("problem", True)


def test_every_index_is_opened(settings: Settings) -> None:
    assert "index build" in by_name(doctor.indexes(settings))["Indexes"].detail
    build_index(settings.home / "indexes" / "good", [Document("a", text="words")])
    (settings.home / "indexes" / "bad").mkdir()
    (settings.home / "indexes" / "bad" / "current").write_text("damaged")
    found = by_name(doctor.indexes(settings))
    assert found["Index good"].status == "ok"
    assert "documents: 1," in found["Index good"].detail
    assert found["Index bad"].status == "problem"
    assert found["Index bad"].advice


def test_an_index_of_nothing_is_warned_of(settings: Settings) -> None:
    build_index(settings.home / "indexes" / "none", [])
    (found,) = doctor.indexes(settings)
    assert (found.status, found.detail.partition(",")[0]) == ("warning", "documents: 0")
    assert "clickwise index update none SOURCE" in found.advice


def test_a_check_that_breaks_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: Settings) -> Iterator[Check]:
        raise RuntimeError("on two\nlines")
        yield

    monkeypatch.setattr(doctor, "CHECKUPS", (broken, doctor.python))
    found = by_name(doctor.examine({}))
    assert found["Broken"] == Check("Broken", "problem", "RuntimeError: on two lines", found["Broken"].advice)
    assert found["Python"].status == "ok"


def test_unusable_settings_are_a_finding(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "clickwise.toml").write_text("prot = 1\n", encoding="utf-8")
    monkeypatch.setattr(doctor, "CHECKUPS", (doctor.python,))
    found = by_name(doctor.examine({}))
    assert found["Settings"].status == "problem"
    assert "prot" in found["Settings"].detail
    assert found["Python"].status == "ok"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.run(["doctor", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_only_a_problem_makes_the_exit_code_1(
    status: Any, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def checkup(settings: Settings) -> Iterator[Check]:
        yield Check("Thing", status, "as it is", "do this")

    monkeypatch.setattr(doctor, "CHECKUPS", (checkup,))
    told = run(capsys)
    assert told[0] == code
    assert f"{status:<8} Thing: as it is" in told[1]
    assert "mend: do this" in told[1]
    exit_code, out = run(capsys, "--json")
    report = json.loads(out)
    assert (exit_code, report["status"]) == (code, status)
    assert {"name": "Thing", "status": status, "detail": "as it is", "advice": "do this"} in report["checks"]
