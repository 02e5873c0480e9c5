"""Trees as entries, and entries as trees.

| in the tree | in the checkpoint |
|---|---|
| dict (any mapping) | what paths mean: a string segment per key, an int segment for an int key |
| list, tuple | int segments below a mark of its kind and length |
| list, tuple of plain values alone | one value |
| named tuple, dataclass | as a dict of its fields; the class in the metadata |
| empty dict, list, tuple | a value |
| dict with other keys | one value, if there is no array in it; otherwise refused |
| array | tensor; the same memory a second time: an alias |
| None, bool, int, float, complex, str, bytes, Opaque | value |

No entry stands at the root itself. So the kind of a list or tuple there is recorded beside the classes; and a tree
that is one leaf stands at the path ``value``, which is recorded too.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from cairn import _native, arrays, records
from cairn.errors import InvalidArgumentError

Path: TypeAlias = tuple[str | int, ...]

PLAIN = (type(None), bool, int, float, complex, str, bytes, _native.Opaque)
_MOST_VALUE_BYTES = 900 << 10  # What travels in the header of a message, which has 1 MiB.
_MOST_SEQUENCE_BYTES = 64 << 10
_MOST_DEPTH = 60
_MOST_SEGMENTS = 64
_MOST_PATH_BYTES = 4096
_MOST_DIMENSIONS = 32
_MOST_INT_BITS = 1_000_000  # Its decimal digits are made in quadratic time: a second.


@dataclass(frozen=True, slots=True)
class Tensor:
    path: Path
    source: arrays.Source


@dataclass(frozen=True, slots=True)
class Value:
    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Alias:
    path: Path
    target: Path


Item: TypeAlias = Tensor | Value | Alias


class Elsewhere(enum.Enum):
    """The type of :data:`ELSEWHERE`."""

    ELSEWHERE = "elsewhere"

    def __repr__(self) -> str:
        return "cairn.ELSEWHERE"


ROOT_LEAF: Path = ("value",)

ELSEWHERE = Elsewhere.ELSEWHERE
"""A leaf that another writer of the same save sends. Keeps the place in a list or tuple."""


@dataclass(slots=True)
class Flat:
    """A tree as what is sent."""

    items: list[Item] = field(default_factory=list)
    types: dict[Path, str] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return sum(item.source.nbytes for item in self.items if isinstance(item, Tensor))


def flatten(tree: Any) -> Flat:
    """The entries of a tree, in its order.

    :raises InvalidArgumentError: for what cannot be saved, with the key path. Nothing has been read of any array.
    """
    return _Flattener().run(tree)


class _Flattener:
    def __init__(self) -> None:
        self._flat = Flat()
        self._first: dict[Hashable, Path] = {}
        self._open: set[int] = set()
        self._keep: list[Any] = []  # So that no id and no address is used twice while we look.

    def run(self, tree: Any) -> Flat:
        self._visit(tree, ())
        at_root = next((item for item in self._flat.items if item.path == ()), None)
        if at_root is not None:
            self._move_root(at_root)
        return self._flat

    def _move_root(self, item: Item) -> None:
        flat = self._flat
        if isinstance(item, Value) and isinstance(item.value, _native.Children):
            flat.items.remove(item)
            flat.types[()] = f"{item.value.kind} {item.value.length}"
        elif isinstance(item, Value) and isinstance(item.value, dict) and not item.value:
            flat.items.remove(item)
        else:
            flat.items[:] = [replace(item, path=ROOT_LEAF)]
            flat.types[()] = "leaf"

    def _visit(self, node: Any, path: Path) -> None:
        check_path(path)
        if node is ELSEWHERE:
            return
        if isinstance(node, PLAIN) and not isinstance(node, enum.Enum) and not _is_array(node):
            self._value(path, plain(node, path))
            return
        if is_container(node):
            if id(node) in self._open:
                raise InvalidArgumentError(f"{_at(path)}: the tree contains itself")
            self._open.add(id(node))
            self._container(node, path)
            self._open.discard(id(node))
            return
        source = arrays.describe(node, _native.format_path(path))
        if source is None:
            raise InvalidArgumentError(
                f"{_at(path)}: {_unsupported(node)}", metadata={"path": _native.format_path(path)}
            )
        if len(source.shape) > _MOST_DIMENSIONS:
            raise InvalidArgumentError(
                f"{_at(path)}: {len(source.shape)} dimensions; expected at most {_MOST_DIMENSIONS}",
                metadata={"path": _native.format_path(path)},
            )
        self._keep.append(node)
        if source.identity is not None:
            first = self._first.setdefault(source.identity, path)
            if first != path:
                self._flat.items.append(Alias(path, first))
                return
        self._flat.items.append(Tensor(path, source))

    def _container(self, node: Any, path: Path) -> None:
        if records.is_record(node):
            self._flat.types[path] = records.describe(node)
            self._mapping(records.fields_of(node), path)
        elif isinstance(node, Mapping):
            self._mapping(node, path)
        else:
            self._sequence(node, path)

    def _mapping(self, node: Mapping[Any, Any], path: Path) -> None:
        if not node:
            self._value(path, {})
            return
        segments = [segment_of(key) for key in node]
        if None in segments:
            odd = next(key for key in node if segment_of(key) is None)
            try:
                whole = plain(node, path)
            except InvalidArgumentError as error:
                raise InvalidArgumentError(
                    f"{_at(path)}: the key {odd!r} is neither str nor int; a dict with such keys is kept as one value, "
                    f"which cannot be, because of {error.message}"
                ) from None
            self._value(path, whole)
            return
        for segment, child in zip(segments, node.values(), strict=True):
            assert segment is not None
            self._visit(child, (*path, segment))

    def _sequence(self, node: Any, path: Path) -> None:
        kind = "tuple" if isinstance(node, tuple) else "list"
        scalars = all(isinstance(x, PLAIN) and not isinstance(x, enum.Enum) and not _is_array(x) for x in node)
        if scalars and _text_bytes(node) <= _MOST_SEQUENCE_BYTES:
            items = [plain(child, (*path, i)) for i, child in enumerate(node)]
            self._value(path, tuple(items) if kind == "tuple" else items)
            return
        self._value(path, _native.Children("tuple" if kind == "tuple" else "list", len(node)))
        for i, child in enumerate(node):
            self._visit(child, (*path, i))

    def _value(self, path: Path, value: Any) -> None:
        self._flat.items.append(Value(path, value))


def check_path(path: Path) -> None:
    """What the daemon would refuse later.

    :raises InvalidArgumentError: for a key path that is too deep or too long.
    """
    if len(path) > _MOST_SEGMENTS:
        raise InvalidArgumentError(f'"{_short(path)}": nested deeper than {_MOST_SEGMENTS}')
    longest = sum(4 * len(segment) + 3 if isinstance(segment, str) else 23 for segment in path)
    if longest > _MOST_PATH_BYTES and (size := len(_native.format_path(path).encode())) > _MOST_PATH_BYTES:
        raise InvalidArgumentError(
            f'"{_short(path)}": a key path of {size} bytes; expected at most {_MOST_PATH_BYTES}'
        )


def _short(path: Path) -> str:
    shown = _native.format_path(path)
    return shown if len(shown) <= 64 else f"{shown[:64]}..."


def is_container(node: Any) -> bool:
    """A node of a tree, as opposed to a leaf."""
    if isinstance(node, (list, tuple, Mapping)):
        return True
    return records.is_record(node) and not _is_array(node) and not isinstance(node, arrays.Shard)


def plain(node: Any, path: Path, depth: int = 0) -> Any:
    """A plain value, or a container of nothing else, with subclasses made what they are below.

    :raises InvalidArgumentError: for anything that is no plain value.
    """
    if _is_array(node) or isinstance(node, enum.Enum):
        raise InvalidArgumentError(f"{_at(path)}: {_unsupported(node)}")
    if isinstance(node, PLAIN):
        return _plain_leaf(node, path)
    if depth >= _MOST_DEPTH:
        raise InvalidArgumentError(f"{_at(path)}: nested deeper than {_MOST_DEPTH}")
    if isinstance(node, Mapping):
        return {plain(key, path, depth + 1): plain(value, path, depth + 1) for key, value in node.items()}
    if isinstance(node, (list, tuple)) and not records.is_record(node):
        items = [plain(child, path, depth + 1) for child in node]
        return tuple(items) if isinstance(node, tuple) else items
    raise InvalidArgumentError(f"{_at(path)}: {_unsupported(node)}")


def _plain_leaf(node: Any, path: Path) -> Any:
    kinds: tuple[Any, ...] = (bool, int, float, complex, str, bytes)
    for kind in kinds:
        if not isinstance(node, kind):
            continue
        if isinstance(node, str) and not _is_utf8(node):
            raise InvalidArgumentError(f"{_at(path)}: a str with half a surrogate pair, which is no text")
        if (
            isinstance(node, (str, bytes))
            and len(node if isinstance(node, bytes) else node.encode()) > _MOST_VALUE_BYTES
        ):
            raise InvalidArgumentError(
                f"{_at(path)}: {kind.__name__} of {len(node)}, and a value has at most {_MOST_VALUE_BYTES} bytes; save "
                "it as an asset, or as np.frombuffer(...)"
            )
        if isinstance(node, int) and node.bit_length() > _MOST_INT_BITS:
            raise InvalidArgumentError(
                f"{_at(path)}: an int of {node.bit_length()} bits, and a value has at most {_MOST_INT_BITS}; save it as "
                "np.frombuffer(number.to_bytes(...))"
            )
        return node if type(node) is kind else kind(node)
    if isinstance(node, _native.Opaque):
        if len(node.pickle) > _MOST_VALUE_BYTES:
            raise InvalidArgumentError(
                f"{_at(path)}: {node} is too big for a value, which has at most {_MOST_VALUE_BYTES} bytes; save its "
                "pickle as an asset"
            )
        return node
    return None


def segment_of(key: Any) -> str | int | None:
    """The segment for a key; None if paths have no such segment."""
    if isinstance(key, (bool, enum.Enum)) or _is_array(key):
        return None
    if isinstance(key, str):
        return str(key) if _is_utf8(key) else None
    if isinstance(key, int) and -(1 << 63) <= key < 1 << 63:
        return int(key)
    return None


def _is_array(node: Any) -> bool:
    # np.float64 is a float, np.str_ a str, and torch.Size a tuple: only the first is an array to us.
    return hasattr(node, "__array_interface__") and not isinstance(node, (str, bytes))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text_bytes(items: Iterable[Any]) -> int:
    return sum(
        len(x) + 5 if isinstance(x, (str, bytes)) else len(x.pickle) + 5 if isinstance(x, _native.Opaque) else 17
        for x in items
    )


def _at(path: Path) -> str:
    return f'"{_native.format_path(path)}"' if path else "the tree"


def _unsupported(node: Any) -> str:
    kind = f"{type(node).__module__}.{type(node).__qualname__}"
    if isinstance(node, enum.Enum):
        return f"{kind} is an enumeration, which would come back as something else; save its .value"
    if isinstance(node, (set, frozenset)):
        return f"a {type(node).__name__}, which has no order; save sorted(...) of it"
    if hasattr(node, "state_dict"):
        return f"{kind} is no tree; save its .state_dict()"
    if callable(node):
        return f"{kind} is a function or a class, which is a program and no data; leave it out"
    return (
        f"{kind} is neither an array nor a plain value; expected arrays, dicts, lists, tuples, dataclasses, None, "
        "bool, int, float, complex, str or bytes"
    )
