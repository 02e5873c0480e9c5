"""torch.save files against the real torch, which is the judge: it writes -> `cairn convert` -> it reads the same.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, numpy, safetensors and torch.
"""

import argparse
import collections
import io
import functools
import json
import os
import zipfile

import pytest
import tensors
import torch
from arrays import SHAPES
from programs import cairn, ok
from safetensors.torch import load_file, save_file
from tensors import DTYPES, tensor

KINDS = [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}, {"pickle_protocol": 5}]
same = functools.partial(tensors.same, ordered=True)


def convert(*arguments):
    return ok("convert", *arguments)


def round_trip(tmp_path, state, **kind):
    torch.save(state, tmp_path / "in.pt", **kind)
    convert(tmp_path / "in.pt", f"torch::{tmp_path / 'out.pt'}", "--dtype", "keep")
    plain = torch.load(tmp_path / "out.pt", weights_only=True)
    mapped = torch.load(tmp_path / "out.pt", weights_only=True, mmap=True)
    same(plain, mapped)
    return plain


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape_survives_bit_by_bit(tmp_path, dtype, kind):
    state = {f"t{i}": tensor(dtype, shape, i) for i, shape in enumerate(SHAPES)}
    same(state, round_trip(tmp_path, state, **kind))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_views_come_out_as_what_they_show(tmp_path, kind):
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "transposed": base.t(),
        "slice": base[1:3, 2:5],
        "step": base[::2, ::3],
        "expanded": base[0].expand(5, 6),
        "permuted": torch.arange(120).reshape(2, 3, 4, 5).permute(3, 0, 2, 1),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    same(state, round_trip(tmp_path, state, **kind))


def test_conjugate_and_negative_views_are_resolved(tmp_path):
    z = torch.randn(3, 4, dtype=torch.complex128)
    state = {"conj": z.conj(), "neg": torch._neg_view(torch.randn(3)), "imag": torch.randn(4, dtype=torch.complex64).conj().imag, "both": torch._neg_view(z.conj())}
    assert state["conj"].is_conj() and state["neg"].is_neg() and state["imag"].is_neg()
    got = round_trip(tmp_path, state)
    for key in state:
        assert torch.equal(got[key], state[key]), key


def test_a_large_transposed_matrix_comes_out_right(tmp_path):
    state = {"w": torch.arange(3000 * 2100, dtype=torch.int32).reshape(3000, 2100).t()}
    same(state, round_trip(tmp_path, state))


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_plain_values_and_containers_come_back_as_they_were(tmp_path, kind):
    state = {
        "none": None, "true": True, "int": 3, "negative": -(2**40), "big": 2**200, "float": -0.0, "nan": float("nan"), "text": "żółw \u2603",
        "empty": {}, "empty list": [], "empty tuple": (), "list": [1, [2, (3, 4.5)], {"a": torch.ones(2)}], "tuple": (torch.zeros(1), 2),
        7: {8: torch.arange(3)}, "betas": (0.9, 0.999), "complex": 1 + 2j, "order": collections.OrderedDict(b=1, a=2),
    }  # fmt: skip
    same(state, round_trip(tmp_path, state, **kind))


def test_bytes_come_back(tmp_path):
    torch.save({"blob": b"\x00\xff\x80", "array": bytearray(b"xyz")}, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"torch::{tmp_path / 'out.pt'}")
    assert torch.load(tmp_path / "out.pt", weights_only=False) == {"blob": b"\x00\xff\x80", "array": b"xyz"}


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_a_train_state_with_adamw_loads_into_the_optimizer_again(tmp_path, kind):
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(3):
        model(torch.randn(5, 4)).sum().backward()
        optimizer.step()
        scheduler.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "step": 3}
    got = round_trip(tmp_path, state, **kind)
    same(state, got)
    model.load_state_dict(got["model"])
    optimizer.load_state_dict(got["optimizer"])
    scheduler.load_state_dict(got["scheduler"])


def test_tied_weights_stay_tied(tmp_path):
    weight = torch.nn.Parameter(torch.randn(5, 3))
    got = round_trip(tmp_path, {"embed": weight, "head": weight, "other": torch.randn(5, 3)})
    assert got["embed"].data_ptr() == got["head"].data_ptr() != got["other"].data_ptr()
    assert (tmp_path / "out.pt").stat().st_size < 3000


def test_parameters_and_buffers_are_tensors(tmp_path):
    state = {"p": torch.nn.Parameter(torch.randn(2)), "b": torch.nn.Buffer(torch.randn(2))}
    got = round_trip(tmp_path, state)
    assert torch.equal(got["p"], state["p"].data) and torch.equal(got["b"], state["b"].data)


