"""`cairn` finds the weights in whatever form they come, and gives entries other names. Needs numpy, safetensors, torch.

CAIRN_BIN and CAIRND_BIN name the binaries.
"""

import functools
import json
import signal
import subprocess
import time

import numpy as np
import programs
import pytest
import torch
from arrays import same
from programs import Daemon, needs_both, ok, start
from safetensors.numpy import load_file, save_file

pytestmark = needs_both



refused = functools.partial(programs.refused, code=1)


def shown(*arguments, **options):
    return json.loads(ok("show", *arguments, "--json", **options).stdout)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = torch.nn.Embedding(5, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.head = torch.nn.Linear(4, 5, bias=False)
        self.head.weight = self.wte.weight


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Net()


def trained(net):
    optimizer = torch.optim.AdamW(net.parameters())
    net.head(net.norm(net.wte(torch.tensor([0, 1])))).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def checkpoint_of(form, net):
    """(what a trainer saves, what `cairn show` says)."""
    weights, optimizer = net.state_dict(), trained(net)
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}
    prefixed = {f"model.{name}": tensor for name, tensor in weights.items()}
    ddp = {f"module.{name}": tensor for name, tensor in weights.items()}
    return {
        "raw": (weights, "state dict"),
        "ddp": (ddp, "state dict, names without module."),
        "model": ({"model": weights}, "state dict: under model"),
        "litgpt step": (
            {"model": compiled, "optimizer": optimizer, "iter_num": 7, "step_count": 3},
            "training checkpoint: under model, names without _orig_mod.",
        ),
        "lightning": (
            {
                "epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.5.0", "state_dict": prefixed,
                "loops": {"fit_loop": {"state_dict": {}}}, "optimizer_states": [optimizer], "lr_schedulers": [{"last_epoch": 2}],
            },
            "Lightning Trainer checkpoint: under state_dict, names without model.",
        ),
        "deepspeed": (
            {"module": weights, "optimizer": optimizer, "global_steps": 3, "skipped_steps": 0},
            "training checkpoint: under module",
        ),
        "tutorial": (
            {"epoch": 5, "model_state_dict": weights, "optimizer_state_dict": optimizer, "loss": torch.tensor(0.5)},
            "training checkpoint: under model_state_dict",
        ),
        "torchtitan": (
            {**weights, "optimizer": {"state.wte.weight.exp_avg": torch.zeros(5, 4)}, "lr_scheduler": {"last_epoch": 3}, "train_state": {"step": 9}},
            "model beside its training state",
        ),
        "app": ({"app": {"model": weights, "optimizer": optimizer}}, "training checkpoint: under app/model"),
    }[form]  # fmt: skip


FORMS = ["raw", "ddp", "model", "litgpt step", "lightning", "deepspeed", "tutorial", "torchtitan", "app"]


