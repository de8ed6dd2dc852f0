"""`clickwise doctor --server URL`: a running service as one sees it from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from server.doctor import Check
from server.settings import is_loopback

if TYPE_CHECKING:
    import httpx

PATIENCE_SECONDS: Final = 10.0
SKEW_SECONDS: Final = 5.0
"""Clocks further apart than this confuse whoever reads times of events, and keys that end."""
_KEY: Final = "Name one with --key or CLICKWISE_KEY; 'clickwise keys create NAME' makes one."


@dataclass(frozen=True)
class Visit:
    """A service to look at."""

    client: httpx.Client
    url: str
    key: str | None

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path, headers={"X-API-Key": self.key} if self.key else {})


def examine_server(url: str, key: str | None) -> Iterator[Check]:
    """All checks, one after the other; none but the first where nothing of ours answers."""
    import httpx

    address = url if "://" in url else f"http://{url}"
    if key is not None and not (key.isascii() and key.isprintable()):
        yield Check("Key", "problem", "the key holds characters that no key has", "Copy it once more, whole.")
        return
    try:
        with httpx.Client(base_url=address, timeout=PATIENCE_SECONDS) as client:
            visit = Visit(client, address, key)
            answer = visit.get("/livez")
            if not _is_ours(answer):
                yield Check(
                    "Server", "problem", f"Something else answers at {address}: {answer.status_code}.", "Check the URL."
                )
                return
            yield Check("Server", "ok", f"{address} answers in {1000 * answer.elapsed.total_seconds():.0f} ms")
            yield from _clock(answer)
            for checkup in _CHECKUPS:
                yield from checkup(visit)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        yield Check("Server", "problem", f"Nothing answers at {address}: {reason}.", "Check that it runs, and the URL.")


def _is_ours(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and "x-request-id" in answer.headers and _json(answer) == {"status": "ok"}


def _clock(answer: httpx.Response) -> Iterator[Check]:
    try:
        theirs = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return  # a proxy took it away
    # The header is cut to whole seconds, and was written somewhere within the round trip.
    apart = abs((datetime.now(UTC) - theirs).total_seconds() - 0.5 - answer.elapsed.total_seconds() / 2)
    if apart > SKEW_SECONDS:
        yield Check("Clock", "warning", f"{apart:.0f} s apart from this machine's", "Have both follow a time server.")
    else:
        yield Check("Clock", "ok", "agrees with this machine's")


def _ready(visit: Visit) -> Iterator[Check]:
    answer = visit.get("/readyz")
    body = _json(answer)
    if answer.status_code == 200:
        yield Check("Ready", "ok", ", ".join(body.get("checks", {})))
    else:
        yield Check("Ready", "problem", str(body.get("detail", answer.status_code)), str(body.get("advice", "")))


def _keys(visit: Visit) -> Iterator[Check]:
    answer = visit.get("/v1/whoami")
    body = _json(answer)
    if answer.status_code == 401:
        if visit.key:
            yield Check("Key", "problem", str(body.get("detail")), _KEY)
        else:
            yield Check("Key", "warning", "the service asks for one, and none was given", _KEY)
    elif answer.status_code != 200:
        yield Check("Key", "problem", str(body.get("detail", answer.status_code)), str(body.get("advice", "")))
    elif body["authentication"]:
        yield Check("Key", "ok", f"{body['key_id']} ({body['name']}) may {', '.join(body['scopes'])}")
    elif _is_near(visit.url):
        yield Check("Key", "ok", "none is asked for, on this machine alone")
    else:
        yield Check("Key", "warning", "none is asked for, over the network", 'Say auth = "on" and restart it.')
    if visit.key and urlsplit(visit.url).scheme == "http" and not _is_near(visit.url):
        yield Check("Encryption", "warning", "the key travels in the clear", "Put a proxy that speaks TLS before it.")


def _version(visit: Visit) -> Iterator[Check]:
    theirs = str(_json(visit.get("/openapi.json")).get("info", {}).get("version", "unknown"))
    try:
        ours = metadata.version("clickwise")
    except metadata.PackageNotFoundError:
        ours = theirs
    if theirs == ours:
        yield Check("Version", "ok", theirs)
    else:
        yield Check("Version", "warning", f"{theirs}, and {ours} here", "Use the same version on both sides.")


def _metrics(visit: Visit) -> Iterator[Check]:
    from prometheus_client.parser import text_string_to_metric_families

    answer = visit.get("/metrics")
    if answer.status_code in (401, 403):
        yield Check("Metrics", "warning", "they need a key with the scope read", _KEY)
        return
    try:
        series = sum(len(family.samples) for family in text_string_to_metric_families(answer.text))
    except ValueError:
        series = 0
    if answer.status_code == 200 and series:
        yield Check("Metrics", "ok", f"{series} series at {visit.url.rstrip('/')}/metrics")
    else:
        yield Check("Metrics", "problem", f"/metrics cannot be read: {answer.status_code}", "Its log tells more.")


def _indexes(visit: Visit) -> Iterator[Check]:
    answer = visit.get("/v1/indexes")
    if answer.status_code == 200:
        for index in _json(answer)["indexes"]:
            yield Check(f"Index {index['name']}", "ok", f"documents: {index['documents']:,}, {index['generation']}")


_CHECKUPS: Final[tuple[Callable[[Visit], Iterator[Check]], ...]] = (_ready, _keys, _version, _metrics, _indexes)


def _json(answer: httpx.Response) -> Mapping[str, Any]:
    """The object that an answer holds; an empty one where it holds something else."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_near(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