def test_the_file_is_the_one_that_torch_would_write(tmp_path):
    state = {"a": torch.arange(10.0), "b": torch.ones(3, dtype=torch.int64), "c": torch.ones(0)}
    torch.save(state, tmp_path / "archive.pt")
    convert(tmp_path / "archive.pt", f"torch::{tmp_path / 'out.pt'}")
    with zipfile.ZipFile(tmp_path / "archive.pt") as theirs, zipfile.ZipFile(tmp_path / "out.pt") as ours:
        for name in ours.namelist():
            # A pickle may remember more objects than it needs to.
            assert ours.read(name) == theirs.read(name) or name == "archive/data.pkl", name
        assert set(theirs.namelist()) - set(ours.namelist()) == {"archive/.data/serialization_id"}


def test_the_same_input_gives_the_same_bytes(tmp_path):
    torch.save({"a": torch.randn(100), "b": {"c": 1}}, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"torch::{tmp_path / '1.pt'}")
    convert(tmp_path / "in.pt", f"torch::{tmp_path / '2.pt'}")
    assert (tmp_path / "1.pt").read_bytes() == (tmp_path / "2.pt").read_bytes()


def test_weights_go_to_safetensors_and_back(tmp_path):
    state = {"layers.0.weight": torch.randn(3, 4), "layers.0.bias": torch.randn(4).bfloat16()}
    torch.save(state, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    same(state, dict(sorted(load_file(tmp_path / "out.safetensors").items(), key=lambda item: list(state).index(item[0]))))
    convert(tmp_path / "out.safetensors", f"torch::{tmp_path / 'back.pt'}")
    got = torch.load(tmp_path / "back.pt", weights_only=True)
    assert set(got) == set(state)
    for key in state:
        same(state[key], got[key])


def sharded(folder, shards):
    folder.mkdir()
    weight_map = {}
    for number, state in enumerate(shards, start=1):
        name = f"pytorch_model-{number:05d}-of-{len(shards):05d}.bin"
        torch.save(state, folder / name)
        weight_map.update({tensor: name for tensor in state})
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    (folder / "config.json").write_text("{}")
    return folder


def test_shards_of_hugging_face_are_one_checkpoint(tmp_path):
    shards = [{"a": torch.randn(4), "b": torch.randn(2, 2)}, {"c": torch.arange(3)}]
    folder = sharded(tmp_path / "in", shards)
    for source in (folder, folder / "pytorch_model.bin.index.json"):
        convert(source, f"torch::{tmp_path / 'out'}/", "--overwrite")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "pytorch_model.bin"]
        same({**shards[0], **shards[1]}, torch.load(tmp_path / "out/pytorch_model.bin", weights_only=True))


def test_shards_are_written_with_an_index(tmp_path):
    state = {f"w{i}": torch.randn(100) for i in range(5)}
    state["tied"] = state["w3"]
    torch.save(state, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"torch::{tmp_path / 'out'}/", "--max-shard-size", "800")
    index = json.loads((tmp_path / "out/pytorch_model.bin.index.json").read_text())
    assert set(index["weight_map"]) == set(state) and len(set(index["weight_map"].values())) == 3
    assert index["weight_map"]["tied"] == index["weight_map"]["w3"]
    for name, file in index["weight_map"].items():
        same(state[name], torch.load(tmp_path / "out" / file, weights_only=True)[name])


class Marker:  # A class of the user's: nobody can know what it does.
    def __init__(self, value):
        self.value = value


def test_unknown_objects_are_carried_between_pickles_and_never_run(tmp_path):
    hparams = argparse.Namespace(lr=0.1, layers=[1, 2])
    torch.save({"w": torch.ones(2), "hparams": hparams, "marker": Marker(3)}, tmp_path / "in.pt")
    convert(tmp_path / "in.pt", f"torch::{tmp_path / 'out.pt'}")
    got = torch.load(tmp_path / "out.pt", weights_only=False)
    assert got["hparams"] == hparams and got["marker"].value == 3


def test_a_pickle_that_would_run_a_program_only_becomes_bytes(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"w": torch.ones(2), "attack": Attack()}, tmp_path / "in.pt")
    shown = cairn("show", tmp_path / "in.pt")
    assert shown.returncode == 0 and "system" in shown.stdout, shown.stdout + shown.stderr
    refused = cairn("convert", tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "attack" in refused.stderr
    convert(tmp_path / "in.pt", tmp_path / "out.safetensors", "--drop-unsupported")
    assert set(load_file(tmp_path / "out.safetensors")) == {"w"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "quantized"),
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.empty(3, device="meta"), "meta"),
        (lambda: torch.zeros(3, dtype=torch.complex32), "complex32"),
    ],
)
def test_tensors_that_nobody_else_has_are_named_and_left_out(tmp_path, make, word):
    torch.save({"w": torch.ones(2), "odd": make()}, tmp_path / "in.pt")
    converted = convert(tmp_path / "in.pt", tmp_path / "out.safetensors")
    assert "odd" in converted.stderr and word in converted.stderr, converted.stderr
    assert set(load_file(tmp_path / "out.safetensors")) == {"w"}
    refused = cairn("convert", tmp_path / "in.pt", tmp_path / "strict.safetensors", "--strict")
    assert refused.returncode != 0 and "odd" in refused.stderr


