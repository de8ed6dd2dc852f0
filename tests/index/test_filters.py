"""The filter language: what it accepts, what it refuses and where it says the fault is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.errors import InputError
from index.filters import And, Compare, Filter, In, Not, Or, fields_of, parse_filter

names = st.one_of(
    st.from_regex(r"[A-Za-z_]\w{0,8}(\.[a-z]\w{0,5})?", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["in", "and", "field", "match", "None", "a..b", "ﬁeld", "größe", "x y", ""]),
)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
leaves = st.builds(Compare, names, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), values) | st.builds(
    In, names, st.lists(values, max_size=4).map(tuple)
)


def several(part: st.SearchStrategy[Filter]) -> st.SearchStrategy[tuple[Filter, ...]]:
    return st.lists(part, min_size=2, max_size=3).map(tuple)


filters = st.recursive(
    leaves,
    lambda part: st.builds(And, several(part)) | st.builds(Or, several(part)) | st.builds(Not, part),
    max_leaves=8,
)


@settings(deadline=None)
@given(filters)
def test_the_text_of_a_filter_reads_back_as_the_filter(filter: Filter) -> None:
    again = parse_filter(str(filter))
    assert again == filter
    assert str(again) == str(filter)
    assert hash(again) == hash(filter)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("()[]'\"=<>!.,-1anotrifel \\\n#", max_size=40))
def test_any_text_is_a_filter_or_an_input_error(text: str) -> None:
    try:
        filter = parse_filter(text)
    except InputError:
        return
    assert parse_filter(str(filter)) == filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind == "function"', Compare("kind", "==", "function")),
        ("  year >= 2020  ", Compare("year", ">=", 2020)),
        ("2000 < year", Compare("year", ">", 2000)),
        ("-1.5 >= meta.score.x", Compare("meta.score.x", "<=", -1.5)),
        ("'a' != kind", Compare("kind", "!=", "a")),
        ('field("odd name") == +1', Compare("odd name", "==", 1)),
        ("field == 1", Compare("field", "==", 1)),
        ("new == True", Compare("new", "==", True)),
        ("2000 <= year < 2010", And((Compare("year", ">=", 2000), Compare("year", "<", 2010)))),
        ('module in ("os", "re")', In("module", ("os", "re"))),
        ("module in []", In("module", ())),
        ("year in {1, 2.5}", In("year", (1, 2.5))),
        ('module not in ["os"]', Not(In("module", ("os",)))),
        ('not module in ["os"]', Not(In("module", ("os",)))),
        (
            "a == 1 or b == 2 and not c == 3",
            Or((Compare("a", "==", 1), And((Compare("b", "==", 2), Not(Compare("c", "==", 3)))))),
        ),
        ("(a == 1 and\n b == 2)", And((Compare("a", "==", 1), Compare("b", "==", 2)))),
    ],
)
def test_the_language(text: str, expected: Filter) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("a = 1", 3, "syntax"),
        ("a ==", 5, "syntax"),
        ("  a == == 1", 8, "syntax"),
        ("größe == 1 and", 15, "syntax"),
        ("'größe' == a and b == c", 23, "value"),
        ("a == 1 and\nb == 2", 11, "syntax"),
        ("a == b", 6, "value"),
        ("1 < 2", 5, "field name"),
        ("a", 1, "compared with nothing"),
        ("a == 1 and not b.c", 16, "compared with nothing"),
        ("42", 1, "not a condition"),
        ("a + 1 == 2", 1, "field name"),
        ("len(a) == 2", 1, "field name"),
        ("field(a) == 2", 1, "field name"),
        ("a is True", 1, "'is'"),
        ("a in 'xyz'", 6, "list of values"),
        ("'x' in a", 1, "field name"),
        ("a in ['x', None]", 12, "value"),
        ("a == None", 6, "value"),
        ("a == b'x'", 6, "value"),
        ("a == 1j", 6, "value"),
        ("a == f'{b}'", 6, "value"),
        ("a == -True", 6, "value"),
        ("a == 1e999", 1, "not finite"),
        ("a == -1e999", 1, "not finite"),
        ("a == nan", 6, "value"),
        ("a in [9223372036854775808]", 1, "64 bits"),
        ("a == '\\ud800'", 1, "surrogate"),
        ("a == '\ud800'", 7, "surrogate"),
        ("a == 'x\0'", 8, "NUL"),
        ("__import__('os').system('true')", 1, "not a condition"),
        ("(lambda: a)() == 1", 1, "field name"),
    ],
)
def test_what_is_refused_and_where(text: str, column: int, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_filter(text)
    assert f"at column {column}: " in caught.value.message
    assert reason in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("a == '" + "x" * 4000 + "'", "4,007 characters"),
        ("(" * 1000 + "a == 1" + ")" * 1000, "column"),
        ("not " * 40 + "a == 1", "deeper than 32"),
        ("not " * 990 + "a == 1", "deeper than 32"),
        ("a == " + "-" * 3000 + "1", "column 1"),
        ("a == " + "9" * 3900, "64 bits"),
        ("a" + ".b" * 1500 + " == b", "value is expected"),
    ],
)
def test_sizes_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_filter(text)


def test_a_filter_at_the_limit_of_length_is_read() -> None:
    text = "a == '" + "x" * 3993 + "'"
    assert len(text) == 4000
    assert parse_filter(text) == Compare("a", "==", "x" * 3993)


def test_fields_of() -> None:
    assert fields_of(parse_filter('a == 1 and (b.c in ["x"] or not d > 2) and a < 3')) == {"a", "b.c", "d"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, "\udc00"])
def test_a_filter_built_by_hand_is_checked_too(value: float | str) -> None:
    with pytest.raises(InputError):
        Compare("a", "==", value)
    with pytest.raises(InputError):
        In("a", ("x", value))


def test_a_conjunction_needs_two_parts() -> None:
    one = Compare("a", "==", 1)
    with pytest.raises(ValueError, match="two"):
        And((one,))
    with pytest.raises(ValueError, match="two"):
        Or((one,))
