"""Whether the ordinals of a UBI log count from 0 or from 1: found out, and said."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping
from typing import Any


class Ordinals:
    """The base of the ordinals of each application, from all that it shows."""

    def __init__(self, given: int | None = None) -> None:
        self._given = given
        self._seen: dict[str, Counter[int]] = defaultdict(Counter)

    def see(self, row: Mapping[str, Any]) -> None:
        """One more impression or click."""
        ordinal = row.get("ordinal")
        if ordinal is not None and ordinal < 2:
            self._seen[row["application"]][ordinal] += 1
        elif ordinal is not None:
            self._seen[row["application"]][2] += 1

    def base(self, application: str) -> int:
        """0 where ordinal 0 is at least a tenth as frequent as 1, else 1: a stray 0 is an error of its own.

        Every page that is shown has a first document, so a log that counts from 0 is full of zeros.
        """
        seen = self._seen[application]
        return self._given if self._given is not None else int(not (seen[0] and 10 * seen[0] >= seen[1]))

    def notes(self, applications: Container[str] | None = None) -> Iterator[str]:
        """What was found out, in words: one line per application that sent any ordinal, of all or of these."""
        for application, seen in sorted(self._seen.items()):
            if (applications is not None and application not in applications) or not seen.total():
                continue
            name = application or "events without an application"
            why = f"{seen[0]:,} events have ordinal 0 and {seen[1]:,} have 1"
            if self._given is not None:
                why = "as was said"
            yield f"{name}: ordinals count from {self.base(application)} ({why})."
