"""JAX arrays: single and sharded, as sources and as the form of what is loaded. Eight devices, all of them this processor."""

import os

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pytest

jax = pytest.importorskip("jax")
jnp = jax.numpy

import flax.linen as nn  # noqa: E402
import optax  # noqa: E402
from flax.core import FrozenDict  # noqa: E402
from flax.training.train_state import TrainState  # noqa: E402
from jax.sharding import Mesh, NamedSharding  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import cairn  # noqa: E402
from cairn import arrays  # noqa: E402


@pytest.fixture
def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))


@pytest.mark.parametrize(
    "name", ["bfloat16", "float32", "float8_e4m3fn", "float8_e5m2", "int4", "int32", "bool", "uint8"]
)
def test_arrays_come_back_bit_for_bit(client, name):
    sent = jnp.arange(6).reshape(2, 3).astype(name)
    client.save("tests/jax@1", {"x": sent, "s": sent[0, 1]}, overwrite=True)
    back = client.load("tests/jax@1", framework="jax")
    assert isinstance(back["x"], jax.Array) and back["x"].dtype == sent.dtype and back["s"].shape == ()
    assert np.asarray(back["x"]).tobytes() == np.asarray(sent).tobytes()
    assert np.asarray(client.load("tests/jax@1")["x"]).tobytes() == np.asarray(sent).tobytes()


def test_arrays_on_the_host_are_borrowed():
    x = jnp.arange(1000.0)
    memory = arrays.describe(x, "x").parts[0].memory
    assert memory.__array_interface__["data"][0] == np.asarray(x).__array_interface__["data"][0]


@pytest.mark.parametrize("spec", [P("x", "y"), P("x"), P(None, "y"), P(("x", "y")), P()], ids=str)
def test_a_sharded_array_is_saved_as_boxes_of_the_whole(client, mesh, spec):
    whole = np.arange(8 * 6, dtype=np.float32).reshape(8, 6)
    sharded = jax.device_put(whole, NamedSharding(mesh, spec))
    client.save("tests/jax_sharded@1", {"x": sharded}, overwrite=True)
    np.testing.assert_array_equal(client.load("tests/jax_sharded@1")["x"], whole)
    boxes = {s.index for s in map(Hashable, sharded.addressable_shards)}
    (entry,) = client.native.list_entries("tests/jax_sharded@1", with_shards=True)
    assert len(entry.shards) == len(boxes)


class Hashable:
    def __init__(self, shard):
        self.index = str(shard.index)


@pytest.mark.parametrize("spec", [P("x", "y"), P("y"), P()], ids=str)
def test_into_gives_arrays_of_the_same_sharding_whatever_was_saved(client, mesh, spec):
    whole = np.arange(8 * 6, dtype=np.float32).reshape(8, 6)
    client.save(
        "tests/jax_reshard@1", {"x": jax.device_put(whole, NamedSharding(mesh, P("x"))), "n": 1}, overwrite=True
    )
    sharding = NamedSharding(mesh, spec)
    for like in (
        jax.device_put(np.zeros_like(whole), sharding),
        jax.ShapeDtypeStruct(whole.shape, whole.dtype, sharding=sharding),
    ):
        back = client.load("tests/jax_reshard@1", into={"x": like, "n": 0})
        assert back["x"].sharding == sharding and back["n"] == 1
        np.testing.assert_array_equal(back["x"], whole)


def test_into_an_abstract_tree(client):
    params = {"w": jnp.ones((2, 3)), "b": [jnp.zeros(3, jnp.bfloat16)]}
    client.save("tests/jax_abstract@1", params)
    back = client.load("tests/jax_abstract@1", into=jax.eval_shape(lambda: params))
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and bool((a == b).all()), back, params))


def make_state(fill):
    model = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])
    abstract = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 4)))
    params = jax.tree.map(lambda x: jnp.full(x.shape, fill, x.dtype), abstract)
    schedule = optax.cosine_decay_schedule(0.1, 100)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    return TrainState.create(apply_fn=model.apply, params=params, tx=tx)


def train(state, steps):
    @jax.jit
    def step(state):
        def loss(params):
            return (state.apply_fn(params, jnp.ones((3, 4))) ** 2).sum()

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for _ in range(steps):
        state = step(state)
    return state


