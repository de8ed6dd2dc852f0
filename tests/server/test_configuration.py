"""Settings: the order of their sources, and that nothing is ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.errors import InputError, NotFoundError
from server.configuration import load_settings
from server.settings import Settings


@pytest.fixture(autouse=True)
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it, and no variable of ours in the environment."""
    import os

    for name in list(os.environ):
        if name.startswith("CLICKWISE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "clickwise.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def test_defaults() -> None:
    settings = load_settings()
    assert isinstance(settings, Settings)
    assert (settings.host, settings.port, settings.max_query_chars) == ("127.0.0.1", 8080, 10_000)
    assert settings.store_address == "sqlite:///.clickwise/store.db"
    assert settings.config is None
    assert settings.index_paths() == {}


def test_flags_beat_environment_beats_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('port = 1\nhost = "127.0.0.2"\ndepth = 50\n')
    monkeypatch.setenv("CLICKWISE_PORT", "2")
    monkeypatch.setenv("CLICKWISE_HOST", "127.0.0.3")
    settings = load_settings({"port": 3, "host": None})
    assert (settings.port, settings.host, settings.depth) == (3, "127.0.0.3", 50)
    assert settings.config == Path("clickwise.toml")


def test_tables_from_the_environment_join_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[indexes]\nfirst = "a"\nsecond = "b"\n')
    monkeypatch.setenv("CLICKWISE_INDEXES__SECOND", "c")
    settings = load_settings()
    assert settings.index_paths() == {"first": Path("a"), "second": Path("c")}
    assert settings.index_path("first") == Path("a")
    assert settings.index_path("third") == Path(".clickwise/indexes/third")


def test_indexes_default_to_those_at_home() -> None:
    for name in ("b", "a", "left-by-a-failed-build"):
        Path(".clickwise/indexes", name).mkdir(parents=True)
    for name in ("b", "a"):
        Path(".clickwise/indexes", name, "current").touch()
    Path(".clickwise/indexes/file").touch()
    assert list(load_settings().index_paths()) == ["a", "b"]


def test_pipelines_are_left_to_the_ranking_configuration() -> None:
    write('[pipelines.mine]\nanything = ["goes"]\n')
    assert load_settings().pipelines == {"mine": {"anything": ["goes"]}}


def test_unknown_key_in_the_file_names_the_nearest() -> None:
    write("prot = 1\n")
    with pytest.raises(InputError, match=r"`prot` \(in clickwise.toml\).*Did you mean port"):
        load_settings()


def test_unknown_key_without_a_near_one_lists_all() -> None:
    write("zzzzzz = 1\n")
    with pytest.raises(InputError, match=r"Valid are: .*default_index.*threads"):
        load_settings()


def test_the_file_cannot_name_itself() -> None:
    write('config = "other.toml"\n')
    with pytest.raises(InputError, match="no setting `config`"):
        load_settings()


def test_unknown_flag() -> None:
    with pytest.raises(InputError, match="the flags"):
        load_settings({"prot": 1})


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("CLICKWISE_PROT", "Did you mean CLICKWISE_PORT"),
        ("CLICKWISE_PORT__X", "CLICKWISE_PORT__X is not a setting"),
        ("clickwise_hosts", "Did you mean CLICKWISE_HOST"),
        ("CLICKWISE_PIPELINES__MINE", "clickwise.toml"),
    ],
)
def test_unknown_variable(variable: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(InputError, match=advice):
        load_settings()


def test_other_variables_of_ours_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKWISE_DATA", "/data")
    monkeypatch.setenv("CLICKWISE_JAVA_HEAP", "2g")
    load_settings()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('port = "many"', r"`port` \(from clickwise.toml\)"),
        ("port = 70000", "less than or equal to 65535"),
        ('log_level = "loud"', "log_level"),
        ('[indexes]\n"a/b" = "x"', r"`indexes.a/b`"),
        ("depth = [", "not valid TOML"),
    ],
)
def test_bad_values_name_key_and_file(text: str, match: str) -> None:
    write(text)
    with pytest.raises(InputError, match=match):
        load_settings()


def test_bad_values_name_flag_or_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="from a flag"):
        load_settings({"port": -1})
    monkeypatch.setenv("CLICKWISE_PORT", "x")
    with pytest.raises(InputError, match="CLICKWISE_PORT"):
        load_settings()
    monkeypatch.delenv("CLICKWISE_PORT")
    monkeypatch.setenv("CLICKWISE_INDEXES", "{not json")
    with pytest.raises(InputError, match="indexes"):
        load_settings()


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match=r"missing\.toml"):
        load_settings({"config": Path("missing.toml")})
    write("port = 9\n", "other.toml")
    monkeypatch.setenv("CLICKWISE_CONFIG", "other.toml")
    assert load_settings().port == 9


def test_settings_are_frozen() -> None:
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
