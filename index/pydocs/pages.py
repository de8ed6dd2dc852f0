"""The documents: id, title, text and fields of everything that is documented."""

from __future__ import annotations

import ast
import gc
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from index.pydocs import library, names, sources
from index.pydocs.entries import Entry, entries
from index.pydocs.signatures import class_bases, is_property, parameters
from index.types import Document

MAX_NAMES: Final = 800
"""Characters of the list of names that ends the text of a module or class."""
MAX_SYNOPSIS: Final = 100
_WORD: Final = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+")


def python_documents() -> Iterator[Document]:
    """The documentation of this Python as documents, sorted by id, with the fields `module` and `kind`.

    Kinds are module, class, function, method (properties included) and topic; topics have no module. Titles are the
    signature line. The text is the docstring, the names inside, and a sentence that says the name in words.
    """
    with _collector_paused():
        found = {document.id: document for document in _documents()}
        for cached in (sources.source, names.exported, names.resolve):
            cached.cache_clear()  # syntax trees of no more use
    yield from (found[identifier] for identifier in sorted(found))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Syntax trees are millions of objects without cycles: looking for some takes longer than parsing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _documents() -> Iterator[Document]:
    """Where two have one id the last one counts: the class unittest.main rather than the module."""
    for name, text in library.topics().items():
        title, _, rest = text.strip().partition("\n")
        yield Document(f"topic:{name}", title.strip(), rest.lstrip("*=-\n "), {"kind": "topic"})
    found = list(entries())
    inside: dict[str, list[str]] = defaultdict(list)
    within: dict[str, list[str]] = defaultdict(list)
    for entry in found:
        owner = Entry(entry.module, entry.names[:-1], entry.thing).id if entry.names[1:] else entry.module
        inside[owner].append(entry.names[-1])
    modules = list(library.public_modules())
    for public, _ in modules:
        package, _, name = public.rpartition(".")
        within[package].append(name)
    for public, actual in modules:
        page = _module(public, actual, inside[public], within[public])
        if page.text:
            yield page
    for entry in found:
        yield _page(entry, inside[entry.id] if entry.thing.is_class else [])


def _module(public: str, actual: str, inside: list[str], within: list[str]) -> Document:
    """The page of a module; one without text where there is nothing to say."""
    doc = max(names.module_doc(public), names.module_doc(actual), key=len)
    synopsis = _shorten(doc.split("\n\n")[0].replace("\n", " "), MAX_SYNOPSIS, " …")
    text = _text(doc, _listed("Classes and functions", inside), _listed("Modules", within))
    text = text and _text(text, f"The module {public}{_in_words(public)}.")
    title = f"module {public} — {synopsis}" if synopsis else f"module {public}"
    return Document(public, title, text, {"module": public, "kind": "module"})


def _page(entry: Entry, inside: list[str]) -> Document:
    thing, name = entry.thing, entry.names[-1]
    made = parameters(thing)
    if thing.is_class:
        kind, title = "class", f"class {entry.id}{class_bases(thing)}"
        text = _text(thing.doc, f"{name}{made}" if made else "", _listed("Methods", inside), _sentence(entry, kind))
    else:
        kind = "method" if len(entry.names) > 1 else "function"
        what = "property " if kind == "method" and is_property(thing) else ""
        awaited = "async " if isinstance(getattr(thing, "node", None), ast.AsyncFunctionDef) else ""
        title = f"{what}{awaited}{entry.id}{'' if what else made}"
        text = _text(thing.doc, _sentence(entry, what.strip() or kind))
    return Document(entry.id, title, text, {"module": entry.module, "kind": kind})


def _sentence(entry: Entry, kind: str) -> str:
    """The name in words that a searcher may use, which analyzers do not find in `asyncio.TaskGroup.create_task`."""
    *owner, name = entry.names
    built_in = entry.module == "builtins"
    if owner:
        place = f" of the {'built-in ' if built_in else ''}class {owner[-1]}"
        place += "" if built_in else f" in the module {entry.module}"
    else:
        place = "" if built_in else f" of the module {entry.module}"
    return f"The {'built-in ' if built_in and not owner else ''}{kind} {name}{_in_words(name)}{place}."


def _in_words(name: str) -> str:
    """` (ordered dict)` for `OrderedDict`; nothing for a name of one word."""
    words = " ".join(_WORD.findall(name)).lower()
    return f" ({words})" if words != name.lower() else ""


def _listed(label: str, inside: list[str]) -> str:
    return f"{label}: {_shorten(', '.join(inside), MAX_NAMES, ', …')}." if inside else ""


def _shorten(text: str, limit: int, mark: str) -> str:
    return text if len(text) <= limit else text[:limit].rpartition(" ")[0].rstrip(",") + mark


def _text(*parts: str) -> str:
    return "\n\n".join(filter(None, parts))
