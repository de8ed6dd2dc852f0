"""The manifest: what a generation is made of, written once when it is built.

What grows with later updates (documents, vector rows, new fields) is in Lucene's own commit, so that one atomic commit
covers all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from index.errors import ConflictError, NotFoundError
from index.fields import FieldType

FORMAT_VERSION = 1
FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """Which model made the vectors: its name as given, the checksum of its weights, and the vectors' dimension."""

    name: str
    checksum: str
    dimension: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """The conditioning of the embedding space (`index.space`)."""

    kind: str
    a: float
    digest: str


@dataclass(frozen=True)
class Manifest:
    """Everything that has to be known to search a generation in the way it was built.

    `documents` counts the documents at build time; the live count is the view's. `dense` is "flat" or "hnsw", None
    without vectors. `shards` is the number of indexes that share the documents, None where there is just this one.
    """

    generation: str
    analyzer: str
    layout: Literal["flat", "multifield"]
    boosts: Mapping[str, float]
    k1: float
    b: float
    fields: Mapping[str, FieldType]
    documents: int
    created: str
    versions: Mapping[str, str]
    encoder: EncoderInfo | None = None
    space: SpaceInfo | None = None
    dense: Literal["flat", "hnsw"] | None = None
    source: str = ""
    shards: int | None = None
    format_version: int = field(default=FORMAT_VERSION)

    @cached_property
    def digest(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, directory: Path) -> None:
        (directory / FILE).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read a generation's manifest. Raises NotFoundError without one, ConflictError for another format."""
        try:
            stored: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(f"{directory} holds no index.", "Build one with 'clickwise index build'.") from None
        except ValueError:
            raise ConflictError(f"The manifest in {directory} is damaged.", "Rebuild the index.") from None
        version = stored.get("format_version")
        if version != FORMAT_VERSION:
            raise ConflictError(
                f"The index in {directory} has format {version}, and this Clickwise reads format {FORMAT_VERSION}.",
                "Rebuild the index, or use the Clickwise that made it.",
            )
        if stored["encoder"] is not None:
            stored["encoder"] = EncoderInfo(**stored["encoder"])
        if stored["space"] is not None:
            stored["space"] = SpaceInfo(**stored["space"])
        return cls(**stored)
