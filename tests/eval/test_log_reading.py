"""Logs and policies from files: every format, every way to be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.log import Log, read_beta, read_log, read_open_bandit, read_policy
from index.errors import InputError, NotFoundError

ROWS = {
    "session": ["s1", "s1", "s2"],
    "query": ["red", "red", ""],
    "document": ["007", "8", "007"],
    "position": [1, 2, 1],
    "click": [0, 1, 0],
    "propensity": [0.5, 0.25, 1.0],
    "wanted": [0.1, 0.0, 1.0],
}


def as_csv(path: Path, columns: dict[str, list[Any]], delimiter: str = ",") -> Path:
    lines = [list(columns), *zip(*columns.values(), strict=True)]
    text = "\n".join(delimiter.join("" if cell is None else str(cell) for cell in line) for line in lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def as_parquet(path: Path, columns: dict[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "csv": lambda folder: as_csv(folder / "log.csv", ROWS),
    "csv.gz": lambda folder: as_csv(folder / "log.csv.gz", ROWS),
    "tsv": lambda folder: as_csv(folder / "log.tsv", ROWS, "\t"),
    "parquet": lambda folder: as_parquet(folder / "log.parquet", ROWS),
}


def labels(log: Log, name: str) -> list[str]:
    column = {"action": log.action, "position": log.position, **log.context}[name]
    return [column.values[code] for code in column.codes.tolist()]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_log(kind: str, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path)
    log = read_log(path, columns={"page": "session"}, context=["query"], target="wanted")
    assert labels(log, "action") == ["007", "8", "007"]  # no number is made of a label
    assert labels(log, "position") == ["1", "2", "1"]
    assert labels(log, "query") == ["red", "red", ""]
    assert log.reward.tolist() == [0, 1, 0]
    assert log.propensity is not None
    assert log.propensity.tolist() == [0.5, 0.25, 1.0]
    assert log.target is not None
    assert log.target.tolist() == [0.1, 0.0, 1.0]
    assert log.page.tolist() == [0, 0, 1]
    assert log.source == str(path)


def test_a_log_needs_only_actions_and_rewards(tmp_path: Path) -> None:
    log = read_log(as_csv(tmp_path / "log.csv", {"item": ["a", "b"], "paid": [1.5, -2]}), columns={
        "action": "item", "reward": "paid",
    })  # fmt: skip
    assert log.propensity is None
    assert log.target is None
    assert log.reward.tolist() == [1.5, -2]
    assert labels(log, "position") == ["1", "1"]
    assert log.page.tolist() == [0, 1]


def test_other_arrow_types_are_read_for_what_they_mean(tmp_path: Path) -> None:
    path = as_parquet(
        tmp_path / "log.parquet",
        {
            "action": pa.array(["x", "y", "x"]).dictionary_encode(),
            "position": pa.array([1.0, 2.0, 1.0]),
            "click": pa.array([True, False, True]),
            "propensity": pa.array([0.5, 0.25, 1], pa.float32()),
            "device": pa.array([None, "phone", None]),
        },
    )
    log = read_log(path, context=["device"])
    assert labels(log, "action") == ["x", "y", "x"]
    assert labels(log, "position") == ["1", "2", "1"]
    assert labels(log, "device") == ["", "phone", ""]
    assert log.reward.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"propensity": [0.5, 0, 1]}, "Row 2 of {path} has a propensity of 0."),
        ({"propensity": [0.5, 1.01, 1]}, "Row 2 of {path} has a propensity of 1.01."),
        ({"propensity": [0.5, "NaN", 1]}, "Row 2 of {path} has no propensity."),
        ({"propensity": [0.5, None, 1]}, "Row 2 of {path} has no propensity."),
        ({"propensity": ["a", "b", "c"]}, "The column propensity of {path} holds no numbers."),
        ({"click": [0, None, 1]}, "Row 2 of {path} has no reward."),
        ({"click": [None, None, None]}, "Row 1 of {path} has no reward, and 2 more rows are like it."),
        ({"click": [0, "inf", 1]}, "Row 2 of {path} has a reward of inf."),
        ({"document": ["a", None, "b"]}, "Row 2 of {path} has no document."),
        ({"position": [1, 1, None]}, "Row 3 of {path} has no position."),
    ],
)
def test_a_bad_value_is_one_clear_error(change: dict[str, list[Any]], said: str, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "log.csv", ROWS | change)
    with pytest.raises(InputError) as refusal:
        read_log(path)
    assert refusal.value.message == said.format(path=path)
    assert refusal.value.advice


def test_missing_labels_in_parquet_are_errors_too(tmp_path: Path) -> None:
    for i, missing in enumerate(([1.0, float("nan"), 2.0], [1, None, 2], ["a", None, "b"])):
        path = as_parquet(tmp_path / f"{i}.parquet", ROWS | {"document": pa.array(missing)})
        with pytest.raises(InputError, match=r"Row 2 of .* has no document"):
            read_log(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context": ["device"]}, "has no column device; its columns are session, query"),
        ({"columns": {"reward": "bought"}}, "has no column bought"),
        ({"columns": {"page": "visit"}}, "has no column visit"),
        ({"target": "chance"}, "has no column chance"),
    ],
)
def test_an_unknown_column_is_named_with_those_that_are_there(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        read_log(as_csv(tmp_path / "log.csv", ROWS), **options)


def test_a_role_without_a_column_is_named(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "log.csv", {f"c{i}": [1, 2] for i in range(14)})
    with pytest.raises(InputError, match=r"no column for the action; .* c11 and 2 more\. Say .* --column action=NAME"):
        read_log(path)


def test_a_role_with_two_possible_columns_is_a_question(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "log.csv", ROWS | {"reward": [1, 1, 1]})
    with pytest.raises(InputError, match="several columns that may be the reward: reward, click"):
        read_log(path)
    assert read_log(path, columns={"reward": "click"}).reward.tolist() == [0, 1, 0]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("document,click,click\na,0,1\nb,0,1\n")
    with pytest.raises(InputError, match="several columns click"):
        read_log(tmp_path / "log.csv")


def test_an_empty_log_and_one_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no rows"):
        read_log(as_csv(tmp_path / "header.csv", {name: [] for name in ROWS}))
    with pytest.raises(InputError, match="no rows"):
        read_log(as_parquet(tmp_path / "none.parquet", {name: pa.array([], pa.float64()) for name in ROWS}))
    with pytest.raises(InputError, match="one row"):
        read_log(as_csv(tmp_path / "one.csv", {name: values[:1] for name, values in ROWS.items()}))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("log.csv", b"", "cannot be read as CSV: Empty CSV file"),
        ("log.csv", b"document,click\na,0\nb\n", "cannot be read as CSV: .*Expected 2 columns"),
        ("log.csv", b"document,click\n\xff\xfe,0\nb,1\n", "cannot be read as CSV"),
        ("log.csv.gz", b"no gzip at all", "cannot be read as CSV"),
        ("log.parquet", b"no parquet at all", "cannot be read as Parquet"),
        ("log.json", b"{}", "neither Parquet nor CSV"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_log(tmp_path / name)


def test_columns_of_lists_are_refused(tmp_path: Path) -> None:
    rows = {"action": pa.array([{"x": 1}, {"x": 2}]), "click": [0, 1]}
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_log(as_parquet(tmp_path / "log.parquet", rows))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_log(tmp_path / "log.csv")


def test_a_policy_may_depend_on_any_column(tmp_path: Path) -> None:
    path = as_csv(
        tmp_path / "policy.csv",
        {"query": ["red", "red", "blue"], "document": ["a", "b", "a"], "probability": [0.25, 0.75, 1]},
    )
    policy = read_policy(path, {"action": "sku", "reward": "click"})
    assert policy.position is None
    assert list(policy.context) == ["query"]
    assert policy.probability.tolist() == [0.25, 0.75, 1]
    assert policy.name == str(path)


def test_a_policy_without_probabilities_is_a_fixed_ranking(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "run.csv", {"query": ["q", "q"], "rank": [1, 2], "sku": ["x", "y"]})
    policy = read_policy(path, {"action": "sku"})
    assert policy.probability.tolist() == [1, 1]
    assert policy.position is not None
    assert policy.position.values == ("1", "2")
    with pytest.raises(InputError, match="sum to 2 at query q, not to 1"):
        read_policy(as_csv(tmp_path / "two.csv", {"query": ["q", "q"], "document": ["x", "y"]}))


def test_beliefs_are_read_in_their_order(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "beliefs.csv", {"item_id": [2, 0, 1], "alpha": [3, 1, 2], "beta": [30, 10, 20]})
    actions, alpha, beta = read_beta(path)
    assert actions == ("2", "0", "1")
    assert alpha.tolist() == [3, 1, 2]
    assert beta.tolist() == [30, 10, 20]
    with pytest.raises(InputError, match="names an action twice"):
        read_beta(as_csv(tmp_path / "twice.csv", {"action": [1, 1], "alpha": [1, 1], "beta": [1, 1]}))


def open_bandit(folder: Path, items: tuple[int, ...] = (0, 1, 2)) -> Path:
    folder.mkdir(parents=True)
    as_csv(
        folder / "men.csv",
        {
            "": [0, 1, 2],
            "timestamp": ["2019-11-24 00:00:01+00:00"] * 3,
            "item_id": [1, 0, 1],
            "position": [3, 1, 2],
            "click": [0, 1, 0],
            "propensity_score": [0.5, 0.25, 0.5],
            "user_feature_0": ["u", "v", "u"],
            "user-item_affinity_0": [0.0, 1.0, 0.0],
        },
    )
    as_csv(folder / "item_context.csv", {"": items, "item_id": items, "item_feature_0": [0.5] * len(items)})  # type: ignore[dict-item]
    return folder


def test_an_open_bandit_folder_knows_its_items(tmp_path: Path) -> None:
    log = read_open_bandit(open_bandit(tmp_path / "random" / "men"), context=["user_feature_0"])
    assert labels(log, "action") == ["1", "0", "1"]
    assert sorted(log.action.values) == ["0", "1", "2"]
    assert labels(log, "position") == ["3", "1", "2"]
    assert labels(log, "user_feature_0") == ["u", "v", "u"]
    assert log.propensity is not None
    assert log.propensity.tolist() == [0.5, 0.25, 0.5]
    assert log.reward.tolist() == [0, 1, 0]
    assert np.unique(log.page).tolist() == [0, 1, 2]


def test_an_open_bandit_folder_must_be_whole(tmp_path: Path) -> None:
    folder = open_bandit(tmp_path / "men", items=(0, 2))
    with pytest.raises(InputError, match=r"Row 1 of .*men\.csv shows item 1, which item_context\.csv does not have"):
        read_open_bandit(folder)
    (folder / "item_context.csv").unlink()
    with pytest.raises(NotFoundError, match="no folder of the Open Bandit Dataset"):
        read_open_bandit(folder)
    with pytest.raises(NotFoundError):
        read_open_bandit(tmp_path / "nowhere")
