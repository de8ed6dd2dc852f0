"""HTTP on a wire, as little of it as a generator of load needs.

A client with a pool and all of HTTP costs milliseconds of Python a request, and more the more are open: beside a
service on the same few processors it would measure itself.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

BROKEN = (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, OSError)
"""What is raised where there was no answer."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: its status and its body."""

    status_code: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """Sends requests over connections that are kept and used again; one is opened where none is idle."""

    def __init__(self, url: str, longest: float) -> None:
        """`longest` is how many seconds an answer is waited for."""
        address = urlsplit(url)
        assert address.hostname is not None
        assert address.port is not None
        self._host, self._port, self._longest = address.hostname, address.port, longest
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, json: Any) -> Answered:  # the words of httpx
        return await self._send("POST", path, json)

    async def put(self, path: str, json: Any) -> Answered:
        return await self._send("PUT", path, json)

    async def _send(self, method: str, path: str, content: Any) -> Answered:
        body = json.dumps(content).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        reader, writer = self._kept() or await self._connected()
        try:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            async with asyncio.timeout(self._longest):
                answer, closing = await _read(reader)
        except BaseException:
            writer.close()
            raise
        if closing:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return answer

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that is idle; those that the service has closed meanwhile are dropped."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self._longest):
            return await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> tuple[Answered, bool]:
    """An answer, and whether its connection ends with it. Ours always tell their length."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answered(int(status.split()[1]), body), headers.get("connection", "").lower() == "close"
