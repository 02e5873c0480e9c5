"""EasyLM streaming files against the real flax and msgpack: what they write `cairn convert` reads, and the other way
round. EasyLM cannot be installed as a package; `save_stream` and `load_stream` are the loops of its checkpointer, less the
sharding. CAIRN_BIN names the binary."""

import programs
import pytest
from programs import needs_cairn, ok

pytestmark = needs_cairn

np = pytest.importorskip("numpy")
ml_dtypes = pytest.importorskip("ml_dtypes")
msgpack = pytest.importorskip("msgpack")
jnp = pytest.importorskip("jax.numpy")
serialization = pytest.importorskip("flax.serialization")
train_state = pytest.importorskip("flax.training.train_state")
optax = pytest.importorskip("optax")
safetensors_numpy = pytest.importorskip("safetensors.numpy")
from flax.traverse_util import flatten_dict, unflatten_dict  # noqa: E402

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
# What safetensors and NumPy's reader of it agree on.
SAFETENSORS_DTYPES = FLOATS + INTEGERS
ONLY_NUMPY_DTYPES = [
    "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu", "float8_e3m4", "float8_e4m3", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn", "int4", "uint4",
    "int2", "uint2",
]  # fmt: skip


def save_stream(path, tree):
    packer = msgpack.Packer()
    with open(path, "wb") as stream:
        for key, value in flatten_dict(serialization.to_state_dict(tree)).items():
            stream.write(packer.pack((key, serialization.to_bytes(value))))


def load_flat(path, remove_prefix=None):
    flat = {}
    with open(path, "rb") as stream:
        for key, value in msgpack.Unpacker(stream, read_size=83886080, max_buffer_size=0):
            key = tuple(key)
            if remove_prefix is not None:
                if key[: len(remove_prefix)] != remove_prefix:
                    continue
                key = key[len(remove_prefix) :]
            flat[key] = serialization.from_bytes(None, value)
    return flat


def load_stream(path, remove_prefix=None):
    return unflatten_dict(load_flat(path, remove_prefix))


def convert(*arguments):
    return ok("convert", *arguments)


def refused(*arguments):
    return programs.refused("convert", *arguments)


def array_of(dtype, shape=(3, 5)):
    dtype = np.dtype(getattr(ml_dtypes, dtype, dtype))
    numbers = np.arange(int(np.prod(shape)))
    if dtype.name in ("int2", "uint2", "bool"):
        numbers = numbers % 2
    elif dtype.name in ("int4", "uint4"):
        numbers = numbers % 7
    elif dtype.name == "float8_e8m0fnu":
        numbers = 2.0 ** (numbers % 5)  # Powers of two are all that it has.
    elif dtype.kind in "fVc":
        numbers = (numbers % 8) * 0.5 - 1.5
    return numbers.astype(dtype).reshape(shape)


