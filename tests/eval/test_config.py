"""Configurations: what is read, what is refused, what is written back."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.config import merged, parse_config, read_config, setting
from eval.rankers import RankerSpec, Taught, variants_of, with_options
from eval.toml import dumps
from eval.users import Cascade
from index.errors import InputError, NotFoundError
from ranking.config import load_specs, specs_with

SMALL: dict[str, Any] = {"rankers": {"bm25": {}}, "collections": {"med": {"source": "med"}}}
PACKAGED = sorted(entry.name for entry in (files("eval") / "experiments").iterdir())


def test_the_least_configuration_has_every_default() -> None:
    experiment = parse_config(SMALL, "here")
    assert experiment.head.baseline == "bm25"
    assert experiment.primary == "nDCG@20"
    assert "nDCG(dcg='exp-log2')@20" in experiment.head.measures
    assert experiment.protocol.k == (2, 4, 8)


def test_everything_can_be_said() -> None:
    tables = {
        **SMALL,
        "name": "mine",
        "measures": ["MAP", "nDCG@10"],
        "protocol": {"k": [1], "feedback": "clicks"},
        "user": {"model": "cascade", "noise": 0},
        "statistics": {"correction": "bonferroni"},
        "index": {"encoder": "none"},
        "rankers": {"bm25": {"role": "baseline"}, "bm25-qe": {"grid": {"rocchio.terms": [8, 16]}}},
        "published": {"med": {"BM25": 0.5}},
    }
    experiment = parse_config(tables, "here")
    assert experiment.head.measures == ("AP", "nDCG@10")
    assert experiment.user == Cascade(noise=0.0)
    assert experiment.rankers["bm25-qe"].grid == {"rocchio.terms": [8, 16]}
    assert experiment.published == {"med": {"BM25": 0.5}}


def test_what_is_written_is_read_as_the_same() -> None:
    for name in PACKAGED:
        experiment = parse_config(read_config(name), name)
        again = parse_config(tomllib.loads(dumps(experiment.to_dict())), "again")
        assert again == experiment


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"protocoll": {}}, r"no key 'protocoll'\. Did you mean 'protocol'"),
        ({"protocol": {"kk": 1}}, "no option 'kk'"),
        ({"protocol": 3}, "'protocol' is no table"),
        ({"rankers": {"bm25": 3}}, "rankers.bm25 is no table"),
        ({"rankers": {"a/b": {}}}, "'a/b' cannot be a name"),
        ({"rankers": {"bm25": {"grid": {"bm25.k1": 0.5}}}}, "Give a list"),
        ({"rankers": {"bm25": {"grid": 3}}}, "'grid' is no table"),
        ({"rankers": {}}, "nothing to measure"),
        ({"collections": {"x": {"source": "y", "relevnt": 1}}}, "Did you mean 'relevant'"),
        ({"baseline": "bm26"}, "Did you mean 'bm25'"),
        ({"measures": []}, "no measures"),
        ({"collections": {"x": {"topics": "y"}}}, r"here, collection 'x': A collection is incomplete\."),
        ({"measures": ["nDCG20"]}, "no measure 'nDCG20'"),
        ({"user": {"model": "cascad"}}, "Did you mean 'cascade'"),
        ({"published": {"med": {"BM25": "high"}}}, "must be a number"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_config({**SMALL, **change}, "here")


def test_files_that_are_not_usable(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no experiment nothing\. Name a file, or one of clicks, .*feedback"):
        read_config("nothing")
    path = tmp_path / "bad.toml"
    path.write_text("name = ")
    with pytest.raises(InputError, match="not valid TOML"):
        read_config(str(path))


def test_flags_lie_over_the_file() -> None:
    tables = merged({"protocol": {"k": [2], "depth": 10}}, setting("protocol.k = [4, 8]"))
    assert tables == {"protocol": {"k": [4, 8], "depth": 10}}
    assert setting("name=plain words") == {"name": "plain words"}
    assert setting('rankers.knn.grid={"knn.query_weight"=[1]}') == {
        "rankers": {"knn": {"grid": {"knn.query_weight": [1]}}}
    }
    for text in ("nothing", "=3", "a b=3"):
        with pytest.raises(InputError, match="is not usable"):
            setting(text)


def test_relative_paths_begin_where_the_data_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKWISE_DATA", "/somewhere")
    assert parse_config(SMALL, "here").folder == Path("/somewhere/collections")
    monkeypatch.delenv("CLICKWISE_DATA")
    assert parse_config(SMALL, "here").folder == Path("../shared/data/collections")


@pytest.mark.parametrize("name", PACKAGED)
def test_the_experiments_that_come_along_are_about_pipelines_that_exist(name: str) -> None:
    experiment = parse_config(read_config(name), name)
    for ranker, spec in experiment.rankers.items():
        specs = specs_with(experiment.pipelines, name)
        assert variants_of(ranker, spec, specs, experiment.protocol.expansion_terms, experiment.protocol.seeds)
    roles = {ranker.role for ranker in experiment.rankers.values()}
    # One that compares ways of giving feedback to one ranker, or gives none, has no methods of others in it.
    alone, recipe = {"ours", "baseline"}, {"ours", "paper"}
    expected = {"debiased.toml": alone, "first-page.toml": alone, "paper-recipe.toml": recipe}
    assert roles == expected.get(name, {"paper", "ours", "baseline"})
    assert set(experiment.published) <= set(experiment.collections)


def test_the_published_figures_are_those_of_the_paper() -> None:
    """The means over the four data sets, as published, from the single figures."""
    names = ("robust04", "trec-covid", "trec-news", "touche")
    published = [next(iter(parse_config(read_config(name), name).published.values())) for name in names]
    means = {method: sum(one[method] for one in published) / 4 for method in published[0]}
    assert means == pytest.approx(
        {
            "BM25-QE": 0.4427,
            "kNN": 0.4175,
            "CE zero-shot": 0.4022,
            "CE query-FT": 0.4352,
            "CE MAML + query-FT": 0.4450,
            "RRF(kNN, BM25-QE)": 0.4689,
            "RRF(CE MAML + query-FT, BM25-QE)": 0.4973,
        },
        abs=6e-4,
    )


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), VALUES | st.dictionaries(st.text(), VALUES, max_size=3), max_size=4))
def test_toml_is_read_back(tables: dict[str, Any]) -> None:
    assert tomllib.loads(dumps(tables)) == tables


def test_a_grid_makes_variants() -> None:
    grid = {"knn.query_weight": [0.5, 1.0], "qe.terms": [8, 16]}
    variants = variants_of("mine", RankerSpec("knn", grid=grid), load_specs(), 0, (0, 1))
    assert [variant.label for variant in variants] == [
        "knn.query_weight=0.5, qe.terms=8",
        "knn.query_weight=0.5, qe.terms=16",
        "knn.query_weight=1, qe.terms=8",
        "knn.query_weight=1, qe.terms=16",
    ]
    assert len({variant.spec.digest for variant in variants}) == 4
    stages = {stage.name: stage for stage in variants[2].spec.stages}
    assert stages["knn"].does.query_weight == 1.0  # type: ignore[union-attr]
    assert stages["knn"].reads == (stages["qe"],)
    assert stages["qe"].does.terms == 8  # type: ignore[union-attr]


def test_a_ranker_that_learns_has_its_variants_for_every_seed() -> None:
    plain = RankerSpec("knn", grid={"knn.query_weight": [0.5, 1.0]})
    assert [variant.taught for variant in variants_of("mine", plain, load_specs(), 0, (3, 4))] == [None, None]
    learning = variants_of("mine", replace(plain, learns=("metric",)), load_specs(), 0, (3, 4))
    assert [(variant.label, variant.taught) for variant in learning] == [
        (f"knn.query_weight={weight}", Taught(seed, ("metric",))) for weight in ("0.5", "1") for seed in (3, 4)
    ]


def test_the_protocols_expansion_terms_are_for_the_papers_methods() -> None:
    def terms(role: str, **more: Any) -> int:
        (variant,) = variants_of("bm25-qe", RankerSpec(role=role, **more), load_specs(), 5, (0,))  # type: ignore[arg-type]
        return variant.spec.stages[0].does.terms  # type: ignore[union-attr, no-any-return]

    served = load_specs()["bm25-qe"].stages[0].does.terms  # type: ignore[union-attr]
    assert terms("paper") == 5
    assert terms("ours") == served
    assert terms("paper", options={"rocchio.terms": 7}) == 7


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"terms": 3}, "names no stage"),
        ({"rochio.terms": 3}, "Did you mean 'rocchio'"),
        ({"rocchio.term": 3}, "Did you mean 'terms'"),
        ({"rocchio.terms": "many"}, "a whole number"),
    ],
)
def test_options_that_do_not_exist(options: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        with_options(load_specs()["bm25-qe"], options, "here")


def test_an_unknown_pipeline() -> None:
    with pytest.raises(InputError, match="Did you mean 'fused'"):
        variants_of("fusd", RankerSpec(), load_specs(), 16, (0,))
