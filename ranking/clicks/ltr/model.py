"""A ranker that was learned, on disk: `model.safetensors` and `model.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from index.errors import ConflictError, InputError, NotFoundError
from ranking.clicks.durable import write_durably
from ranking.clicks.ltr.features import Single
from ranking.clicks.ltr.scorers import Network
from ranking.clicks.sessions import Floats

FORMAT: Final = 1
_WEIGHTS, _ABOUT = "model.safetensors", "model.json"


@dataclass(frozen=True, eq=False)
class Model:
    """A network over features, and what is known about it: its objective, its training, how it compared."""

    network: Network
    about: Mapping[str, Any] = field(default_factory=dict)

    def predict(self, features: Single) -> Floats:
        """Scores (n,) of features (n, w); higher is better. Raises InputError for another number of features."""
        matrix = np.atleast_2d(np.asarray(features, dtype=np.float32))
        if matrix.shape[1] != self.network.width:
            raise InputError(
                f"There are {matrix.shape[1]} features, and the model was trained on {self.network.width}.",
                "Make the features in the same way as for training.",
            )
        self.network.train(False)
        with torch.inference_mode():
            scores: Floats = self.network(torch.from_numpy(matrix)).double().numpy()
        return scores

    def save(self, directory: Path) -> None:
        """Write both files; the description, which makes it a model, last."""
        directory.mkdir(parents=True, exist_ok=True)
        network = self.network
        tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
        write_durably(directory / _WEIGHTS, save(tensors))
        shape = {"width": network.width, "kind": network.kind, "hidden": network.hidden, "dropout": network.dropout}
        about = {"clickwise_ranker": FORMAT, "network": shape, **self.about}
        write_durably(directory / _ABOUT, (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, directory: Path) -> Model:
        """Read what `save` wrote. Raises NotFoundError without a model, ConflictError where it is damaged."""
        try:
            about = json.loads((directory / _ABOUT).read_text(encoding="utf-8"))
            weights = load((directory / _WEIGHTS).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(
                f"There is no ranker in {directory}.", "Train one with 'clickwise clicks ltr', or check the path."
            ) from None
        except (ValueError, SafetensorError) as error:
            raise ConflictError(f"The ranker in {directory} is damaged: {error}.", "Train it again.") from None
        try:
            if about.pop("clickwise_ranker") != FORMAT:
                raise ValueError("another version")
            network = Network(**about.pop("network"))
            network.load_state_dict(weights)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise ConflictError(f"The ranker in {directory} is damaged: {reason}.", "Train it again.") from None
        network.train(False)
        return cls(network, about)
