"""The extension: memory is borrowed on the way out and filled in place on the way in."""

import subprocess
import sys
import textwrap
import time
import weakref

import ml_dtypes
import numpy as np
import pytest

from cairn import _native, errors

MIB = 1 << 20


class Memory(np.ndarray):
    """An array that can be referred to weakly."""


def borrowed(shape, dtype=np.float32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape).view(Memory)


def load_one(native, ref, path, out, **options):
    stream = native.load(ref, paths=[path], **options)
    entry = stream.next()
    stream.read_into(out)
    return entry


def test_an_array_is_kept_until_it_is_durable_and_then_let_go(native, name):
    writer = native.save(name, 1)
    array = borrowed((256, 256))
    gone = weakref.ref(array)
    writer.put_tensor(("w",), "float32", array.shape, array)
    del array
    assert gone() is not None
    writer.flush()
    assert gone() is None
    writer.commit()


def test_an_abandoned_save_lets_go_of_what_it_borrowed(native, name):
    writer = native.save(name, 1)
    array = borrowed((64, 64))
    gone = weakref.ref(array)
    writer.put_tensor(("w",), "float32", array.shape, array)
    del array
    del writer
    # What is on its way is let go by gRPC, a moment later.
    deadline = time.monotonic() + 30
    while gone() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_bytearray_cannot_be_resized_while_it_is_borrowed(native, name):
    writer = native.save(name, 1)
    memory = bytearray(100)
    writer.put_tensor(("w",), "uint8", (100,), memory)
    with pytest.raises(BufferError):
        memory.append(1)
    writer.flush()
    memory.append(1)


def peak_growth(target, script):
    """How much the largest resident size of a process grows, in MiB, while it runs `script`."""
    program = (
        """
        import re, sys
        import numpy as np
        from cairn import _native
        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
        native = _native.Client(sys.argv[1], max_unacknowledged_bytes=32 << 20)
        native.server_info()
        """
        + script
    )
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(program), target], stdout=subprocess.PIPE, text=True, check=True)
    return int(run.stdout)


def test_saving_an_array_needs_no_second_copy_of_it(target, name):
    grown = peak_growth(
        target,
        f"""
        array = np.arange(32 << 20, dtype=np.int64)  # 256 MiB
        before = peak()
        writer = native.save({name!r}, 1)
        writer.put_tensor(("w",), "int64", array.shape, array)
        writer.commit()
        print(peak() - before)
        """,
    )
    assert grown < 96


def test_arrays_that_are_made_one_by_one_never_pile_up(target, name):
    grown = peak_growth(
        target,
        f"""
        writer = native.save({name!r}, 1)
        before = peak()
        for i in range(64):  # 512 MiB in all
            writer.put_tensor(("w",), "int64", (64, 1 << 20), np.full((1, 1 << 20), i), offset=(i, 0), extent=(1, 1 << 20))
        writer.commit()
        print(peak() - before)
        """,
    )
    assert grown < 160


def test_lazy_memory_is_made_once_when_it_is_wanted(native, name):
    calls = []

    def make():
        calls.append(1)
        return np.ones(1000, np.float32)

    writer = native.save(name, 1, session_key="lazy")
    writer.put_tensor(("w",), "float32", (1000,), make)
    writer.flush()
    assert calls == [1]
    del writer
    again = native.save(name, 1, session_key="lazy")
    again.put_tensor(("w",), "float32", (1000,), make)
    again.commit()
    assert calls == [1] and again.progress().skipped_bytes == 4000


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: 1 / 0, ZeroDivisionError),
        (lambda: np.ones(3), errors.InvalidArgumentError),
        (lambda: "text", TypeError),
        (lambda: np.ones((2, 4), np.float32)[:, ::2], errors.InvalidArgumentError),
    ],
    ids=["raises", "size", "type", "layout"],
)
def test_lazy_memory_that_fails_ends_the_save(native, name, make, error):
    writer = native.save(name, 1)
    with pytest.raises(error):
        writer.put_tensor(("w",), "float32", (2, 2), make)
    writer.abort()


def test_bytes_are_read_into_the_middle_of_other_memory(native, name):
    saved = np.arange(1000, dtype=np.int32)
    writer = native.save(name, 1)
    writer.put_tensor(("w",), "int32", saved.shape, saved)
    writer.commit()
    whole = np.full(3000, -1, np.int32)
    entry = load_one(native, name, ("w",), whole[1000:2000])
    assert entry.bytes == 4000 and entry.shape == entry.extent == (1000,)
    assert (whole[1000:2000] == saved).all() and (whole[:1000] == -1).all() and (whole[2000:] == -1).all()


def test_a_box_is_saved_and_loaded_by_itself(native, name):
    saved = np.arange(24, dtype=np.float64).reshape(4, 6)
    writer = native.save(name, 1)
    writer.put_tensor(("w",), "float64", (4, 6), np.ascontiguousarray(saved[:2]), offset=(0, 0), extent=(2, 6))
    writer.put_tensor(("w",), "float64", (4, 6), np.ascontiguousarray(saved[2:]), offset=(2, 0), extent=(2, 6))
    writer.commit()
    out = np.empty((2, 3))
    stream = native.load(name, boxes=[(("w",), (1, 2), (2, 3))])
    entry = stream.next()
    assert (entry.offset, entry.extent, entry.shape) == ((1, 2), (2, 3), (4, 6))
    stream.read_into(out)
    assert (out == saved[1:3, 2:5]).all()
    assert native.list_entries(name, with_shards=True)[0].shards == [((0, 0), (2, 6)), ((2, 0), (2, 6))]


