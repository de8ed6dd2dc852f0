"""API keys in the store: what is kept of them, when they open, and for how long a look into the store holds."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from index.errors import InputError, NotFoundError, UnavailableError
from server import cli, keys
from server.guard import Caller, ForbiddenError
from server.keys import FRESH_SECONDS, UNKNOWN_SECONDS, Key, Keyring, Keys
from server.store import Store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path}/store.db"
    else:
        address = request.getfixturevalue("postgres").database("keys")
    store = Store.open(address)
    yield store
    store.close()


def test_a_key_from_its_making_to_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Keys(store)
    key, text = kept.create("the shop", ["feedback", "read"])
    assert text.startswith("cw_")
    assert len(text) > 40
    assert key.scopes == ("read", "feedback")
    assert key.valid
    assert (key.grants("read"), key.grants("write"), key.grants("admin")) == (True, False, False)
    admin, other = kept.create("all", ["admin"], days=2)
    assert other != text
    assert all(admin.grants(scope) for scope in keys.SCOPES)
    assert kept.all() == [key, admin]

    revoked = kept.revoke(key.id)
    assert not revoked.valid
    assert kept.revoke(key.id) == revoked  # again: nothing changes
    assert kept.all() == [revoked, admin]
    assert admin.expires_ms is not None
    monkeypatch.setattr(keys, "_now_ms", lambda: admin.expires_ms)
    assert not admin.valid


def test_the_key_itself_is_nowhere(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    key, text = Keys(store).create("secret", ["read"])
    store.close()
    for file in tmp_path.iterdir():
        assert text.encode() not in file.read_bytes()
    assert text not in repr(key)
    assert key.digest not in repr(key)


@pytest.mark.parametrize(("scopes", "said"), [([], "needs a scope"), (["read", "reed"], "no scope 'reed'")])
def test_scopes_that_do_not_exist(tmp_path: Path, scopes: list[str], said: str) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(InputError, match=said):
        Keys(store).create("x", scopes)
    with pytest.raises(NotFoundError, match="keys list"):
        Keys(store).revoke("nothing")
    store.close()


class Held:
    """Keys in memory, with a clock and a count of the looks at them."""

    def __init__(self) -> None:
        self.looks, self.now, self.fails = 0, 0.0, False
        self.keys: list[Key] = []
        self.ring = Keyring(self.load, lambda: self.now)

    def load(self) -> list[Key]:
        self.looks += 1
        if self.fails:
            raise UnavailableError("The store cannot be read.")
        return list(self.keys)

    def find(self, text: str) -> Key | None:
        return asyncio.run(self.ring.find(text))


def a_key(text: str, **values: object) -> Key:
    digest = keys._digest(text)
    whole = {"name": "x", "scopes": ("read",), "created_ms": 0, "expires_ms": None, "revoked_ms": None, **values}
    return Key(id=digest[:12], digest=digest, **whole)  # type: ignore[arg-type]


def test_many_requests_are_one_look_and_a_revoked_key_ends_in_time() -> None:
    held = Held()
    held.keys = [a_key("cw_one")]
    for _ in range(5):
        assert held.find("cw_one") == held.keys[0]
        assert held.find("cw_two") is None
    assert held.looks == 1
    held.keys = [a_key("cw_one", revoked_ms=1)]
    held.now += FRESH_SECONDS + 0.1
    assert held.find("cw_one") is None
    assert held.looks == 2


def test_a_new_key_opens_at_once_and_wrong_ones_cost_few_looks() -> None:
    held = Held()
    held.keys = [a_key("cw_one")]
    assert held.find("cw_one")
    held.keys.append(a_key("cw_new"))
    held.now += UNKNOWN_SECONDS + 0.01
    for _ in range(5):
        assert held.find("cw_wrong") is None
        assert held.find("cw_new") == held.keys[1]
    assert held.looks == 2


def test_the_whole_key_is_compared() -> None:
    held = Held()
    held.keys = [a_key("cw_one")]
    held.keys[0] = Key(**{**{f: getattr(held.keys[0], f) for f in Key.__slots__}, "digest": "0" * 64})
    assert held.find("cw_one") is None  # the id fits, the rest does not


def test_no_key_is_good_while_the_store_cannot_say() -> None:
    held = Held()
    held.keys = [a_key("cw_one")]
    assert held.find("cw_one")
    held.now, held.fails = 10.0, True
    with pytest.raises(UnavailableError):
        held.find("cw_one")
    held.fails = False
    assert held.find("cw_one")


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    home = ["--home", str(tmp_path / "new")]

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(["keys", *arguments, *home])
        said = capsys.readouterr()
        return code, said.out, said.err

    for command in (["list"], ["revoke", "abc"]):  # a mistyped --home makes nothing
        code, _, problem = run(*command)
        assert (code, f"no store at {tmp_path / 'new' / 'store.db'}" in problem) == (2, True)
    assert not (tmp_path / "new").exists()
    monkeypatch.chdir(tmp_path)
    assert cli.run(["keys", "list", "--home", "mistyped"]) == 2
    assert f"no store at {tmp_path / 'mistyped' / 'store.db'}. Name its folder" in capsys.readouterr().err
    assert not (tmp_path / "mistyped").exists()
    Store.open(f"sqlite:///{tmp_path}/new/store.db").close()
    assert run("list") == (0, "There is no key. 'clickwise keys create NAME' makes one.\n", "")
    (tmp_path / "new" / "store.db").unlink()  # the first key may be there before the service
    code, text, told = run("create", "the shop")
    assert code == 0
    assert text.startswith("cw_")
    assert "(read, feedback)" in told
    made = json.loads(run("create", "robot", "--scope", "write", "--days", "3", "--json")[1])
    assert made["scopes"] == ["write"]
    assert made["expires"] > made["created"]
    assert run("revoke", made["id"])[1] == f"Key {made['id']} (robot) is revoked.\n"
    lines = run("list")[1].splitlines()
    assert ["valid" in lines[0], "revoked" in lines[1]] == [True, True]
    listed = json.loads(run("list", "--json")[1])["keys"]
    assert [(key["name"], key["valid"]) for key in listed] == [("the shop", True), ("robot", False)]
    assert text.strip() not in json.dumps(listed)
    code, _, problem = run("create", "x", "--scope", "all")
    assert (code, "no scope 'all'" in problem) == (2, True)
    code, _, problem = run("revoke", "abc")
    assert (code, "no key 'abc'" in problem) == (2, True)


def test_the_store_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key is made in the store of the service, also where that is named by a flag, as for `clickwise serve`."""
    monkeypatch.chdir(tmp_path)
    store = ["--store-url", f"sqlite:///{tmp_path}/elsewhere.db"]
    assert cli.run(["keys", "create", "the shop", *store]) == 0
    capsys.readouterr()
    assert cli.run(["keys", "list", "--json", *store]) == 0
    [key] = json.loads(capsys.readouterr().out)["keys"]
    assert cli.run(["keys", "revoke", key["id"], *store]) == 0
    assert not (tmp_path / ".clickwise").exists()


def test_the_advice_is_a_command_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What callers without a key or a scope are told to type."""
    caller = Caller(Key("1", "n", ("read",), 0, None, None, ""), "")
    with pytest.raises(ForbiddenError) as refused:
        caller.check("write")
    [command] = re.findall("'clickwise (.*?)'", str(refused.value))
    typed = command.replace("NAME", "robot").split()
    assert cli.run([*typed, "--home", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scopes"] == ["read", "write"]  # it goes on being able to do the rest
