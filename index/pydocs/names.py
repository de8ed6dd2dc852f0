"""What a name of a module stands for: a definition in some source, or an object written in C."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

from index.pydocs.library import compiled, submodules
from index.pydocs.sources import Definition, Imported, Source, source

MAX_HOPS: Final = 12
"""How many imports and assignments are followed before a name counts as unknown."""


@dataclass(frozen=True, slots=True)
class Defined:
    """A class, function or method in a source. `owner` is the class whose body a method stands in."""

    module: Source
    node: Definition
    owner: str = ""

    @property
    def key(self) -> Hashable:
        return self.module.name, self.node.lineno

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    @property
    def doc(self) -> str:
        """The docstring; for want of it that of a class's constructor, or the comment above, as pydoc does."""
        init = [node for node in self.node.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        own = (ast.get_docstring(node) for node in [self.node, *init] if self.is_class or node is self.node)
        return next(filter(None, own), "") or self.module.comments.get(self.node.lineno, "")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A class, function or descriptor written in C."""

    value: object

    @property
    def key(self) -> Hashable:
        return id(self.value)

    @property
    def name(self) -> str:
        return getattr(self.value, "__name__", "")

    @property
    def is_class(self) -> bool:
        return isinstance(self.value, type)

    @property
    def doc(self) -> str:
        doc = getattr(self.value, "__doc__", None)
        return inspect.cleandoc(doc) if isinstance(doc, str) else ""


Thing: TypeAlias = Defined | Compiled

_CONTEXT: Final = (
    "Array", "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Manager", "Pipe", "Pool",
    "Queue", "RLock", "RawArray", "RawValue", "Semaphore", "SimpleQueue", "Value", "cpu_count",
)  # fmt: skip
# Public names that code computes, and where they lead: the module, and a name or a method in it.
_COMPUTED: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "hashlib": {
        **{f"sha{size}": ("_hashlib", f"openssl_sha{size}") for size in (1, 224, 256, 384, 512)},
        **{f"sha3_{size}": ("_hashlib", f"openssl_sha3_{size}") for size in (224, 256, 384, 512)},
        "md5": ("_hashlib", "openssl_md5"),
        "blake2b": ("_blake2", "blake2b"),
        "blake2s": ("_blake2", "blake2s"),
    },
    "multiprocessing": {
        "Process": ("multiprocessing.process", "BaseProcess"),
        **{name: ("multiprocessing.context", f"BaseContext.{name}") for name in _CONTEXT},
    },
    "threading": {"Lock": ("_thread", "LockType")},
}
# Types that only their instances lead to.
_TYPES: Final[dict[tuple[str, str], type]] = {
    ("re", "Pattern"): re.Pattern,
    ("re", "Match"): re.Match,
    ("types", "SimpleNamespace"): types.SimpleNamespace,
    ("types", "MappingProxyType"): types.MappingProxyType,
}


def module_doc(module: str) -> str:
    """The documentation of a module, which some import from another."""
    if found := compiled(module):
        return (found.__doc__ or "").strip()
    parsed = source(module)
    if parsed is None or parsed.doc:
        return parsed.doc if parsed else ""
    origins = [bound.module for bound in parsed.bindings.get("__doc__", []) if isinstance(bound, Imported)]
    return next(filter(None, map(module_doc, origins)), "")


@cache
def exported(module: str) -> tuple[str, ...]:
    """The names that a module offers: its `__all__`, or where that is unknown the public ones that it defines,
    imports with a star, or takes from within."""
    if found := compiled(module):
        # Not by another name than its own: socket.SocketType is socket.socket.
        return tuple(name for name in vars(found) if getattr(_original(found, name), "__name__", "_") == name)
    parsed = source(module)
    if parsed is None:
        return ()
    extra = [*_COMPUTED.get(module, ()), *(name for owner, name in _TYPES if owner == module)]
    if parsed.exports is not None:
        return tuple(dict.fromkeys([*parsed.exports, *extra]))
    own = [name for name, bindings in parsed.bindings.items() if any(_is_own(parsed, bound) for bound in bindings)]
    starred = [name for star in parsed.stars for name in exported(star)]
    return tuple(dict.fromkeys(name for name in [*own, *starred, *extra] if not name.startswith("_")))


def _original(module: types.ModuleType, name: str) -> object:
    """An attribute; of the hooks in sys, which programs replace, the one that Python comes with."""
    named = vars(module)
    return named.get(f"__{name}__", named.get(name))


def _is_own(module: Source, bound: object) -> bool:
    """Whether a module without `__all__` means to offer what it binds: imports only from its own package or its private
    namesake, as ssl from _ssl."""
    if isinstance(bound, Imported):
        inside = module.is_package and bound.module.startswith(f"{module.name}.")
        return bound.attribute is not None and (inside or bound.module == f"_{module.name}")
    return True


@cache
def resolve(module: str, name: str, hops: int = MAX_HOPS) -> Thing | None:
    """The class or function that a name of a module stands for.

    Of several, a documented one, and rather the one in Python: it has more to say, and the same in every build.
    """
    found = list(_candidates(module, name, hops)) if hops else []
    return min(found, key=lambda thing: (not thing.doc, isinstance(thing, Compiled)), default=None)


def _candidates(module: str, name: str, hops: int) -> Iterator[Thing]:
    if (module, name) in _TYPES:
        yield Compiled(_TYPES[module, name])
    if elsewhere := _COMPUTED.get(module, {}).get(name):
        module, (name, *method) = elsewhere[0], elsewhere[1].split(".")
        thing = resolve(module, name, hops - 1)
        if thing and method:
            thing = members(thing).get(method[0])
        if thing:
            yield thing
        return
    if built := compiled(module):
        value = _original(built, name)
        if isinstance(value, type | types.BuiltinFunctionType):
            yield Compiled(value)
        return
    parsed = source(module)
    if parsed is None:
        return
    for bound in parsed.bindings.get(name, []):
        if thing := _follow(parsed, bound, hops - 1):
            yield thing
    for star in parsed.stars:
        if name in exported(star) and (thing := resolve(star, name, hops - 1)):
            yield thing
    if parsed.is_package and name in (parsed.exports or ()) and name not in parsed.bindings:
        # Packages that import on demand: the name is defined in one of their modules.
        for inner in filter(None, map(source, submodules(module))):
            for bound in inner.bindings.get(name, []):
                if isinstance(bound, Definition):
                    yield Defined(inner, bound)


def _follow(module: Source, bound: object, hops: int) -> Thing | None:
    match bound:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return Defined(module, bound)
        case Imported(module=origin, attribute=str() as attribute):
            return resolve(origin, attribute, hops)
        case ast.Name(id=name):
            return resolve(module.name, name, hops)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return _attribute(module, owner, name, hops)
    return None


def _attribute(module: Source, owner: str, name: str, hops: int) -> Thing | None:
    """`owner.name`, where the owner is a module, a class, or an instance made as `owner = Class(...)`."""
    for bound in module.bindings.get(owner, []):
        match bound:
            case Imported(module=origin, attribute=attribute):
                inner = origin if attribute is None else f"{origin}.{attribute}"
                found = resolve(inner, name, hops)
            case ast.Call(func=ast.Name(id=class_name)):
                instance = resolve(module.name, class_name, hops)
                found = members(instance, inherited=True).get(name) if instance else None
            case ast.ClassDef():
                found = members(Defined(module, bound)).get(name)
            case _:
                found = None
        if found:
            return found
    return None


def bases(thing: Thing) -> list[Thing]:
    """The base classes of a class, so far as they can be found."""
    if isinstance(thing, Compiled):
        return [Compiled(base) for base in getattr(thing.value, "__bases__", ()) if base is not object]
    found = [_follow(thing.module, base, MAX_HOPS) for base in getattr(thing.node, "bases", [])]
    return [base for base in found if base and base.is_class and base.key != thing.key]


def members(thing: Thing, inherited: bool = False) -> dict[str, Thing]:
    """The public methods and properties that a class defines itself, or with `inherited` its bases too."""
    own = _compiled_members(thing) if isinstance(thing, Compiled) else _defined_members(thing)
    if inherited:
        for base in bases(thing):
            own = members(base, inherited=True) | own
    return own


def _compiled_members(thing: Compiled) -> dict[str, Thing]:
    kinds = (
        types.MethodDescriptorType,
        types.ClassMethodDescriptorType,
        types.GetSetDescriptorType,
        types.MemberDescriptorType,
        types.BuiltinFunctionType,
    )
    named = vars(thing.value).items() if isinstance(thing.value, type) else ()
    plain = ((name, value.__func__ if isinstance(value, staticmethod) else value) for name, value in named)
    return {name: Compiled(value) for name, value in plain if not name.startswith("_") and isinstance(value, kinds)}


def _defined_members(thing: Defined) -> dict[str, Thing]:
    found: dict[str, Thing] = {}
    for node in thing.node.body if isinstance(thing.node, ast.ClassDef) else ():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            found.setdefault(node.name, Defined(thing.module, node, thing.node.name))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in found:
            for target in node.targets:
                if isinstance(target, ast.Name) and not target.id.startswith("_"):
                    found.setdefault(target.id, found[node.value.id])
    return found