def assert_same(found, expected):
    """Same type of leaf, same dtype, same bits."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "addressable_shards"):
            value = np.asarray(value)
            assert found[key].dtype == value.dtype, key
            assert found[key].shape == value.shape, key
            assert found[key].tobytes() == value.tobytes(), key
        elif isinstance(value, float) and value != value:
            assert found[key] != found[key], key
        else:
            assert type(found[key]) is type(value) and found[key] == value, key


def llama_params():
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    layers = {
        str(layer): {
            "attention": {name: {"kernel": normal(8, 8)} for name in ("wq", "wk", "wv", "wo")},
            "feed_forward": {"w1": {"kernel": normal(8, 16)}, "w2": {"kernel": normal(16, 8)}},
            "attention_norm": {"kernel": normal(8)},
        }
        for layer in range(2)
    }
    return {
        "transformer": {"wte": {"embedding": normal(32, 8)}, "h": layers, "ln_f": {"kernel": normal(8)}},
        "lm_head": {"kernel": normal(8, 32)},
    }


def trained_state(params):
    state = train_state.TrainState.create(apply_fn=None, params={"params": params}, tx=optax.adamw(1e-3))
    return state.apply_gradients(grads={"params": params})


def test_parameters_written_by_flax_become_safetensors(tmp_path):
    params = llama_params()
    save_stream(tmp_path / "streaming_params", params)
    convert("--separator", ".", f"params::{tmp_path}/streaming_params", tmp_path / "model.safetensors")
    found = safetensors_numpy.load_file(tmp_path / "model.safetensors")
    assert_same(found, {".".join(key): value for key, value in flatten_dict(params).items()})


def test_the_format_is_detected_without_a_prefix(tmp_path):
    save_stream(tmp_path / "streaming_params", llama_params())
    convert(tmp_path / "streaming_params", tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_easylm_written_from_easylm_is_the_same_file(tmp_path):
    save_stream(tmp_path / "a", llama_params())
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_floats_become_bf16_unless_told_otherwise(tmp_path):
    tree = {dtype: array_of(dtype) for dtype in FLOATS + INTEGERS}
    save_stream(tmp_path / "a", tree)
    expected = {(name,): array.astype(ml_dtypes.bfloat16) if name in FLOATS else array for name, array in tree.items()}
    convert(f"params::{tmp_path}/a", f"params::{tmp_path}/bf16")
    assert_same(load_flat(tmp_path / "bf16"), expected)
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/kept")
    assert_same(load_flat(tmp_path / "kept"), flatten_dict(tree))
    convert("--dtype", "fp16", f"params::{tmp_path}/a", f"params::{tmp_path}/fp16")
    assert {array.dtype.name for key, array in load_flat(tmp_path / "fp16").items() if key[0] in FLOATS} == {"float16"}


@pytest.mark.parametrize("dtype", SAFETENSORS_DTYPES)
def test_a_dtype_survives_the_way_to_safetensors_and_back(tmp_path, dtype):
    tree = {"array": array_of(dtype), "empty": array_of(dtype, (0, 4)), "scalar": array_of(dtype, ())}
    save_stream(tmp_path / "a", tree)
    convert("--dtype", "keep", f"params::{tmp_path}/a", tmp_path / "b.safetensors")
    assert_same(safetensors_numpy.load_file(tmp_path / "b.safetensors"), tree)
    convert("--dtype", "keep", tmp_path / "b.safetensors", f"params::{tmp_path}/c")
    assert_same(load_flat(tmp_path / "c"), flatten_dict(tree))


@pytest.mark.parametrize("dtype", ONLY_NUMPY_DTYPES)
def test_a_dtype_of_ml_dtypes_survives(tmp_path, dtype):
    tree = {"array": array_of(dtype), "scalar": array_of(dtype, ())}
    save_stream(tmp_path / "a", tree)
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert_same(load_flat(tmp_path / "b"), flatten_dict(tree))


def test_values_survive(tmp_path):
    tree = {
        "step": 1000, "none": None, "yes": True, "float": 0.1, "whole": 3.0, "nan": float("nan"), "complex": 1 - 2j,
        "text": "Größe 🪨", "bytes": b"\x00\xff", "big": 2**64 - 1, "negative": -(2**63), "list": [1, (2, "three")],
    }  # fmt: skip
    save_stream(tmp_path / "a", tree)
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert_same(load_flat(tmp_path / "b"), flatten_dict(serialization.to_state_dict(tree)))


def test_values_have_no_place_in_safetensors_unless_dropped(tmp_path):
    save_stream(tmp_path / "a", {"step": 3, "weights": array_of("float32")})
    assert "step" in refused(f"params::{tmp_path}/a", tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()
    convert("--drop-unsupported", f"params::{tmp_path}/a", tmp_path / "b.safetensors")
    assert safetensors_numpy.load_file(tmp_path / "b.safetensors").keys() == {"weights"}


def test_a_numpy_scalar_becomes_an_array_without_dimensions(tmp_path):
    save_stream(tmp_path / "a", {"scalar": np.float32(1.5)})
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    found = load_flat(tmp_path / "b")[("scalar",)]
    assert found.shape == () and found.dtype == np.float32 and found == 1.5


def test_a_train_state_survives_and_its_parameters_can_be_picked(tmp_path):
    params = llama_params()
    state = trained_state(params)
    save_stream(tmp_path / "state", state)
    convert("--dtype", "keep", f"trainstate::{tmp_path}/state", f"trainstate::{tmp_path}/copy")
    assert (tmp_path / "state").read_bytes() == (tmp_path / "copy").read_bytes()
    restored = serialization.from_state_dict(trained_state(params), add_empty_nodes(load_flat(tmp_path / "copy"), state))
    assert restored.step == 1

    expected = flatten_dict(serialization.to_state_dict(state)["params"]["params"])
    convert("--dtype", "keep", f"trainstate_params::{tmp_path}/state", f"params::{tmp_path}/params")
    assert_same(load_flat(tmp_path / "params"), expected)
    assert_same(load_flat(tmp_path / "state", ("params", "params")), expected)


def add_empty_nodes(flat, target):
    """As EasyLM's loader does for what has no leaves in the file."""
    for key, value in flatten_dict(serialization.to_state_dict(target), keep_empty_nodes=True).items():
        if key not in flat and not isinstance(value, (np.ndarray, int)) and not hasattr(value, "shape"):
            flat[key] = value
    return unflatten_dict(flat)


