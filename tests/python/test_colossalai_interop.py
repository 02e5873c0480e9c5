"""ColossalAI's checkpoints against its own code (GeneralCheckpointIO), which is the judge: it saves -> `cairn convert` ->
it loads the same.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, colossalai, safetensors and torch. What needs several
processes and GPUs (pipeline stages, experts, interrupted saves) is written here by hand, by the names of its source.
"""

import json
import os
import shutil
import sys
import types
import warnings

import programs
import pytest
import torch
from programs import cairn, ok
from safetensors.torch import load_file, save_file
from tensors import same


class FileWriter:
    """tensornvme's AsyncFileWriter, which wants to be compiled: the same bytes, at once."""

    def __init__(self, path, **_):
        self._file = open(path, "wb")
        self.offset = 0

    def write(self, data):
        self._file.write(data)
        self.offset += len(data)

    def write_raw(self, tensor, _address, size, _offset):
        self.write(bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()))

    def write_tensor(self, tensor, _pinned=None):
        self.write_raw(tensor, 0, 0, 0)

    def register_h2d(self, _count):
        pass

    def synchronize(self):
        self._file.close()

    def sync_before_step(self):
        pass


nvme = types.ModuleType("tensornvme")
nvme.async_file_io = types.ModuleType("tensornvme.async_file_io")
nvme.async_file_io.AsyncFileWriter = FileWriter
sys.modules.setdefault("tensornvme", nvme)
sys.modules.setdefault("tensornvme.async_file_io", nvme.async_file_io)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import colossalai.checkpoint_io.utils as colossalai_utils
    from colossalai.checkpoint_io import GeneralCheckpointIO
# Pinned memory, and waiting for a device, need a GPU.
colossalai_utils.get_accelerator = lambda: types.SimpleNamespace(synchronize=lambda: None)
colossalai_utils._pin_tensor = lambda tensor, empty=True: torch.empty_like(tensor)

VARIANTS = ["colossalai", "colossalai_safetensors"]
SMALL = 0.001  # MiB: shards of a kilobyte.


def convert(*arguments):
    return ok("convert", *arguments)


def refused(*arguments):
    return programs.refused("convert", *arguments)


def io():
    return GeneralCheckpointIO()


def saved(method, *arguments, **options):
    """One save, with the files closed."""
    judge = io()
    getattr(judge, method)(*arguments, **options)
    judge._sync_io()


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(6, 20)
        self.norm = torch.nn.BatchNorm1d(20)
        self.second = torch.nn.Linear(20, 9)
        self.extra = torch.nn.Parameter(torch.randn(50).bfloat16())

    def forward(self, x):
        return self.second(self.norm(self.first(x))).sum() + self.extra.float().sum()


