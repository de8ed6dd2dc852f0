"""Click models by name, and on disk.

A fitted model is a directory: `model.json` (which model, and how it was fitted), `parameters.safetensors`,
`statistics.safetensors` (what a later fit goes on from) and `vocabulary.json` (queries and documents by their codes).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.errors import InputError, NotFoundError
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
FORMAT: Final = 1
_MODEL, _PARAMETERS, _STATISTICS, _VOCABULARY = (
    "model.json",
    "parameters.safetensors",
    "statistics.safetensors",
    "vocabulary.json",
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with the vocabulary whose codes it knows; `facts` say how it was fitted, as JSON has them."""

    model: ClickModel
    vocabulary: Vocabulary
    facts: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to a directory, which may exist. `model.json` comes last: without it there is no model."""
        from safetensors.numpy import save_file

        path.mkdir(parents=True, exist_ok=True)
        (path / _MODEL).unlink(missing_ok=True)
        for name, arrays in ((_PARAMETERS, self.model.parameters()), (_STATISTICS, self.model.statistics())):
            save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path / name)
        pairs = [[int(query), document] for query, document in _numbered(self.vocabulary)]
        named = {"queries": self.vocabulary.queries, "pairs": pairs}
        (path / _VOCABULARY).write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")
        about = {"model": self.model.name, "format": FORMAT, **self.facts}
        (path / _MODEL).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Fitted:
        """Read a model back. Raises NotFoundError where there is none, InputError for one that is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        if not (path / _MODEL).is_file():
            raise NotFoundError(f"There is no click model at {path}.", "Make one with 'clickwise clicks fit'.")
        try:
            about = json.loads((path / _MODEL).read_text(encoding="utf-8"))
            if about.get("format") != FORMAT:
                raise InputError(f"The click model at {path} has format {about.get('format')}.", "Fit it again.")
            model = new(str(about.get("model")))
            model.set_statistics(load_file(path / _STATISTICS))
            model.set_parameters(load_file(path / _PARAMETERS))
            named = json.loads((path / _VOCABULARY).read_text(encoding="utf-8"))
            vocabulary = _vocabulary(named["queries"], named["pairs"])
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, SafetensorError) as error:
            raise InputError(f"The click model at {path} is damaged: {error}.", "Fit it again.") from error
        facts = {name: value for name, value in about.items() if name not in ("model", "format")}
        return cls(model, vocabulary, facts)


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
