"""How a thing is written: the parameters of functions and constructors, the bases of classes."""

from __future__ import annotations

import ast
import re
from typing import Final

from index.pydocs.names import Compiled, Defined, Thing
from index.pydocs.sources import Definition

MAX_LENGTH: Final = 160
"""Characters of a signature before it is cut."""


def is_property(thing: Thing) -> bool:
    """Whether a member of a class is read and not called."""
    if isinstance(thing, Compiled):
        return not callable(thing.value)
    return any("property" in ast.unparse(decorator).lower() for decorator in thing.node.decorator_list)


def parameters(thing: Thing) -> str:
    """`(a, b=1, *, c)` as a caller sees it: without `self` and annotations. Empty where it is unknown or none."""
    if isinstance(thing, Compiled):
        return _cut(_compiled_parameters(thing))
    if isinstance(thing.node, ast.ClassDef):
        makers = {node.name: node for node in thing.node.body if isinstance(node, ast.FunctionDef)}
        maker = makers.get("__init__") or makers.get("__new__")
        return _cut(_written(maker, True)) if maker else ""
    decorators = [ast.unparse(decorator) for decorator in thing.node.decorator_list]
    if any("SpecialForm" in decorator for decorator in decorators):  # typing.Union is written as a function
        return ""
    return _cut(_written(thing.node, bool(thing.owner) and "staticmethod" not in decorators))


def class_bases(thing: Thing) -> str:
    """`(dict)`: the public bases of a class as it names them, or nothing."""
    if isinstance(thing, Defined):
        names = [ast.unparse(base) for base in getattr(thing.node, "bases", [])]
    else:
        names = [base.__name__ for base in getattr(thing.value, "__bases__", ())]
    public = [name for name in names if name != "object" and not name.split(".")[-1].startswith("_")]
    return f"({', '.join(public)})" if public else ""


def _written(node: Definition, bound: bool) -> str:
    assert not isinstance(node, ast.ClassDef)
    given = node.args
    plain = ast.arguments(
        posonlyargs=[ast.arg(one.arg) for one in given.posonlyargs],
        args=[ast.arg(one.arg) for one in given.args],
        vararg=given.vararg and ast.arg(given.vararg.arg),
        kwonlyargs=[ast.arg(one.arg) for one in given.kwonlyargs],
        kw_defaults=given.kw_defaults,
        kwarg=given.kwarg and ast.arg(given.kwarg.arg),
        defaults=given.defaults,
    )
    first = plain.posonlyargs or plain.args
    if bound and first:
        del first[0]
        surplus = len(plain.defaults) - len(plain.posonlyargs) - len(plain.args)
        plain.defaults = plain.defaults[max(surplus, 0) :]
    return f"({ast.unparse(plain)})"


def _compiled_parameters(thing: Compiled) -> str:
    """The signature that the C code declares, or the one with which its documentation begins, or else `(…)`."""
    if not callable(thing.value):
        return ""
    declared = getattr(thing.value, "__text_signature__", None)
    if isinstance(declared, str):
        return re.sub(r"^\(\$\w+(, /)?(, )?", "(", declared)
    name = re.escape(getattr(thing.value, "__name__", ""))
    told = re.match(rf"(?:\w+\.)*{name}(\([^)]*\))", thing.doc)
    return told[1] if told else "" if thing.is_class else "(…)"


def _cut(written: str) -> str:
    written = " ".join(written.split())
    return written if len(written) <= MAX_LENGTH else f"{written[: MAX_LENGTH - 2]}…)"
