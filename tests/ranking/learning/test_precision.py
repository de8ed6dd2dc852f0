"""Which precision a model computes in: the fastest, unless its rankings change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from index.errors import InputError
from ranking.learning import precision, verdicts
from ranking.learning.cross_encoder import load_cross_encoder
from ranking.learning.engine import Engine
from ranking.learning.precision import Agreement, agreement, kendall_tau
from tests.ranking.learning.tiny import tiny_model, write_tiny


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, in which nothing was seen yet."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(precision, "_seen", {})
    return folder


def offering(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    monkeypatch.setattr(precision, "offered", lambda: kinds)


def agreeing(monkeypatch: pytest.MonkeyPatch, found: Agreement) -> list[str]:
    """Have every comparison come to this, and note them."""
    compared: list[str] = []
    monkeypatch.setattr(precision, "agreement", lambda model, exact: compared.append(model.computed_in) or found)
    return compared


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_the_fastest_that_ranks_alike_is_taken_and_compared_once(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offering(monkeypatch, kind)
    compared = agreeing(monkeypatch, Agreement(0.99, 1.0))
    directory = write_tiny(tmp_path / "tiny")
    assert [load_cross_encoder(str(directory)).computed_in for _ in range(2)] == [kind, kind]
    assert compared == [kind]
    other = write_tiny(tmp_path / "other", seed=1)
    load_cross_encoder(str(other))
    assert compared == [kind, kind]  # other weights are compared anew


def test_the_next_process_knows_what_was_seen(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for this model on this processor with this torch, and for nothing else."""
    offering(monkeypatch, "bf16")
    compared = agreeing(monkeypatch, Agreement(0.97, 1.0))
    directory = str(write_tiny(tmp_path / "tiny"))

    def started_again() -> str:
        monkeypatch.setattr(precision, "_seen", {})
        return load_cross_encoder(directory).computed_in

    assert [started_again() for _ in range(3)] == ["fp32"] * 3
    assert len(compared) == 1
    monkeypatch.setattr(torch, "__version__", "99.0.0")
    started_again()
    monkeypatch.setattr(verdicts, "_processor", lambda: "another")
    started_again()
    assert len(compared) == 3
    for number, content in enumerate((b"", b"[]", b"{}", b'{"tau": "x"}', b'{"tau": NaN, "ndcg": 1, "about": {}}'), 4):
        for file in cache.rglob("*.json"):
            file.write_bytes(content)
        started_again()
        assert len(compared) == number


def test_without_a_cache_folder_it_is_compared_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offering(monkeypatch, "bf16")
    compared = agreeing(monkeypatch, Agreement(0.99, 1.0))
    directory = str(write_tiny(tmp_path / "tiny"))
    (cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    for number in (1, 2):
        monkeypatch.setattr(precision, "_seen", {})
        assert load_cross_encoder(directory).computed_in == "bf16"
        assert len(compared) == number


@pytest.mark.parametrize("found", [Agreement(0.97, 1.0), Agreement(0.99, 0.99)])
def test_where_the_ranking_changes_it_falls_back_and_says_so(
    found: Agreement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offering(monkeypatch, "bf16")
    agreeing(monkeypatch, found)
    with caplog.at_level(logging.WARNING, "clickwise.learning"):
        model = load_cross_encoder(str(write_tiny(tmp_path)))
    assert model.computed_in == "fp32"
    assert model.parameters["head.weight"].dtype == torch.float32
    assert "ranks otherwise in bf16" in caplog.text
    assert "computes in fp32" in caplog.text


def test_without_instructions_it_is_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offering(monkeypatch)
    assert load_cross_encoder(str(write_tiny(tmp_path))).computed_in == "fp32"


def test_what_is_asked_for_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = agreeing(monkeypatch, Agreement(0.0, 0.0))
    directory = str(write_tiny(tmp_path))
    for kind in ("fp32", "bf16", "int8"):
        assert load_cross_encoder(directory, precision=kind).computed_in == kind  # type: ignore[arg-type]
    assert not compared


def test_a_model_of_the_library_has_no_int8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_tiny(tmp_path, hidden_act="relu")
    with pytest.raises(InputError, match="not computed in int8"):
        load_cross_encoder(str(directory), precision="int8")
    offering(monkeypatch, "int8")
    assert load_cross_encoder(str(directory)).computed_in == "fp32"


def test_the_shipped_model_ranks_in_bf16_as_in_fp32() -> None:
    exact = load_cross_encoder(precision="fp32", max_tokens=64)
    assert agreement(exact, exact) == Agreement(1.0, 1.0)
    assert agreement(load_cross_encoder(precision="bf16", max_tokens=64), exact).enough


def test_int8_scores_are_near_and_leave_gradients_alone() -> None:
    """Integers for inference; adaptation still differentiates through the exact parameters."""
    exact = tiny_model(3)
    rounded = precision.quantised(exact)
    texts = [" ".join(["boat mast keel"] * n) for n in range(1, 9)]
    _, pieces = exact.tokenizer.passages("a boat", texts, 1)
    pairs = [piece[0] for piece in pieces]
    expected, found = (Engine(model).logits(Engine(model).states(pairs)) for model in (exact, rounded))
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, atol=0.1 * float(np.ptp(expected)) + 0.02)
    x = torch.randn(5, 16, requires_grad=True)
    maps = [model.bert._product(model.parameters, "layers.0.up", x) for model in (exact, rounded)]  # type: ignore[attr-defined]
    torch.testing.assert_close(*maps)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=12))
def test_tau_is_scipy_s(scores: Sequence[tuple[int, int]]) -> None:
    a, b = (np.array(part, dtype=np.float64) for part in zip(*scores, strict=True))
    if np.ptp(a) and np.ptp(b):
        assert kendall_tau(a, b) == pytest.approx(kendalltau(a, b).statistic)
