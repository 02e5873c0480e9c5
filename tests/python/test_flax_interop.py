"""Flax's msgpack files against the real flax: what it writes `cairn convert` reads, and the other way round. Hugging Face's
shards are read with the loop that transformers had for them. CAIRN_BIN names the binary."""

import json
import os

import programs
import pytest
from programs import cairn, needs_cairn, ok

pytestmark = needs_cairn

np = pytest.importorskip("numpy")
ml_dtypes = pytest.importorskip("ml_dtypes")
msgpack = pytest.importorskip("msgpack")
jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
flax = pytest.importorskip("flax")
optax = pytest.importorskip("optax")
safetensors_numpy = pytest.importorskip("safetensors.numpy")
from flax import serialization  # noqa: E402
from flax.training import checkpoints  # noqa: E402
from flax.training.train_state import TrainState  # noqa: E402
from flax.traverse_util import flatten_dict, unflatten_dict  # noqa: E402

DTYPES = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128
float8_e4m3fn float8_e5m2 float8_e4m3b11fnuz float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float8_e3m4 float8_e4m3
float6_e2m3fn float6_e3m2fn float4_e2m1fn int4 uint4 int2 uint2""".split()


def convert(*arguments):
    return ok("convert", *arguments)


def refused(*arguments):
    return programs.refused("convert", *arguments)


def array_of(dtype, shape=(3, 5)):
    """Every bit that the type can have."""
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    raw = (np.arange(int(np.prod(shape)) * dtype.itemsize, dtype=np.uint64) * 2654435761 >> 5).astype(np.uint8)
    raw &= (1 << {"bool": 1, "int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "float6_e2m3fn": 6,
                  "float6_e3m2fn": 6}.get(dtype.name, 8)) - 1  # fmt: skip
    return np.frombuffer(raw.tobytes(), dtype).reshape(shape)


def assert_same(found, expected):
    """Same trees in the same order, same types of leaves, same bits."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_same(one, other)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()
    elif isinstance(expected, float) and expected != expected:
        assert found != found
    else:
        assert found == expected


def round_trip(tmp_path, encoded, prefix="flax"):
    """Through cairn and back. Bytes and what flax reads must be the same."""
    (tmp_path / "a").write_bytes(encoded)
    convert(f"{prefix}::{tmp_path}/a", f"{prefix}::{tmp_path}/b")
    found = (tmp_path / "b").read_bytes()
    assert found == encoded
    assert_same(serialization.msgpack_restore(found), serialization.msgpack_restore(encoded))


def params_tree():
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    return {
        "transformer": {
            "h": {str(layer): {"attention": {"kernel": normal(8, 8)}, "norm": {"scale": normal(8)}} for layer in range(3)},
            "wte": {"embedding": normal(32, 8)},
        },
        "lm_head": {"kernel": normal(8, 32), "empty": normal(0, 4)},
    }


def trained_state(tx=None):
    params = params_tree()
    state = TrainState.create(apply_fn=None, params=params, tx=tx or optax.adamw(1e-3))
    return state.apply_gradients(grads=params)


@pytest.mark.parametrize("prefix", ["flax", "flax_params"])
def test_parameters_come_back_as_the_same_file(tmp_path, prefix):
    round_trip(tmp_path, serialization.to_bytes(params_tree()), prefix)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_dtype_survives(tmp_path, dtype):
    tree = {"array": array_of(dtype), "empty": array_of(dtype, (0, 4)), "scalar": array_of(dtype, ()),
            "numpy_scalar": array_of(dtype, ())[()], "fortran": np.asfortranarray(array_of(dtype))}  # fmt: skip
    round_trip(tmp_path, serialization.msgpack_serialize(tree))


def test_a_train_state_is_restored_from_what_cairn_wrote(tmp_path):
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-3, 100)))
    state = trained_state(tx)
    round_trip(tmp_path, serialization.to_bytes(state))
    fresh = TrainState.create(apply_fn=None, params=params_tree(), tx=tx)
    restored = serialization.from_bytes(fresh, (tmp_path / "b").read_bytes())
    assert restored.step == 1
    jax.tree_util.tree_map(np.testing.assert_array_equal, restored.opt_state, state.opt_state)
    jax.tree_util.tree_map(np.testing.assert_array_equal, restored.params, state.params)


