"""Meta's consolidated.NN.pth. The judges: parts cut by hand with torch the way Meta's model code (fairscale) has them, and a real
Llama of transformers that goes there and back.

CAIRN_BIN names the binary; a run without it fails. Needs pytest, torch, safetensors and transformers.
"""

import json
import os
import subprocess

import pytest
import torch
from programs import CAIRN, cairn, ok
from safetensors.torch import load_file
from tensors import same

transformers = pytest.importorskip("transformers", reason="a real Llama is built with transformers")

DIM, HEADS, KV_HEADS, HIDDEN, VOCABULARY, LAYERS = 64, 8, 4, 176, 96, 2
PARAMS = {"dim": DIM, "n_layers": LAYERS, "n_heads": HEADS, "n_kv_heads": KV_HEADS, "vocab_size": VOCABULARY, "multiple_of": 16, "norm_eps": 1e-5, "rope_theta": 5e5}


def convert(*arguments):
    return ok("convert", *arguments, "--dtype", "keep")


def whole_model(dtype=torch.bfloat16, kv_heads=KV_HEADS, rope=False):
    torch.manual_seed(0)
    head = DIM // HEADS

    def weight(*shape):
        return torch.randn(*shape).to(dtype)

    state = {"tok_embeddings.weight": weight(VOCABULARY, DIM), "norm.weight": weight(DIM), "output.weight": weight(VOCABULARY, DIM)}
    for layer in range(LAYERS):
        name = f"layers.{layer}."
        state |= {
            name + "attention.wq.weight": weight(HEADS * head, DIM),
            name + "attention.wk.weight": weight(kv_heads * head, DIM),
            name + "attention.wv.weight": weight(kv_heads * head, DIM),
            name + "attention.wo.weight": weight(DIM, HEADS * head),
            name + "feed_forward.w1.weight": weight(HIDDEN, DIM),
            name + "feed_forward.w2.weight": weight(DIM, HIDDEN),
            name + "feed_forward.w3.weight": weight(HIDDEN, DIM),
            name + "attention_norm.weight": weight(DIM),
            name + "ffn_norm.weight": weight(DIM),
        }
    if rope:
        state["rope.freqs"] = weight(head // 2)
    return state


def cut(state, parts, embedding_axis=0, kv_heads=KV_HEADS):
    """The slice of each part, as fairscale's ColumnParallelLinear (rows) and RowParallelLinear (columns) take them."""
    result = [{} for _ in range(parts)]
    for name, value in state.items():
        kind = name.split(".")[-2] if "." in name else name
        for part in range(parts):
            if value.dim() == 1:
                piece = value
            elif kind in ("wk", "wv") and kv_heads < parts:
                piece = value.chunk(kv_heads, 0)[part // (parts // kv_heads)]
            elif kind in ("wo", "w2"):
                piece = value.chunk(parts, 1)[part]
            elif kind == "tok_embeddings":
                piece = value.chunk(parts, embedding_axis)[part]
            else:
                piece = value.chunk(parts, 0)[part]
            result[part][name] = piece.clone()
    return result


def write_model(folder, pieces, params=PARAMS):
    folder.mkdir()
    for i, piece in enumerate(pieces):
        torch.save(piece, folder / f"consolidated.{i:02d}.pth")
    if params is not None:
        (folder / "params.json").write_text(json.dumps(params))
    (folder / "tokenizer.model").write_bytes(b"pieces")
    return folder


def read_parts(folder):
    names = sorted(p.name for p in folder.glob("consolidated.*"))
    assert names == [f"consolidated.{i:02d}.pth" for i in range(len(names))]
    return [torch.load(folder / name, weights_only=True, mmap=True) for name in names]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("embedding_axis", [0, 1], ids=["llama3", "llama2"])
@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_parts_are_joined_bit_by_bit(tmp_path, parts, embedding_axis, dtype):
    state = whole_model(dtype, rope=embedding_axis == 1)
    source = write_model(tmp_path / "model", cut(state, parts, embedding_axis))
    convert(source, tmp_path / "out/", "--to", "safetensors")
    same(load_file(tmp_path / "out/model.safetensors"), state)
    # What lies beside the parts travels along.
    assert json.loads((tmp_path / "out/params.json").read_text()) == PARAMS
    assert (tmp_path / "out/tokenizer.model").read_bytes() == b"pieces"


@pytest.mark.parametrize("variant", ["llama", "llama2"])
@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_parts_are_cut_as_meta_has_them(tmp_path, parts, variant):
    state = whole_model()
    source = write_model(tmp_path / "model", [state])
    convert(source, f"{variant}::{tmp_path / 'out'}", "--parts", parts)
    expected = cut(state, parts, 1 if variant == "llama2" else 0)
    written = read_parts(tmp_path / "out")
    assert len(written) == parts
    for mine, meant in zip(written, expected):
        same(mine, meant)
    assert json.loads((tmp_path / "out/params.json").read_text()) == PARAMS


def test_a_model_with_a_rotary_table_is_cut_as_the_first_generations_were(tmp_path):
    state = whole_model(rope=True)
    source = write_model(tmp_path / "model", cut(state, 2, 1))
    convert(source, f"llama::{tmp_path / 'out'}", "--parts", 4)
    for mine, meant in zip(read_parts(tmp_path / "out"), cut(state, 4, 1)):
        same(mine, meant)


def test_any_number_of_parts_becomes_any_other(tmp_path):
    source = write_model(tmp_path / "1", [whole_model()])
    for before, after in [(1, 8), (8, 2), (2, 4), (4, 1)]:
        convert(tmp_path / str(before) if before != 1 else source, f"llama::{tmp_path / f'{after}' if after != 1 else tmp_path / 'last'}", "--parts", after)
    same(read_parts(tmp_path / "last")[0], whole_model())


def test_parts_hold_views_and_other_strides(tmp_path):
    state = whole_model(torch.float32)
    pieces = cut(state, 2)
    for piece in pieces:
        for name, value in piece.items():
            if value.dim() == 2:
                piece[name] = value.t().contiguous().t()
    source = write_model(tmp_path / "model", pieces)
    convert(source, tmp_path / "out.pth", "--to", "torch", "--drop-unsupported")
    same(torch.load(tmp_path / "out.pth", weights_only=True), state)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda f: (f / "consolidated.01.pth").unlink(), "holds consolidated.02.pth, and no consolidated.01.pth"),
        (lambda f: [(f / f"consolidated.{i:02d}.pth").unlink() for i in (2, 3)], "is a part missing?"),
        (lambda f: [(f / f"consolidated.{i:02d}.pth").unlink() for i in (1, 2, 3)], "this is one of 4 parts"),
        (lambda f: (f / "params.json").unlink(), "put the params.json of the model beside it"),
        (lambda f: (f / "params.json").write_text("{"), "params.json"),
    ],
    ids=["gap", "last two", "first alone", "no params", "bad params"],
)
def test_what_is_no_whole_model_is_refused(tmp_path, spoil, message):
    source = write_model(tmp_path / "model", cut(whole_model(), 4))
    spoil(source)
    result = cairn("convert", source, tmp_path / "out.safetensors", "--drop-unsupported")
    assert result.returncode != 0 and message in result.stderr, result.stderr
    assert not (tmp_path / "out.safetensors").exists()


