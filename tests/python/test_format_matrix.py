"""Every format into every other, over checkpoints that real packages made, read back by real packages.

For each pair: the source's package writes, `cairn convert` converts, the target's package reads, every bit is compared;
then `cairn convert` back, and the source's package reads again. The tables stand in docs/formats.md, which is compared with what
happened; CAIRN_UPDATE_DOCS=1 writes it. CAIRN_BIN names the binary.
"""

import json
import os
import pathlib
import re
import warnings

import msgpack
import numpy
import pytest
import torch
from flax import serialization
from flax.traverse_util import flatten_dict, unflatten_dict
from programs import cairn

warnings.filterwarnings("ignore")
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "formats.md"
EXACT = "exact"


class NotHeld(Exception):
    """The package of this format has no way to hold the state. The text goes into the docs."""


# --- What a state is, whoever holds it: paths of text, and leaves as bytes or plain values. ---


def canonical(tree):
    flat = {}

    def walk(path, node):
        if isinstance(node, dict) and node:
            for key, value in node.items():
                walk((*path, str(key)), value)
        elif isinstance(node, (list, tuple)) and node and not isinstance(node, torch.Size):
            for i, value in enumerate(node):
                walk((*path, str(i)), value)
        else:
            flat[path] = leaf(node)

    walk((), tree)
    return flat


def leaf(node):
    if isinstance(node, torch.Tensor):
        node = node.detach().contiguous()
        data = node.reshape(-1).view(torch.uint8).numpy().tobytes() if node.numel() else b""
        return (str(node.dtype).removeprefix("torch."), tuple(node.shape), data)
    if hasattr(node, "dtype") and hasattr(node, "shape"):
        array = numpy.asarray(node)
        return (array.dtype.name, tuple(array.shape), numpy.ascontiguousarray(array).tobytes())
    return node


def to_numpy(tree):
    if isinstance(tree, dict):
        return {key: to_numpy(value) for key, value in tree.items()}
    if isinstance(tree, torch.Tensor):
        if tree.dtype == torch.bfloat16:
            import ml_dtypes

            return tree.detach().contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tree.detach().contiguous().numpy()
    return tree


def has_empty_dicts(tree):
    return any(value == {} for value in canonical(tree).values())


# --- The formats, each by its own package. ---


class Format:
    name = ""
    target = ""  # Below the folder of the cell.
    one_file = True

    def save(self, state, folder, model):
        raise NotImplementedError

    def load(self, path):
        raise NotImplementedError

    def options(self):
        return []


class Safetensors(Format):
    name, target = "safetensors", "model.safetensors"

    def save(self, state, folder, model):
        from safetensors.torch import save_file

        if any(not isinstance(value, torch.Tensor) for value in state.values()):
            raise NotHeld("holds tensors under flat names, and nothing else")
        save_file(state, folder / self.target, metadata={"format": "pt"})
        return folder / self.target

    def load(self, path):
        from safetensors.torch import load_file

        return load_file(path)


class Torch(Format):
    name, target = "torch", "model.pt"

    def save(self, state, folder, model):
        torch.save(state, folder / self.target)
        return folder / self.target

    def load(self, path):
        return torch.load(path, weights_only=True)


class Npz(Format):
    name, target = "npz", "model.npz"

    def save(self, state, folder, model):
        if any(not isinstance(value, torch.Tensor) for value in state.values()):
            raise NotHeld("holds arrays under flat names, and nothing else")
        if any(value.dtype == torch.bfloat16 for value in state.values()):
            raise NotHeld("NumPy has no bfloat16")
        numpy.savez(folder / self.target, **to_numpy(state))
        return folder / self.target

    def load(self, path):
        return dict(numpy.load(path))


class Flax(Format):
    name, target = "flax", "model.msgpack"

    def save(self, state, folder, model):
        (folder / self.target).write_bytes(serialization.msgpack_serialize(serialization.to_state_dict(self.plain(state))))
        return folder / self.target

    @staticmethod
    def plain(state):
        if isinstance(state, (list, tuple)):
            return type(state)(Flax.plain(value) for value in state)
        if isinstance(state, dict):
            return {str(key): Flax.plain(value) for key, value in state.items()}
        return to_numpy(state)

    def load(self, path):
        return serialization.msgpack_restore(path.read_bytes())