def test_a_file_of_parameters_has_no_train_state_to_pick_from(tmp_path):
    save_stream(tmp_path / "a", llama_params())
    assert "params/params" in refused(f"trainstate_params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8", "complex128"])
def test_a_chunked_array_is_one_tensor(tmp_path, monkeypatch, dtype):
    tree = {"large": array_of(dtype, (37, 11)), "small": array_of(dtype, (2,))}
    with monkeypatch.context() as patch:
        patch.setattr(serialization, "MAX_CHUNK_SIZE", 100)
        save_stream(tmp_path / "a", tree)
    assert b"__msgpack_chunked_array__" in (tmp_path / "a").read_bytes()
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    # Whole again: no array of ours is cut below 2^30 bytes.
    assert b"__msgpack_chunked_array__" not in (tmp_path / "b").read_bytes()
    assert_same(load_flat(tmp_path / "b"), flatten_dict(tree))


def test_safetensors_names_are_one_key_each(tmp_path):
    tensors = {"model.layers.0.weight": array_of("float32"), "lm_head.weight": array_of("bfloat16")}
    safetensors_numpy.save_file(tensors, tmp_path / "a.safetensors")
    convert("--dtype", "keep", tmp_path / "a.safetensors", f"params::{tmp_path}/b")
    assert_same(load_flat(tmp_path / "b"), {(name,): array for name, array in tensors.items()})


def test_a_selection_keeps_what_it_names(tmp_path):
    save_stream(tmp_path / "a", llama_params())
    convert("--dtype", "keep", "--select", "transformer/h/1/", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert {key[:3] for key in load_flat(tmp_path / "b")} == {("transformer", "h", "1")}


def test_a_torn_file_is_refused_with_the_last_whole_key(tmp_path):
    save_stream(tmp_path / "a", {"first": array_of("float32"), "second": array_of("float32")})
    whole = (tmp_path / "a").read_bytes()
    (tmp_path / "torn").write_bytes(whole[:-1])
    message = refused(f"params::{tmp_path}/torn", f"params::{tmp_path}/b")
    assert "torn save" in message and '"first"' in message
    assert not (tmp_path / "b").exists()


def test_jax_arrays_are_read_like_those_of_numpy(tmp_path):
    tree = {"a": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3), "count": jnp.int32(7)}
    save_stream(tmp_path / "a", tree)
    convert("--dtype", "keep", f"params::{tmp_path}/a", f"params::{tmp_path}/b")
    assert_same(load_flat(tmp_path / "b"), flatten_dict(tree))