def test_a_file_of_save_checkpoint_is_read_and_ours_is_restored(tmp_path):
    flax.config.update("flax_use_orbax_checkpointing", False)
    state = trained_state()
    checkpoints.save_checkpoint(tmp_path / "saved", state, step=7)
    os.makedirs(tmp_path / "ours")
    convert(tmp_path / "saved" / "checkpoint_7", f"flax::{tmp_path}/ours/checkpoint_9")
    restored = checkpoints.restore_checkpoint(tmp_path / "ours", trained_state())
    jax.tree_util.tree_map(np.testing.assert_array_equal, restored.opt_state, state.opt_state)
    assert checkpoints.latest_checkpoint(tmp_path / "ours").endswith("checkpoint_9")


def test_values_survive(tmp_path):
    tree = {
        "step": 1000, "none": None, "yes": True, "no": False, "float": 0.1, "whole": 3.0, "nan": float("nan"),
        "inf": float("-inf"), "minus_zero": -0.0, "complex": 1 - 2j, "text": "Größe 🪨", "empty": "", "long": "x" * 70000,
        "bytes": b"\x00\xff", "integers": [0, 127, 128, 2**63 - 1, 2**63, 2**64 - 1, -1, -32, -33, -(2**63)],
        "empty_dict": {}, "empty_list": [], "list": [1, [2.5, None, 1j], {"deep": {}}], "many": {str(i): i for i in range(70000)},
    }  # fmt: skip
    round_trip(tmp_path, serialization.msgpack_serialize(tree, in_place=True))


def test_keys_that_are_no_str_survive(tmp_path):
    tree = {"ints": {0: array_of("float32"), -5: {2**62: array_of("int8")}, "0": 1}, "odd": {None: 1, 1.5: [2], b"b": {}, True: 0}}
    round_trip(tmp_path, serialization.msgpack_serialize(tree, in_place=True))
    assert_same(serialization.msgpack_restore((tmp_path / "b").read_bytes()), tree)


def test_lists_that_hold_arrays_survive(tmp_path):
    tree = {"list": [array_of("float32"), [array_of("int8"), "text", None], {"k": array_of("bfloat16"), "empty": []}, 7]}
    round_trip(tmp_path, serialization.msgpack_serialize(tree, in_place=True))


def test_the_lists_of_a_state_dict_are_dicts(tmp_path):
    tree = {"list": [array_of("float32"), 5], "tuple": (array_of("int8"),), "empty": ()}
    round_trip(tmp_path, serialization.to_bytes(tree))
    restored = serialization.from_bytes(tree, (tmp_path / "b").read_bytes())
    assert_same(restored["list"][0], tree["list"][0])
    assert isinstance(restored["tuple"], tuple)


def test_numpy_scalars_stay_scalars_and_arrays_without_dimensions_stay_arrays(tmp_path):
    tree = {"a": {"scalar": np.float32(1.5), "array": np.array(1.5, np.float32), "bf16": ml_dtypes.bfloat16(3)}, "j": jnp.int32(7)}
    round_trip(tmp_path, serialization.msgpack_serialize(tree))
    # Also by way of a format that has neither: the paths travel as metadata.
    convert("--separator", "/", tmp_path / "a", tmp_path / "c.safetensors")
    assert safetensors_numpy.load_file(tmp_path / "c.safetensors")["a/scalar"].shape == ()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8", "complex128"])
def test_a_chunked_array_is_one_tensor(tmp_path, monkeypatch, dtype):
    tree = {"deep": {"large": array_of(dtype, (37, 11))}, "small": array_of(dtype, (2,))}
    with monkeypatch.context() as patch:
        patch.setattr(serialization, "MAX_CHUNK_SIZE", 100)
        encoded = serialization.to_bytes(tree)
    assert encoded.count(b"__msgpack_chunked_array__") == 1
    (tmp_path / "a").write_bytes(encoded)
    convert(tmp_path / "a", f"flax::{tmp_path}/b")
    # Whole again: no array of ours is cut below 2^30 bytes.
    assert (tmp_path / "b").read_bytes() == serialization.to_bytes(tree)


