"""The conversions that Cairn replaces, as the frameworks' own scripts do them, and the checkpoints they convert.

    python scripts.py make ROUTE FOLDER BYTES SEED     FOLDER/in
    python scripts.py run ROUTE FOLDER                 FOLDER/in -> FOLDER/script, durable
"""

import json
import pathlib
import sys
import warnings

import numpy as np
from payload import fill, model, sync

warnings.filterwarnings("ignore")
HIDDEN, INTERMEDIATE, HEADS, VOCABULARY = 2048, 5632, 16, 32000


def bfloat16(shape, seed, offset):
    import torch

    values = np.empty(int(np.prod(shape)), np.uint16)
    fill(values, seed, offset)
    return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16).reshape(shape)


def llama(total, seed, names):
    """As many layers of a Llama as the bytes have room for. `names`: of one layer's parts, with what they are."""
    shapes = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "o": (HIDDEN, HIDDEN),
              "gate": (INTERMEDIATE, HIDDEN), "up": (INTERMEDIATE, HIDDEN), "down": (HIDDEN, INTERMEDIATE),
              "norm1": (HIDDEN,), "norm2": (HIDDEN,)}  # fmt: skip
    layer_bytes = 2 * sum(int(np.prod(shape)) for shape in shapes.values())
    ends = {names["embed"]: (VOCABULARY, HIDDEN), names["norm"]: (HIDDEN,), names["head"]: (VOCABULARY, HIDDEN)}
    layers = max(1, (total - 2 * sum(int(np.prod(shape)) for shape in ends.values())) // layer_bytes)
    state, offset = {}, 0

    def add(name, shape):
        nonlocal offset
        state[name] = bfloat16(shape, seed, offset)
        offset += state[name].nbytes

    for name, shape in ends.items():
        add(name, shape)
    for i in range(layers):
        for part, shape in shapes.items():
            add(names["layer"].format(i=i, part=names[part]), shape)
    return state, layers


HF = {"embed": "model.embed_tokens.weight", "norm": "model.norm.weight", "head": "lm_head.weight",
      "layer": "model.layers.{i}.{part}.weight", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
      "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
      "norm1": "input_layernorm", "norm2": "post_attention_layernorm"}  # fmt: skip
META = {"embed": "tok_embeddings.weight", "norm": "norm.weight", "head": "output.weight", "layer": "layers.{i}.{part}.weight",
        "q": "attention.wq", "k": "attention.wk", "v": "attention.wv", "o": "attention.wo", "gate": "feed_forward.w1",
        "up": "feed_forward.w3", "down": "feed_forward.w2", "norm1": "attention_norm", "norm2": "ffn_norm"}  # fmt: skip


class EasyLm:
    """convert_checkpoint of EasyLM: a streaming file to flax's msgpack."""

    def make(self, folder, total, seed):
        import msgpack
        from flax import serialization

        packer = msgpack.Packer()
        with open(folder / "in", "wb") as stream:
            for name, layer in model(total, seed)["params"].items():
                stream.write(packer.pack((("params", name, "kernel"), serialization.to_bytes(layer["kernel"]))))

    def run(self, folder):
        import msgpack
        from flax import serialization
        from flax.traverse_util import unflatten_dict

        flat = {}
        with open(folder / "in", "rb") as stream:
            for key, value in msgpack.Unpacker(stream, read_size=83886080, max_buffer_size=0):
                flat[tuple(key)] = serialization.from_bytes(None, value)
        (folder / "script").write_bytes(serialization.msgpack_serialize(unflatten_dict(flat)))


class LlamaToDcp:
    """torchtitan's convert_llama_to_dcp: parts are loaded, joined and saved with eight threads."""

    joined = {"wo": 1, "w2": 1}

    def make(self, folder, total, seed):
        import torch

        state, layers = llama(total, seed, META)
        (folder / "in").mkdir()
        for part in range(2):
            cut = {}
            for name, value in state.items():
                if value.dim() == 2:
                    dim = self.joined.get(name.split(".")[-2], 0)
                    value = value.chunk(2, dim)[part].clone()
                cut[name] = value
            torch.save(cut, folder / "in" / f"consolidated.{part:02}.pth")
        parameters = {"dim": HIDDEN, "n_layers": int(layers), "n_heads": HEADS, "n_kv_heads": HEADS, "vocab_size": VOCABULARY}
        (folder / "in" / "params.json").write_text(json.dumps(parameters))

    def run(self, folder):
        import torch
        from torch.distributed import checkpoint
        from torch.distributed.checkpoint.filesystem import FileSystemWriter

        parts = [torch.load(path, map_location="cpu", mmap=True, weights_only=True) for path in sorted((folder / "in").glob("*.pth"))]
        state = {}
        for name, value in parts[0].items():
            dim = self.joined.get(name.split(".")[-2], 0)
            state[name] = value if value.dim() == 1 else torch.cat([part[name] for part in parts], dim)
        checkpoint.save(state, storage_writer=FileSystemWriter(folder / "script", thread_count=8), no_dist=True)


class DcpToTorch:
    """torch.distributed.checkpoint.format_utils.dcp_to_torch_save."""

    def make(self, folder, total, seed):
        from torch.distributed import checkpoint

        checkpoint.save({"model": llama(total, seed, META)[0]}, checkpoint_id=folder / "in", no_dist=True)

    def run(self, folder):
        from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

        dcp_to_torch_save(folder / "in", folder / "script")


class HfToLitGpt:
    """litgpt.scripts.convert_hf_checkpoint."""

    def make(self, folder, total, seed):
        from safetensors.torch import save_file

        state, layers = llama(total, seed, HF)
        (folder / "in").mkdir()
        save_file(state, folder / "in" / "model.safetensors", metadata={"format": "pt"})
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
                  "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "num_hidden_layers": int(layers),
                  "vocab_size": VOCABULARY, "tie_word_embeddings": False}  # fmt: skip
        (folder / "in" / "config.json").write_text(json.dumps(config))

    def run(self, folder):
        import litgpt.config
        from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint

        config = json.loads((folder / "in" / "config.json").read_text())
        # The script knows models by name.
        litgpt.config.name_to_config["in"] = {
            "name": "in", "hf_config": {"org": "none", "name": "in"}, "n_layer": config["num_hidden_layers"], "n_head": HEADS,
            "n_query_groups": HEADS, "n_embd": HIDDEN, "vocab_size": VOCABULARY, "padded_vocab_size": VOCABULARY,
            "mlp_class_name": "LLaMAMLP", "norm_class_name": "RMSNorm", "intermediate_size": INTERMEDIATE, "bias": False,
            "rotary_percentage": 1.0, "parallel_residual": False}  # fmt: skip
        convert_hf_checkpoint(folder / "in")
        (folder / "script").mkdir()
        for name in ("lit_model.pth", "model_config.yaml"):
            (folder / "in" / name).rename(folder / "script" / name)


