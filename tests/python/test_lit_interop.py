"""litgpt and Lightning, the real ones, as judges: they save -> `cairn convert` -> they load the same.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, torch, safetensors, litgpt and lightning.
"""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from programs import cairn, ok
from safetensors.torch import load_file, save_file
from tensors import same

L = pytest.importorskip("lightning", reason="Lightning writes and reads the files")
litgpt = pytest.importorskip("litgpt", reason="litgpt writes and reads the folders")

from litgpt.scripts.convert_pretrained_checkpoint import convert_pretrained_checkpoint  # noqa: E402
from litgpt.utils import copy_config_files, load_checkpoint, save_config  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


def convert(*arguments):
    return ok("convert", *arguments, "--dtype", "keep")


# litgpt


def gpt(seed=0):
    torch.manual_seed(seed)
    config = litgpt.Config.from_name("pythia-14m", n_layer=2, n_embd=32, n_head=4, padded_vocab_size=64, block_size=16)
    return config, litgpt.GPT(config)


def checkpoint_folder(folder, state):
    config, _ = gpt()
    folder.mkdir(parents=True)
    save_config(config, folder)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    (folder / "generation_config.json").write_text("{}")
    (folder / "hyperparameters.yaml").write_text("epochs: 1\n")
    torch.save(state, folder / "lit_model.pth")
    return folder


SIDE_FILES = ["generation_config.json", "hyperparameters.yaml", "model_config.yaml", "tokenizer.json", "tokenizer_config.json"]


def test_litgpt_loads_what_has_been_to_safetensors_and_back(tmp_path):
    config, model = gpt()
    source = checkpoint_folder(tmp_path / "in", model.state_dict())
    convert(source, tmp_path / "mid/", "--to", "safetensors")
    same(load_file(tmp_path / "mid/model.safetensors"), dict(model.state_dict()))
    convert(tmp_path / "mid", f"litgpt::{tmp_path / 'out'}")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*SIDE_FILES, "lit_model.pth"])
    for name in SIDE_FILES:
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    read = litgpt.Config.from_checkpoint(tmp_path / "out")
    assert read == config
    again = litgpt.GPT(read)
    load_checkpoint(L.Fabric(accelerator="cpu", devices=1), again, tmp_path / "out/lit_model.pth")
    tokens = torch.arange(8).reshape(1, 8)
    assert torch.equal(model(tokens), again(tokens))


def test_a_training_checkpoint_of_fabric_is_kept_as_it_is_and_goes_on(tmp_path):
    fabric = L.Fabric(accelerator="cpu", devices=1)
    _, model = gpt()
    model = fabric.setup(model)
    optimizer = fabric.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=1e-3))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(2):
        fabric.backward(model(torch.arange(8).reshape(1, 8)).logsumexp(-1).mean())
        optimizer.step()
        scheduler.step()
    step = checkpoint_folder(tmp_path / "run/step-000002", {})
    fabric.save(step / "lit_model.pth", {"model": model, "optimizer": optimizer, "scheduler": scheduler, "iter_num": 2, "step_count": 2})
    saved = torch.load(step / "lit_model.pth", weights_only=False)
    (tmp_path / "out").mkdir()
    convert(step, f"litgpt::{tmp_path / 'out/step-000002'}")
    written = torch.load(tmp_path / "out/step-000002/lit_model.pth", weights_only=True, mmap=True)
    same({k: v for k, v in saved.items() if k != "scheduler"}, {k: v for k, v in written.items() if k != "scheduler"})
    state = {"model": fabric.setup(gpt(1)[1]), "iter_num": 0, "step_count": 0}
    state["optimizer"] = fabric.setup_optimizers(torch.optim.AdamW(state["model"].parameters(), lr=1e-3))
    fabric.load(tmp_path / "out/step-000002/lit_model.pth", state, strict=False)
    assert state["iter_num"] == 2
    same(dict(state["model"].state_dict()), dict(model.state_dict()))
    same(state["optimizer"].state_dict()["state"], optimizer.state_dict()["state"])


def test_weights_of_fabric_have_one_key(tmp_path):
    _, model = gpt()
    fabric = L.Fabric(accelerator="cpu", devices=1)
    source = checkpoint_folder(tmp_path / "in", {})
    fabric.save(source / "lit_model.pth", {"model": model})
    convert(source, tmp_path / "out.safetensors", "--drop-unsupported")
    same(load_file(tmp_path / "out.safetensors"), {f"model.{k}": v for k, v in model.state_dict().items()})