class EasyLm(Format):
    name, target = "easylm", "streaming_params"

    def save(self, state, folder, model):
        if has_empty_dicts(state):
            raise NotHeld("EasyLM's own loop forgets empty dicts")
        packer = msgpack.Packer()
        plain = serialization.to_state_dict(Flax.plain(state))
        with open(folder / self.target, "wb") as stream:
            for key, value in flatten_dict(plain).items():
                stream.write(packer.pack((key, serialization.to_bytes(value))))
        return folder / self.target

    def load(self, path):
        flat = {}
        with open(path, "rb") as stream:
            for key, value in msgpack.Unpacker(stream, max_buffer_size=0):
                flat[tuple(key)] = serialization.from_bytes(None, value)
        return unflatten_dict(flat)


class Dcp(Format):
    name, target = "dcp", "dcp"
    one_file = False

    def save(self, state, folder, model):
        import torch.distributed.checkpoint as dcp

        if has_empty_dicts(state):
            raise NotHeld("torch.distributed.checkpoint forgets empty dicts")
        dcp.save(state, checkpoint_id=folder / self.target, no_dist=True)
        return folder / self.target

    def load(self, path):
        from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
        from torch.distributed.checkpoint.filesystem import FileSystemReader
        from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

        state = {}
        _load_state_dict(state, storage_reader=FileSystemReader(path), planner=_EmptyStateDictLoadPlanner(), no_dist=True)
        return state


class LitGpt(Format):
    name, target = "litgpt", "checkpoint"
    one_file = False

    def save(self, state, folder, model):
        (folder / self.target).mkdir()
        torch.save(state, folder / self.target / "lit_model.pth")
        (folder / self.target / "model_config.yaml").write_text("name: tiny\n")
        return folder / self.target

    def load(self, path):
        from litgpt.utils import lazy_load

        lazy_load(path / "lit_model.pth")
        return torch.load(path / "lit_model.pth", weights_only=True, mmap=True)


class Lightning(Format):
    name, target = "lightning", "model.ckpt"

    def save(self, state, folder, model):
        from lightning.pytorch import LightningModule, Trainer

        if model is None:
            raise NotHeld("holds a module's state dict, and what its Trainer keeps")

        class Module(LightningModule):
            pass

        module = Module()
        trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
        trainer.strategy.connect(module)
        checkpoint = {"epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.6", "state_dict": state, "loops": {}}
        trainer.strategy.save_checkpoint(checkpoint, folder / self.target)
        return folder / self.target

    def options(self):
        return ["--weights-only"]

    def load(self, path):
        return torch.load(path, weights_only=True)["state_dict"]


class ColossalAi(Format):
    name, target = "colossalai", "model"
    one_file = False

    def save(self, state, folder, model):
        from colossalai.checkpoint_io import GeneralCheckpointIO

        checkpoint, io = folder / self.target, GeneralCheckpointIO()
        if model is not None:
            io.save_model(model, str(checkpoint), shard=True, size_per_shard=1)
            return checkpoint
        if set(state) != {"model", "optimizer", "lr_scheduler"}:
            raise NotHeld("holds a model, an optimizer and a scheduler")
        checkpoint.mkdir()
        module, optimizer, scheduler = training_of(state)
        io.save_model(module, str(checkpoint / "modeling"), shard=True, size_per_shard=1)
        io.save_optimizer(optimizer, str(checkpoint / "optimizer"), shard=True, size_per_shard=1)
        io.save_lr_scheduler(scheduler, str(checkpoint / "lr_scheduler"))
        return checkpoint

    def load(self, path):
        from colossalai.accelerator.cpu_accelerator import CpuAccelerator
        from colossalai.checkpoint_io import GeneralCheckpointIO
        from colossalai.checkpoint_io.utils import load_shard_state_dict

        CpuAccelerator.empty_cache = lambda self: None  # Its own refuse; loading calls them all the same.
        CpuAccelerator.synchronize = lambda self, device=None: None

        if (path / "optimizer").exists():
            module, optimizer, scheduler = new_training()
            io = GeneralCheckpointIO()
            io.load_model(module, str(path / "modeling"))
            io.load_optimizer(optimizer, str(path / "optimizer"))
            io.load_lr_scheduler(scheduler, str(path / "lr_scheduler"))
            return state_of(module, optimizer, scheduler)
        if path.is_file():
            return torch.load(path, weights_only=True)
        (index,) = path.glob("*.index.json")
        files = set(json.loads(index.read_text())["weight_map"].values())
        state = {}
        for file in sorted(files):
            state.update(load_shard_state_dict(path / file, use_safetensors=file.endswith("safetensors")))
        return state