def test_torchscript_is_refused_by_name(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "m.pt")
    refused = cairn("convert", tmp_path / "m.pt", tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "TorchScript" in refused.stderr


def test_a_repacked_archive_with_compression_is_read(tmp_path):
    state = {"a": torch.arange(1000.0), "b": torch.ones(3)}
    torch.save(state, tmp_path / "in.pt")
    with zipfile.ZipFile(tmp_path / "in.pt") as old, zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    convert(tmp_path / "packed.pt", tmp_path / "out.safetensors")
    same(state, load_file(tmp_path / "out.safetensors"))


def test_big_endian_files_are_turned_round(tmp_path):
    state = {"f": torch.arange(5.0), "h": torch.arange(5, dtype=torch.int16), "z": torch.tensor([1 + 2j]), "b": torch.tensor([1, 2], dtype=torch.uint8)}
    torch.save(state, tmp_path / "in.pt")
    with zipfile.ZipFile(tmp_path / "in.pt") as old, zipfile.ZipFile(tmp_path / "big.pt", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("/byteorder"):
                data = b"big"
            if "/data/" in name:
                value = list(state.values())[int(name.rsplit("/", 1)[1])]
                item = value.element_size() // (2 if value.is_complex() else 1)
                data = b"".join(data[i : i + item][::-1] for i in range(0, len(data), item))
            new.writestr(name, data)
    convert(tmp_path / "big.pt", f"torch::{tmp_path / 'out.pt'}")
    same(state, torch.load(tmp_path / "out.pt", weights_only=True))


def test_a_lone_tensor_and_a_lone_list_have_names(tmp_path):
    torch.save(torch.arange(3), tmp_path / "t.pt")
    convert(tmp_path / "t.pt", f"torch::{tmp_path / 'out.pt'}")
    same({"tensor": torch.arange(3)}, torch.load(tmp_path / "out.pt", weights_only=True))
    torch.save([torch.arange(3), 5], tmp_path / "l.pt")
    convert(tmp_path / "l.pt", f"torch::{tmp_path / 'list.pt'}")
    same({0: torch.arange(3), 1: 5}, torch.load(tmp_path / "list.pt", weights_only=True))


def test_many_entries_are_fast(tmp_path):
    state = {f"layer.{i}.weight": torch.tensor(float(i)) for i in range(20_000)}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (tmp_path / "in.pt").write_bytes(buffer.getvalue())
    convert(tmp_path / "in.pt", f"torch::{tmp_path / 'out.pt'}")
    same(state, torch.load(tmp_path / "out.pt", weights_only=True))


def test_a_cut_file_is_refused_and_nothing_is_written(tmp_path):
    torch.save({"a": torch.randn(1000)}, tmp_path / "in.pt")
    data = (tmp_path / "in.pt").read_bytes()
    for size in (0, 3, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.pt").write_bytes(data[:size])
        refused = cairn("convert", f"torch::{tmp_path / 'cut.pt'}", tmp_path / "out.safetensors")
        assert refused.returncode != 0 and "cut.pt" in refused.stderr
        assert not (tmp_path / "out.safetensors").exists()


def test_a_storage_of_another_size_is_refused(tmp_path):
    torch.save({"a": torch.randn(10)}, tmp_path / "in.pt")
    with zipfile.ZipFile(tmp_path / "in.pt") as old, zipfile.ZipFile(tmp_path / "bad.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[:20] if "/data/" in name else old.read(name))
    refused = cairn("convert", tmp_path / "bad.pt", tmp_path / "out.safetensors")
    assert refused.returncode != 0 and "20 bytes, expected 40" in refused.stderr, refused.stderr


def test_what_torch_lacks_is_refused_by_name(tmp_path):
    save_file({"a": torch.randn(2)}, tmp_path / "in.safetensors")
    refused = cairn("convert", tmp_path / "in.safetensors", f"torch::{tmp_path / 'out.pt'}", "--dtype", "float8_e3m4")
    assert refused.returncode != 0 and "float8_e3m4" in refused.stderr and "torch lacks" in refused.stderr