def trained(make_optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, amsgrad=True), steps=2):
    torch.manual_seed(3)
    model = Net()
    optimizer = make_optimizer(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(steps):
        model(torch.randn(5, 6)).backward()
        optimizer.step()
        scheduler.step()
    return model, optimizer, scheduler


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("safetensors", [False, True])
@pytest.mark.parametrize("prefix", [None, "ema"])
def test_shards_of_a_model_become_one_file(tmp_path, prefix, safetensors):
    model, _, _ = trained()
    saved("save_model", model, str(tmp_path / "in"), shard=True, prefix=prefix, size_per_shard=SMALL, use_safetensors=safetensors)
    assert len(files(tmp_path / "in")) > 2
    for source in (tmp_path / "in", next((tmp_path / "in").glob("*.json"))):
        convert(source, f"torch::{tmp_path / 'out.pt'}", "--overwrite")
        same(dict(model.state_dict()), torch.load(tmp_path / "out.pt", weights_only=True))
    convert(tmp_path / "in", tmp_path / "out.safetensors")
    same(dict(model.state_dict()), load_file(tmp_path / "out.safetensors"))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shards_are_those_that_colossalai_writes(tmp_path, variant):
    model, _, _ = trained()
    state = dict(model.state_dict())
    torch.save(state, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"{variant}::{tmp_path / 'ours'}", "--max-shard-size", int(0.001 * 1024 * 1024))
    saved("save_model", model, str(tmp_path / "theirs"), shard=True, size_per_shard=int(0.001 * 1024 * 1024) / 1024 / 1024,
          use_safetensors=variant != "colossalai")  # fmt: skip
    assert files(tmp_path / "ours") == files(tmp_path / "theirs")
    index = next((tmp_path / "ours").glob("*.json"))
    assert index.read_text() == (tmp_path / "theirs" / index.name).read_text()
    for name in files(tmp_path / "ours"):
        if name.endswith(".safetensors"):
            assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    torch.manual_seed(9)
    other = Net()
    io().load_model(other, str(tmp_path / "ours"), strict=False)
    same(state, dict(other.state_dict()))


@pytest.mark.parametrize("name", ["model.pt", "model.bin", "model.safetensors"])
def test_single_files_go_to_shards_and_back(tmp_path, name):
    model, _, _ = trained()
    saved("save_model", model, str(tmp_path / name), use_safetensors=name.endswith("safetensors"))
    for variant in VARIANTS:
        convert(f"colossalai::{tmp_path / name}", f"{variant}::{tmp_path / variant}", "--max-shard-size", "1kB")
        ending = ".safetensors" if variant == "colossalai_safetensors" else ".bin"
        convert(tmp_path / variant, f"{variant}::{tmp_path / (variant + ending)}")
        other = Net()
        io().load_model(other, str(tmp_path / (variant + ending)), strict=True)
        same(dict(model.state_dict()), dict(other.state_dict()))


def test_bin_and_safetensors_turn_into_each_other(tmp_path):
    model, _, _ = trained()
    saved("save_model", model, str(tmp_path / "bin"), shard=True, size_per_shard=SMALL)
    convert(tmp_path / "bin", f"colossalai_safetensors::{tmp_path / 'safe'}", "--max-shard-size", "1kB")
    assert "model.safetensors.index.json" in files(tmp_path / "safe") and not list((tmp_path / "safe").glob("*.bin"))
    convert(tmp_path / "safe", f"colossalai::{tmp_path / 'back'}", "--max-shard-size", "1kB")
    for folder in ("safe", "back"):
        other = Net()
        io().load_model(other, str(tmp_path / folder), strict=False)
        same(dict(model.state_dict()), dict(other.state_dict()))


def test_tied_tensors_stay_one_object_in_a_shard(tmp_path):
    state = {"a": torch.randn(300), "b": torch.randn(300), "c": torch.randn(300)}
    state["tied"] = state["a"]
    torch.save(state, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"colossalai::{tmp_path / 'out'}", "--max-shard-size", "1200")
    index = json.loads((tmp_path / "out/pytorch_model.bin.index.json").read_text())["weight_map"]
    shard = torch.load(tmp_path / "out" / index["tied"], weights_only=True)
    assert index["tied"] == index["a"] and shard["tied"].data_ptr() == shard["a"].data_ptr()
    message = refused(tmp_path / "in.pt", f"colossalai_safetensors::{tmp_path / 'safe'}")
    assert "tied" in message and "alias" in message


def two_groups(parameters):
    return torch.optim.Adam([{"params": parameters[:3]}, {"params": parameters[3:], "lr": 0.5, "betas": (0.5, 0.6)}])


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "groups": lambda p: two_groups(list(p)),
}


