"""A tree from the entries of a checkpoint, or from some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cairn import _native, records
from cairn.tree import Path

_NOTHING: Final = object()


@dataclass(slots=True)
class _Node:
    leaf: Any = _NOTHING
    mark: _native.Children | None = None
    children: dict[str | int, _Node] = field(default_factory=dict)


def build(leaves: Mapping[Path, Any], marks: Mapping[Path, _native.Children], types: Mapping[Path, type]) -> Any:
    """The tree with those leaves.

    A list or tuple of which some items are left out is none any more: it becomes a dict by position. So does a named
    tuple or dataclass become a dict by field, if its class is not among `types`.

    :param marks: which paths are lists and tuples, those without a leaf below them included.
    :raises InvalidArgumentError: if a class in `types` does not take the fields that there are.
    """
    root = _Node()
    for path, leaf in leaves.items():
        node = root
        for depth, segment in enumerate(path):
            node.mark = marks.get(path[:depth])
            node = node.children.setdefault(segment, _Node())
        node.leaf = leaf
    return _tree(root, (), types)


def _tree(node: _Node, path: Path, types: Mapping[Path, type]) -> Any:
    kind = types.get(path)
    if not node.children:
        if node.leaf is _NOTHING:
            node.leaf = {}
        if kind is not None and isinstance(node.leaf, dict) and not node.leaf:
            return records.make(kind, {}, _native.format_path(path))
        return node.leaf
    children = {segment: _tree(child, (*path, segment), types) for segment, child in node.children.items()}
    if kind is not None:
        return records.make(kind, {str(name): value for name, value in children.items()}, _native.format_path(path))
    if node.mark is not None and children.keys() == set(range(node.mark.length)):
        items = [children[i] for i in range(node.mark.length)]
        return tuple(items) if node.mark.kind == "tuple" else items
    return children
