"""Arrays of NumPy, and of whatever has the buffer protocol or DLPack."""

import array
import mmap
import weakref

import ml_dtypes
import numpy as np
import pytest

import cairn
from cairn import _native, arrays

ML_NAMES = [n for n in _native.DTYPES if n not in cairn.dtypes.NUMPY_NAMES and not cairn.dtypes.is_packed(n)]


def random_array(name, shape=(3, 5)):
    dtype = cairn.dtypes.to_numpy(name)
    raw = np.random.default_rng(7).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    if name == "bool":
        raw &= 1
    if name in ("int2", "uint2", "int4", "uint4") or name.startswith(("float4", "float6")):
        raw &= 3
    return raw.view(dtype).reshape(shape)


def bits(a):
    return a.dtype, a.shape, np.ascontiguousarray(a).tobytes()


@pytest.mark.parametrize("name", [*sorted(cairn.dtypes.NUMPY_NAMES), *ML_NAMES])
@pytest.mark.parametrize("shape", [(), (3, 5), (0, 2)], ids=str)
def test_every_dtype_comes_back_bit_for_bit(client, name, shape):
    sent = random_array(name, shape)
    client.save("tests/dtypes@1", {"x": sent}, overwrite=True)
    (entry,) = client.show("tests/dtypes@1").entries
    assert (entry.dtype, entry.shape) == (name, shape)
    assert bits(client.load("tests/dtypes@1")["x"]) == bits(sent)


LAYOUTS = {
    "transposed": lambda a: a.T,
    "fortran": np.asfortranarray,
    "every other": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1],
    "a row": lambda a: a[1],
    "broadcast": lambda a: np.broadcast_to(a[0], (4, a.shape[1])),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_is_saved_as_what_it_means(client, layout):
    sent = LAYOUTS[layout](np.arange(40, dtype=np.float32).reshape(5, 8))
    client.save("tests/layouts@1", {"x": sent}, overwrite=True)
    back = client.load("tests/layouts@1")["x"]
    assert back.dtype == np.float32 and back.dtype.isnative
    np.testing.assert_array_equal(back, sent)


def test_contiguous_arrays_are_borrowed_and_others_copied_when_their_turn_comes():
    a = np.arange(12.0).reshape(3, 4)
    borrowed = arrays.describe(a, "x").parts[0].memory
    assert np.shares_memory(borrowed, a)
    assert callable(arrays.describe(a.T, "x").parts[0].memory)
    bf16 = a.astype(ml_dtypes.bfloat16)
    assert np.shares_memory(arrays.describe(bf16, "x").parts[0].memory, bf16)


@pytest.mark.parametrize("key", [None, ""], ids=["derived key", "no key"])
def test_copies_are_made_one_at_a_time_and_let_go_when_they_are_durable(server, monkeypatch, key):
    alive, most = [], 0
    in_order = arrays._in_order

    def copy(array):
        nonlocal alive, most
        made = in_order(array)
        alive = [a for a in alive if a() is not None] + [weakref.ref(made)]
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(arrays, "_in_order", copy)
    turned = {f"t{i}": np.full((512, 1024), i, np.float64).T for i in range(24)}  # 4 MiB each.
    with server.client(max_unacknowledged_bytes=16 << 20) as client:
        client.save("tests/copies@1", turned, session_key=key, overwrite=True)
        np.testing.assert_array_equal(client.load("tests/copies@1", select="t7")["t7"], turned["t7"])
    assert 1 < most <= 16 // 4 + 2


def test_loaded_arrays_are_writable_and_ones_own(client):
    client.save("tests/own@1", {"x": np.zeros(4)}, overwrite=True)
    first, second = client.load("tests/own@1")["x"], client.load("tests/own@1")["x"]
    first += 1
    assert second.sum() == 0


def test_numpy_scalars_come_back_as_arrays_of_no_dimensions(client):
    client.save("tests/scalars@1", {"a": np.float32(1.5), "b": np.int64(-3), "c": np.bool_(True), "d": np.float64(0.1)})
    back = client.load("tests/scalars@1")
    assert [x.shape for x in back.values()] == [()] * 4
    assert [x.dtype for x in back.values()] == [np.float32, np.int64, np.bool_, np.float64]
    assert [x[()] for x in back.values()] == [np.float32(1.5), -3, True, 0.1]


