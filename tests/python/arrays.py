"""NumPy arrays to be converted, and whether they are the same afterwards."""

import numpy as np

SHAPES = [(), (0,), (1,), (3, 5), (4, 0, 2), (2, 3, 4, 5)]


def array(dtype, shape, seed=0):
    """Every bit pattern is allowed, NaNs included: equality is that of bytes."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    data = np.random.default_rng(seed).integers(0, 2 if dtype == bool else 256, size, dtype=np.uint8)
    return data.view(dtype).reshape(shape) if size else np.zeros(shape, dtype)


def same(a, b):
    """Of two states by name: the same names, and for each the same dtype, shape and bytes."""
    assert a.keys() == b.keys(), (sorted(a), sorted(b))
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name
