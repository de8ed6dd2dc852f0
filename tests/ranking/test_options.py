"""Options of parts: names, types and ranges are checked, and the message says what would have been right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from index.errors import InputError
from ranking.options import build, number, numbers, option_types, unknown


@dataclass(frozen=True)
class Part:
    mode: Literal["sum", "max"] = "sum"
    share: float = number(0.5, low=0.0, high=1.0)
    depth: int = number(10, low=1)
    k1: float | None = number(None, low=0.0)
    weights: tuple[float, ...] = numbers(low=0.0)
    strict: bool = False
    label: str = ""


def test_defaults_and_given_values() -> None:
    assert build(Part, {}, "here") == Part()
    given = {"mode": "max", "share": 1, "depth": 3, "k1": 2, "weights": [1, 0.5], "strict": True, "label": "x"}
    part = build(Part, given, "here")
    assert part == Part("max", 1.0, 3, 2.0, (1.0, 0.5), True, "x")
    assert [type(value) for value in (part.share, part.k1, part.weights[0])] == [float] * 3


def test_equal_options_make_equal_parts() -> None:
    assert build(Part, {"share": 1}, "here") == build(Part, {"share": 1.0}, "here")


@pytest.mark.parametrize(
    ("option", "value", "advice"),
    [
        ("mode", "mean", "one of sum, max"),
        ("mode", 1, "one of sum, max"),
        ("share", "half", "a number"),
        ("share", True, "a number"),
        ("share", 1.5, "from 0 to 1"),
        ("share", float("nan"), "from 0 to 1"),
        ("depth", 0, "a finite number, 1 or more"),
        ("depth", 2.0, "a whole number"),
        ("depth", False, "a whole number"),
        ("k1", -1, "a finite number, 0 or more"),
        ("k1", float("inf"), "a finite number, 0 or more"),
        ("k1", "1", "a number"),
        ("weights", 1.0, "a list, each of it a number"),
        ("weights", [1, "2"], "a list, each of it a number"),
        ("weights", [1, -2], "a finite number, 0 or more"),
        ("strict", 1, "true or false"),
        ("label", 1, "a text"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(option: str, value: object, advice: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Part, {option: value}, "stage 'x'")
    assert caught.value.message.startswith(f"stage 'x': option {option!r} is ")
    assert advice in caught.value.advice


def test_a_misspelt_option_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(InputError) as caught:
        build(Part, {"dept": 3}, "stage 'x'", besides=("name", "part"))
    assert str(caught.value) == (
        "stage 'x': there is no option 'dept'. Did you mean 'depth'? "
        "Valid: mode, share, depth, k1, weights, strict, label, name, part."
    )


def test_unknown_names_without_anything_near() -> None:
    assert str(unknown("part", None, ["a", "b"], "here")) == "here: there is no part None. Valid: a, b."
    assert str(unknown("part", "x", [], "here")) == "here: there is no part 'x'. Valid: none."


def test_the_options_of_a_part_are_its_fields() -> None:
    assert list(option_types(Part)) == ["mode", "share", "depth", "k1", "weights", "strict", "label"]
