"""What is documented, and under which name: each thing once, where one would import it from."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from index.pydocs.library import public_modules
from index.pydocs.names import Compiled, Defined, Thing, bases, exported, members, resolve
from index.pydocs.sources import source

# Packages of which only classes and functions are documented: their hundreds of methods drown the others.
WITHOUT_METHODS: Final = ("tkinter",)
MIN_WORDS: Final = 5
"""Words that the documentation of an attribute in C must have: most say no more than its name ("device")."""

Preference: TypeAlias = tuple[bool, bool, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A thing with its public name: `module` is the module's, `names` the way from there.

    `listed` is what this module or the one that defines it names in `__all__`.
    """

    module: str
    names: tuple[str, ...]
    thing: Thing
    listed: bool = False

    @property
    def id(self) -> str:
        return ".".join(self.names if self.module == "builtins" else (self.module, *self.names))


def entries() -> Iterator[Entry]:
    """The public classes and functions of all modules, then the public methods of those classes.

    A thing that several modules offer belongs to the outermost package around its definition (`unittest.TestCase`
    rather than `unittest.case.TestCase`), or else to the module with the shortest name; there, all its names count.
    A class, under its own name, has the methods of its bases as well where those are not documented themselves.
    What has no documentation is left out, unless it is listed (its signature alone helps) or a class with methods.
    """
    chosen = _chosen()
    documented = {entry.thing.key for entry in chosen}
    owners = {entry.thing.key: entry for entry in chosen if entry.thing.is_class}
    owners |= {entry.thing.key: entry for entry in chosen if entry.thing.name == entry.names[-1]}
    for entry in chosen:
        methods = []
        if owners.get(entry.thing.key) is entry and not entry.module.startswith(WITHOUT_METHODS):
            found = methods_of(entry.thing, documented)
            methods = [Entry(entry.module, (*entry.names, name), found[name]) for name in sorted(found)]
        if entry.thing.doc or entry.listed or methods:
            yield entry
            yield from methods


def _chosen() -> list[Entry]:
    """The classes and functions that modules offer, each by the module that it belongs to."""
    offers: list[tuple[Preference, Entry]] = []
    best: dict[Hashable, Preference] = {}
    for public, actual in public_modules():
        parsed = source(actual)
        for name in sorted(exported(actual)):
            if not name.startswith("_") and (thing := resolve(actual, name)):
                preference = _preference(thing, public, actual)
                listed = any(name in (at.exports or ()) for at in (parsed, getattr(thing, "module", None)) if at)
                offers.append((preference, Entry(public, (name,), thing, listed)))
                best[thing.key] = min(preference, best.get(thing.key, preference))
    return [entry for preference, entry in offers if preference == best[entry.thing.key]]


def _preference(thing: Thing, public: str, actual: str) -> Preference:
    """Least for the module that a thing belongs to."""
    home = thing.module.name if isinstance(thing, Defined) else ""
    around = home == actual or home.startswith(f"{actual}.")
    return public != "builtins", not around, public.count("."), public


def methods_of(thing: Thing, documented: Container[Hashable], depth: int = 8) -> dict[str, Thing]:
    """The documented methods and properties of a class and of those bases that have no documentation of their own."""
    found = {
        name: member
        for name, member in members(thing).items()
        if member.key not in documented and len(member.doc.split()) >= (MIN_WORDS if _is_data(member) else 1)
    }
    for base in bases(thing) if depth else ():
        if base.key not in documented:
            found = methods_of(base, documented, depth - 1) | found
    return found


def _is_data(member: Thing) -> bool:
    return isinstance(member, Compiled) and not callable(member.value)
