"""No request reads or writes outside the roots."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import ClickwiseError, ConflictError, InputError, NotFoundError
from server.jobs.roots import Roots


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    data, models = tmp_path / "data", tmp_path / "models"
    (data / "rows").mkdir(parents=True)
    models.mkdir()
    (data / "rows" / "one.parquet").write_text("1")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    return Roots({"data": data, "models": models})


def test_what_is_below_a_root(roots: Roots, tmp_path: Path) -> None:
    assert roots.path("data/rows", exists=True) == tmp_path / "data" / "rows"
    assert roots.path("data/rows/one.parquet", exists=True).read_text() == "1"
    assert roots.path("models/new/deep", exists=False) == tmp_path / "models" / "new" / "deep"


@pytest.mark.parametrize(
    "place",
    [
        "data/../secret/key",
        "data/rows/../../secret/key",
        "../secret/key",
        "data/..",
        "data/.",
        "data//etc/passwd",
        "/etc/passwd",
        "//host/share",
        "",
        "data",
        "data/",
        "data/rows/",
        "file:///etc/passwd",
        "s3://bucket/key",
        "data\\..\\secret",
        "data/a\0b",
        "C:/windows",
        "./data/rows",
        "..",
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_what_is_not(roots: Roots, place: str, exists: bool) -> None:
    with pytest.raises(InputError, match="is no place below a root"):
        roots.path(place, exists=exists)


def test_unknown_roots_and_missing_files(roots: Roots) -> None:
    with pytest.raises(NotFoundError, match="no root 'etc'"):
        roots.path("etc/passwd", exists=False)
    with pytest.raises(NotFoundError, match="nothing at data/none"):
        roots.path("data/none", exists=True)
    with pytest.raises(ConflictError, match="no folder for jobs"):
        Roots({}).path("data/rows", exists=True)


def test_links_that_lead_out(roots: Roots, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "folder").symlink_to(tmp_path / "secret")
    (data / "file").symlink_to(tmp_path / "secret" / "key")
    (data / "rows" / "hidden").symlink_to(tmp_path / "secret" / "key")
    (data / "nothing").symlink_to(tmp_path / "not there yet")
    for place in ("data/folder", "data/folder/key", "data/file", "data/rows"):
        with pytest.raises(InputError, match="leads out of the roots"):
            roots.path(place, exists=True)
    for place in ("data/folder/new", "data/nothing", "data/nothing/new", "data/file"):
        with pytest.raises(InputError, match="leads out of the roots"):
            roots.path(place, exists=False)


def test_links_that_stay_inside(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "models" / "rows").symlink_to(tmp_path / "data" / "rows")
    assert roots.path("models/rows/one.parquet", exists=True).read_text() == "1"


def test_a_root_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert Roots({"data": tmp_path / "root"}).path("data/new", exists=False) == tmp_path / "root" / "new"


def test_a_loop_of_links(roots: Roots, tmp_path: Path) -> None:
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data" / "loop")
    with pytest.raises(ClickwiseError):
        roots.path("data/loop/x", exists=False)


@given(st.text(st.sampled_from("data/.\\:\0s~%2e "), max_size=24))
def test_whatever_is_written_stays_inside(place: str) -> None:
    root = Path("/nowhere/data")
    try:
        found = Roots({"data": root}).path(place, exists=False)
    except ClickwiseError:
        return
    assert found.resolve().is_relative_to(root)
    assert found != root
