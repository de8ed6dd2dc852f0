"""API keys: random, shown once, kept as their hash, with scopes, an end if wished, and revocable.

A key is 32 random bytes, so a plain SHA-256 hides it: there is no dictionary of keys to try. Its first 12 hexadecimal
digits are the key's id: what logs, lists and `clickwise keys revoke` call it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from sqlalchemy import BigInteger, Column, RowMapping, String, Table, insert, select, update

from index.errors import InputError, NotFoundError
from server.store.tables import METADATA

if TYPE_CHECKING:
    from server.store import Store

log = logging.getLogger("clickwise.keys")

Scope: TypeAlias = Literal["read", "feedback", "write", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
"""read: search, and look at what there is. feedback: tell what a person did. write: change documents. admin: all of
these, keys, and what runs."""
PREFIX: Final = "cw_"
FRESH_SECONDS: Final = 2.0
"""For how long a look into the store holds: a revoked key ends within this time, in every replica."""
UNKNOWN_SECONDS: Final = 0.2
"""The same for keys that it did not find: a new one opens within this time, and wrong ones do not cost a look each."""
_ID_DIGITS: Final = 12
_DAY_MS: Final = 86_400_000

keys: Final = Table(
    "keys",
    METADATA,
    Column("key_id", String, primary_key=True),
    Column("digest", String, nullable=False),  # hexadecimal SHA-256 of the key
    Column("name", String, nullable=False),
    Column("scopes", String, nullable=False),  # separated by commas
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),  # NULL: never
    Column("revoked_ms", BigInteger),  # NULL: not
)
"""One row per key that was ever made."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; times in milliseconds of the epoch. The key itself is known to its holder alone."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    digest: str = field(repr=False)

    @property
    def valid(self) -> bool:
        """Whether it opens anything now."""
        return self.revoked_ms is None and (self.expires_ms is None or _now_ms() < self.expires_ms)

    def grants(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class Keys:
    """The keys of a store. Thread-safe. Raises UnavailableError where the store cannot be read or written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, scopes: Iterable[str], days: int | None = None) -> tuple[Key, str]:
        """A new key, valid for so many days or until it is revoked; with the text that its holder sends.

        Raises InputError for a scope that does not exist, or none.
        """
        given = dict.fromkeys(scopes)
        wanted = tuple(scope for scope in SCOPES if scope in given)
        if not wanted or len(wanted) < len(given):
            unknown = [scope for scope in given if scope not in SCOPES]
            what = f"There is no scope {unknown[0]!r}." if unknown else "A key needs a scope."
            raise InputError(what, f"Choose of {', '.join(SCOPES)}.")
        text, now = PREFIX + secrets.token_urlsafe(32), _now_ms()
        digest = _digest(text)
        expires = None if days is None else now + days * _DAY_MS
        key = Key(digest[:_ID_DIGITS], name, wanted, now, expires, None, digest)
        row = {
            "key_id": key.id,
            "digest": digest,
            "name": name,
            "scopes": ",".join(wanted),
            "created_ms": now,
            "expires_ms": expires,
        }
        with self._store.writing() as connection:
            connection.execute(insert(keys), [row])
        log.info("key %s was made, for %s", key.id, row["scopes"])
        return key, text

    def all(self) -> list[Key]:
        """Every key, in the order in which they were made."""
        with self._store.reading() as connection:
            rows = connection.execute(select(keys).order_by(keys.c.created_ms, keys.c.key_id)).mappings()
            return [_key(row) for row in rows]

    def revoke(self, key_id: str) -> Key:
        """End a key, for good. Ending it again changes nothing. Raises NotFoundError for an unknown id."""
        with self._store.writing() as connection:
            asked = keys.c.key_id == key_id
            connection.execute(update(keys).where(asked, keys.c.revoked_ms.is_(None)).values(revoked_ms=_now_ms()))
            row = connection.execute(select(keys).where(asked)).mappings().first()
        if row is None:
            raise NotFoundError(f"There is no key {key_id!r}.", "'clickwise keys list' tells the ids.")
        log.info("key %s is revoked", key_id)
        return _key(row)


class Keyring:
    """The keys of a running service, read from the store again when what is known is too old. Thread-safe."""

    def __init__(self, load: Callable[[], Iterable[Key]], clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self._clock = load, clock
        self._held: dict[str, Key] = {}
        self._loaded = -float("inf")
        self._loading = threading.Lock()

    async def find(self, text: str) -> Key | None:
        """The valid key of this text, None where there is none. Raises UnavailableError where the store is."""
        digest = _digest(text)
        oldest = FRESH_SECONDS if digest[:_ID_DIGITS] in self._held else UNKNOWN_SECONDS
        if self._clock() - self._loaded > oldest:
            await asyncio.to_thread(self._refresh, oldest)
        key = self._held.get(digest[:_ID_DIGITS])
        if key is None or not hmac.compare_digest(key.digest, digest) or not key.valid:
            return None
        return key

    def _refresh(self, oldest: float) -> None:
        with self._loading:
            now = self._clock()
            if now - self._loaded > oldest:  # else another thread was faster
                self._held = {key.id: key for key in self._load()}
                self._loaded = now


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _key(row: RowMapping) -> Key:
    scopes = row["scopes"].split(",")
    return Key(
        id=row["key_id"],
        name=row["name"],
        scopes=tuple(scope for scope in SCOPES if scope in scopes),
        created_ms=row["created_ms"],
        expires_ms=row["expires_ms"],
        revoked_ms=row["revoked_ms"],
        digest=row["digest"],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
