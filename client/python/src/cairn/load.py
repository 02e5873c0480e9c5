"""Loading: which entries are wanted, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cairn import _native, dtypes, records
from cairn.build import build
from cairn.errors import InvalidArgumentError, NotFoundError, naming
from cairn.fetch import Job, fetch
from cairn.into import plan_into
from cairn.progress import ProgressCallback
from cairn.sinks import Box, Framework, new_sink
from cairn.template import replace
from cairn.tree import ROOT_LEAF, Path

if TYPE_CHECKING:
    from cairn.client import Client

BoxLike: TypeAlias = slice | tuple[Any, ...] | list[slice]
"""Slices of step 1, one for each dimension: ``np.s_[0:2, :]``. Those at the end may be left out."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """The arguments of :meth:`Client.load`, checked for themselves."""

    ref: str
    select: Sequence[str]
    dtype: str | None
    match: bool
    boxes: Mapping[Path, BoxLike]
    types: Mapping[str, type]
    framework: Framework
    device: Any
    strict: bool
    streams: int
    have: str | None
    """What `into` holds."""


@dataclass(frozen=True, slots=True)
class Index:
    """What a checkpoint holds, and what of it is wanted. Assets are no part of it."""

    checkpoint: _native.Checkpoint
    entries: Mapping[Path, _native.Entry]
    chosen: set[Path]
    recorded: Mapping[Path, str]
    """What is known of the classes of dicts, and of the root (cairn.records)."""

    @property
    def is_one_leaf(self) -> bool:
        """The tree that was saved is a leaf, which stands at ROOT_LEAF."""
        return records.is_one_leaf(self.recorded) and set(self.entries) == self.chosen == {ROOT_LEAF}

    @property
    def pinned(self) -> str:
        return f"uid:{self.checkpoint.uid}"

    def tensor(self, path: Path) -> _native.Entry:
        """The tensor at a path, through an alias."""
        entry = self.entries[path]
        return entry if entry.target is None else self.entries[entry.target]


def fetch_index(client: Client, ref: str, select: Sequence[str]) -> Index:
    """Three calls at most, and no bytes of tensors."""
    checkpoint = client.native.get_checkpoint(ref)
    pinned = f"uid:{checkpoint.uid}"
    entries = {e.path: e for e in client.native.list_entries(pinned) if e.kind != "asset"}
    chosen = set(entries)
    if select:
        with naming(pinned, checkpoint.ref):
            chosen = {e.path for e in client.native.list_entries(pinned, select=select) if e.kind != "asset"}
            _check_patterns(client, checkpoint, select)
    return Index(checkpoint, entries, chosen, records.decode(checkpoint.metadata))


def _check_patterns(client: Client, checkpoint: _native.Checkpoint, select: Sequence[str]) -> None:
    """A pattern that matches nothing is almost always a typing error."""
    for pattern in select:
        if not pattern.startswith("!") and not client.native.list_entries(f"uid:{checkpoint.uid}", select=[pattern]):
            raise NotFoundError(
                f'{checkpoint.ref}: nothing matches "{pattern}"; show("{checkpoint.ref}") lists the key paths',
                metadata={"ref": checkpoint.ref, "path": pattern},
            )


def load(client: Client, request: LoadRequest, into: Any, has_into: bool, progress: ProgressCallback | None) -> Any:
    """A new tree, or `into` filled."""
    index = fetch_index(client, request.ref, request.select)
    with naming(index.pinned, index.checkpoint.ref):
        return _load(client, index, request, into, has_into, progress)


def _load(
    client: Client, index: Index, request: LoadRequest, into: Any, has_into: bool, progress: ProgressCallback | None
) -> Any:
    if has_into:
        tree = {ROOT_LEAF[0]: into} if index.is_one_leaf else into
        plan = plan_into(index, tree, request.dtype, request.match, request.strict)
        jobs = [Job(t.entry.path, t.dtype, t.shape, t.cast, t.sink) for t in plan.tensors]
        have = ""
        if request.have is not None:
            # Once and for all: of several streams each would ask what the ref means.
            have = f"uid:{client.native.get_checkpoint(request.have).uid}"
            for job, tensor in zip(jobs, plan.tensors, strict=True):
                job.holds = tensor.sink.keep()
        fetch(client, index.pinned, jobs, request.streams, progress, have)
        values = dict(plan.values)
        for path, sink, number in plan.numbers:
            (memory,) = sink.open(sink.dtype, (), _native.format_path(path))
            np.copyto(memory, dtypes.byte_view(number))
            values[path] = sink.close()
        for job, tensor in zip(jobs, plan.tensors, strict=True):
            values.update(dict.fromkeys(tensor.paths, job.result))
        filled = replace(tree, values)
        return filled[ROOT_LEAF[0]] if index.is_one_leaf else filled
    return _load_new(client, index, request, progress)


def _load_new(client: Client, index: Index, request: LoadRequest, progress: ProgressCallback | None) -> Any:
    boxes = {path: _resolve_box(index, path, box) for path, box in request.boxes.items()}
    jobs: dict[tuple[Path, Box | None], Job] = {}
    leaves: dict[Path, Any] = {}
    wanted: dict[Path, Job] = {}
    for path, entry in index.entries.items():
        if path not in index.chosen:
            continue
        if entry.kind == "value":
            if not isinstance(entry.value, _native.Children):
                leaves[path] = entry.value
            continue
        tensor = index.tensor(path)
        if tensor.kind == "value":
            leaves[path] = tensor.value
            continue
        job_key = (tensor.path, boxes.get(path))
        if job_key not in jobs:
            dtype, cast = arriving(tensor, request.dtype)
            sink = new_sink(request.framework, request.device, boxes.get(path))()
            jobs[job_key] = Job(tensor.path, dtype, tensor.shape or (), cast, sink)
        wanted[path] = jobs[job_key]
        leaves[path] = None  # Holds the place in the order of the checkpoint.
    fetch(client, index.pinned, list(jobs.values()), request.streams, progress)
    for path, job in wanted.items():
        leaves[path] = job.result
    marks = {p: e.value for p, e in index.entries.items() if isinstance(e.value, _native.Children)}
    root = records.root_mark(index.recorded)
    if root is not None:
        marks[()] = root
    tree = build(leaves, marks, _types(index, request.types))
    return tree[ROOT_LEAF[0]] if index.is_one_leaf else tree


def arriving(entry: _native.Entry, wanted: str | None) -> tuple[str, str | None]:
    """The dtype that a tensor arrives in, and the cast that has to be asked for."""
    assert entry.dtype is not None
    if wanted is None or wanted == entry.dtype or not dtypes.is_float(entry.dtype):
        return entry.dtype, None
    return wanted, wanted


def _types(index: Index, known: Mapping[str, type]) -> dict[Path, type]:
    """Which class each path is of, as far as the caller has given it and nothing below the path is left out."""
    if not known:
        return {}
    left_out = [path for path in index.entries if path not in index.chosen]
    found = {}
    for path, kind in index.recorded.items():
        cls = records.find(kind, known)
        if cls is not None and not any(other[: len(path)] == path for other in left_out):
            found[path] = cls
    return found


def _resolve_box(index: Index, path: Path, box: BoxLike) -> Box:
    shown = _native.format_path(path)
    if path not in index.entries or index.tensor(path).kind != "tensor":
        raise NotFoundError(f'{index.checkpoint.ref}: boxes: no tensor "{shown}"', metadata={"path": shown})
    if path not in index.chosen:
        raise InvalidArgumentError(f'boxes: "{shown}" is not among what select chooses')
    shape = index.tensor(path).shape or ()
    slices = tuple(box) if isinstance(box, (tuple, list)) else (box,)
    if Ellipsis in slices:
        at = slices.index(Ellipsis)
        slices = slices[:at] + (slice(None),) * (len(shape) - len(slices) + 1) + slices[at + 1 :]
    if len(slices) > len(shape) or not all(isinstance(s, slice) and s.step in (None, 1) for s in slices):
        raise InvalidArgumentError(
            f'boxes: "{shown}" has shape {shape}; expected at most {len(shape)} slices of step 1, found {box!r}'
        )
    slices += (slice(None),) * (len(shape) - len(slices))
    for s, n in zip(slices, shape, strict=True):
        bounds = [bound for bound in (s.start, s.stop) if bound is not None]
        if not all(hasattr(bound, "__index__") and -n <= bound <= n for bound in bounds):
            raise InvalidArgumentError(
                f'boxes: "{shown}" has shape {shape}; {s.start}:{s.stop} does not lie within {n}', metadata={"path": shown}
            )
    ranges = [range(*s.indices(n)) for s, n in zip(slices, shape, strict=True)]
    return tuple(r.start for r in ranges), tuple(len(r) for r in ranges)
