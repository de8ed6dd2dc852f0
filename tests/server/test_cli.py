"""The roof: lazy sub-commands, exit codes, one line per error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from index.errors import NotFoundError
from server import cli

ROOT = Path(__file__).resolve().parent.parent.parent
MAIN = [sys.executable, "-c", "from server.cli import main; main()"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A command `fail` that raises what the module's `problem` holds."""
    module = types.ModuleType("failing_command")
    module.app = typer.Typer()

    @module.app.command()
    def fail() -> NoReturn:
        raise module.problem

    monkeypatch.setitem(sys.modules, "failing_command", module)
    monkeypatch.setitem(cli.COMMANDS, "fail", ("failing_command", "Fail."))
    return module


def test_the_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, (_, line) in cli.COMMANDS.items():
        assert f"{name} {line}" in shown


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == 0
    assert f"clickwise {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["clicks", "eval", "index", "keys", "store", "train"])
def test_no_summary_of_a_command_is_cut_off(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.run([name, "--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert len(lines) > 1
    assert not any(line.endswith("...") for line in lines)
    assert max(map(len, lines)) <= 80


def test_no_command_shows_the_help() -> None:
    run = subprocess.run(MAIN, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Commands:" in run.stdout + run.stderr


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == "clickwise 0.1.0\n"


def test_a_misspelt_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serch"]) == 2
    assert "Did you mean 'search'" in capsys.readouterr().err


def test_an_error_with_a_mend_is_one_line_and_exit_code_2(
    failing: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.problem = NotFoundError("There is no\nindex `x`.", "Build it.")
    assert cli.run(["fail"]) == 2
    assert capsys.readouterr() == ("", "clickwise: There is no index `x`. Build it.\n")


def test_what_the_file_system_refuses_is_one_line(
    failing: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    failing.problem = PermissionError(13, "Permission denied", "/somewhere")
    assert cli.run(["fail"]) == 2
    assert capsys.readouterr().err == "clickwise: /somewhere: Permission denied.\n"


def test_a_bug_keeps_its_traceback(failing: types.ModuleType) -> None:
    failing.problem = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        cli.run(["fail"])


def test_an_interruption_is_130_and_silent(failing: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    failing.problem = KeyboardInterrupt()
    assert cli.run(["fail"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        run = subprocess.run([*MAIN, "--help"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)
    assert run.stderr == b""


def test_a_second_interruption_ends_at_once_what_waits_for_a_thread() -> None:
    """The thread never ends; it speaks when the main thread is done and Python waits for it."""
    code = (
        "import signal, threading\n"
        "from server import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "def stay():\n"
        "    threading.main_thread().join()\n"
        "    print('waiting', flush=True)\n"
        "    threading.Event().wait()\n"
        "def interrupted(arguments):\n"
        "    threading.Thread(target=stay).start()\n"
        "    return 130\n"
        "cli.run = interrupted\n"
        "cli.main()\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert (process.returncode, said) == (130, "")


@pytest.mark.parametrize(("words", "expected"), [("clickwise se", "search"), ("clickwise index bu", "build")])
def test_the_shell_completes_commands(words: str, expected: str) -> None:
    count = len(words.split()) - 1
    wanted = {"_CLICKWISE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    run = subprocess.run(MAIN, cwd=ROOT, env=os.environ | wanted, capture_output=True, text=True, check=False)
    assert expected in run.stdout.split()
