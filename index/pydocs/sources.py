"""Modules read from their text: what their names are bound to, and what they offer."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Final, TypeAlias

from index.pydocs.library import locate

CONSTRUCTORS: Final = ("__init__", "__new__")

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that comes from another module: its attribute, or where that is None the module itself."""

    module: str
    attribute: str | None


Binding: TypeAlias = Definition | Imported | ast.expr


@dataclass(slots=True)
class Source:
    """What is kept of a parsed module.

    `bindings` are all that may bind a name at its top level, in the order of the text; of functions only the head and
    the docstring remain. `stars` are the modules imported from with a star, `exports` is `__all__`: None where there is
    none or where it is computed. `comments` stand right above undocumented definitions, by the line of those.
    """

    name: str
    is_package: bool
    doc: str
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    exports: list[str] | None = None
    comments: dict[int, str] = field(default_factory=dict)


@cache
def source(name: str) -> Source | None:
    """The module of that name as its text has it; None where it is not written in Python."""
    spec = locate(name)
    if spec is None or not isinstance(spec.loader, SourceFileLoader) or not spec.origin:
        return None
    text = importlib.util.decode_source(Path(spec.origin).read_bytes())
    tree = ast.parse(text)
    parsed = Source(name, spec.submodule_search_locations is not None, ast.get_docstring(tree) or "")
    _bind(parsed, tree)
    for bound in parsed.bindings.get("__doc__", []):
        if isinstance(bound, ast.Constant) and isinstance(bound.value, str):
            parsed.doc = bound.value.strip()
    parsed.exports = _exports(parsed, tree)
    _prune(parsed, text.splitlines())
    return parsed


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those in the branches of conditions and the like included."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(node, part, []):
                    yield from _statements(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def _bind(module: Source, tree: ast.Module) -> None:
    """Note what the statements of a module bind."""
    for node in _statements(tree.body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                module.bindings.setdefault(node.name, []).append(node)
            case ast.ImportFrom(names=names):
                origin = _absolute(module, node)
                for alias in names:
                    if alias.name == "*":
                        module.stars.append(origin)
                    else:
                        binding = Imported(origin, alias.name)
                        module.bindings.setdefault(alias.asname or alias.name, []).append(binding)
            case ast.Import(names=names):
                for alias in names:
                    binding = Imported(alias.name if alias.asname else alias.name.split(".")[0], None)
                    module.bindings.setdefault(alias.asname or binding.module, []).append(binding)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    _bind_target(module, target, value)


def _bind_target(module: Source, target: ast.expr, value: ast.expr) -> None:
    match target, value:
        case ast.Name(id=name), _:
            module.bindings.setdefault(name, []).append(value)
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            for one, its in zip(targets, values, strict=True):
                _bind_target(module, one, its)


def _absolute(module: Source, node: ast.ImportFrom) -> str:
    """The full name of the module that `from … import` names."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    package = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*package, *([node.module] if node.module else [])])


def _exports(module: Source, tree: ast.Module) -> list[str] | None:
    """`__all__` as far as constants tell it."""
    names: list[str] | None = None
    for node in _statements(tree.body):
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names = _strings(module, value)
            case ast.AugAssign(target=ast.Name(id="__all__"), value=value):
                names = _sum(names, _strings(module, value))
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(id="__all__"), attr="extend"), args=[value])):
                names = _sum(names, _strings(module, value))
            case ast.Expr(ast.Call(ast.Attribute(ast.Name(id="__all__"), attr="append"), args=[value])):
                names = _sum(names, _strings(module, ast.List([value])))
    return names


def _prune(module: Source, lines: list[str]) -> None:
    """Drop what nobody asks for: the bodies of functions are most of a tree."""
    for name, bound in module.bindings.items():
        module.bindings[name] = [part for part in bound if not isinstance(part, ast.expr) or _leads_on(part)]
        for part in module.bindings[name]:
            if isinstance(part, Definition):
                if ast.get_docstring(part) is None:
                    module.comments[part.lineno] = _comment_above(part, lines)
                _shorten(part)


def _leads_on(value: ast.expr) -> bool:
    """Whether `names.py` can follow an expression: a name, an attribute of one, or an instance of a class."""
    inner = value.func if isinstance(value, ast.Call) else value.value if isinstance(value, ast.Attribute) else value
    return isinstance(inner, ast.Name)


def _shorten(node: Definition) -> None:
    """Keep the docstring, of a class also its constructors, its documented public methods, and names for these."""
    if isinstance(node, ast.ClassDef):
        node.body = node.body[:1] + [part for part in node.body[1:] if _is_kept(part)]
        for part in node.body:
            if isinstance(part, Definition):
                _shorten(part)
    else:
        node.body = node.body[:1]


def _is_kept(part: ast.stmt) -> bool:
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
        return part.name in CONSTRUCTORS or (not part.name.startswith("_") and ast.get_docstring(part) is not None)
    return isinstance(part, ast.Assign) and isinstance(part.value, ast.Name)


def _comment_above(node: Definition, lines: list[str]) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    if first and not lines[first - 1].strip():  # one blank line may lie between
        first -= 1
    start = first
    while start and lines[start - 1].startswith("#"):
        start -= 1
    return "\n".join(line.strip("#- ") for line in lines[start:first]).strip()


def _strings(module: Source, value: ast.expr) -> list[str] | None:
    """A list of texts from a display, a sum of them, or the name of one; None for any other expression."""
    match value:
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            return texts if len(texts) == len(parts) else None
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _sum(_strings(module, left), _strings(module, right))
        case ast.Name(id=name):
            bound = module.bindings.get(name, [])
            return _strings(module, bound[0]) if len(bound) == 1 and isinstance(bound[0], ast.expr) else None
    return None


def _sum(left: list[str] | None, right: list[str] | None) -> list[str] | None:
    return None if left is None or right is None else left + right
