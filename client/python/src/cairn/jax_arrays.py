"""JAX arrays as sources. Imported only where jax is imported already, or asked for."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from cairn import dtypes
from cairn.arrays import Part, Source, numpy_part
from cairn.errors import InvalidArgumentError

Box = tuple[tuple[int, ...], tuple[int, ...]]


def describe(array: Any, path: str) -> Source:
    """How to save a ``jax.Array``: what this process holds of it, every element by one process.

    An array that lies on several devices is saved as boxes of the whole, those with replica number 0.
    """
    problem = _problem(array)
    if problem is not None:
        raise InvalidArgumentError(f'"{path}": {problem}', metadata={"path": path})
    name = dtypes.of_numpy(np.dtype(array.dtype))
    if name is None:
        raise InvalidArgumentError(f'"{path}": an array of dtype {array.dtype}, which Cairn lacks')
    shape = tuple(int(n) for n in array.shape)
    identity = ("object", id(array)) if array.size else None
    if array.is_fully_addressable and (array.is_fully_replicated or len(array.addressable_shards) == 1):
        data = array.addressable_shards[0].data
        return Source(name, shape, (_part(data),), identity)
    parts = []
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            offset, extent = box_of(shard.index, shape)
            parts.append(_part(shard.data, offset, extent))
    return Source(name, shape, tuple(parts), identity, replicated=array.is_fully_addressable)


def box_of(index: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """Offset and extent of what a tuple of slices takes."""
    ranges = [range(*s.indices(n)) for s, n in zip(index, shape, strict=True)]
    return tuple(r.start for r in ranges), tuple(len(r) for r in ranges)


def _problem(array: Any) -> str | None:
    jax = importlib.import_module("jax")
    if isinstance(array, jax.core.Tracer):
        return "a traced value: save outside of jit"
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        return f"an array of {array.dtype}; for random keys save jax.random.key_data(key)"
    if array.is_deleted():
        return "an array that was deleted or donated"
    return None


def _part(data: Any, offset: tuple[int, ...] | None = None, extent: tuple[int, ...] | None = None) -> Part:
    # On the host np.asarray borrows; from an accelerator it copies, which waits for this array's turn.
    if all(device.platform == "cpu" for device in data.devices()):
        return numpy_part(np.asarray(data), offset, extent)
    return Part(functools.partial(_to_host, data), offset, extent)


def _to_host(data: Any) -> Any:
    return dtypes.byte_view(np.ascontiguousarray(np.asarray(data)))