class Llama(Format):
    name, target = "llama", "llama"
    one_file = False

    def save(self, state, folder, model):
        if model is None:
            raise NotHeld("holds a model of Meta's, and nothing else")
        (folder / self.target).mkdir()
        torch.save(meta_of_hf(state, model.config), folder / self.target / "consolidated.00.pth")
        config = model.config
        parameters = {"dim": config.hidden_size, "n_layers": config.num_hidden_layers, "n_heads": config.num_attention_heads,
                      "n_kv_heads": config.num_key_value_heads, "vocab_size": config.vocab_size, "norm_eps": 1e-5}  # fmt: skip
        (folder / self.target / "params.json").write_text(json.dumps(parameters))
        return folder / self.target

    def load(self, path):
        return torch.load(path / "consolidated.00.pth", weights_only=True)


def meta_of_hf(state, config):
    """The formula of torchtitan's and Meta's converters: rows of q and k within a head are interleaved."""

    def permute(weight, heads):
        rows, columns = weight.shape
        return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()

    names = {"model.embed_tokens.weight": "tok_embeddings.weight", "model.norm.weight": "norm.weight", "lm_head.weight": "output.weight"}
    parts = {"self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
             "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
             "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm"}  # fmt: skip
    out = {}
    for name, value in state.items():
        if (layer := re.fullmatch(r"model\.layers\.(\d+)\.(.*)\.weight", name)) is not None:
            if "q_proj" in name:
                value = permute(value, config.num_attention_heads)
            if "k_proj" in name:
                value = permute(value, config.num_key_value_heads)
            out[f"layers.{layer[1]}.{parts[layer[2]]}.weight"] = value
        else:
            out[names[name]] = value
    return out


FORMATS = [Safetensors(), Torch(), Dcp(), LitGpt(), Lightning(), ColossalAi(), Llama(), EasyLm(), Flax(), Npz()]


# --- The checkpoints. ---


def llama_weights(dtype):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                         vocab_size=64, tie_word_embeddings=False)  # fmt: skip
    model = LlamaForCausalLM(config).to(dtype)
    return {name: value.clone() for name, value in model.state_dict().items()}, model


def new_training():
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    return module, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)


def state_of(module, optimizer, scheduler):
    return {"model": dict(module.state_dict()), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}


def training_of(state):
    module, optimizer, scheduler = new_training()
    module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["lr_scheduler"])
    return module, optimizer, scheduler


def torch_training():
    torch.manual_seed(0)
    module, optimizer, scheduler = new_training()
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.randn(5, 6)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return state_of(module, optimizer, scheduler), None


def optax_training():
    import jax
    import jax.numpy as jnp
    import optax
    from flax.training.train_state import TrainState

    params = {"dense": {"kernel": jnp.arange(12, dtype=jnp.float32).reshape(3, 4) / 7, "bias": jnp.zeros(4)},
              "norm": {"scale": jnp.ones(3, jnp.bfloat16)}}  # fmt: skip
    state = TrainState.create(apply_fn=None, params=params, tx=optax.adamw(1e-3))
    state = state.apply_gradients(grads=jax.tree_util.tree_map(jnp.ones_like, params))
    as_torch = jax.tree_util.tree_map(lambda leaf: numpy.asarray(leaf), serialization.to_state_dict(state))
    return tensors(as_torch), None


