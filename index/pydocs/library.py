"""The modules of the standard library: where they are, and which are worth documenting."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

LEFT_OUT: Final = frozenset((
    # Tests, applications, jokes, platforms.
    "test", "tests", "idlelib", "turtledemo", "ensurepip", "pydoc_data", "antigravity", "this", "ctypes.macholib",
    "asyncio.windows_events", "asyncio.windows_utils", "asyncio.proactor_events", "tkinter.dnd", "tkinter.tix",
    # What Python 3.12 and 3.13 removed: the ids shall last.
    "lib2to3", "distutils", "asynchat", "asyncore", "imp", "smtpd", "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt",
    "imghdr", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib",
    "uu", "xdrlib",
    # What only implements other modules, under whose names it is documented: os.path for posixpath.
    "posix", "nt", "posixpath", "ntpath", "genericpath", "nturl2path", "sre_compile", "sre_constants", "sre_parse",
    "pyexpat",
))  # fmt: skip
# Extension modules whose import runs Python code or touches the terminal.
NOT_IMPORTED: Final = frozenset({"_asyncio", "_elementtree", "_zoneinfo", "_tkinter", "readline"})
# Modules whose contents are another's: by alias, or (the same in every Python) as the readable twin of one in C.
PUBLIC_NAMES: Final = {"os.path": "posixpath", "collections.abc": "_collections_abc", "decimal": "_pydecimal"}


def is_private(name: str) -> bool:
    """Whether a dotted name has a part that begins with one underscore or is a `__main__`."""
    return any(part.startswith("_") and part != "__future__" for part in name.split("."))


@cache
def _roots() -> list[str]:
    """The folders of the standard library: its sources, and its extension modules. (Asking sysconfig imports more.)"""
    stdlib = Path(os.__file__).parent
    return [str(stdlib), str(stdlib / "lib-dynload")]


def public_modules() -> Iterator[tuple[str, str]]:
    """The name under which a module is documented and the one that its contents have, in the order of the former."""
    found: dict[str, str] = {}
    for name in sys.stdlib_module_names:
        if not is_private(name) and name not in LEFT_OUT:
            found |= {module: module for module in _with_submodules(name, _roots())}
    yield from sorted((found | PUBLIC_NAMES).items())


def _with_submodules(name: str, path: list[str]) -> Iterator[str]:
    """A module and all public ones under it; nothing where this installation lacks it."""
    if name in sys.builtin_module_names:
        yield name
    elif spec := PathFinder.find_spec(name, path):
        yield name
        inside = list(spec.submodule_search_locations or [])
        for module in pkgutil.iter_modules(inside):
            inner = f"{name}.{module.name}"
            # The encodings are a hundred modules of the same two functions.
            if not is_private(module.name) and not {inner, module.name} & LEFT_OUT and name != "encodings":
                yield from _with_submodules(inner, inside)


def locate(name: str) -> ModuleSpec | None:
    """Where a module of the standard library is, found without importing the packages around it."""
    path, spec = _roots(), None
    for dot in re.finditer(r"\.|$", name):
        spec = PathFinder.find_spec(name[: dot.start()], path)
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    return spec


def submodules(package: str) -> tuple[str, ...]:
    """The modules directly inside a package, private ones included."""
    spec = locate(package)
    found = pkgutil.iter_modules((spec and spec.submodule_search_locations) or [])
    return tuple(f"{package}.{module.name}" for module in found)


@cache
def compiled(name: str) -> ModuleType | None:
    """The module of that name if it is written in C and part of Python; None otherwise. Importing it runs no Python."""
    if name in NOT_IMPORTED or name not in sys.stdlib_module_names:
        return None
    if name not in sys.builtin_module_names:
        spec = locate(name)
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return None
    try:
        return importlib.import_module(name)
    except ImportError:  # a shared library that it needs is absent here
        return None


def topics() -> dict[str, str]:
    """The chapters of the language reference that `help()` shows, by their names: one dictionary in one module."""
    path = Path(_roots()[0], "pydoc_data", "topics.py")
    if path.exists():
        for node in ast.parse(importlib.util.decode_source(path.read_bytes())).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                found: dict[str, str] = ast.literal_eval(node.value)
                return found
    return {}
