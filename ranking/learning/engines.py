"""The engines of this process: one per model, made when it is first asked for."""

from __future__ import annotations

import os

from index.once import Once
from ranking.learning.cross_encoder import MAX_TOKENS, load_cross_encoder
from ranking.learning.engine import Engine

_engines: Once[tuple[str, int], Engine] = Once()


def engine(name: str, max_tokens: int = MAX_TOKENS) -> Engine:
    """The engine of a model. Loads it at the first call, and raises as `load_cross_encoder` does. While one is loaded
    the others work on."""
    return _engines.get((name, max_tokens), lambda: Engine(load_cross_encoder(name, max_tokens=max_tokens)))


def use(name: str, made: Engine, max_tokens: int = MAX_TOKENS) -> None:
    """Have an engine answer to a name: a model trained in this process, or one that stands in for it in a test."""
    _engines.put((name, max_tokens), made)


def lengths(name: str) -> set[int]:
    """The longest texts, in tokens, of the engines of a model that have been made."""
    return {max_tokens for made, max_tokens in _engines.made() if made == name}


def close(name: str) -> None:
    """Let go of a model, when nobody needs it any more: the threads of its engines end, and their memory is given back
    with the last who holds one. Whoever asks for it again loads it again."""
    for key, made in _engines.made().items():
        if key[0] == name:
            _engines.forget(key)
            made.close()


def running() -> dict[str, Engine]:
    """The engines that have been made, by the name of their model and, where that is not unique, its longest text."""
    made = _engines.made()
    names = [name for name, _ in made]
    return {
        name if names.count(name) == 1 else f"{name} ({max_tokens} tokens)": engine
        for (name, max_tokens), engine in made.items()
    }


os.register_at_fork(after_in_child=_engines.clear)  # an engine's thread does not survive a fork