@pytest.mark.parametrize("dtype", _native.DTYPES)
def test_every_dtype_comes_back_bit_by_bit(native, name, dtype):
    shape = (3, 8)
    size = _native.byte_size(dtype, shape)
    saved = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 256, size, dtype=np.uint8)
    writer = native.save(name, 1)
    writer.put_tensor(("w",), dtype, shape, saved)
    writer.commit()
    out = np.empty(size, np.uint8)
    assert load_one(native, name, ("w",), out).dtype == dtype
    assert (out == saved).all()


def test_dtypes_are_as_wide_as_numpy_says():
    for dtype, bits in _native.DTYPES.items():
        if not dtype.endswith("_packed"):
            assert np.dtype(getattr(ml_dtypes, dtype, None) or dtype).itemsize * 8 == bits, dtype


def test_the_daemon_casts_floats_and_nothing_else(native, name):
    writer = native.save(name, 1)
    writer.put_tensor(("f",), "float32", (3,), np.array([1, 2.5, 3], np.float32))
    writer.put_tensor(("i",), "int32", (3,), np.array([1, 2, 3], np.int32))
    writer.commit()
    out = np.empty(3, ml_dtypes.bfloat16)
    assert load_one(native, name, ("f",), out.view(np.uint8), float_dtype="bf16").dtype == "bfloat16"
    assert out.tolist() == [1, 2.5, 3]
    assert load_one(native, name, ("i",), np.empty(3, np.int32), float_dtype="bf16").dtype == "int32"


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (np.ones((3, 2), np.float32).T, "not C-contiguous"),
        (np.ones((2, 3), ">f4"), "big-endian"),
        (np.ones((2, 3), np.float64), "the memory has 48 bytes, expected 24"),
        (np.ones((2, 3), ml_dtypes.bfloat16), "cannot be used as C-contiguous bytes"),
    ],
    ids=["layout", "order", "size", "bfloat16"],
)
def test_memory_that_cannot_be_borrowed_is_refused_by_name_and_does_no_harm(native, name, memory, message):
    writer = native.save(name, 1)
    with pytest.raises(errors.InvalidArgumentError, match=message) as caught:
        writer.put_tensor(("a", 0, "w"), "float32", (2, 3), memory)
    assert 'entry "a/[0]/w"' in str(caught.value)
    with pytest.raises(TypeError, match="buffer protocol"):
        writer.put_tensor(("w",), "float32", (2, 3), 5)
    writer.put_tensor(("w",), "float32", (2, 3), np.ones((2, 3), np.float32))
    assert writer.commit().entry_count == 1


def test_memory_that_cannot_be_filled_is_refused_and_the_entry_can_still_be_read(native, name):
    writer = native.save(name, 1)
    writer.put_tensor(("w",), "float32", (2, 3), np.ones((2, 3), np.float32))
    writer.commit()
    stream = native.load(name)
    stream.next()
    readonly = np.empty((2, 3), np.float32)
    readonly.flags.writeable = False
    for memory, message in [
        (readonly, "writable"),
        (np.empty((3, 2), np.float32).T, "not C-contiguous"),
        (np.empty(5, np.float32), "has 24 bytes, but the memory for it has 20"),
        (bytes(24), "writable"),
    ]:
        with pytest.raises(errors.InvalidArgumentError, match=message):
            stream.read_into(memory)
    out = bytearray(24)
    stream.read_into(out)
    assert out == np.ones(6, np.float32).tobytes()
    with pytest.raises(errors.FailedPreconditionError, match="read already"):
        stream.read_into(out)


def test_tensors_without_elements_and_scalars(native, name):
    writer = native.save(name, 1)
    writer.put_tensor(("empty",), "float32", (0, 5), np.empty((0, 5), np.float32))
    writer.put_tensor(("scalar",), "int64", (), np.array(7))
    writer.commit()
    stream = native.load(name)
    assert stream.next().shape == (0, 5)
    stream.read_into(np.empty((0, 5), np.float32))
    assert stream.next().shape == ()
    out = np.empty((), np.int64)
    stream.read_into(out)
    assert out == 7 and stream.next() is None and stream.next() is None


def test_an_asset_comes_from_memory_or_from_a_file(native, name, tmp_path):
    (tmp_path / "config.json").write_text('{"layers": 2}')
    writer = native.save(name, 1)
    writer.put_asset("config.json", tmp_path / "config.json")
    writer.put_asset("folder/tokenizer.bin", b"\x00\x01")
    writer.put_asset("folder/nothing", b"")
    with pytest.raises(errors.NotFoundError, match="no-such-file"):
        writer.put_asset("x", str(tmp_path / "no-such-file"))
    writer.commit()
    stream = native.load(name)
    assert {entry.path: stream.read_bytes() for entry in stream} == {
        ("config.json",): b'{"layers": 2}',
        ("folder", "tokenizer.bin"): b"\x00\x01",
        ("folder", "nothing"): b"",
    }