def test_an_array_above_the_limit_is_cut_as_flax_cuts_it(tmp_path):
    """A gigabyte of zeros, of which the disk sees next to nothing until flax reads it."""
    count = 2**30 + 3
    header = json.dumps({"large": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}).encode()
    with open(tmp_path / "a.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + count)
    convert(tmp_path / "a.safetensors", f"flax::{tmp_path}/b")
    with open(tmp_path / "b", "rb") as file:
        front = file.read(200)
        file.seek(-40, os.SEEK_END)
        back = file.read()
    assert os.path.getsize(tmp_path / "b") > count
    tree = {"large": np.zeros(7, np.uint8)}
    whole, serialization.MAX_CHUNK_SIZE = serialization.MAX_CHUNK_SIZE, 4
    try:
        small = serialization.to_bytes(tree)
    finally:
        serialization.MAX_CHUNK_SIZE = whole
    # Flax's own bytes for an array of two chunks, but for the lengths; the second chunk has three elements in both.
    at = small.index(b"\xa5shape")
    assert front[:at] == small[:at] and back.endswith(small[small.rindex(b"\xa11") :])
    os.remove(tmp_path / "b")


@pytest.mark.parametrize("placeholder", ["//GDAPlaceholder:", "//GDAPlaceholder:params/wte"])
def test_an_array_that_other_processes_hold_is_refused_by_name(tmp_path, placeholder):
    (tmp_path / "a").write_bytes(serialization.msgpack_serialize({"params": {"wte": placeholder}}))
    message = refused(f"flax::{tmp_path}/a", tmp_path / "b.safetensors")
    assert "params/wte" in message and "several processes" in message
    assert not (tmp_path / "b.safetensors").exists()


def test_flax_and_easylm_become_each_other(tmp_path):
    tree = params_tree()
    (tmp_path / "a").write_bytes(serialization.to_bytes(tree))
    convert("--dtype", "keep", f"flax::{tmp_path}/a", f"params::{tmp_path}/b")
    stream = dict(msgpack.Unpacker(open(tmp_path / "b", "rb"), max_buffer_size=0, use_list=False))
    assert stream.keys() == flatten_dict(tree).keys()
    convert("--dtype", "keep", tmp_path / "b", f"flax::{tmp_path}/c")
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_name_that_ends_in_msgpack_is_a_flax_file(tmp_path):
    tensors = {"wte.weight": array_of("float32"), "scale": array_of("bfloat16", ())}
    safetensors_numpy.save_file(tensors, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.msgpack")
    found = serialization.msgpack_restore((tmp_path / "b.msgpack").read_bytes())
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        assert_same(found[name], np.asarray(array))


def load_shards(folder):
    """transformers.modeling_flax_utils.load_flax_sharded_weights, up to version 4."""
    state = {}
    files = set(json.loads((folder / "flax_model.msgpack.index.json").read_text())["weight_map"].values())
    for file in files:
        state |= flatten_dict(serialization.from_bytes(None, (folder / file).read_bytes()), sep="/")
    return unflatten_dict(state, sep="/")


def test_shards_of_hugging_face_are_written_and_read(tmp_path):
    tree = params_tree()
    (tmp_path / "a").write_bytes(serialization.to_bytes(tree))
    convert("--max-shard-size", "600", f"flax::{tmp_path}/a", f"flax::{tmp_path}/shards/")
    assert len(list((tmp_path / "shards").glob("flax_model-*-of-*.msgpack"))) > 2
    loaded = flatten_dict(load_shards(tmp_path / "shards"))
    for path, array in flatten_dict(tree).items():
        assert_same(loaded[path], array)
    convert(tmp_path / "shards", f"flax::{tmp_path}/b")
    found = flatten_dict(serialization.msgpack_restore((tmp_path / "b").read_bytes()))
    assert found.keys() == loaded.keys()
    for path, array in flatten_dict(tree).items():
        assert_same(found[path], array)


def test_a_cut_file_is_refused_where_it_ends(tmp_path):
    whole = serialization.to_bytes({"first": array_of("float32"), "second": array_of("float32")})
    (tmp_path / "torn").write_bytes(whole[:-1])
    message = refused(f"flax::{tmp_path}/torn", f"flax::{tmp_path}/b")
    assert "torn" in message and "second" in message
    assert not (tmp_path / "b").exists()


def test_what_msgpack_cannot_hold_is_refused_by_name(tmp_path):
    (tmp_path / "a").write_bytes(serialization.msgpack_serialize({"w": array_of("float32"), "n": {"big": 2**64 - 1}}))
    result = cairn("show", f"flax::{tmp_path}/a", "--values")
    assert result.returncode == 0 and str(2**64 - 1) in result.stdout
