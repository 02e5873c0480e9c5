"""Named tuples and dataclasses: their fields are entries, their names are data, and no name is ever imported.

In a tree such an object looks like a dict of its fields. Which class it was is recorded beside the tree, in the
metadata of the checkpoint, as ``{"dataclass my.module:State": ["path", ...]}``. Only classes that the caller hands
in are made.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from cairn import _native
from cairn.errors import InvalidArgumentError

Path: TypeAlias = tuple[str | int, ...]

METADATA_KEY = "cairn.python.types"
_MOST_BYTES = 48 << 10  # The daemon takes 64 KiB of metadata in all.

Types: TypeAlias = Iterable[type] | Mapping[str, type]


def is_record(node: Any) -> bool:
    """A named tuple or an instance of a dataclass."""
    if isinstance(node, tuple):
        return hasattr(node, "_fields")
    return dataclasses.is_dataclass(node) and not isinstance(node, type)


def fields_of(node: Any) -> dict[str, Any]:
    """The fields that are data, by name.

    Not so those that JAX and Flax call static (``pytree_node=False``, ``static=True``): functions, optimizers.
    """
    if isinstance(node, tuple):
        names: Iterable[str] = node._fields  # type: ignore[attr-defined]
    else:
        names = data_fields(type(node))
    return {name: getattr(node, name) for name in names if hasattr(node, name)}


def data_fields(kind: type) -> list[str]:
    """Names of the fields of a named tuple or dataclass that are saved."""
    if issubclass(kind, tuple):
        return list(kind._fields)  # type: ignore[attr-defined]
    return [
        f.name
        for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        if f.metadata.get("pytree_node", True) and not f.metadata.get("static", False)
    ]


def name_of(kind: type) -> str:
    """``module:qualified.name``."""
    return f"{kind.__module__}:{kind.__qualname__}"


def describe(node: Any) -> str:
    """What is recorded of an object: its kind, and the name of its class."""
    return f"{'namedtuple' if isinstance(node, tuple) else 'dataclass'} {name_of(type(node))}"


def encode(found: Mapping[Path, str]) -> dict[str, str]:
    """The metadata for the classes at some paths; empty if there are none."""
    if not found:
        return {}
    by_class: dict[str, list[str]] = {}
    for path, kind in found.items():
        by_class.setdefault(kind, []).append(_native.format_path(path))
    text = json.dumps(by_class, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > _MOST_BYTES:
        raise InvalidArgumentError(
            f"the names and paths of {len(found)} named tuples and dataclasses take {len(text.encode())} bytes, and "
            f"{_MOST_BYTES} are the limit; make plain dicts of them (dataclasses.asdict, ._asdict())"
        )
    return {METADATA_KEY: text}


def decode(metadata: Mapping[str, str]) -> dict[Path, str]:
    """The classes by path. What is damaged or from elsewhere counts as nothing: then dicts come back."""
    try:
        by_class = json.loads(metadata.get(METADATA_KEY, "{}"))
        return {_native.parse_path(shown): str(kind) for kind, paths in by_class.items() for shown in paths}
    except (ValueError, TypeError, AttributeError):
        return {}


def root_mark(found: Mapping[Path, str]) -> _native.Children | None:
    """The mark of a tree that is a list or tuple."""
    kind, _, length = found.get((), "").partition(" ")
    if not (length.isascii() and length.isdecimal() and 0 < int(length) < 1 << 32):
        return None
    if kind == "list":
        return _native.Children("list", int(length))
    return _native.Children("tuple", int(length)) if kind == "tuple" else None


def is_one_leaf(found: Mapping[Path, str]) -> bool:
    """The tree is a single leaf."""
    return found.get(()) == "leaf"


def lookup(types: Types) -> dict[str, type]:
    """The classes that the caller hands in, by the name that a checkpoint knows them under.

    :raises InvalidArgumentError: for what is no named tuple and no dataclass.
    """
    known = dict(types) if isinstance(types, Mapping) else {name_of(kind): kind for kind in types}
    for name, kind in known.items():
        if not (dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))):
            raise InvalidArgumentError(f"types: {name} is no named tuple and no dataclass")
    return known


def find(kind: str, known: Mapping[str, type]) -> type | None:
    """The class for a record. A class that has moved to another module is found by its bare name, if only one has
    it."""
    what, _, name = kind.partition(" ")
    if what not in ("dataclass", "namedtuple"):
        return None
    if name in known:
        return known[name]
    bare = name.partition(":")[2]
    same = {id(cls): cls for known_as, cls in known.items() if known_as.partition(":")[2] == bare}
    return next(iter(same.values())) if len(same) == 1 else None


def make(kind: type, fields: dict[str, Any], path: str) -> Any:
    """An object of a class that the caller gave.

    :raises InvalidArgumentError: if its fields are not those of the class.
    """
    unknown = sorted(set(fields) - set(data_fields(kind)))
    if unknown:
        raise InvalidArgumentError(f'"{path}": {name_of(kind)} has no field {", ".join(unknown)}')
    try:
        if issubclass(kind, tuple):
            return kind(**fields)
        given = {f.name for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
        made = kind(**{name: value for name, value in fields.items() if name in given})
    except TypeError as error:
        raise InvalidArgumentError(
            f'"{path}": cannot make a {name_of(kind)}: {error}; fields that are not saved need defaults, or give a '
            "whole object in into="
        ) from None
    # Also those that were given: __post_init__ may have changed them a second time. Not what it made something else of.
    for name, value in fields.items():
        if name not in given or type(getattr(made, name, None)) is type(value):
            object.__setattr__(made, name, value)
    return made


def replaced(node: Any, fields: dict[str, Any]) -> Any:
    """A copy with other values in some fields; the rest, static fields included, as it was."""
    if isinstance(node, tuple):
        return node._replace(**fields)  # type: ignore[attr-defined]
    made = copy.copy(node)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made
