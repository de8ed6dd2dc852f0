"""Click models by name, and on disk.

A fitted model is a directory: `model.json` says which model it is, how it was fitted and where the rest lies:
`parameters-….safetensors`, `statistics-….safetensors` (what a later fit goes on from) and `vocabulary-….json` (queries
and documents by their codes). A fit that is saved over another writes files of its own first and `model.json` last, so
that whoever reads, or is killed, has the one or the other.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.errors import ConflictError, InputError, NotFoundError
from index.places import check_folder
from ranking.clicks.durable import write_durably
from ranking.clicks.models.base import ClickModel
from ranking.clicks.models.cascade import Cascade
from ranking.clicks.models.ccm import ClickChain
from ranking.clicks.models.ctr import DocumentRate, GlobalRate, RankRate
from ranking.clicks.models.dbn import DynamicBayesian, SimplifiedDynamicBayesian
from ranking.clicks.models.dcm import DependentClick
from ranking.clicks.models.pbm import PositionBased
from ranking.clicks.models.trust import TrustBias
from ranking.clicks.models.ubm import UserBrowsing
from ranking.clicks.sessions import Vocabulary

MODELS: Final[Mapping[str, type[ClickModel]]] = {
    model.name: model
    for model in (
        GlobalRate,
        RankRate,
        DocumentRate,
        PositionBased,
        TrustBias,
        Cascade,
        DependentClick,
        ClickChain,
        SimplifiedDynamicBayesian,
        DynamicBayesian,
        UserBrowsing,
    )
}
FORMAT: Final = 2
MODEL: Final = "model.json"
_PARTS: Final = {"parameters": "safetensors", "statistics": "safetensors", "vocabulary": "json"}


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with the vocabulary whose codes it knows; `facts` say how it was fitted, as JSON has them."""

    model: ClickModel
    vocabulary: Vocabulary
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to a directory, which may exist; the model that was there, if any, is there until this one is."""
        from safetensors.numpy import save

        path.mkdir(parents=True, exist_ok=True)
        before = [file for part in _PARTS for file in path.glob(f"{part}*")]
        mark = secrets.token_hex(4)
        files = {part: f"{part}-{mark}.{ending}" for part, ending in _PARTS.items()}
        for part, arrays in (("parameters", self.model.parameters()), ("statistics", self.model.statistics())):
            content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
            write_durably(path / files[part], content)
        pairs = [[int(query), document] for query, document in _numbered(self.vocabulary)]
        named = {"queries": self.vocabulary.queries, "pairs": pairs}
        write_durably(path / files["vocabulary"], json.dumps(named, ensure_ascii=False).encode())
        about = {"model": self.model.name, "format": FORMAT, "files": files, **self.facts}
        write_durably(path / MODEL, json.dumps(about, indent=1).encode())
        for file in before:
            file.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Fitted:
        """Read a model back. Raises NotFoundError where there is none, InputError for one that is damaged."""
        try:
            return cls._load(path)
        except FileNotFoundError:
            try:
                return cls._load(path)  # another fit was saved over it meanwhile
            except FileNotFoundError as error:
                raise InputError(f"The click model at {path} is damaged: {error}.", "Fit it again.") from error

    @classmethod
    def _load(cls, path: Path) -> Fitted:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not (path / MODEL).is_file():
            raise NotFoundError(f"There is no click model at {path}.", "Make one with 'clickwise clicks fit'.")
        try:
            about = json.loads((path / MODEL).read_text(encoding="utf-8"))
            if about.get("format") != FORMAT:
                raise InputError(f"The click model at {path} has format {about.get('format')}.", "Fit it again.")
            model = new(str(about.get("model")))
            parameters, statistics, vocabulary = ((path / about["files"][part]).read_bytes() for part in _PARTS)
            model.set_statistics(load(statistics))
            model.set_parameters(load(parameters))
            named = json.loads(vocabulary)
            numbered = _vocabulary(named["queries"], named["pairs"])
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError) as error:
            raise InputError(f"The click model at {path} is damaged: {error}.", "Fit it again.") from error
        facts = {name: value for name, value in about.items() if name not in ("model", "format", "files")}
        return cls(model, numbered, facts)


def check_out(path: Path) -> bool:
    """Whether there is a click model in this folder. Raises InputError where it is a file, ConflictError where it holds
    anything but a model."""
    check_folder(path)
    if (path / MODEL).is_file():
        return True
    if path.exists() and any(path.iterdir()):
        raise ConflictError(f"{path} is a folder with something else in it.", "Name another folder.")
    return False


def new(name: str) -> ClickModel:
    """An unfitted model. Raises InputError for a name that there is not."""
    if name not in MODELS:
        raise InputError(f"There is no click model {name!r}.", f"There are {', '.join(MODELS)}.")
    return MODELS[name]()


def _numbered(vocabulary: Vocabulary) -> list[tuple[npt.NDArray[np.int32], str]]:
    documents = [document for _, document in vocabulary.pairs]
    return list(zip(vocabulary.query_of_pair, documents, strict=True))


def _vocabulary(queries: list[str], pairs: list[tuple[int, str]]) -> Vocabulary:
    made = Vocabulary()
    for query in queries:
        made.query(query)
    for number, document in pairs:
        made.pair(queries[number], document)
    return made