def same_weights(path, net):
    found = torch.load(path, weights_only=True)
    expected = net.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    assert found["head.weight"].data_ptr() == found["wte.weight"].data_ptr()  # Tied as before.
    assert found["norm.num_batches_tracked"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_in_every_form(form, net, tmp_path):
    saved, says = checkpoint_of(form, net)
    torch.save(saved, tmp_path / "in.pt")
    weights = shown(tmp_path / "in.pt")["weights"]
    # The head is the embedding: one tensor.
    assert weights["tensors"] == 6 and weights["parameters"] == 5 * 4 + 4 * 4 + 1 and weights["bytes"] == 4 * 36 + 8
    line = next(line for line in ok("show", tmp_path / "in.pt").stdout.splitlines() if line.startswith("weights"))
    assert line == f"weights    {says}; 6 tensors, 37 parameters, 152 B"
    done = ok("convert", tmp_path / "in.pt", tmp_path / "out.pt", "--weights-only")
    assert says in done.stderr
    same_weights(tmp_path / "out.pt", net)
    assert shown(tmp_path / "out.pt")["weights"]["form"] == "state dict"


def test_the_same_input_gives_the_same_bytes(net, tmp_path):
    torch.save(checkpoint_of("lightning", net)[0], tmp_path / "in.ckpt")
    for name in ("a", "b"):
        ok("convert", tmp_path / "in.ckpt", tmp_path / f"{name}.safetensors", "--weights-only", "--exclude", "**/*head*")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_several_candidates_are_named_and_not_guessed(net, tmp_path):
    other = {name: tensor + 1 for name, tensor in net.state_dict().items()}
    torch.save({"model": net.state_dict(), "ema": other, "optimizer": trained(net)}, tmp_path / "in.pt")
    assert shown(tmp_path / "in.pt")["weights"] == {"candidates": ["model", "ema"]}
    assert "one of model, ema (--root" in ok("show", tmp_path / "in.pt").stdout
    said = refused("convert", tmp_path / "in.pt", tmp_path / "out.pt", "--weights-only")
    assert '"model", "ema"' in said and "root" in said and not (tmp_path / "out.pt").exists()
    ok("convert", tmp_path / "in.pt", tmp_path / "root.pt", "--weights-only", "--root", "ema")
    ok("convert", tmp_path / "in.pt", tmp_path / "select.pt", "--weights-only", "--exclude", "model/")
    for name in ("root.pt", "select.pt"):
        assert torch.equal(torch.load(tmp_path / name)["norm.weight"], other["norm.weight"])


def test_a_file_without_weights_is_refused(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    assert shown(tmp_path / "optimizer.pt")["weights"] is None
    assert "none found" in ok("show", tmp_path / "optimizer.pt").stdout
    assert "nothing looks like the weights" in refused("convert", tmp_path / "optimizer.pt", tmp_path / "x.pt", "--weights-only")


MODEL = {f"h.{i}.w": np.full((2, 2), i, np.float32) for i in range(3)} | {"wte.weight": np.ones((3, 2), np.float32)}


@pytest.fixture
def model(tmp_path):
    save_file(MODEL, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_exclude_leaves_entries_out(model, tmp_path):
    ok("convert", model, tmp_path / "out.safetensors", "--exclude", "h.1.*", "--exclude", "wte.*")
    assert set(load_file(tmp_path / "out.safetensors")) == {"h.0.w", "h.2.w"}
    ok("convert", model, tmp_path / "two.safetensors", "--select", "h.*", "--exclude", "h.0.w")
    assert set(load_file(tmp_path / "two.safetensors")) == {"h.1.w", "h.2.w"}
    assert 'no entry matches "h.9.*"' in refused("convert", model, tmp_path / "x.safetensors", "--exclude", "h.9.*")


def test_prefixes_come_and_go(model, tmp_path):
    ok("convert", model, tmp_path / "with.safetensors", "--prefix", "model.")
    assert set(load_file(tmp_path / "with.safetensors")) == {f"model.{name}" for name in MODEL}
    ok("convert", tmp_path / "with.safetensors", tmp_path / "without.safetensors", "--strip-prefix", "model.")
    assert (tmp_path / "without.safetensors").read_bytes() == model.read_bytes()
    ok("convert", model, f"params::{tmp_path}/tree", "--prefix", "params/", "--dtype", "keep")
    assert {entry["path"] for entry in shown(f"params::{tmp_path}/tree")["entries"]} == {f"params/{name}" for name in MODEL}
    assert 'no entry begins with "transformer."' in refused("convert", model, tmp_path / "x.safetensors", "--strip-prefix", "transformer.")


def test_a_file_of_renames_gives_other_names(model, tmp_path):
    (tmp_path / "names.yaml").write_text("h.{i}.w: layers.{i}.weight\nwte.*: embed.*\n")
    ok("convert", model, tmp_path / "out.safetensors", "--rename", tmp_path / "names.yaml")
    found = load_file(tmp_path / "out.safetensors")
    assert set(found) == {"layers.0.weight", "layers.1.weight", "layers.2.weight", "embed.weight"}
    assert found["layers.2.weight"].tolist() == MODEL["h.2.w"].tolist()
    (tmp_path / "names.yaml").write_text("h.0.w: h.1.w\n")
    said = refused("convert", model, tmp_path / "x.safetensors", "--rename", tmp_path / "names.yaml")
    assert '"h.0.w"' in said and '"h.1.w"' in said
    (tmp_path / "names.yaml").write_text("h.9.w: h.10.w\n")
    assert '"h.9.w"' in refused("convert", model, tmp_path / "x.safetensors", "--rename", tmp_path / "names.yaml")
    (tmp_path / "names.yaml").write_text("a: [b]\n")
    assert "names.yaml:1" in refused("convert", model, tmp_path / "x.safetensors", "--rename", tmp_path / "names.yaml", code=2)
    assert "--rename" in refused("convert", model, tmp_path / "x.safetensors", "--rename", tmp_path / "none.yaml", code=2)
    assert not (tmp_path / "x.safetensors").exists()


@pytest.mark.parametrize("options", [["--exclude", ""], ["--exclude", "!a"], ["--exclude", "a//b"], ["--root", "a//b"], ["--prefix", "/"], ["--strip-prefix", "a//"], ["--weights-only", "--keep-optimizer"]])  # fmt: skip
def test_options_that_cannot_be_are_wrong_usage(options, model, tmp_path):
    refused("convert", model, tmp_path / "x.safetensors", *options, code=2)


def test_assets_come_out_again(net, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    save_file(MODEL, source / "model.safetensors")
    files = {"config.json": b"{}", "tokenizer.json": b"[1]"}
    for name, data in files.items():
        (source / name).write_bytes(data)
    for target in ("safetensors/", "torch/", "flax/"):
        ok("convert", source, tmp_path / target.rstrip("/"), "--to", target.rstrip("/"))
        ok("convert", source, f"{tmp_path}/again-{target}", "--to", target.rstrip("/"))
        for folder in (target, f"again-{target}"):
            assert {name: (tmp_path / folder / name).read_bytes() for name in files} == files

    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "one.safetensors"
    assert "config.json" in refused("convert", source, target)
    ok("convert", source, target, "--assets-beside")
    assert {path.name for path in target.parent.iterdir()} == {"one.safetensors", *files}
    assert {name: (target.parent / name).read_bytes() for name in files} == files
    # The same files again are no reason to refuse, others are.
    for prefix in ("params::", "npz::"):
        ok("convert", source, f"{prefix}{tmp_path}/out/{prefix[:3]}.x", "--assets-beside")
    (target.parent / "config.json").write_bytes(b"[]")
    said = refused("convert", source, target.parent / "two.pt", "--assets-beside", code=4)
    assert "config.json" in said and not (target.parent / "two.pt").exists()
    assert (target.parent / "config.json").read_bytes() == b"[]"
    ok("convert", source, target.parent / "two.pt", "--assets-beside", "--overwrite")
    assert (target.parent / "config.json").read_bytes() == b"{}"
    assert not [path for path in target.parent.iterdir() if "cairn-tmp" in path.name]


BIG = {f"t{i:02}": np.full((1 << 20,), i, np.float32) for i in range(24)}


def interrupted(how, *arguments, folder, files):
    """Runs until so many files of a target are whole, and ends it."""
    process = start(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None and len(whole(folder)) < files:
        time.sleep(0.001)
    process.send_signal(how)
    return process.wait(timeout=60)


def whole(folder):
    return [path for path in folder.glob("*") if "cairn-tmp" not in path.name]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
@pytest.mark.parametrize("format", ["safetensors", "torch", "flax"])
def test_an_interrupted_conversion_goes_on_from_its_finished_files(how, format, tmp_path):
    save_file(BIG, tmp_path / "in.safetensors")
    command = ["convert", tmp_path / "in.safetensors", tmp_path / "out", "--to", format, "--max-shard-size", "4MB", "--dtype", "bf16", "--resume"]
    ok(*command[:2], tmp_path / "whole", *command[3:])
    kept = tmp_path / ".out.cairn-tmp-resume" / "files"
    assert interrupted(how, *command, folder=kept, files=3) != 0
    assert not (tmp_path / "out").exists() and len(whole(kept)) >= 3
    before = {path.name: path.stat().st_mtime_ns for path in whole(kept)}
    done = json.loads(ok(*command, "--json").stdout)
    assert 0 < done["bytes_resumed"] < done["bytes"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()
    }
    # They are the same files, not new ones.
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.safetensors", "out", "whole"]


def test_another_source_or_other_options_begin_anew(tmp_path):
    save_file(BIG, tmp_path / "in.safetensors")
    command = ["convert", tmp_path / "in.safetensors", tmp_path / "out/", "--max-shard-size", "4MB", "--resume", "--json"]
    kept = tmp_path / ".out.cairn-tmp-resume" / "files"
    assert interrupted(signal.SIGKILL, *command, folder=kept, files=3) != 0
    changed = {name: value + 1 for name, value in BIG.items()}
    save_file(changed, tmp_path / "in.safetensors")
    assert interrupted(signal.SIGKILL, *command, folder=kept, files=3) != 0
    done = json.loads(ok(*command, "--prefix", "a.").stdout)
    assert done["bytes_resumed"] == 0
    ok("convert", tmp_path / "out", tmp_path / "one.safetensors", "--strip-prefix", "a.")
    same(load_file(tmp_path / "one.safetensors"), changed)


# With a daemon.


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, roots):
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--file-roots", roots)
    yield daemon
    daemon.stop()


def test_push_and_pull_take_the_weights_too(daemon, net, tmp_path):
    torch.save(checkpoint_of("litgpt step", net)[0], tmp_path / "in.pt")
    ok("push", tmp_path / "in.pt", "weights/push@1", "--weights-only", server=daemon.server)
    ok("pull", "weights/push@1", tmp_path / "pushed.pt", server=daemon.server)
    same_weights(tmp_path / "pushed.pt", net)
    ok("push", tmp_path / "in.pt", "weights/whole@1", server=daemon.server)
    assert shown("weights/whole@1", server=daemon.server)["weights"]["wrappers"] == ["_orig_mod"]
    ok("pull", "weights/whole@1", tmp_path / "pulled.pt", "--weights-only", server=daemon.server)
    same_weights(tmp_path / "pulled.pt", net)


def test_pushes_with_other_names_are_other_pushes(daemon, model):
    first = json.loads(ok("push", model, "weights/names@1", "--prefix", "a.", "--json", server=daemon.server).stdout)
    again = json.loads(ok("push", model, "weights/names@1", "--prefix", "a.", "--json", server=daemon.server).stdout)
    other = json.loads(ok("push", model, "weights/names@1", "--prefix", "b.", "--overwrite", "--json", server=daemon.server).stdout)
    assert not first["already_there"] and again["already_there"] and not other["already_there"]
    assert shown("weights/names@1", server=daemon.server)["entries"][0]["path"].startswith("b.")


def test_the_daemon_converts_with_the_same_options(daemon, roots, net, tmp_path):
    torch.save(checkpoint_of("lightning", net)[0], roots / "in.ckpt")
    (tmp_path / "names.yaml").write_text("norm.*: ln.*\n")
    done = ok(
        "convert", f"server::{roots}/in.ckpt", "ref::weights/daemon@1", "--weights-only", "--exclude", "*/model.norm.num*",
        "--rename", tmp_path / "names.yaml", "--prefix", "net.", server=daemon.server,
    )  # fmt: skip
    assert "Lightning Trainer checkpoint" in done.stderr
    found = {entry["path"] for entry in shown("weights/daemon@1", server=daemon.server)["entries"]}
    assert found == {"net.wte.weight", "net.head.weight", "net.ln.weight", "net.ln.bias", "net.ln.running_mean", "net.ln.running_var"}
    ok("convert", "ref::weights/daemon@1", f"server::{roots}/out.pt", "--strip-prefix", "net.", server=daemon.server)
    assert torch.equal(torch.load(roots / "out.pt")["wte.weight"], net.wte.weight)


def test_strict_reaches_the_daemon(daemon, roots):
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    torch.save({"w": torch.ones(2), "q": quantized}, roots / "quantized.pt")
    source = f"server::{roots}/quantized.pt"
    said = refused("convert", source, "ref::weights/strict@1", "--strict", server=daemon.server)
    assert '"q"' in said and "strict" in said
    assert '"q"' in ok("convert", source, "ref::weights/strict@1", server=daemon.server).stderr


LLAMA = {"model_type": "llama", "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 8, "vocab_size": 5,
         "architectures": ["LlamaForCausalLM"], "intermediate_size": 6, "num_hidden_layers": 1}  # fmt: skip


@pytest.fixture
def llama(tmp_path):
    generator = np.random.default_rng(3)
    shapes = {
        "model.embed_tokens.weight": (5, 8), "model.norm.weight": (8,), "lm_head.weight": (5, 8),
        "model.layers.0.self_attn.q_proj.weight": (8, 8), "model.layers.0.self_attn.k_proj.weight": (4, 8),
        "model.layers.0.self_attn.v_proj.weight": (4, 8), "model.layers.0.self_attn.o_proj.weight": (8, 8),
        "model.layers.0.mlp.gate_proj.weight": (6, 8), "model.layers.0.mlp.up_proj.weight": (6, 8),
        "model.layers.0.mlp.down_proj.weight": (8, 6), "model.layers.0.input_layernorm.weight": (8,),
        "model.layers.0.post_attention_layernorm.weight": (8,),
    }  # fmt: skip
    folder = tmp_path / "llama"
    folder.mkdir()
    save_file({name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


@pytest.fixture
def litgpt(llama, tmp_path):
    ok("convert", llama, tmp_path / "lit/", "--map", "hf-llama:litgpt")
    return load_file(tmp_path / "lit/model.safetensors")


def test_a_map_works_for_push_and_pull(daemon, llama, litgpt, tmp_path):
    ok("push", llama, "maps/push@1", "--map", "hf-llama:litgpt", server=daemon.server)
    ok("pull", "maps/push@1", tmp_path / "pushed/", "--to", "safetensors", server=daemon.server)
    same(load_file(tmp_path / "pushed/model.safetensors"), litgpt)
    ok("push", llama, "maps/whole@1", server=daemon.server)
    # What the model is, is said by the config.json among the checkpoint's assets.
    pulled = ok("pull", "maps/whole@1", tmp_path / "pulled/", "--to", "safetensors", "--map", "litgpt", server=daemon.server)
    assert "hf-llama -> litgpt" in pulled.stderr
    same(load_file(tmp_path / "pulled/model.safetensors"), litgpt)
    assert json.loads((tmp_path / "pulled/config.json").read_text()) == LLAMA


def test_a_map_works_in_the_daemon(daemon, llama, litgpt, tmp_path):
    ok("push", llama, "maps/daemon@1", server=daemon.server)
    done = ok("convert", "ref::maps/daemon@1", "ref::maps/litgpt@1", "--map", "litgpt", "--json", server=daemon.server)
    assert json.loads(done.stdout)["map"] == "hf-llama -> litgpt"
    ok("pull", "maps/litgpt@1", tmp_path / "out/", "--to", "safetensors", server=daemon.server)
    same(load_file(tmp_path / "out/model.safetensors"), litgpt)
    ok("verify", "maps/litgpt@1", server=daemon.server)


def test_the_daemon_reads_the_config_beside_a_file_and_takes_one_from_the_caller(daemon, roots, llama, litgpt, tmp_path):
    (roots / "llama").mkdir()
    for name in ("model.safetensors", "config.json"):
        (roots / "llama" / name).write_bytes((llama / name).read_bytes())
    ok("convert", f"server::{roots}/llama/model.safetensors", f"server::{roots}/beside.safetensors", "--map", "litgpt", server=daemon.server)
    same(load_file(roots / "beside.safetensors"), litgpt)
    (roots / "llama" / "config.json").unlink()
    source, target = f"server::{roots}/llama/model.safetensors", f"server::{roots}/given.params"
    said = refused("convert", source, target, "--map", "hf-llama:easylm", "--to", "easylm", server=daemon.server)
    assert "heads" in said
    ok("convert", source, target, "--map", "hf-llama:easylm", "--to", "easylm", "--map-config", llama / "config.json", server=daemon.server)
    ok("convert", llama, f"params::{tmp_path}/here.params", "--map", "hf-llama:easylm", "--assets-beside")
    assert (roots / "given.params").read_bytes() == (tmp_path / "here.params").read_bytes()


def test_the_daemon_takes_a_map_of_the_callers(daemon, model, tmp_path):
    text = "namings:\n  mine: {}\n  yours: {}\nsides: [mine, yours]\nrules:\n  - h.{i}.w = layers.{i}.weight [a b]\n  - wte.weight = embed.weight [vocab a]\n"
    (tmp_path / "mine.yaml").write_text(text)
    ok("push", model, "maps/own@1", server=daemon.server)
    ok("convert", "ref::maps/own@1", "ref::maps/own@2", "--map", tmp_path / "mine.yaml", server=daemon.server)
    paths = {entry["path"] for entry in shown("maps/own@2", server=daemon.server)["entries"]}
    assert paths == {"layers.0.weight", "layers.1.weight", "layers.2.weight", "embed.weight"}
    said = refused("convert", "ref::maps/own@1", "ref::maps/own@3", "--map", "hf-llama:litgpt", server=daemon.server)
    assert '"h.0.w"' in said and "without a rule" in said
    (tmp_path / "mine.yaml").write_text(text + "#" * (1 << 20))
    assert "1048576" in refused("convert", "ref::maps/own@1", "ref::maps/own@3", "--map", tmp_path / "mine.yaml", server=daemon.server)