def equal(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.all(
        jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), a, b)
    )


def test_a_flax_train_state_goes_on_where_it_was(client):
    state = train(make_state(0.5), 3)
    client.save("tests/flax@3", state)
    fresh = make_state(0.1)
    back = client.load("tests/flax@3", into=fresh)
    assert type(back) is TrainState and back.apply_fn is fresh.apply_fn and back.tx is fresh.tx
    assert equal(jax.tree.leaves(back), jax.tree.leaves(state)) and int(back.step) == 3
    assert equal(jax.tree.leaves(train(back, 2)), jax.tree.leaves(train(state, 2)))
    paths = {e.path for e in client.show("tests/flax@3").entries}
    assert {"step", "params/params/layers_0/kernel", "opt_state/[1]/[0]/mu/params/layers_0/kernel"} <= paths


def test_optax_states_are_made_again_if_their_classes_are_given(client):
    params = {"w": jnp.ones(3)}
    opt_state = optax.adam(0.1).init(params)
    client.save("tests/optax@1", opt_state)
    back = client.load("tests/optax@1", types=[optax.ScaleByAdamState, optax.EmptyState], framework="jax")
    assert jax.tree.structure(back) == jax.tree.structure(opt_state)
    plain = client.load("tests/optax@1")
    assert type(plain) is tuple and set(plain[0]) == {"count", "mu", "nu"} and plain[1] == {}


def test_a_frozen_dict_comes_back_as_a_dict_and_is_filled_as_what_it_is(client):
    client.save("tests/frozen@1", FrozenDict({"a": {"w": jnp.ones(2)}}))
    assert type(client.load("tests/frozen@1")["a"]) is dict
    back = client.load("tests/frozen@1", into=FrozenDict({"a": {"w": jnp.zeros(2)}}))
    assert isinstance(back, FrozenDict) and back["a"]["w"].sum() == 2


def test_the_same_array_is_saved_once_and_comes_back_as_one(client):
    w = jnp.ones(4)
    client.save("tests/jax_tied@1", {"a": w, "b": w, "c": jnp.ones(4)})
    assert [e.kind for e in client.show("tests/jax_tied@1").entries] == ["tensor", "alias", "tensor"]
    z = jnp.zeros(4)
    back = client.load("tests/jax_tied@1", into={"a": z, "b": z, "c": z + 0})
    assert back["a"] is back["b"] and back["a"].sum() == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: jax.random.key(0), "key_data"),
        (lambda: jax.ShapeDtypeStruct((2,), jnp.float32), "neither an array"),
    ],
    ids=["key", "abstract"],
)
def test_what_has_no_bytes_is_refused_with_its_path(client, make, message):
    with pytest.raises(cairn.InvalidArgumentError, match=rf'"x": .*{message}'):
        client.save("tests/jax_refused@1", {"x": make()})


def test_a_deleted_and_a_traced_array_are_refused(client):
    gone = jnp.ones(2)
    gone.delete()
    with pytest.raises(cairn.InvalidArgumentError, match='"x": .*deleted'):
        client.save("tests/jax_refused@1", {"x": gone})

    @jax.jit
    def step(x):
        client.save("tests/jax_refused@1", {"x": x})

    with pytest.raises(cairn.InvalidArgumentError, match='"x": .*outside of jit'):
        step(jnp.ones(2))


def test_64_bit_types_are_not_cut_silently(client):
    client.save("tests/jax_64@1", {"n": np.int64(2**40), "x": np.float64(0.1)})
    with pytest.raises(cairn.InvalidArgumentError, match='entry "n": JAX has int64 switched off'):
        client.load("tests/jax_64@1", framework="jax")
    assert client.load("tests/jax_64@1", select="x", framework="jax", dtype="float32")["x"].dtype == jnp.float32
    with jax.enable_x64(True):
        assert int(client.load("tests/jax_64@1", framework="jax")["n"]) == 2**40


def test_boxes_and_devices(client, mesh):
    whole = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    client.save("tests/jax_boxes@1", {"x": whole}, overwrite=True)
    device = jax.devices()[3]
    back = client.load("tests/jax_boxes@1", framework="jax", boxes={"x": np.s_[1:, :2]}, device=device)["x"]
    np.testing.assert_array_equal(back, whole[1:, :2])
    assert back.devices() == {device}