def fresh(make_optimizer):
    model = Net()
    return model, make_optimizer(model.parameters())


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_optimizer_states_are_read_and_loaded_again(tmp_path, kind, asynchronous):
    _, optimizer, _ = trained(OPTIMIZERS[kind])
    expected = optimizer.state_dict()
    saved("save_optimizer", optimizer, str(tmp_path / "in"), shard=True, size_per_shard=SMALL, use_async=asynchronous)
    assert "pytorch_optim_group.bin" in files(tmp_path / "in")
    convert(tmp_path / "in", f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=True)["optimizer"]
    # None has no place in the layout of asynchronous saves.
    state = {i: {k: v for k, v in s.items() if v is not None or not asynchronous} for i, s in expected["state"].items()}
    same({"state": state, "param_groups": expected["param_groups"]}, got)
    for variant in VARIANTS:
        target = tmp_path / variant
        convert(tmp_path / "in", f"{variant}::{target}/", "--max-shard-size", "1kB")
        other = fresh(OPTIMIZERS[kind])[1]
        io().load_optimizer(other, str(target))
        loaded = other.state_dict()
        same(expected["param_groups"], loaded["param_groups"])
        same(state, {i: s for i, s in loaded["state"].items()})


def test_the_index_of_an_optimizer_is_the_one_that_colossalai_writes(tmp_path):
    _, optimizer, _ = trained()
    saved("save_optimizer", optimizer, str(tmp_path / "theirs"), shard=True, size_per_shard=SMALL)
    convert(tmp_path / "theirs", f"colossalai::{tmp_path / 'ours'}/", "--max-shard-size", int(SMALL * 1024 * 1024))
    assert files(tmp_path / "ours") == files(tmp_path / "theirs") and len(files(tmp_path / "ours")) > 4
    name = "pytorch_optim.bin.index.json"
    assert (tmp_path / "ours" / name).read_text() == (tmp_path / "theirs" / name).read_text()


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ["optimizer.pt", "optimizer.safetensors"])
def test_an_optimizer_in_one_file(tmp_path, name, kind):
    _, optimizer, _ = trained(OPTIMIZERS[kind])
    asynchronous = name.endswith("safetensors")
    saved("save_optimizer", optimizer, str(tmp_path / name), use_async=asynchronous)
    source = tmp_path / name if asynchronous else f"colossalai::{tmp_path / name}"  # Any optimizer's file of torch looks so.
    for variant, target in zip(VARIANTS, ("out.pt", "out.safetensors")):
        convert(source, f"{variant}::{tmp_path / target}")
        other = fresh(OPTIMIZERS[kind])[1]
        io().load_optimizer(other, str(tmp_path / target))
        expected = optimizer.state_dict()
        if asynchronous or target.endswith("safetensors"):
            expected["state"] = {i: {k: v for k, v in s.items() if v is not None} for i, s in expected["state"].items()}
            expected["state"] = {i: s for i, s in expected["state"].items() if s}
        got = other.state_dict()
        got["state"] = {i: {k: v for k, v in s.items() if v is not None or not expected["state"]} for i, s in got["state"].items()}
        if not expected["state"]:
            got["state"] = {i: s for i, s in got["state"].items() if any(v is not None for v in s.values())}
        same(expected, got)


