"""Who calls, whether they may, and whether not too often: asked before a route reads a byte of the body.

Without authentication (a service that listens on loopback only, or `auth = "off"`) everybody on the machine may do
everything, but not the page of a stranger in their browser: neither from its own site, nor under a name of its own that
it has pointed to this machine (DNS rebinding), where nobody has said `auth = "off"`.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request

from index.errors import ClickwiseError, ConflictError, OverloadedError
from server.keys import SCOPES, Key, Keyring, Scope
from server.limits import Buckets
from server.settings import Settings

Need: TypeAlias = Scope | Literal["any", "nothing"]
"""What a route asks of its caller: a scope, any valid key, or nothing at all."""

_HOW: Final = "Send a key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'; 'clickwise keys create NAME' makes one."
_PRIVATE: Final = (".localhost", ".local", ".internal")
"""Ends of names that nobody on the internet can own (RFC 6761, RFC 6762, and what ICANN keeps for private use)."""
_IPV6_SITE: Final = 64  # bits: what one household or machine has, and can change addresses within


class UnauthorizedError(ClickwiseError):
    """No key was sent, or none that is valid."""

    kind = "unauthorized"
    status = 401

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message, _HOW)
        self.headers: Mapping[str, str] = {"WWW-Authenticate": challenge}


class ForbiddenError(ClickwiseError):
    """The caller is known, and may not do this."""

    kind = "forbidden"
    status = 403

    def __init__(self, message: str, advice: str, challenge: str | None = None) -> None:
        super().__init__(message, advice)
        self.headers: Mapping[str, str] = {} if challenge is None else {"WWW-Authenticate": challenge}


class TooOftenError(OverloadedError):
    """The caller asks more often than the settings allow."""

    kind = "too-often"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request: the holder of a key, or an address where no keys are asked for."""

    key: Key | None
    address: str

    @property
    def name(self) -> str:
        """What limits count by, and logs tell of a key."""
        return self.key.id if self.key else self.address

    @property
    def scopes(self) -> tuple[Scope, ...]:
        return tuple(scope for scope in SCOPES if self.key is None or self.key.grants(scope))

    def check(self, scope: Scope) -> None:
        """Raises ForbiddenError where they may not do what this scope opens."""
        if scope not in self.scopes:
            scopes = " ".join(f"--scope {one}" for one in (*self.scopes, scope))
            raise ForbiddenError(
                f"This key lacks the scope {scope}.",
                f"Use a key that has it: 'clickwise keys create NAME {scopes}' makes one.",
                f'Bearer realm="clickwise", error="insufficient_scope", scope="{scope}"',
            )


class Guard:
    """The door keeper of one application. Thread-safe."""

    def __init__(self, settings: Settings, load: Callable[[], Iterable[Key]]) -> None:
        """`load` reads the keys from the store."""
        self.authenticates = settings.authenticates
        self._checks_name = settings.auth == "auto"
        self._keyring = Keyring(load)
        rate = settings.rate_limit
        self._buckets = None if rate is None else Buckets(rate, settings.rate_burst or math.ceil(rate))

    async def admit(self, request: Request, need: Need) -> Caller:
        """The caller, if they may.

        Raises UnauthorizedError, ForbiddenError, TooOftenError, and UnavailableError where keys cannot be read.
        """
        address = _address(request)
        if not self.authenticates:
            if request.headers.get("sec-fetch-site") == "cross-site":
                raise ForbiddenError(
                    "A page of another site may not use a service without keys.",
                    'Call it from your own server, or switch keys on with auth = "on".',
                )
            if self._checks_name and _is_public(request.headers.get("host", "")):
                raise ForbiddenError(
                    "A service without keys answers to names of this machine only.",
                    'Call it as localhost; behind a proxy say auth = "on", or "off" if everybody may do everything.',
                )
            caller = Caller(None, address)
            self._limit(caller.name)
            return caller
        try:
            caller = Caller(await self._holder(request), address)
        except UnauthorizedError:
            self._limit(address)
            raise
        self._limit(caller.name)
        if need != "any" and need != "nothing":
            caller.check(need)
        return caller

    async def _holder(self, request: Request) -> Key:
        sent = _sent_key(request)
        if not sent:
            raise UnauthorizedError("This needs an API key.", 'Bearer realm="clickwise"')
        key = await self._keyring.find(sent)
        if key is None:
            raise UnauthorizedError(
                "The API key is not valid: unknown, expired or revoked.",
                'Bearer realm="clickwise", error="invalid_token"',
            )
        return key

    def _limit(self, caller: str) -> None:
        wait = self._buckets.take(caller) if self._buckets else 0.0
        if wait:
            raise TooOftenError(
                "More requests came from here than the setting rate_limit allows.",
                f"Try again in {math.ceil(wait)} s, and wait as Retry-After says when this comes again.",
                retry_after=wait,
            )


def check_open_door(settings: Settings, some_key: Callable[[], bool]) -> None:
    """Raises ConflictError where a service would listen to the network while nobody holds a key.

    `some_key` tells whether the store has a valid key with which one can use the service.
    """
    if settings.auth == "auto" and settings.authenticates and not some_key():
        raise ConflictError(
            f"The service would listen on {settings.host}, not only on this machine, and there is no API key.",
            "Make one with 'clickwise keys create NAME --scope admin' (and the --home, --config or --store-url "
            'that were given here), or listen on 127.0.0.1, or say auth = "off" where everybody who reaches it may do '
            "everything.",
        )


def _sent_key(request: Request) -> str:
    """The key of either header; Authorization counts first."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "").strip()


@lru_cache(1_024)
def _is_public(host: str) -> bool:
    """Whether the header Host holds a name that somebody on the internet could own, and point here."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # brackets that hold no address
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." in name and not name.endswith(_PRIVATE)
    return False


def _address(request: Request) -> str:
    return _site(request.client.host if request.client else "")


@lru_cache(1_024)
def _site(host: str) -> str:
    """The client's address; of IPv6 the network, for every host has more addresses than a limit could count."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket of the file system, or a test
        return host or "local"
    if address.version == 6:
        return str(ipaddress.ip_network((int(address) >> _IPV6_SITE << _IPV6_SITE, _IPV6_SITE)))
    return host
