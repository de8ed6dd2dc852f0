"""What was learned on an index and lies beside its vectors: small files of tensors, written whole or not at all.

Each belongs to the vectors that it was learned on, which `space` names, and is checked against its own digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from index.errors import ConflictError
from index.vectors import sync

Tensors: TypeAlias = Mapping[str, npt.NDArray[Any]]
About: TypeAlias = Mapping[str, Any]
"""What is said of a part and how it came about: values as JSON has them, by name."""


def digest_of(space: str, tensors: Tensors) -> str:
    """SHA-256, hexadecimal: of the numbers, and of what they were learned on."""
    content = hashlib.sha256(space.encode())
    for name in sorted(tensors):
        content.update(f" {tensors[name].shape!r}".encode())
        little = tensors[name].dtype.newbyteorder("<")
        content.update(np.ascontiguousarray(tensors[name], little).tobytes())
    return content.hexdigest()


def write(path: Path, space: str, tensors: Tensors, about: About) -> None:
    """Put the file in the place of an older one: durably and at once."""
    fresh = path.with_name(f".{path.name}.new")
    said = {name: json.dumps(value) for name, value in about.items()}  # the file's format has texts only
    metadata = {**said, "space": space, "digest": digest_of(space, tensors)}
    with open(fresh, "wb") as file:
        file.write(save({name: np.ascontiguousarray(t) for name, t in tensors.items()}, metadata=metadata))
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    sync(path.parent)


def read(path: Path, space: str, what: str) -> tuple[dict[str, npt.NDArray[Any]], About] | None:
    """The tensors that `write` wrote and what is said about them, None where nothing was learned.

    Raises ConflictError where the file is damaged, or was learned on other vectors than those that `space` names.
    """
    if not path.exists():
        return None
    advice = f"Train the {what} again, or delete the file."
    try:
        with safe_open(path, framework="numpy") as file:
            said = dict(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        learned_on, digest = said.pop("space"), said.pop("digest")
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise ConflictError(f"The learned {what} {path} is damaged.", advice) from None
    if digest_of(learned_on, tensors) != digest or not all(np.isfinite(t).all() for t in tensors.values()):
        raise ConflictError(f"The learned {what} {path} is damaged.", advice)
    if learned_on != space:
        raise ConflictError(f"The learned {what} {path} belongs to other vectors.", advice)
    return tensors, {name: _value(said[name]) for name in sorted(said)}


def _value(text: str) -> Any:
    """What was written as JSON; files of before that was done have plain texts."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def remove(path: Path) -> bool:
    """Forget what was learned. Gives whether there was anything."""
    if not path.exists():
        return False
    path.unlink()
    sync(path.parent)
    return True


def stored_digest(path: Path, what: str) -> str:
    """The digest without reading the tensors; empty where there is no such file."""
    if not path.exists():
        return ""
    try:
        with safe_open(path, framework="numpy") as file:
            return str(file.metadata()["digest"])
    except (SafetensorError, KeyError, TypeError):
        raise ConflictError(
            f"The learned {what} {path} is damaged.", f"Train the {what} again, or delete the file."
        ) from None