def test_other_formats_have_no_parts(tmp_path):
    source = write_model(tmp_path / "model", [whole_model()])
    result = cairn("convert", source, tmp_path / "out.safetensors", "--parts", 2)
    assert result.returncode == 2 and "llama does" in result.stderr


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_a_real_llama_goes_to_meta_and_back(tmp_path, parts):
    config = transformers.LlamaConfig(
        hidden_size=DIM, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, intermediate_size=HIDDEN, num_hidden_layers=LAYERS,
        vocab_size=VOCABULARY, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path / "hf")
    convert(tmp_path / "hf", f"llama::{tmp_path / 'meta'}", "--map", "hf-llama:meta-llama", "--parts", parts)
    # params.json is nobody's to make up, and config.json has come along instead.
    (tmp_path / "meta/params.json").write_text(json.dumps(PARAMS))
    convert(tmp_path / "meta", tmp_path / "back/", "--to", "safetensors", "--map", "meta-llama:hf-llama")
    back = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "back").eval()
    same(model.state_dict(), back.state_dict())
    tokens = torch.arange(12).reshape(1, 12)
    with torch.no_grad():
        assert torch.equal(model(tokens).logits, back(tokens).logits)


def test_joining_and_cutting_take_little_memory(tmp_path):
    """Matrices of 128 MiB in parts: neither side may hold one."""
    rows, columns = 4096, 16384
    state = {"layers.0.feed_forward.w2.weight": torch.zeros(rows, columns, dtype=torch.bfloat16), "layers.0.feed_forward.w1.weight": torch.ones(columns, rows, dtype=torch.bfloat16)}
    source = write_model(tmp_path / "model", cut(state, 4), params=None)

    def peak(*arguments):
        process = subprocess.Popen([CAIRN, "-q", "convert", *map(str, arguments)], stderr=subprocess.PIPE)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, process.stderr.read()
        return usage.ru_maxrss / 1024

    base = peak(write_model(tmp_path / "tiny", cut({k: v[:16, :16] for k, v in state.items()}, 4), params=None), f"llama::{tmp_path / 'tiny-out'}", "--parts", 2)
    # Two windows, blocks of rows, and what each file that is written has on its way to the disk.
    assert peak(source, f"llama::{tmp_path / 'out'}", "--parts", 2) < base + 80
    for mine, meant in zip(read_parts(tmp_path / "out"), cut(state, 2)):
        same(mine, meant)
