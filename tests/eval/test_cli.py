"""`clickwise eval` from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.main import get_command

from eval.cli import app
from eval.comparing import RunDirectory
from eval.looking import look, side_by_side
from index.errors import InputError, NotFoundError
from server.cli import run
from tests.eval.made import topics, write_beir

FAST = ["--set", "index.encoder=none", "--set", "statistics.resamples=100", "--set", "protocol.negatives=unjudged"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a collection and one run of two rankers that need no embeddings."""
    folder = tmp_path_factory.mktemp("home")
    write_beir(folder / "small")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = ["eval", "run", "--collection", "small", "--ranker", "bm25", "--ranker", "bm25-qe", "-k", "2"]
        assert run([*arguments, *FAST, "--set", "name=first"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_a_run_needs_no_configuration(home: Path) -> None:
    folder = home / ".clickwise" / "eval" / "runs" / "first"
    for name in ("report.html", "summary.json", "config.toml", "perquery.parquet", "tables/main.md"):
        assert (folder / name).is_file()


def test_a_new_collection_beside_a_configuration_lies_where_one_is(home: Path, tmp_path: Path) -> None:
    """Not where the configuration's own paths begin."""
    config = tmp_path / "own.toml"
    config.write_text('name = "own"\n[rankers.bm25]\n')
    out = tmp_path / "out"
    assert run(["eval", "run", str(config), "--collection", "mine=small", "-k", "1", "--out", str(out), *FAST]) == 0
    experiment = RunDirectory(out).experiment
    assert experiment.collections["mine"].source == str(home / "small")


def test_the_same_command_again_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    config = ".clickwise/eval/runs/first/config.toml"
    assert run(["eval", "run", config, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["ndcg20"]) == {"bm25", "bm25-qe"}
    assert run(["eval", "run", config]) == 0
    assert "Nothing new in .clickwise/eval/runs/first" in capsys.readouterr().out


def test_a_run_of_another_configuration_is_replaced_only_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["eval", "run", "--collection", "small", "--ranker", "bm25", *FAST, "--out", str(out)]
    assert run([*command, "-k", "1"]) == 0
    assert run([*command, "-k", "1", "--set", "description=in other words"]) == 0
    before = (out / "summary.json").read_bytes()
    changed = [*command, "-k", "2"]
    capsys.readouterr()
    assert run(changed) == 2
    advice = "Give this run another name with --name, or replace that one with --overwrite."
    assert capsys.readouterr() == (
        "",
        f"clickwise: The run in {out} has another configuration (protocol.k). {advice}\n",
    )
    assert (out / "summary.json").read_bytes() == before
    assert run([*changed, "--overwrite"]) == 0
    assert run([*changed, "--ranker", "bm25-qe"]) == 0  # one more, and the other is still there
    assert set(RunDirectory(out).summary["ndcg20"]) == {"bm25", "bm25-qe"}
    capsys.readouterr()
    assert run(changed) == 2
    assert "has another configuration (rankers.bm25-qe)." in capsys.readouterr().err
    (out / "summary.json").unlink()  # never complete: nothing is lost
    assert run([*command, "-k", "1"]) == 0


def test_a_run_has_the_name_that_it_is_given(home: Path) -> None:
    config = ".clickwise/eval/runs/first/config.toml"
    assert run(["eval", "run", config, "--ranker", "bm25", "--name", "second"]) == 0
    second = home / ".clickwise/eval/runs/second"
    assert RunDirectory(second).experiment.head.name == "second"
    shutil.rmtree(second)


def test_a_run_is_not_replaced_by_one_that_lacks_a_collection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_beir(tmp_path / "other")
    config = tmp_path / "two.toml"
    config.write_text(
        f'[rankers.bm25]\n[collections.small]\nsource = "small"\n[collections.other]\nsource = "{tmp_path / "other"}"\n'
    )
    command = ["eval", "run", str(config), "--data", ".", "-k", "1", *FAST, "--out", str(tmp_path / "out")]
    assert run(command) == 0
    shutil.move(tmp_path / "other", tmp_path / "gone")
    assert run([*command, "--skip-missing"]) == 2
    assert "has measured other, which is not at hand now." in capsys.readouterr().err
    assert set(RunDirectory(tmp_path / "out").summary["topics"]) == {"small", "other"}
    assert run([*command, "--skip-missing", "--overwrite"]) == 0
    assert set(RunDirectory(tmp_path / "out").summary["topics"]) == {"small"}


def test_flags_choose_from_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = ".clickwise/eval/runs/first/config.toml"
    arguments = ["--ranker", "bm25-qe", "--collection", "small", "-k", "1", "-k", "2", "--out", str(tmp_path / "out")]
    assert run(["eval", "run", config, *arguments, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["ndcg20"]) == {"bm25-qe"}
    assert RunDirectory(tmp_path / "out").experiment.protocol.k == (1, 2)


def test_rankers_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "compare", "bm25-qe", "bm25", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["A"] == "first:bm25-qe"
    means = RunDirectory(Path(".clickwise/eval/runs/first")).summary["mean_ndcg20"]
    assert row["A - B"] == pytest.approx(means["bm25-qe"] - means["bm25"])
    assert run(["eval", "compare", "bm25-qe", ".clickwise/eval/runs/first:bm25", "--measure", "AP@100"]) == 0
    assert "AP@100" in capsys.readouterr().out


def test_run_directories_are_compared_ranker_by_ranker(capsys: pytest.CaptureFixture[str]) -> None:
    folder = ".clickwise/eval/runs/first"
    assert run(["eval", "compare", folder, folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["A"], row["A - B"], row["p corrected"]) for row in rows] == [
        ("first:bm25", 0.0, 1.0),
        ("first:bm25-qe", 0.0, 1.0),
    ]


def test_trec_runs_are_compared_and_what_is_missing_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qrels").write_text("1 0 a 1\n2 0 a 1\n3 0 a 1\n")
    (tmp_path / "one").write_text("1 Q0 a 1 2 x\n2 Q0 b 1 2 x\n2 Q0 a 2 1 x\n9 Q0 a 1 1 x\n")
    (tmp_path / "two").write_text("1 Q0 b 1 2 x\n2 Q0 b 1 2 x\n3 Q0 a 1 1 x\n")
    arguments = [str(tmp_path / "one"), str(tmp_path / "two"), "--qrels", str(tmp_path / "qrels"), "--measure", "RR"]
    assert run(["eval", "compare", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert row["A - B"] == pytest.approx((1 + 0.5 - 1) / 3)
    assert (row["won"], row["tied"], row["lost"]) == (2, 0, 1)
    assert found["notes"] == [
        "one: topics without a ranking, counted as 0: 1",
        "one: topics without judgements, left out: 1",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["bm25", "nothing"], "has no ranker 'nothing'. It has bm25, bm25-qe."),
        (["bm25", "bm25-qe", "--measure", "nDCG@7"], "has no values of nDCG@7"),
        (["bm25", "bm25-qe", "--run", "elsewhere"], "is no complete run directory"),
        (["small/qrels/test.tsv", "bm25"], "there are no judgements. Name them with --qrels."),
    ],
)
def test_what_cannot_be_compared(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "compare", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_topic_is_shown_with_both_lists_and_judgements(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", "topic", "coffee-q0", "--ranker", "bm25-qe", "--ranker", "bm25"]
    assert run([*arguments, "--json"]) == 0
    view = json.loads(capsys.readouterr().out)
    assert view["query"] == topics()["coffee-q0"]
    assert len(view["feedback"]) == 4
    assert len(view["lists"]["bm25"]) == 10
    for row in view["lists"]["bm25-qe"]:
        assert (row["grade"] is not None) == row["document"].startswith("coffee")
        assert row["title"]
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert "Feedback (k = 2):" in text
    line = next(line for line in text.splitlines() if line.lstrip().startswith("1  "))
    assert line.count("+") == 2  # the first documents of both are relevant


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nothing"], "There is no topic 'nothing'. The collections are small."),
        (["coffee-q0", "-k", "5"], "has no rankings at k = 5. It has 2."),
        (["coffee-q0", "--ranker", "x"], "has no ranker 'x'"),
    ],
)
def test_what_cannot_be_shown(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "topic", *arguments]) == 2
    assert problem in capsys.readouterr().err


def test_a_topic_without_its_index_is_shown_without_titles(run_directory: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_directory, tmp_path / "copy")
    where = json.loads((copy / "indexes.json").read_text())
    where["small"]["path"] = str(tmp_path / "gone")
    (copy / "indexes.json").write_text(json.dumps(where))
    view = look(copy, "python-q1", "", [], 1, 5)
    assert list(view["lists"]) == [RunDirectory(copy).summary["best_of_ours"], "bm25-qe"]
    assert {row["title"] for rows in view["lists"].values() for row in rows} == {""}
    assert "python-q1" in side_by_side(view)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nowhere"], "There is no experiment nowhere"),
        (["--ranker", "bm25"], "there is nothing to measure"),
        (["--collection", "gone", "--ranker", "bm25"], "There is no collection folder gone"),
        (["--collection", "small", "--ranker", "bm26"], "Did you mean 'bm25'"),
        (["--collection", "small", "--ranker", "bm25", "--set", "protocol.k=two"], "option 'k' is 'two'"),
        (["--collection", "small", "--ranker", "knn", "--set", "index.encoder=none"], "embeddings"),
        (["--collection", "small", "--ranker", "bm25", "-k", "30", *FAST], "No topic of the collection 'small'"),
    ],
)
def test_what_cannot_be_run_is_said_on_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "run", *arguments]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert said.count("\n") == 1


def test_an_output_in_the_way_is_noticed_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    monkeypatch.setattr("eval.experiment.run_experiment", lambda *given, **options: pytest.fail("it went to work"))
    for out, problem in ((tmp_path, "holds something else"), (tmp_path / "mine.txt", "but a file")):
        assert run(["eval", "run", "--collection", "small", "--ranker", "bm25", "--out", str(out)]) == 2
        assert problem in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "kept"


def test_an_interruption_says_that_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eval.experiment.run_experiment", interrupted)
    where = ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert run(["eval", "run", "--collection", "small", "--ranker", "bm25", *where]) == 130
    kept = f"What is done is kept in {tmp_path / 'cache'}, and the same command goes on."
    assert capsys.readouterr() == ("", f"Interrupted. {kept}\n")


def test_without_a_run_there_is_nothing_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = get_command(app)  # without the roof, which knows the configuration
    for arguments in (["topic", "1"], ["compare", "a", "b"]):
        with pytest.raises((InputError, NotFoundError), match="no run directory yet"):
            command.main(arguments, standalone_mode=False)


def test_the_value_of_a_policy_has_its_place_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "log", "--help"]) == 0
    assert "click log" in capsys.readouterr().out
