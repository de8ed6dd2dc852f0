"""The args.me corpus, the corpus of Touché: one JSON object with an array of a few hundred thousand arguments.

The file is larger than memory should hold, so the array is read argument by argument.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from index.errors import InputError, NotFoundError
from index.readers.files import MAX_LINE, File
from index.types import Document

CHUNK = 2**20
_BETWEEN = " \t\r\n,"
_OPENING = re.compile(r'"arguments"\s*:\s*\[')


def read_documents(path: Path, excluded: Counter[str]) -> Iterator[Document]:
    """The arguments: the conclusion as title, the premises as text.

    Arguments that repeat an id and empty ones are counted in `excluded`. Raises InputError where the file has no array
    "arguments" or one of them is not usable.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", "Check the path.")
    seen: set[str] = set()
    for number, argument in enumerate(_arguments(path), start=1):
        try:
            doc = str(argument["id"])
            title = " ".join(str(argument.get("conclusion") or "").split())
            text = "\n".join(str(premise["text"]) for premise in argument.get("premises") or () if premise.get("text"))
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: argument {number} has no id or odd premises.", "Mend the file.") from None
        if doc in seen:
            excluded["arguments whose id came before"] += 1
        elif title or text:
            seen.add(doc)
            yield Document(doc, title, text)
        else:
            excluded["arguments without conclusion and premises"] += 1


def _arguments(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in the array "arguments", decoded one after the other from a window that slides over the file."""
    decoder = json.JSONDecoder()
    file = File(path)
    try:
        window = ""
        while not (opening := _OPENING.search(window)):
            window += _more(file, path, window)
        at = opening.end()
        while True:
            while at < len(window) and window[at] in _BETWEEN:
                at += 1
            if window[at : at + 1] == "]":
                return
            try:
                argument, at = decoder.raw_decode(window, at)
            except ValueError:  # it goes on beyond the window, or is no JSON
                window, at = window[at:] + _more(file, path, window[at:]), 0
                continue
            yield argument
    finally:
        file.close()


def _more(file: File, path: Path, window: str) -> str:
    """The next piece of the file. It ends with an ASCII character, so that none is cut in two."""
    if len(window) > MAX_LINE:
        raise InputError(f"{path} is not JSON, or has an argument of more than 64 MiB.", "Fetch the file again.")
    piece = file.stream.read(CHUNK)
    while piece and piece[-1] & 0x80:
        extra = file.stream.read(1)
        if not extra:
            break
        piece += extra
    if not piece:
        raise InputError(f"{path} ends before its array of arguments does.", "Fetch the file again.")
    return piece.decode("utf-8", "replace")