def test_the_scripts_of_litgpt_and_we_read_each_other(tmp_path):
    _, model = gpt()
    compiled = {f"_orig_mod.{k}": v for k, v in model.state_dict().items()}
    source = checkpoint_folder(tmp_path / "in", {"model": compiled, "iter_num": 3})
    convert(source, f"litgpt::{tmp_path / 'ours'}")
    # Its file has the storages before the pickle, each of them twice.
    convert_pretrained_checkpoint(tmp_path / "ours", tmp_path / "theirs")
    convert(tmp_path / "theirs", f"litgpt::{tmp_path / 'again'}")
    same(torch.load(tmp_path / "again/lit_model.pth", weights_only=True), dict(model.state_dict()))
    assert os.path.getsize(tmp_path / "again/lit_model.pth") < 0.6 * os.path.getsize(tmp_path / "theirs/lit_model.pth")
    copy_config_files(tmp_path / "again", tmp_path)
    assert (tmp_path / "model_config.yaml").exists()


def test_tied_weights_stay_tied(tmp_path):
    _, model = gpt()
    state = model.state_dict()
    state["lm_head.weight"] = state["transformer.wte.weight"]
    source = checkpoint_folder(tmp_path / "in", state)
    convert(source, f"litgpt::{tmp_path / 'out'}")
    written = torch.load(tmp_path / "out/lit_model.pth", weights_only=True)
    assert written["lm_head.weight"].data_ptr() == written["transformer.wte.weight"].data_ptr()
    same(dict(state), written)


def test_the_folder_is_told_from_a_plain_one_of_torch(tmp_path):
    _, model = gpt()
    source = checkpoint_folder(tmp_path / "in", model.state_dict())
    torch.save({"other": torch.zeros(1)}, source / "pytorch_model.bin")
    convert(source, tmp_path / "out.safetensors", "--drop-unsupported")
    same(load_file(tmp_path / "out.safetensors"), dict(model.state_dict()))


# Lightning


class Module(L.LightningModule):
    def __init__(self, width=8, rate=1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.model = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 2))

    def training_step(self, batch, index):
        loss = self.model(batch).pow(2).mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.model(batch).pow(2).mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def loader():
    return torch.utils.data.DataLoader(torch.arange(32.0).reshape(8, 4) / 32, batch_size=4)


def trainer(folder, **options):
    return L.Trainer(accelerator="cpu", devices=1, default_root_dir=folder, logger=False, enable_progress_bar=False, enable_model_summary=False, **options)


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    module = Module()
    run = trainer(tmp_path, max_epochs=2, callbacks=[L.pytorch.callbacks.ModelCheckpoint(dirpath=tmp_path / "best", monitor="loss")])
    run.fit(module, loader())
    run.save_checkpoint(tmp_path / "in.ckpt")
    return module, tmp_path / "in.ckpt"


