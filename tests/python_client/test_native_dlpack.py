"""The extension: memory of other frameworks, of any dtype, by DLPack."""

import gc
import weakref

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch

from cairn import _native, errors


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "complex64", "complex128", "bool"]
)
def test_torch_memory_of_every_common_dtype_is_borrowed(dtype):
    tensor = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    memory = _native.DlpackMemory(tensor.__dlpack__())
    assert (memory.dtype, memory.shape, memory.strides, memory.device) == (dtype, (2, 3), (3, 1), (1, 0))
    assert memory.contiguous and memory.host and not memory.readonly
    view = memoryview(memory)
    assert view.nbytes == tensor.nbytes
    np.frombuffer(view, np.uint8)[:] = 0
    assert not tensor.any()


def test_jax_memory_is_borrowed_bfloat16_included():
    array = jnp.arange(4, dtype=jnp.bfloat16)
    memory = _native.DlpackMemory(array.__dlpack__())
    assert memory.dtype == "bfloat16" and np.frombuffer(memory, ml_dtypes.bfloat16).tolist() == [0, 1, 2, 3]


def test_numpy_memory_of_both_versions_of_the_protocol():
    array = np.arange(3, dtype=np.int16)
    assert bytes(_native.DlpackMemory(array.__dlpack__())) == array.tobytes()
    assert bytes(_native.DlpackMemory(array.__dlpack__(max_version=(1, 0)))) == array.tobytes()
    array.flags.writeable = False
    memory = _native.DlpackMemory(array.__dlpack__(max_version=(1, 0)))
    assert memory.readonly and memoryview(memory).readonly


def test_the_owner_is_kept_as_long_as_somebody_looks():
    class Owner(np.ndarray):
        pass

    array = np.arange(3).view(Owner)
    gone = weakref.ref(array)
    memory = _native.DlpackMemory(array.__dlpack__())
    del array
    view = memoryview(memory)
    del memory
    gc.collect()
    assert gone() is not None and view.nbytes == 24
    view.release()
    gc.collect()
    assert gone() is None


def test_what_is_not_contiguous_says_so():
    memory = _native.DlpackMemory(torch.zeros(3, 2).T.__dlpack__())
    assert memory.shape == (2, 3) and memory.strides == (1, 2) and not memory.contiguous
    with pytest.raises(BufferError, match="C order"):
        memoryview(memory)


def test_no_elements_are_memory_too():
    assert memoryview(_native.DlpackMemory(torch.zeros(0, 3).__dlpack__())).nbytes == 0


def test_a_capsule_is_used_once():
    capsule = torch.zeros(2).__dlpack__()
    _native.DlpackMemory(capsule)
    with pytest.raises(errors.InvalidArgumentError, match="unused DLPack capsule"):
        _native.DlpackMemory(capsule)
    with pytest.raises(errors.InvalidArgumentError, match="unused DLPack capsule"):
        _native.DlpackMemory(5)


def test_it_can_be_saved(native, name):
    saved = torch.arange(10, dtype=torch.bfloat16)
    writer = native.save(name, 1)
    writer.put_tensor(("w",), "bfloat16", (10,), _native.DlpackMemory(saved.__dlpack__()))
    writer.commit()
    out = torch.empty(10, dtype=torch.bfloat16)
    stream = native.load(name)
    stream.next()
    stream.read_into(_native.DlpackMemory(out.__dlpack__()))
    assert torch.equal(out, saved)
