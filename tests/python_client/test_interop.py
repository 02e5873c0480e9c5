"""What Python saves, the programs and the formats read as their users expect; and the other way round."""

import json
import subprocess

import flax
import flax.training.train_state
import jax.numpy as jnp
import msgpack
import numpy as np
import optax
import pytest
import safetensors.numpy
from flax.serialization import from_state_dict, msgpack_restore, to_state_dict
from flax.traverse_util import empty_node, flatten_dict, unflatten_dict

import cairn.testing


@pytest.fixture
def cairn_program(server):
    program = cairn.testing.find_cairnd().parent / "cairn"

    def run(*arguments):
        command = [program, "--server", server.target, *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_show_names_what_was_saved(client, cairn_program):
    tree = {"params": {"layers": [{"w": np.zeros((2, 3), np.float32)}]}, "betas": (0.9, 0.95), 7: None, "a/b": 1}
    client.save("interop/show@1", tree, assets={"config.json": b"{}"})
    shown = json.loads(cairn_program("show", "interop/show@1", "--json"))
    assert {e["path"]: e["kind"] for e in shown["entries"]} == {
        "params/layers": "value",
        "params/layers/[0]/w": "tensor",
        "betas": "value",
        "[7]": "value",
        "a\\/b": "value",
        "config.json": "asset",
    }
    assert [e["value"] for e in shown["entries"] if e["path"] == "betas"] == ["(0.9, 0.95)"]


def test_tensors_are_pulled_as_safetensors(client, cairn_program, tmp_path):
    state_dict = {
        "model.embed.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "model.norm.weight": np.float16([1, 2]),
    }
    client.save("interop/st@1", state_dict)
    cairn_program("pull", "interop/st@1", tmp_path / "m.safetensors")
    back = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert back.keys() == state_dict.keys() and all(np.array_equal(back[k], v) for k, v in state_dict.items())


def test_what_was_pushed_is_loaded_under_its_flat_names(client, cairn_program, tmp_path):
    tensors = {"model.layers.0.weight": np.arange(4.0), "lm_head.weight": np.ones((2, 2), np.float16)}
    safetensors.numpy.save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    cairn_program("push", tmp_path / "m.safetensors", "interop/pushed@1")
    back = client.load("interop/pushed@1")
    assert back.keys() == tensors.keys() and all(np.array_equal(back[k], v) for k, v in tensors.items())
    assert client.show("interop/pushed@1").metadata["format"] == "pt"


def test_a_train_state_is_pulled_as_the_file_that_easylm_would_have_written(client, cairn_program, tmp_path):
    params = {"params": {"wte": {"embedding": jnp.ones((3, 2))}, "h": {"0": {"kernel": jnp.full((2, 2), 0.5)}}}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    state = flax.training.train_state.TrainState.create(apply_fn=None, params=params, tx=optimizer)
    state = state.apply_gradients(grads=params)
    client.save("interop/easylm@1", state)
    cairn_program("pull", "interop/easylm@1", f"trainstate::{tmp_path}/stream", "--dtype", "fp32")

    # As EasyLM's StreamingCheckpointer.load_checkpoint does it.
    loaded = {}
    with open(tmp_path / "stream", "rb") as file:
        for key, value in msgpack.Unpacker(file, read_size=1 << 20, max_buffer_size=0):
            loaded[tuple(key)] = msgpack_restore(value)
    target = flatten_dict(to_state_dict(state), keep_empty_nodes=True)
    loaded.update({key: value for key, value in target.items() if key not in loaded and value == empty_node})
    assert loaded.keys() == target.keys()
    back = from_state_dict(state, unflatten_dict(loaded))
    assert type(back.opt_state[1][0]) is optax.ScaleByAdamState
    for key, value in flatten_dict(to_state_dict(back)).items():
        np.testing.assert_array_equal(value, target[key])


def test_a_checkpoint_of_easylm_is_loaded_into_a_train_state(client, cairn_program, tmp_path):
    params = {
        "wte": {"embedding": np.arange(6, dtype=np.float32).reshape(3, 2)},
        "h": {"0": {"kernel": np.ones((2, 2), np.float32)}},
    }
    with open(tmp_path / "stream", "wb") as file:
        packer = msgpack.Packer()
        for key, value in flatten_dict(to_state_dict({"params": params})).items():
            file.write(packer.pack((key, flax.serialization.msgpack_serialize(value))))
    cairn_program("push", f"params::{tmp_path}/stream", "interop/from_easylm@1")
    template = {
        "params": {
            "wte": {"embedding": np.zeros((3, 2), np.float32)},
            "h": {"0": {"kernel": np.zeros((2, 2), np.float32)}},
        }
    }
    back = client.load("interop/from_easylm@1", into=template)
    np.testing.assert_array_equal(back["params"]["wte"]["embedding"], params["wte"]["embedding"])