def plain(value):
    """Without the classes that only Lightning has."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def test_all_of_a_trainers_checkpoint_is_read_and_training_goes_on(tmp_path, trained):
    module, source = trained
    saved = torch.load(source, weights_only=False)
    convert(source, f"lightning::{tmp_path / 'out.ckpt'}")
    written = torch.load(tmp_path / "out.ckpt", weights_only=False)
    assert list(saved) == list(written)
    same(plain(saved), plain(written))
    again = trainer(tmp_path, max_epochs=3)
    again.fit(Module(), loader(), ckpt_path=tmp_path / "out.ckpt", weights_only=False)
    assert again.current_epoch == 3 and again.global_step == 6


def test_a_checkpoint_without_a_prefix_is_told_from_any_other_of_torch(tmp_path, trained):
    _, source = trained
    assert '"format": "lightning"' in cairn("--json", "show", source).stdout.replace('":"', '": "')
    torch.save({"state_dict": {"w": torch.zeros(1)}}, tmp_path / "other.ckpt")
    assert '"format": "torch"' in cairn("--json", "show", tmp_path / "other.ckpt").stdout.replace('":"', '": "')


def test_the_weights_alone_are_a_tree_of_their_own(tmp_path, trained):
    module, source = trained
    convert(f"lightning_weights::{source}", tmp_path / "w.safetensors")
    same(load_file(tmp_path / "w.safetensors"), dict(module.state_dict()))


def test_lightning_loads_weights_that_we_wrote(tmp_path, trained):
    module, _ = trained
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, tmp_path / "w.safetensors")
    convert(tmp_path / "w.safetensors", f"lightning::{tmp_path / 'out.ckpt'}")
    written = torch.load(tmp_path / "out.ckpt", weights_only=True, mmap=True)
    assert sorted(written) == ["epoch", "global_step", "pytorch-lightning_version", "state_dict"]
    loaded = Module.load_from_checkpoint(tmp_path / "out.ckpt")
    same(dict(module.state_dict()), dict(loaded.state_dict()))
    torch.manual_seed(5)
    expected = trainer(tmp_path).validate(module, loader(), verbose=False)
    for call in ("validate",):
        assert getattr(trainer(tmp_path), call)(Module(), loader(), ckpt_path=tmp_path / "out.ckpt", verbose=False) == expected
    with pytest.raises(KeyError, match="only the model"):
        trainer(tmp_path, max_epochs=1).fit(Module(), loader(), ckpt_path=tmp_path / "out.ckpt")


def test_what_is_no_trainers_is_refused(tmp_path):
    torch.save({"model": {"w": torch.zeros(1)}}, tmp_path / "in.ckpt")
    result = cairn("convert", f"lightning::{tmp_path / 'in.ckpt'}", tmp_path / "out.safetensors")
    assert result.returncode != 0 and "state_dict" in result.stderr


SHARDED = """
    import sys, torch, lightning as L
    from lightning.fabric.strategies import ModelParallelStrategy as OfFabric
    from lightning.pytorch.strategies import ModelParallelStrategy as OfTrainer
    from torch.distributed.fsdp import fully_shard

    what, folder, processes = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def net():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(4, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2))

    def shard(model, mesh):
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh["data_parallel"])
        return model

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"width": 7})
            self.net = None

        def configure_model(self):
            if self.net is None:
                self.net = shard(net(), self.device_mesh)

        def training_step(self, batch, index):
            return self.net(batch).pow(2).mean()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-2)

    if what == "fabric":
        fabric = L.Fabric(accelerator="cpu", devices=processes, strategy=OfFabric(shard, save_distributed_checkpoint=True))
        fabric.launch()
        model = fabric.setup_module(net())
        optimizer = fabric.setup_optimizers(torch.optim.AdamW(model.parameters(), lr=1e-2))
        model(torch.ones(3, 4)).sum().backward()
        optimizer.step()
        fabric.save(folder, {"model": model, "optimizer": optimizer, "iter_num": 5, "hparams": {"lr": 0.01, "betas": (0.9, 0.95)}})
    else:
        trainer = L.Trainer(accelerator="cpu", devices=processes, max_epochs=1, strategy=OfTrainer(save_distributed_checkpoint=True), logger=False,
                            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
        trainer.fit(Module(), torch.utils.data.DataLoader(torch.arange(32.0).reshape(8, 4), batch_size=2))
        trainer.save_checkpoint(folder)
"""


def save_sharded(tmp_path, what, processes):
    script = tmp_path / "save.py"
    script.write_text(textwrap.dedent(SHARDED))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    result = subprocess.run([sys.executable, *launch, str(script), what, str(tmp_path / "sharded"), str(processes)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    return tmp_path / "sharded"


def consolidated(source, target):
    """What Lightning's own tool makes of a sharded folder."""
    result = subprocess.run(
        [sys.executable, "-m", "lightning.fabric.utilities.consolidate_checkpoint", str(source), "--output_file", str(target)], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return torch.load(target, weights_only=False)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("what, root", [("fabric", "model"), ("trainer", "state_dict")])
def test_a_sharded_folder_reads_as_lightnings_own_tool_reads_it(tmp_path, what, root, processes):
    source = save_sharded(tmp_path, what, processes)
    assert (source / "meta.pt").exists()
    expected = consolidated(source, tmp_path / "theirs.pt")
    convert(source, f"torch::{tmp_path / 'ours.pt'}")
    ours = torch.load(tmp_path / "ours.pt", weights_only=False)
    same(plain(expected), plain(ours))
    convert(f"lightning_weights::{source}", tmp_path / "w.safetensors")
    same(load_file(tmp_path / "w.safetensors"), dict(expected[root]))
    if what == "trainer":
        convert(source, f"lightning::{tmp_path / 'whole.ckpt'}")
        same(dict(torch.load(tmp_path / "whole.ckpt", weights_only=False)["state_dict"]), dict(expected["state_dict"]))


def test_a_sharded_folder_of_fsdp_calls_its_weights_model(tmp_path):
    """FSDPStrategy runs on GPUs only; its folder is made of the same calls (lightning/pytorch/strategies/fsdp.py)."""
    import torch.distributed.checkpoint as dcp

    state = {"net.weight": torch.arange(12.0).reshape(3, 4), "net.bias": torch.ones(3)}
    dcp.save({"model": state, "optimizer_0": {"state": {"net.weight": {"exp_avg": torch.zeros(3, 4)}}}}, checkpoint_id=tmp_path / "in")
    torch.save({"epoch": 1, "global_step": 4, "pytorch-lightning_version": "2.6.6", "loops": {}}, tmp_path / "in/meta.pt")
    convert(f"lightning_weights::{tmp_path / 'in'}", tmp_path / "w.safetensors")
    same(load_file(tmp_path / "w.safetensors"), state)
    convert(tmp_path / "in", f"torch::{tmp_path / 'out.pt'}")
    same(consolidated(tmp_path / "in", tmp_path / "theirs.pt"), torch.load(tmp_path / "out.pt", weights_only=True))


def test_a_key_in_both_files_of_a_sharded_folder_is_refused(tmp_path):
    import torch.distributed.checkpoint as dcp

    dcp.save({"model": {"w": torch.ones(2)}}, checkpoint_id=tmp_path / "in")
    torch.save({"model": {"w": torch.zeros(2)}}, tmp_path / "in/meta.pt")
    result = cairn("convert", tmp_path / "in", tmp_path / "out.pt")
    assert result.returncode != 0 and '"model"' in result.stderr and "meta.pt" in result.stderr
