"""Compares a tree that shall be filled with a checkpoint, before anything is filled."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn import _native, dtypes, records, template
from cairn.errors import TreeMismatchError
from cairn.sinks import FilledSink, as_number, fill_sink, number_sink
from cairn.template import leaves
from cairn.tree import ELSEWHERE, Path, is_container

if TYPE_CHECKING:
    from cairn.load import Index

_MOST_LINES = 20


@dataclass(slots=True)
class PlannedTensor:
    """A tensor, and the leaves of the tree that are it."""

    entry: _native.Entry
    dtype: str
    shape: tuple[int, ...]
    cast: str | None
    sink: FilledSink
    paths: list[Path]


@dataclass(slots=True)
class Plan:
    """What goes where."""

    tensors: list[PlannedTensor] = field(default_factory=list)
    numbers: list[tuple[Path, FilledSink, Any]] = field(default_factory=list)
    """Values that are numbers and go into arrays of no dimensions."""
    values: dict[Path, Any] = field(default_factory=dict)


def plan_into(index: Index, tree: Any, dtype: str | None, match: bool, strict: bool) -> Plan:
    """Where each entry goes.

    :param dtype: what float tensors are cast to.
    :param match: they are cast to what the tree has instead.
    :raises TreeMismatchError: with everything that does not fit.
    """
    return _Planner(index, dtype, match).run(tree, strict)


class _Planner:
    def __init__(self, index: Index, dtype: str | None, match: bool) -> None:
        self._index = index
        self._dtype = dtype
        self._match = match
        self._plan = Plan()
        self._used: set[Path] = set()
        self._missing: list[str] = []
        self._mismatched: list[str] = []
        self._by_memory: dict[Hashable, PlannedTensor] = {}
        self._below: dict[Path, list[tuple[Path, Any]]] = {}
        """Leaves below an entry that is a list, tuple or dict as one value."""

    def run(self, tree: Any, strict: bool) -> Plan:
        for path, leaf in leaves(tree).items():
            self._leaf(path, leaf)
        for holder, below in self._below.items():
            self._replace(holder, below)
        unexpected = [
            _native.format_path(path)
            for path, entry in self._index.entries.items()
            if path in self._index.chosen and path not in self._used and not isinstance(entry.value, _native.Children)
        ]
        if self._mismatched or (strict and (self._missing or unexpected)):
            raise self._error(unexpected, strict)
        return self._plan

    def _leaf(self, path: Path, leaf: Any) -> None:
        entry = self._index.entries.get(path)
        if leaf is ELSEWHERE:
            self._used.add(path)
            return
        if entry is None:
            holder = self._holder(path)
            if holder is not None:
                if holder in self._index.chosen:
                    self._below.setdefault(holder, []).append((path, leaf))
            elif not _is_empty(leaf):
                self._missing.append(_native.format_path(path) or "(the tree itself)")
            return
        if path not in self._index.chosen:
            return
        self._used.add(path)
        shown = _native.format_path(path)
        sink = fill_sink(leaf, shown)
        if isinstance(sink, str):
            self._mismatched.append(f'"{shown}": cannot be filled: {sink}')
        elif entry.kind == "value":
            self._value(path, entry, sink, leaf)
        elif sink is None:
            found = self._index.tensor(path)
            number = number_sink(leaf, found.dtype, shown) if found.dtype is not None and found.shape == () else None
            if number is not None and found.dtype is not None:
                self._plan.tensors.append(PlannedTensor(found, found.dtype, (), None, number, [path]))
                return
            self._mismatched.append(f'"{shown}": expected {_kind(leaf)}, found {_tensor(found.dtype, found.shape)}')
        else:
            self._tensor(path, shown, sink)

    def _replace(self, holder: Path, below: list[tuple[Path, Any]]) -> None:
        """The whole container by the value; but arrays are to be filled, and are no part of a value."""
        self._used.add(holder)
        value = self._index.entries[holder].value
        if not any(_holds_array(leaf, path) for path, leaf in below):
            self._plan.values[holder] = value
            return
        for path, leaf in below:
            item = _item(value, path[len(holder) :])
            sink = fill_sink(leaf, _native.format_path(path))
            number = as_number(item, sink.dtype) if sink is not None and not isinstance(sink, str) and sink.shape == () else None
            if sink is not None and not isinstance(sink, str) and number is not None:
                self._plan.numbers.append((path, sink, number))
            elif _holds_array(leaf, path) or item is _NOTHING:
                self._missing.append(_native.format_path(path))
            else:
                self._plan.values[path] = item

    def _holder(self, path: Path) -> Path | None:
        """The entry above that is a list, tuple or dict as one value."""
        for depth in range(len(path)):
            entry = self._index.entries.get(path[:depth])
            if entry is not None and entry.kind == "value" and isinstance(entry.value, (list, tuple, dict)):
                return path[:depth]
        return None

    def _value(self, path: Path, entry: _native.Entry, sink: FilledSink | None, leaf: Any) -> None:
        shown = _native.format_path(path)
        number = as_number(entry.value, sink.dtype) if sink is not None and sink.shape == () else None
        if sink is not None and number is not None:
            self._plan.numbers.append((path, sink, number))
        elif sink is not None:
            self._mismatched.append(f'"{shown}": expected {_tensor(sink.dtype, sink.shape)}, found a value')
        elif isinstance(entry.value, _native.Children):
            self._mismatched.append(
                f'"{shown}": expected {_kind(leaf)}, found a {entry.value.kind} of {entry.value.length}'
            )
        elif _holds_array(leaf, path):
            self._mismatched.append(f'"{shown}": expected {_kind(leaf)} with arrays in it, found one value')
        elif entry.value or not _is_empty(leaf):
            self._plan.values[path] = entry.value

    def _tensor(self, path: Path, shown: str, sink: FilledSink) -> None:
        entry = self._index.tensor(path)
        if entry.kind == "value" or entry.dtype is None:
            self._value(path, entry, sink, None)
            return
        shape = entry.shape or ()
        is_float = dtypes.is_float(entry.dtype)
        wanted = (sink.dtype if dtypes.is_float(sink.dtype) else None) if self._match else self._dtype
        cast = wanted if wanted is not None and is_float and wanted != entry.dtype else None
        arrives = cast or entry.dtype
        if (sink.dtype, sink.shape) != (arrives, shape):
            note = f", cast to {cast}" if cast else ""
            hint = (
                '; dtype="match" casts floats to what the tree has'
                if sink.shape == shape and is_float and not cast and dtypes.is_float(sink.dtype)
                else ""
            )
            self._mismatched.append(
                f'"{shown}": expected {_tensor(sink.dtype, sink.shape)}, found {_tensor(entry.dtype, entry.shape)}'
                f"{note}{hint}"
            )
            return
        known = self._by_memory.get(sink.identity) if sink.identity is not None else None
        if known is None:
            planned = PlannedTensor(entry, arrives, shape, cast, sink, [path])
            self._plan.tensors.append(planned)
            if sink.identity is not None:
                self._by_memory[sink.identity] = planned
        elif known.entry.path == entry.path or (entry.digest and known.entry.digest == entry.digest):
            # Tied here and there. Memory is filled once; what is made anew takes both places.
            if sink.makes_new:
                known.paths.append(path)
        else:
            self._mismatched.append(
                f'"{shown}": the same memory as "{_native.format_path(known.paths[0])}", but they are two tensors in '
                "the checkpoint"
            )

    def _error(self, unexpected: list[str], strict: bool) -> TreeMismatchError:
        ref = self._index.checkpoint.ref
        lines = [f"{ref} does not fit the tree in into=; nothing was filled"]
        groups = [("does not fit", self._mismatched)]
        if strict:
            groups += [("missing in the checkpoint", self._missing), ("not in the tree", unexpected)]
        for title, found in groups:
            if found:
                more = [f"... and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
                lines.append(f"  {title} ({len(found)}):")
                lines += [f"    {line}" for line in found[:_MOST_LINES] + more]
        if strict and not self._mismatched:
            lines.append("  strict=False takes what there is")
        return TreeMismatchError(
            "\n".join(lines),
            missing=self._missing,
            unexpected=unexpected,
            mismatched=self._mismatched,
            metadata={"ref": ref},
        )


def _is_empty(leaf: Any) -> bool:
    if records.is_record(leaf):
        return not records.fields_of(leaf)
    return is_container(leaf) and len(leaf) == 0


def _holds_array(leaf: Any, path: Path) -> bool:
    """An array, or a container of any that is a leaf by its keys. NumPy's scalars count as numbers."""
    if is_container(leaf):
        children = leaf.values() if isinstance(leaf, Mapping) else template.children(leaf).values()
        return any(_holds_array(child, path) for child in children)
    return not isinstance(leaf, np.generic) and fill_sink(leaf, _native.format_path(path)) is not None


_NOTHING = object()


def _item(value: Any, path: Path) -> Any:
    """What a value has at a path."""
    for segment in path:
        try:
            value = value[segment]
        except (KeyError, IndexError, TypeError):
            return _NOTHING
    return value


def _kind(leaf: Any) -> str:
    return f"a {type(leaf).__name__}"


def _tensor(dtype: str | None, shape: tuple[int, ...] | None) -> str:
    return f"{dtype}[{', '.join(str(n) for n in shape or ())}]"