def tensors(tree):
    """NumPy's arrays as torch's, with the same bits."""
    if isinstance(tree, dict):
        return {key: tensors(value) for key, value in tree.items()}
    if tree.dtype.name == "bfloat16":
        return torch.from_numpy(tree.view(numpy.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(numpy.array(tree))


FAMILIES = {
    "Llama, bfloat16 (transformers)": lambda: llama_weights(torch.bfloat16),
    "Llama, float16 (transformers)": lambda: llama_weights(torch.float16),
    "A training run of PyTorch: model, AdamW, scheduler": torch_training,
    "A train state of Flax with AdamW of optax": optax_training,
}


# --- The cells. ---


def differences(found, expected):
    missing, more = set(expected) - set(found), set(found) - set(expected)
    changed = [path for path in expected if path in found and found[path] != expected[path]]
    return f"missing {sorted(missing)[:3]}, more {sorted(more)[:3]}, changed {sorted(changed)[:3]}" if missing or more or changed else ""


def refusal(stderr):
    """The reason, without what differs from run to run and from format to format: the first entry stands for all."""
    line = next((line for line in stderr.splitlines() if re.match(r"cairn: [A-Z_]+: ", line)), stderr.strip())
    line = re.sub(r"^cairn: [A-Z_]+: (\S+: )?", "", line)
    line = re.sub(r"\d+ entr(y|ies) do(es)? not fit into", "not in", line)
    return re.split(r"; |: cast it|\. To leave|, which needs", line)[0].strip()


def in_the_format(state, fmt, model):
    """What the format's package would hold of it: the same, but under Meta's names in a Llama checkpoint."""
    return meta_of_hf(state, model.config) if model is not None and fmt.name == "llama" else state


def map_options(source, target, model):
    if model is None or (source.name == "llama") == (target.name == "llama"):
        return []
    sizes = [f"--map-config={name}={value}" for name, value in (("heads", 4), ("kv_heads", 2))]
    return ["--map", "meta-llama:hf-llama" if source.name == "llama" else "hf-llama:meta-llama", *sizes]


def one_way(path, source, target, folder, model):
    folder.mkdir()
    destination = folder / target.target
    options = [*map_options(source, target, model), *source.options()]
    if target.one_file:
        options.append("--assets-beside")
    result = cairn("convert", f"{source.name}::{path}", f"{target.name}::{destination}", "--dtype", "keep", *options)
    return destination, result


def cell(path, state, model, source, target, folder):
    folder.mkdir()
    there, result = one_way(path, source, target, folder / "there", model)
    if result.returncode != 0:
        return refusal(result.stderr)
    if problem := judged(there, target, state, model):
        return f"read by its package: {problem}"
    back, result = one_way(there, target, source, folder / "back", model)
    if result.returncode != 0:
        return f"back: {refusal(result.stderr)}"
    if problem := judged(back, source, state, model):
        return f"back: {problem}"
    return EXACT


def judged(path, fmt, state, model):
    """What the format's real package finds different in a file, or why it does not read it. Empty: nothing."""
    try:
        found = fmt.load(path)
    except Exception as error:  # Whatever the package throws is its judgement.
        return re.sub(r"/\S*/", "", f"{type(error).__name__}: {error}")[:200]
    return differences(flat_names(canonical(found), fmt, state), canonical(in_the_format(state, fmt, model)))


def flat_names(found, fmt, state):
    """Formats with flat names join what was nested with dots; the paths are told from each other by the state's own."""
    if fmt.name not in ("safetensors", "npz") or all(isinstance(value, torch.Tensor) for value in state.values()):
        return found
    joined = {".".join(path): path for path in canonical(state)}
    return {joined.get(".".join(path), path): value for path, value in found.items()}


def family_table(name, folder):
    state, model = FAMILIES[name]()
    rows = {}
    for source in FORMATS:
        place = folder / source.name
        place.mkdir(parents=True)
        try:
            path = source.save(state, place, model)
        except NotHeld as reason:
            rows[source.name] = str(reason)
            continue
        assert not differences(canonical(source.load(path)), canonical(in_the_format(state, source, model))), source.name
        rows[source.name] = {
            target.name: cell(path, state, model, source, target, place / f"to-{target.name}") for target in FORMATS if target is not source
        }
    return rows


def markdown(name, rows):
    names = [fmt.name for fmt in FORMATS]
    lines = [f"### {name}", "", "| from \\ to | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    notes = []

    def note(text):
        if text not in notes:
            notes.append(text)
        return f"[{notes.index(text) + 1}]"

    for source in names:
        row = rows[source]
        cells = [
            ("·" if target == source else (note(row) if isinstance(row, str) else ("✓" if row[target] == EXACT else note(row[target]))))
            for target in names
        ]
        lines.append(f"| **{source}** | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"{i + 1}. {text}" for i, text in enumerate(notes)]
    return "\n".join(lines).rstrip() + "\n"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_format_becomes_every_other_without_losing_a_bit(name, tmp_path):
    table = markdown(name, family_table(name, tmp_path))
    print(table)
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    text = DOCS.read_text()
    assert begin in text and end in text, f"docs/formats.md has no place for {name}"
    before, rest = text.split(begin)
    there, after = rest.split(end)
    if os.environ.get("CAIRN_UPDATE_DOCS"):
        DOCS.write_text(before + begin + table + end + after)
        return
    assert there == table, "docs/formats.md says otherwise; CAIRN_UPDATE_DOCS=1 writes it"
