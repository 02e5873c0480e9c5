"""A tree that is filled from a checkpoint: `into=`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from cairn import records
from cairn.tree import Path, is_container, segment_of

Fill = Callable[[Any, Path], Any]


def leaves(node: Any) -> dict[Path, Any]:
    """The leaves of a tree by path, in its order; an empty container is one."""
    found: dict[Path, Any] = {}
    _collect(node, (), found)
    return found


def _collect(node: Any, path: Path, found: dict[Path, Any]) -> None:
    below = children(node)
    if not below:
        found[path] = node
        return
    for segment, child in below.items():
        _collect(child, (*path, segment), found)


def children(node: Any) -> Mapping[Any, Any]:
    """The children by segment; nothing for a leaf, for what is empty, and for a dict that is a value by its keys."""
    if isinstance(node, enum.Enum) or not is_container(node):
        return {}
    if records.is_record(node):
        return records.fields_of(node)
    if isinstance(node, Mapping):
        return {} if any(segment_of(key) is None for key in node) else {segment_of(k): v for k, v in node.items()}
    return dict(enumerate(node))


def replace(node: Any, values: Mapping[Path, Any], path: Path = ()) -> Any:
    """Puts `values` in the place of leaves.

    Dicts, lists and dataclasses are changed in place, and what is tuple, named tuple or frozen is made anew where a
    child has become another object.
    """
    if path in values:
        return values[path]
    below = children(node)
    made = {segment: replace(child, values, (*path, segment)) for segment, child in below.items()}
    changed = {segment: value for segment, value in made.items() if value is not below[segment]}
    if not changed:
        return node
    if records.is_record(node):
        return _changed_record(node, {str(name): value for name, value in changed.items()})
    if isinstance(node, MutableMapping):
        for key in list(node):
            if segment_of(key) in changed:
                node[key] = changed[segment_of(key)]
        return node
    if isinstance(node, Mapping):
        return type(node)({key: made[segment_of(key)] for key in node})  # type: ignore[call-arg]
    if isinstance(node, list):
        for i, value in changed.items():
            node[i] = value
        return node
    return type(node)(made[i] for i in range(len(made)))


def _changed_record(node: Any, changed: dict[str, Any]) -> Any:
    if isinstance(node, tuple):
        return records.replaced(node, changed)
    try:
        for name, value in changed.items():
            setattr(node, name, value)
    except AttributeError:  # Frozen: dataclasses.FrozenInstanceError is one.
        return records.replaced(node, changed)
    return node
