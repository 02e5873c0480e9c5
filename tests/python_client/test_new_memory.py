"""The memory of new arrays: large enough for huge pages, handed over without a copy, and given back."""

import gc
import weakref

import ml_dtypes
import numpy as np
import pytest

from cairn import _native, errors

MIB = 1 << 20
ROWS = 5 * MIB // 8
"""Of a tensor of 20 MiB, so that its pages are made ready ahead of the bytes."""


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.fixture(scope="module")
def ref(server):
    rng = np.random.default_rng(11)
    tree = {
        "large": rng.integers(0, 1 << 32, (ROWS, 8), np.uint32).view(np.float32),
        "half": rng.integers(0, 1 << 16, (9 * MIB, 1), np.uint16).view(ml_dtypes.bfloat16),
        "quarter": rng.integers(0, 256, (3, 3 * MIB), np.uint8).view(ml_dtypes.float8_e4m3fn),
        "scalar": np.float32(3.5).reshape(()),
        "empty": np.empty((0, 4), np.float32),
        "odd": np.arange(4 * MIB + 1, dtype=np.uint8),
    }
    with server.client() as client:
        client.save("tests/new_memory@1", tree, overwrite=True)
    return "tests/new_memory@1", tree


def as_bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


@pytest.mark.parametrize("streams", [1, 3])
def test_new_arrays_of_every_size_come_back_bit_for_bit(client, ref, streams):
    name, tree = ref
    back = client.load(name, streams=streams)
    for path, sent in tree.items():
        assert back[path].dtype == sent.dtype and back[path].shape == sent.shape, path
        assert np.array_equal(as_bytes(back[path]), as_bytes(sent)), path
        assert back[path].flags.writeable and back[path].flags.c_contiguous


def test_boxes_selection_and_casts_of_large_tensors(client, ref):
    name, tree = ref
    back = client.load(name, select=["large", "half"], boxes={"large": np.s_[1000 : ROWS - 7]})
    assert set(back) == {"large", "half"}
    assert np.array_equal(back["large"].view(np.uint32), tree["large"][1000 : ROWS - 7].view(np.uint32))
    wide = client.load(name, select="half", dtype="float32")["half"]
    expected = tree["half"].astype(np.float32)
    assert wide.dtype == np.float32
    assert np.array_equal(np.nan_to_num(wide, nan=7.0), np.nan_to_num(expected, nan=7.0))


def test_memory_that_is_there_is_filled_where_it_is(client, ref):
    name, tree = ref
    mine = np.empty_like(tree["large"])
    assert client.load(name, select="large", into={"large": mine})["large"] is mine
    assert np.array_equal(mine.view(np.uint32), tree["large"].view(np.uint32))


def test_what_was_loaded_is_given_back_when_it_dies(client, ref):
    name, _ = ref
    client.load(name, select="large")
    gc.collect()
    before = resident()
    for _ in range(4):
        back = client.load(name, select="large")
        gone = weakref.ref(back["large"])
        del back
        gc.collect()
        assert gone() is None
    # One copy more would be 20 MiB.
    assert resident() - before < 15 * MIB


@pytest.mark.parametrize("streams", [1, 2])
def test_torch_tensors(client, ref, streams):
    torch = pytest.importorskip("torch")
    name, tree = ref
    back = client.load(name, framework="torch", streams=streams)
    for path, sent in tree.items():
        assert tuple(back[path].shape) == sent.shape, path
        assert np.array_equal(back[path].reshape(-1).view(torch.uint8).numpy(), as_bytes(sent)), path
    assert back["half"].dtype == torch.bfloat16 and back["quarter"].dtype == torch.float8_e4m3fn


def test_the_storage_of_torch_tensors_can_be_resized_after_a_save_and_a_load(client, ref):
    torch = pytest.importorskip("torch")
    name, _ = ref
    loaded = client.load(name, select="large", framework="torch")["large"]
    filled = torch.zeros_like(loaded)
    client.load(name, select="large", into={"large": filled})
    saved = torch.ones(1000, 1000)
    client.save("tests/new_memory_torch@1", {"x": saved}, overwrite=True)
    for tensor in (loaded, filled, saved):
        # Fully sharded training frees the storage of parameters, and makes it again.
        tensor.untyped_storage().resize_(0)


def test_jax_arrays_take_the_memory_over(client, ref):
    jax = pytest.importorskip("jax")
    from cairn.jax_sinks import NewJax

    name, tree = ref
    back = client.load(name, framework="jax", device=jax.devices("cpu")[0])
    for path, sent in tree.items():
        assert back[path].shape == sent.shape and back[path].dtype == sent.dtype, path
        assert np.array_equal(as_bytes(np.asarray(back[path])), as_bytes(sent)), path
    for shape in [(4 * MIB,), (3, 5), (), (0, 2)]:
        sink = NewJax(jax.devices("cpu")[0], None)
        (memory,) = sink.open("float32", shape, "x")
        memory[:] = 1
        address = memory.ctypes.data
        del memory
        array = sink.close()
        gc.collect()
        assert np.asarray(array).tobytes() == b"\1" * array.nbytes
        if array.size:
            assert array.unsafe_buffer_pointer() == address


def test_advice_about_huge_pages_changes_no_byte():
    memory = np.arange(6 * MIB, dtype=np.uint8)
    expected = memory.copy()
    _native.advise_huge_pages(memory)
    _native.advise_huge_pages(memory[1:])
    _native.advise_huge_pages(np.empty(0, np.uint8))
    assert np.array_equal(memory, expected)
    with pytest.raises(errors.InvalidArgumentError, match="advise_huge_pages"):
        _native.advise_huge_pages(b"read only")
