"""The engines of this process: one per model, made when it is first asked for."""

from __future__ import annotations

import os
import threading

from ranking.learning.cross_encoder import MAX_TOKENS, load_cross_encoder
from ranking.learning.engine import Engine

_engines: dict[tuple[str, int], Engine] = {}
_making = threading.Lock()


def engine(name: str, max_tokens: int = MAX_TOKENS) -> Engine:
    """The engine of a model. Loads it at the first call, and raises as `load_cross_encoder` does."""
    key = (name, max_tokens)
    with _making:
        if key not in _engines:
            _engines[key] = Engine(load_cross_encoder(name, max_tokens=max_tokens))
        return _engines[key]


def use(name: str, made: Engine, max_tokens: int = MAX_TOKENS) -> None:
    """Have an engine answer to a name: a model trained in this process, or one that stands in for it in a test."""
    with _making:
        _engines[name, max_tokens] = made


def running() -> dict[str, Engine]:
    """The engines that have been made, by the name of their model and, where that is not unique, its longest text."""
    with _making:
        made = dict(_engines)
    names = [name for name, _ in made]
    return {
        name if names.count(name) == 1 else f"{name} ({max_tokens} tokens)": engine
        for (name, max_tokens), engine in made.items()
    }


os.register_at_fork(after_in_child=_engines.clear)  # an engine's thread does not survive a fork