class ColossalAi:
    """A sharded model of ColossalAI's Booster to a single file."""

    def make(self, folder, total, seed):
        import torch
        from colossalai.checkpoint_io import GeneralCheckpointIO

        class Model(torch.nn.Module):
            def state_dict(self, **_):
                return state

        state = llama(total, seed, HF)[0]
        GeneralCheckpointIO().save_model(Model(), str(folder / "in"), shard=True, size_per_shard=512)

    def run(self, folder):
        import torch
        from colossalai.checkpoint_io.utils import load_shard_state_dict

        index = json.loads((folder / "in" / "pytorch_model.bin.index.json").read_text())
        state = {}
        for name in sorted(set(index["weight_map"].values())):
            state.update(load_shard_state_dict(folder / "in" / name))
        torch.save(state, folder / "script")


ROUTES = {"easylm": EasyLm, "llama-dcp": LlamaToDcp, "dcp-torch": DcpToTorch, "hf-litgpt": HfToLitGpt, "colossalai": ColossalAi}


def main():
    what, route, folder, *rest = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what == "make":
        ROUTES[route]().make(folder, int(rest[0]), int(rest[1]))
        print(json.dumps({}))
    else:
        ROUTES[route]().run(folder)
        sync(folder / "script")


if __name__ == "__main__":
    main()