def test_the_same_memory_is_saved_once_and_comes_back_as_the_same_object(client):
    w = np.arange(1000.0)
    tree = {"embed": w, "head": w, "view": w[:], "half": w[:500], "same values": w.copy(), "turned": w.reshape(10, 100)}
    result = client.save("tests/tied@1", tree)
    kinds = {e.path: (e.kind, e.target) for e in client.show("tests/tied@1").entries}
    assert kinds["head"] == kinds["view"] == ("alias", "embed")
    assert {kinds[k][0] for k in ("embed", "half", "same values", "turned")} == {"tensor"}
    assert result.nbytes == (3 * 1000 + 500) * 8
    back = client.load("tests/tied@1")
    assert back["embed"] is back["head"] is back["view"]
    assert back["same values"] is not back["embed"]
    only = client.load("tests/tied@1", select="head")
    np.testing.assert_array_equal(only["head"], w)


def test_empty_arrays_are_never_tied(client):
    a = np.zeros((0, 3))
    client.save("tests/empty@1", {"a": a, "b": a, "c": a[:, :2]})
    assert {e.kind for e in client.show("tests/empty@1").entries} == {"tensor"}
    assert client.load("tests/empty@1")["c"].shape == (0, 2)


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        (bytearray(b"\x01\x02"), np.uint8([1, 2])),
        (array.array("d", [1.5, 2.5]), np.float64([1.5, 2.5])),
        (memoryview(np.arange(6, dtype=np.int16).reshape(2, 3)), np.arange(6, dtype=np.int16).reshape(2, 3)),
        (memoryview(np.arange(6, dtype=np.int16))[::2], np.int16([0, 2, 4])),
    ],
    ids=["bytearray", "array", "memoryview", "strided"],
)
def test_objects_with_the_buffer_protocol_are_arrays(client, buffer, expected):
    client.save("tests/buffers@1", {"x": buffer}, overwrite=True)
    assert bits(client.load("tests/buffers@1")["x"]) == bits(expected)


def test_a_mapped_file_is_saved_from_where_it_lies(client, tmp_path):
    (tmp_path / "f").write_bytes(bytes(range(256)) * 16)
    with open(tmp_path / "f", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        client.save("tests/mmap@1", {"mapped": mapped, "memmap": np.memmap(tmp_path / "f", "<u2", "r")})
    back = client.load("tests/mmap@1")
    assert back["mapped"].tobytes() == back["memmap"].tobytes() == bytes(range(256)) * 16


class Dlpack:
    """Only DLPack, nothing else."""

    def __init__(self, a):
        self.array = a

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_objects_with_dlpack_are_arrays(client):
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    client.save("tests/dlpack@1", {"straight": Dlpack(a), "turned": Dlpack(a.T)})
    back = client.load("tests/dlpack@1")
    np.testing.assert_array_equal(back["straight"], a)
    np.testing.assert_array_equal(back["turned"], a.T)


def test_a_dtype_that_numpy_lacks_without_ml_dtypes_says_what_to_do(client, monkeypatch):
    client.save("tests/bf16@1", {"x": np.ones(3, ml_dtypes.bfloat16)}, overwrite=True)

    def no_ml_dtypes(name):
        raise ImportError(name)

    monkeypatch.setattr(cairn.dtypes.importlib, "import_module", no_ml_dtypes)
    with pytest.raises(
        cairn.UnimplementedError, match=r'entry "x": .*bfloat16.*pip install ml_dtypes.*dtype="float32"'
    ):
        client.load("tests/bf16@1")
    np.testing.assert_array_equal(client.load("tests/bf16@1", dtype="float32")["x"], np.ones(3, np.float32))


@pytest.mark.parametrize(
    "spelling", ["bf16", "BF16", "bfloat16", ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)], ids=repr
)
def test_a_dtype_may_be_named_in_many_ways(spelling):
    assert cairn.dtypes.name_of(spelling) == "bfloat16"


@pytest.mark.parametrize("nonsense", ["float31", None, "object", object, np.dtype("U3"), 7], ids=repr)
def test_what_is_no_dtype_is_refused(nonsense):
    with pytest.raises(cairn.InvalidArgumentError, match="is no dtype"):
        cairn.dtypes.name_of(nonsense)