def checkpoint(folder, **options):
    """As ColossalAI's own training scripts lay it out."""
    model, optimizer, scheduler = trained()
    folder.mkdir()
    (folder / "modeling").mkdir()
    saved("save_model", model, str(folder / "modeling"), shard=True, size_per_shard=SMALL, **options)
    saved("save_optimizer", optimizer, str(folder / "optimizer"), shard=True, size_per_shard=SMALL)
    saved("save_lr_scheduler", scheduler, str(folder / "lr_scheduler"))
    (folder / "modeling/config.json").write_text('{"a": 1}')
    (folder / "running_states.json").write_text('{"step": 7}')
    return model, optimizer, scheduler


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_whole_checkpoint_comes_back(tmp_path, variant):
    model, optimizer, scheduler = checkpoint(tmp_path / "in")
    convert(tmp_path / "in", f"{variant}::{tmp_path / 'out'}")
    out = tmp_path / "out"
    assert {"modeling/config.json", "running_states.json", "lr_scheduler", "optimizer/pytorch_optim_group.bin"} <= set(files(out))
    other, others = fresh(OPTIMIZERS["adamw"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(others, 99)
    io().load_model(other, str(out / "modeling"), strict=True)
    io().load_optimizer(others, str(out / "optimizer"))
    io().load_lr_scheduler(schedule, str(out / "lr_scheduler"))
    same(dict(model.state_dict()), dict(other.state_dict()))
    same(optimizer.state_dict(), others.state_dict())
    same(scheduler.state_dict(), schedule.state_dict())
    convert(out, f"torch::{tmp_path / 'all'}/")
    got = torch.load(tmp_path / "all/pytorch_model.bin", weights_only=True)
    same({"model": dict(model.state_dict()), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}, got)


def test_parts_in_single_files_are_a_checkpoint_too(tmp_path):
    model, optimizer, scheduler = trained()
    (tmp_path / "in").mkdir()
    saved("save_model", model, str(tmp_path / "in/model.pt"))
    saved("save_optimizer", optimizer, str(tmp_path / "in/optimizer.pt"))
    saved("save_lr_scheduler", scheduler, str(tmp_path / "in/lr_scheduler.pt"))
    convert(f"colossalai::{tmp_path / 'in'}", f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=True)
    same({"model": dict(model.state_dict()), "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}, got)


@pytest.mark.parametrize("options", [{}, {"use_safetensors": True}], ids=["bin", "safetensors"])
def test_states_go_under_the_names_of_parameters(tmp_path, options):
    model, optimizer, _ = checkpoint(tmp_path / "in", **options)
    convert(f"colossalai_named::{tmp_path / 'in'}", f"torch::{tmp_path / 'out'}/")
    got = torch.load(tmp_path / "out/pytorch_model.bin", weights_only=True)["optimizer"]
    names = [name for name, _ in model.named_parameters()]
    # PyTorch has names in the same places (torch.distributed.checkpoint.state_dict.get_optimizer_state_dict).
    same({names[i]: state for i, state in optimizer.state_dict()["state"].items()}, got["state"])
    assert got["param_groups"][0]["params"] == names
    # And numbers come out of names again.
    convert(tmp_path / "out/pytorch_model.bin", f"colossalai::{tmp_path / 'back'}")
    others = fresh(OPTIMIZERS["adamw"])[1]
    io().load_optimizer(others, str(tmp_path / "back/optimizer"))
    same(optimizer.state_dict(), others.state_dict())


def test_names_that_the_groups_have_are_taken(tmp_path):
    model, _, _ = trained()
    named = list(model.named_parameters())
    optimizer = torch.optim.Adam([{"params": named[3:]}, {"params": named[:3]}])
    model(torch.randn(5, 6)).backward()
    optimizer.step()
    (tmp_path / "in").mkdir()
    saved("save_model", model, str(tmp_path / "in/model.pt"))
    saved("save_optimizer", optimizer, str(tmp_path / "in/optimizer.pt"))
    convert(f"colossalai_named::{tmp_path / 'in'}", f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=True)["optimizer"]
    expected = optimizer.state_dict()["state"]
    for i, (name, _) in enumerate(named[3:] + named[:3]):
        same(expected[i], got["state"][name])


def test_names_are_never_guessed(tmp_path):
    def attempt(make_optimizer, word):
        folder = tmp_path / word.split()[0]
        folder.mkdir()
        model, optimizer, _ = trained(make_optimizer)
        saved("save_model", model, str(folder / "model.pt"))
        saved("save_optimizer", optimizer, str(folder / "optimizer.pt"))
        message = refused(f"colossalai_named::{folder}", f"torch::{tmp_path / 'out.pt'}")
        assert word in message and "by their ids" in message, message

    attempt(OPTIMIZERS["groups"], "groups without names")
    attempt(lambda p: torch.optim.Adam(list(p)[1:]), "6 parameters, and the model 7")
    attempt(lambda p: torch.optim.Adam(list(p)[::-1]), "shape")
    saved("save_optimizer", trained()[1], str(tmp_path / "optimizer"), shard=True)
    assert "cannot be named" in refused(f"colossalai_named::{tmp_path / 'optimizer'}", f"torch::{tmp_path / 'out.pt'}")


def write_index(folder, weight_map, name="pytorch_model.bin.index.json", **metadata):
    (folder / name).write_text(json.dumps({"metadata": {"total_size": 0.5, **metadata}, "weight_map": weight_map}, indent=2) + "\n")


@pytest.mark.parametrize(
    "names",
    [
        ["pytorch_model-stage-00001-shard-00001.bin", "pytorch_model-stage-00002-shard-00001.bin"],
        ["pytorch_model.ema-stage-00001-shard-00001.bin", "pytorch_model.ema-stage-00001-shard-00002.bin"],
        ["pytorch_model-stage-00001-00001-shard-00001.bin", "pytorch_model-stage-00001-00002-shard-00001.bin"],
        ["model-stage-00001-shard-00001.safetensors", "model-stage-00002-shard-00001.safetensors"],
    ],
)
def test_pipeline_stages_and_experts_are_one_checkpoint(tmp_path, names):
    folder = tmp_path / "in"
    folder.mkdir()
    shards = [{"a.weight": torch.randn(3), "b": torch.randn(2, 2)}, {"c": torch.arange(4)}]
    safetensors = names[0].endswith("safetensors")
    for name, shard in zip(names, shards):
        save_file(shard, folder / name, metadata={"format": "pt"}) if safetensors else torch.save(shard, folder / name)
    # The stages come in whatever order the folder has them.
    write_index(folder, {key: name for name, shard in reversed(list(zip(names, shards))) for key in shard},
                "model.safetensors.index.json" if safetensors else "pytorch_model.bin.index.json")  # fmt: skip
    convert(folder, f"torch::{tmp_path / 'out.pt'}")
    same({**shards[0], **shards[1]}, torch.load(tmp_path / "out.pt", weights_only=True))
    # An index that an earlier save left, and stages that a later one did not finish.
    (folder / "tmp_index_files").mkdir()
    assert "tmp_index_files" in convert(folder, f"torch::{tmp_path / 'out.pt'}", "--overwrite").stderr
    assert "tmp_index_files" in refused(folder, f"torch::{tmp_path / 'strict.pt'}", "--strict")
    for index in folder.glob("*.json"):
        index.unlink()
    assert "interrupted" in refused(folder, f"torch::{tmp_path / 'none.pt'}")


def test_an_optimizer_of_pipeline_stages_with_ids_as_text(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    states = [{"2": {"step": 3, "exp_avg": torch.randn(4)}}, {"0": {"step": 3, "exp_avg": torch.randn(2)}, "1": {"step": 3}}]
    names = [f"pytorch_optim-stage-0000{2 - i}-shard-00001.bin" for i in range(2)]
    for name, shard in zip(names, states):
        torch.save(shard, folder / name)
    groups = [{"lr": 0.1, "betas": (0.9, 0.95), "params": [0, 1, 2]}]
    torch.save(groups, folder / "pytorch_optim_group.bin")
    write_index(folder, {key: name for name, shard in zip(names, states) for key in shard}, "pytorch_optim.bin.index.json",
                param_groups="pytorch_optim_group.bin")  # fmt: skip
    convert(folder, f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=True)["optimizer"]
    assert list(got["state"]) == [0, 1, 2]
    same({"state": {int(k): v for shard in states for k, v in shard.items()}, "param_groups": groups}, got)


def test_the_order_of_parameters_is_that_of_the_stages(tmp_path):
    """The merged index has the stages in the order in which the folder was listed."""
    model, states = tmp_path / "in/model", tmp_path / "in/optimizer"
    model.mkdir(parents=True), states.mkdir()
    shards = [{"first": torch.randn(3)}, {"second": torch.randn(3)}]
    names = [f"pytorch_model-stage-0000{i + 1}-shard-00001.bin" for i in range(2)]
    for name, shard in zip(names, shards):
        torch.save(shard, model / name)
    write_index(model, {"second": names[1], "first": names[0]})
    torch.save({0: {"exp_avg": shards[0]["first"]}, 1: {"exp_avg": shards[1]["second"]}}, states / "pytorch_optim-00001.bin")
    torch.save([{"params": [0, 1]}], states / "pytorch_optim_group.bin")
    write_index(states, {i: "pytorch_optim-00001.bin" for i in range(2)}, "pytorch_optim.bin.index.json", param_groups="pytorch_optim_group.bin")
    convert(f"colossalai_named::{tmp_path / 'in'}", f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=True)["optimizer"]["state"]
    same({name: {"exp_avg": value} for shard in shards for name, value in shard.items()}, got)


def test_what_colossalai_does_not_load_is_refused_by_name(tmp_path):
    folder = tmp_path / "in"
    (folder / "dtensor").mkdir(parents=True)
    torch.save({"a": torch.ones(2)}, folder / "dtensor/a.0..bin")
    write_index(folder, {"a": "dtensor/a.*..bin"})
    assert "gather_dtensor" in refused(folder, f"torch::{tmp_path / 'out.pt'}")

    model, optimizer, _ = trained()
    both = tmp_path / "both"
    saved("save_model", model, str(both), shard=True)
    saved("save_optimizer", optimizer, str(both), shard=True)
    message = refused(both, f"torch::{tmp_path / 'out.pt'}")
    assert "pytorch_model.bin.index.json" in message and "pytorch_optim.bin.index.json" in message
    with pytest.raises(AssertionError):
        io().load_model(Net(), str(both))
    convert(both / "pytorch_optim.bin.index.json", f"torch::{tmp_path / 'out.pt'}")
    assert set(torch.load(tmp_path / "out.pt", weights_only=True)) == {"optimizer"}

    alone = tmp_path / "alone"
    shutil.copytree(both, alone)
    (alone / "pytorch_model.bin.index.json").unlink()
    (alone / "pytorch_optim_group.bin").unlink()
    assert "pytorch_optim_group.bin" in refused(alone, f"torch::{tmp_path / 'out2.pt'}")


def test_a_folder_of_hugging_face_is_none_of_colossalais(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    torch.save({"a": torch.ones(2)}, folder / "pytorch_model-00001-of-00002.bin")
    torch.save({"b": torch.ones(2)}, folder / "pytorch_model-00002-of-00002.bin")
    write_index(folder, {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"})
    assert json.loads(cairn("show", folder, "--json").stdout.splitlines()[0]).get("format") in (None, "torch")
    convert(folder, f"torch::{tmp_path / 'out.pt'}")


def test_a_pickle_in_a_tensor_is_never_run(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    import pickle

    bad = torch.frombuffer(bytearray(pickle.dumps(Attack())), dtype=torch.uint8).clone()
    groups = torch.frombuffer(bytearray(pickle.dumps([{"params": [0]}])), dtype=torch.uint8).clone()
    save_file({"state.0.step": bad, "param_groups": groups}, tmp_path / "in.safetensors",
              metadata={"format": "pt", "non_tensor_keys": json.dumps(["state.0.step", "param_groups"])})  # fmt: skip
    shown = cairn("show", tmp_path / "in.safetensors")
    assert shown.returncode == 0 and "system" in shown.stdout, shown.stdout + shown.stderr
    convert(tmp_path / "in.safetensors", f"colossalai::{tmp_path / 'out'}/")
    assert not (tmp_path / "ran").exists()


def test_what_has_no_place_is_refused_by_name(tmp_path):
    model, optimizer, _ = trained()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "in.pt")
    assert "epoch" in refused(tmp_path / "in.pt", f"colossalai::{tmp_path / 'out'}")
    convert(tmp_path / "in.pt", f"colossalai::{tmp_path / 'out'}", "--drop-unsupported")
    others = fresh(OPTIMIZERS["adamw"])[1]
    io().load_optimizer(others, str(tmp_path / "out/optimizer"))
    same(optimizer.state_dict(), others.state_dict())
    torch.save(dict(model.state_dict()), tmp_path / "model.pt")
    assert "ends in .safetensors" in refused(tmp_path / "model.pt", f"colossalai_safetensors::{tmp_path / 'x.bin'}")
