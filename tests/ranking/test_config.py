"""Pipelines from TOML: the defaults, the user's own, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from index.errors import InputError, NotFoundError
from index.index import Index
from ranking.bm25 import Bm25
from ranking.config import build_pipeline, load_specs, preferred, specs_with, working
from ranking.fusion import ReciprocalRank
from ranking.knn import Knn

CHEAP = {"bm25", "bm25-qe", "knn-paper", "knn", "probe", "dense", "hybrid", "rrf-paper", "fused", "smoothed"}
DEFAULTS = CHEAP | {"ce", "ce-ft", "ce-maml", "bi-ft", "fused-ce"}
LEXICAL = ["bm25", "bm25-qe"]
WORDS = {"name": "words", "part": "bm25"}


def own(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"mine": {"stages": list(stages), **more}}


def mistake(tables: object) -> InputError:
    with pytest.raises(InputError) as caught:
        specs_with(tables, "clickwise.toml")
    return caught.value


def test_the_default_pipelines() -> None:
    specs = load_specs()
    assert set(specs) == DEFAULTS
    assert [name for name, spec in specs.items() if not spec.needs_vectors] == LEXICAL
    assert all(spec.description.endswith(".") for spec in specs.values())


def test_the_paper_s_method_is_the_paper_s() -> None:
    (knn,) = [stage.does for stage in load_specs()["knn-paper"].stages if stage.part == "knn"]
    assert knn == Knn(aggregation="sum", compare="both", query_weight=1.0, negative_weight=0.0, space="raw")
    assert load_specs()["rrf-paper"].stages[-1].does == ReciprocalRank(c=60.0, weights=())


def test_your_own_pipeline_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "clickwise.toml"
    path.write_text(
        """
        port = 9000
        [pipelines.mine]
        description = "ours"
        stages = [
          { part = "bm25", depth = 50 },
          { name = "close", part = "knn", candidates = "bm25", aggregation = "max" },
          { name = "both", part = "rrf", inputs = ["close", "bm25"], weights = [2, 1] },
        ]
        [pipelines.bm25]
        stages = [{ part = "bm25", depth = 10 }]
        """
    )
    specs = load_specs(path)
    assert set(specs) == DEFAULTS | {"mine"}
    assert specs["bm25"].stages[0].does == Bm25(depth=10)  # yours wins over ours
    words, close, both = specs["mine"].stages
    assert (words.name, words.part, words.does) == ("bm25", "bm25", Bm25(depth=50))
    assert (close.does, close.reads) == (Knn(aggregation="max"), (words,))
    assert (both.does, both.reads) == (ReciprocalRank(weights=(2.0, 1.0)), (close, words))
    assert specs["mine"].description == "ours"


def test_a_file_without_pipelines_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "clickwise.toml"
    path.write_text("port = 9000\n")
    assert load_specs(path) == load_specs()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no configuration file"):
        load_specs(tmp_path / "none.toml")
    path = tmp_path / "clickwise.toml"
    path.write_bytes(b"[pipelines")
    with pytest.raises(InputError, match="not valid TOML"):
        load_specs(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not valid TOML"):
        load_specs(path)


@pytest.mark.parametrize(
    ("tables", "message", "advice"),
    [
        ([], "'pipelines' is no table", "[pipelines.NAME]"),
        ({"mine": []}, "pipeline 'mine': this is no table", "[pipelines.mine]"),
        ({"mine": {}}, "it has no stages", "stages = ["),
        ({"mine": {"stages": []}}, "it has no stages", "stages = ["),
        ({"mine": {"stages": {"part": "bm25"}}}, "it has no stages", "stages = ["),
        (own(WORDS, stage=1), "no key 'stage'", "Did you mean 'stages'? Valid: description, stages."),
        (own(WORDS, description=3), "'description' is 3", "a text"),
        ({"mine": {"stages": ["bm25"]}}, "stage 1: 'bm25' is no table", "part ="),
        (own({"name": "words"}), "stage 1: there is no part None", "bm25, rocchio, rm3"),
        (own({"part": "bm52"}), "no part 'bm52'", "Did you mean 'bm25'? Valid: bm25, rocchio"),
        (own({"part": "bm25", "dept": 3}), "no option 'dept'", "Did you mean 'depth'? Valid: depth, k1, b, name"),
        (own({"part": "bm25", "depth": "3"}), "option 'depth' is '3'", "a whole number"),
        (own({"part": "bm25", "b": 1.5}), "option 'b' is 1.5", "from 0 to 1"),
        (own({"part": "bm25", "name": ""}), "cannot be named ''", "a text"),
        (own({"part": "bm25", "name": 4}), "cannot be named 4", "a text"),
        (own({"part": "bm25", "name": "total"}), "cannot be named 'total'", "other than encode, total"),
        (own(WORDS, WORDS), "stage 2: there is a stage 'words' already", "name of its own"),
        (own(WORDS, {"part": "knn", "candidates": "word"}), "no earlier stage 'word'", "Did you mean 'words'?"),
        (own({"part": "knn", "candidates": "knn"}), "no earlier stage 'knn'", "Valid: none."),
        (own(WORDS, {"part": "knn", "candidates": ["words"]}), "'candidates' is ['words']", "name of an earlier stage"),
        (own(WORDS, {"part": "knn", "inputs": ["words"]}), "no option 'inputs'", "candidates"),
        (own(WORDS, {"part": "rrf", "inputs": "words"}), "'inputs' is 'words'", "a list of names"),
        (own(WORDS, {"part": "rrf", "inputs": []}), "it joins nothing", "inputs = ["),
        (own(WORDS, {"part": "rrf"}), "it joins nothing", "inputs = ["),
        (own(WORDS, {"part": "rrf", "inputs": ["words"], "weights": [1, 2]}), "1 rankings has 2 weights", "per input"),
        (own(WORDS, {"part": "dense"}), "no later stage reads stage 'words'", "candidates or inputs"),
    ],
)
def test_mistakes_are_named_with_their_place(tables: object, message: str, advice: str) -> None:
    error = mistake(tables)
    assert error.message.startswith("clickwise.toml")
    assert message in error.message
    assert advice in error.advice


def test_an_unknown_pipeline_gets_the_nearest(lexical_index: Index) -> None:
    with pytest.raises(InputError, match=r"no pipeline 'fuse'\. Did you mean 'fused'\? Valid: bm25, bm25-qe"):
        build_pipeline("fuse", load_specs(), lexical_index)


def test_without_vectors_some_pipelines_do_not_work_and_the_error_says_which_do(
    lexical_index: Index, dense_index: Index
) -> None:
    specs = load_specs()
    assert working(specs, lexical_index) == LEXICAL
    assert working(specs, dense_index) == list(specs)
    for name in specs.keys() - set(LEXICAL):
        with pytest.raises(InputError, match=r"has none\. These work on it: bm25, bm25-qe\. Or build"):
            build_pipeline(name, specs, lexical_index)
    assert build_pipeline("bm25-qe", specs, lexical_index).name == "bm25-qe"


def test_the_pipeline_of_a_search_that_names_none(lexical_index: Index, dense_index: Index) -> None:
    assert preferred(load_specs(), dense_index) == "smoothed"
    assert preferred(load_specs(), lexical_index) == "bm25-qe"
