"""Propensities: how likely each rank is examined, with how sure that is, as they are kept and used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from index.errors import InputError, NotFoundError
from ranking.clicks.sessions import Floats

FORMAT: Final = 1
CLIP: Final = 10.0


@dataclass(frozen=True, slots=True)
class Curve:
    """The propensities of one surface: `propensity`, `low`, `high` per rank from the first, which is 1 (the gauge).

    An interval end is None where the log is too small to tell. `counts` says what the curve was made of, `components`
    which ranks of the log shared pairs connect, `warnings` what to doubt.
    """

    surface: str
    propensity: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    components: tuple[tuple[int, ...], ...] = ()
    counts: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = self.propensity
        if not values or values[0] != 1 or not all(math.isfinite(value) and value > 0 for value in values):
            raise InputError("A curve of propensities begins with 1 and stays above 0.", "Estimate it again.")
        if not len(self.low) == len(self.high) == len(values):
            raise InputError("A curve of propensities lacks intervals for some ranks.", "Estimate it again.")

    @property
    def ranks(self) -> int:
        return len(self.propensity)


@dataclass(frozen=True, slots=True)
class Weights:
    """Inverse propensities: `values`, the share of them that `clip` cut, and the sample size that they leave (Kish)."""

    values: Floats
    clip: float
    clipped: float
    effective: float


@dataclass(frozen=True, slots=True)
class Propensities:
    """One curve, or one for each surface, by the `method` that estimated it. `confidence` is that of the intervals."""

    method: str
    curves: tuple[Curve, ...]
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not self.curves:
            raise InputError("There is no curve of propensities.", "Estimate one.")

    @property
    def surfaces(self) -> tuple[str, ...]:
        return tuple(curve.surface for curve in self.curves)

    def curve(self, surface: str = "") -> Curve:
        """The curve of a surface; where there is only one, that. Raises NotFoundError for another surface."""
        if len(self.curves) == 1 and self.curves[0].surface in ("", surface):
            return self.curves[0]
        for curve in self.curves:
            if curve.surface == surface:
                return curve
        known = ", ".join(name or "(no name)" for name in self.surfaces)
        raise NotFoundError(f"There are no propensities for the surface {surface!r}.", f"There are some for: {known}.")

    def at(self, ranks: npt.ArrayLike, surface: str = "") -> Floats:
        """The propensity of each rank (from 1, any shape). Raises InputError for a rank that the curve lacks."""
        values, wanted = np.array(self.curve(surface).propensity), np.asarray(ranks, dtype=np.int64)
        if wanted.size and not (wanted.min() >= 1 and wanted.max() <= len(values)):
            raise InputError(
                f"There are propensities for the ranks 1 to {len(values)} only.", "Cut pages there, or estimate more."
            )
        found: Floats = values[wanted - 1]
        return found

    def weights(self, ranks: npt.ArrayLike, surface: str = "", clip: float = CLIP) -> Weights:
        """Inverse propensities of ranks, none above `clip`. Raises InputError for a clip below 1."""
        if not clip >= 1:
            raise InputError(f"Weights cannot be cut at {clip:g}.", "Cut them at 1 or more: rank 1 has the weight 1.")
        raw = 1 / self.at(ranks, surface)
        values = np.minimum(raw, clip)
        share = float((raw > clip).mean()) if raw.size else 0.0
        effective = float(values.sum() ** 2 / (values**2).sum()) if raw.size else 0.0
        return Weights(values, clip, share, effective)

    def save(self, path: Path) -> None:
        """Write JSON, replacing the file as a whole."""
        text = json.dumps({"clickwise_propensities": FORMAT, **asdict(self)}, ensure_ascii=False, indent=2)
        fresh = path.with_name(f"{path.name}.part")
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Propensities:
        """Raises NotFoundError where there is no file and InputError for one that holds no propensities."""
        try:
            table = json.loads(path.read_text(encoding="utf-8"))
            if table.pop("clickwise_propensities") != FORMAT:
                raise ValueError("another version")
            return cls(table["method"], tuple(_curve(part) for part in table["curves"]), float(table["confidence"]))
        except FileNotFoundError:
            raise NotFoundError(
                f"There is no file {path}.", "Write one with 'clickwise clicks propensity --out'."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} holds no propensities: {error}.", "Estimate them again.") from None


def _curve(part: Mapping[str, Any]) -> Curve:
    return Curve(
        str(part["surface"]),
        tuple(float(value) for value in part["propensity"]),
        _ends(part["low"]),
        _ends(part["high"]),
        tuple(tuple(int(rank) for rank in ranks) for ranks in part["components"]),
        {str(name): float(value) for name, value in part["counts"].items()},
        tuple(str(line) for line in part["warnings"]),
    )


def _ends(values: Sequence[float | None]) -> tuple[float | None, ...]:
    return tuple(None if value is None else float(value) for value in values)


def ends(values: Floats) -> tuple[float | None, ...]:
    """Interval ends as a curve keeps them: NaN is None."""
    return tuple(None if math.isnan(value) else value for value in values.tolist())
