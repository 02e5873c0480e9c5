"""`cairn seed` against the real transformers and torch.distributed.checkpoint, which must load what it writes. CAIRN_BIN and CAIRND_BIN
name the binaries; a run without them fails."""

import hashlib
import json
import statistics
import struct

import pytest
import torch
import torch.distributed.checkpoint as dcp
import transformers
from programs import CAIRND, Daemon, cairn, ok
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader

SMALL = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500}
MODELS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {}),
    "llama-tied": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": True}),
    "llama-biased": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"attention_bias": True, "mlp_bias": True, "head_dim": 8}),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, {}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, {"head_dim": 32}),
}


def seed(*arguments, **options):
    return ok("seed", *arguments, **options).stdout


def write_config(folder, kind="llama", **more):
    config_class, _, options = MODELS[kind]
    config = config_class(**SMALL, **options, **more)
    config.save_pretrained(folder)
    return folder / "config.json"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", MODELS)
def test_transformers_loads_it_with_every_key(tmp_path, kind):
    (tmp_path / "in").mkdir()
    config = write_config(tmp_path / "in", kind)
    seed(config, tmp_path / "model/", "--seed", 42)
    assert (tmp_path / "model/config.json").read_bytes() == config.read_bytes()
    model, info = MODELS[kind][1].from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("norm.weight"):
            assert bool((tensor == 1).all()), name
        elif name.endswith(".bias"):
            assert bool((tensor == 0).all()), name
        else:
            count = tensor.numel()
            assert abs(tensor.mean().item()) < 5 * 0.02 / count**0.5, name
            assert abs(tensor.std().item() / 0.02 - 1) < 5 / (2 * count) ** 0.5, name
    ids = torch.arange(12).reshape(1, 12)
    assert torch.isfinite(model(ids).logits).all()
    # What an untrained model says is next to nothing.
    assert abs(model(ids, labels=ids).loss.item() - torch.log(torch.tensor(500.0)).item()) < 0.5


def test_the_numbers_are_normally_distributed(tmp_path):
    stats = pytest.importorskip("scipy.stats")
    (tmp_path / "s.yaml").write_text("tensors: ['w [300, 700] = normal(std=1)', 'u [300, 700] = uniform(a=0, b=1)', 't [300, 700] = trunc_normal(std=1, cutoff=1.5)']\n")
    seed(tmp_path / "s.yaml", tmp_path / "s.safetensors", "--seed", 5, "--dtype", "float64")
    state = {name: tensor.flatten().numpy() for name, tensor in load_file(tmp_path / "s.safetensors").items()}
    assert stats.kstest(state["w"], "norm").pvalue > 1e-3
    assert stats.kstest(state["u"], "uniform").pvalue > 1e-3
    assert stats.kstest(state["t"], stats.truncnorm(-1.5, 1.5).cdf).pvalue > 1e-3


def philox(counter, key):
    mask = 0xFFFFFFFF
    for i in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        k0, k1 = (key[0] + i * 0x9E3779B9) & mask, (key[1] + i * 0xBB67AE85) & mask
        counter = [b >> 32 ^ counter[1] ^ k0, b & mask, a >> 32 ^ counter[3] ^ k1, a & mask]
    return counter


def test_the_numbers_are_what_the_readme_says(tmp_path):
    (tmp_path / "s.yaml").write_text("tensors: ['a.w [7, 11] = normal(std=0.5, mean=3)', 'a.u [5] = uniform(a=-1, b=3)']\n")
    seed(tmp_path / "s.yaml", tmp_path / "s.safetensors", "--seed", 42, "--dtype", "float64")
    state = load_file(tmp_path / "s.safetensors")
    normal = statistics.NormalDist(3, 0.5).inv_cdf
    for name, make in (("a.w", normal), ("a.u", lambda p: -1 + 4 * p)):
        k0, k1, c2, c3 = struct.unpack("<4I", hashlib.sha256(f"cairn seed 1\n42\n{name}".encode()).digest()[:16])
        for n, value in enumerate(state[name].flatten().tolist()):
            words = philox([n // 2, 0, c2, c3], [k0, k1])
            part = ((words[n % 2 * 2 + 1] << 32 | words[n % 2 * 2]) << 52) >> 64
            assert value == pytest.approx(make((part + 0.5) / 2**52), rel=1e-13), (name, n)


def test_the_same_seed_gives_the_same_files(tmp_path):
    config = write_config(tmp_path)
    for name, number in (("a", 7), ("b", 7), ("c", 8)):
        seed(config, f"{tmp_path}/{name}/", "--seed", number)
    files = [digest(tmp_path / name / "model.safetensors") for name in "abc"]
    assert files[0] == files[1] != files[2]


def test_another_dtype_is_the_same_numbers_rounded(tmp_path):
    config = write_config(tmp_path)
    seed(config, f"{tmp_path}/wide/", "--dtype", "fp32")
    seed(config, f"{tmp_path}/narrow/", "--dtype", "bf16", "--max-shard-size", "100KB")
    wide = load_file(tmp_path / "wide/model.safetensors")
    narrow = {}
    for shard in (tmp_path / "narrow").glob("*.safetensors"):
        narrow |= load_file(shard)
    assert sorted(wide) == sorted(narrow)
    for name, tensor in narrow.items():
        assert tensor.dtype == torch.bfloat16
        # Twice rounded can differ from once by the last bit, in few places.
        torch.testing.assert_close(tensor.float(), wide[name], rtol=2**-8, atol=0)


def test_the_dtype_is_that_of_the_configuration(tmp_path):
    for key in ("dtype", "torch_dtype"):
        config = json.loads(write_config(tmp_path).read_text())
        config.pop("dtype", None)
        (tmp_path / "config.json").write_text(json.dumps({**config, key: "bfloat16"}))
        report = json.loads(seed(tmp_path, f"{tmp_path}/{key}/", "--json"))
        assert report["dtype"] == "bfloat16" and report["tensors"] == 3 * 9 + 3
        assert load_file(tmp_path / key / "model.safetensors")["model.norm.weight"].dtype == torch.bfloat16


@pytest.mark.parametrize("mapped", [False, True])
def test_torch_loads_a_dcp_seed(tmp_path, mapped):
    config = write_config(tmp_path)
    seed(config, f"{tmp_path}/flat/", "--seed", 3)
    expected = load_file(tmp_path / "flat/model.safetensors")
    names = {name: name for name in expected}
    if mapped:
        names = {"model.embed_tokens.weight": "tok_embeddings.weight", "model.layers.2.mlp.down_proj.weight": "layers.2.feed_forward.w2.weight",
                 "model.layers.1.self_attn.v_proj.weight": "layers.1.attention.qkv_linear.wv.weight", "lm_head.weight": "lm_head.weight"}  # fmt: skip
    options = ["--map", "hf-llama:torchtitan"] if mapped else []
    seed(config, f"dcp::{tmp_path}/dcp", "--seed", 3, "--drop-unsupported", *options)
    metadata = FileSystemReader(tmp_path / "dcp").read_metadata()
    assert len([key for key in metadata.state_dict_metadata if "config.json" not in key]) == len(expected)
    state = {new: torch.zeros_like(expected[old]) for old, new in names.items()}
    dcp.load(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    for old, new in names.items():
        assert torch.equal(state[new], expected[old]), new


def test_torchtitans_rules_and_those_of_the_user(tmp_path):
    config = write_config(tmp_path)
    seed(config, f"{tmp_path}/m/", "--init", "torchtitan", "--rule", "*.v_proj.weight=uniform(a=-1, b=1)", "--rule", "*.1.*norm.weight=constant(value=2)")
    state = load_file(tmp_path / "m/model.safetensors")
    for name, std in {"model.embed_tokens.weight": 1, "model.layers.2.self_attn.q_proj.weight": 0.02, "model.layers.2.mlp.down_proj.weight": 0.02 / 6**0.5,
                      "model.layers.0.self_attn.o_proj.weight": 0.02 / 2**0.5, "model.layers.1.self_attn.v_proj.weight": 3**-0.5}.items():  # fmt: skip
        assert state[name].std().item() == pytest.approx(std, rel=0.05), name
    assert state["lm_head.weight"].abs().max() <= 3 / 8
    assert bool((state["model.layers.1.input_layernorm.weight"] == 2).all()) and bool((state["model.norm.weight"] == 1).all())


def test_easylm_gets_bfloat16(tmp_path):
    config = write_config(tmp_path)
    report = json.loads(seed(config, f"params::{tmp_path}/streaming_params", "--map", "hf-llama:easylm", "--drop-unsupported", "--json"))
    assert report["dtype"] == "bfloat16" and report["map"] == "hf-llama -> easylm"


def test_errors_say_what_to_do(tmp_path):
    config = write_config(tmp_path)
    text = json.loads(config.read_text())
    (tmp_path / "bert.json").write_text(json.dumps({**text, "model_type": "bert"}))
    (tmp_path / "none.json").write_text(json.dumps({key: value for key, value in text.items() if key != "hidden_size"}))
    out = tmp_path / "out.safetensors"
    for arguments, code, message in [
        ([tmp_path / "bert.json", out], 1, "expected one of llama, mistral, qwen2, qwen3"),
        ([tmp_path / "none.json", out], 1, 'expected the key "hidden_size"'),
        ([tmp_path / "missing.json", out], 2, "missing.json"),
        ([config, out, "--rule", "x"], 2, "--rule: expected PATTERN=RULE"),
        ([config, out, "--rule", "nobody=zeros"], 1, "no tensor has such a name"),
        ([config, out, "--init", "other"], 2, "--init"),
        ([config, out, "--dtype", "int32"], 2, "--dtype"),
        ([config, "server::/x"], 2, "expected a file here"),
        ([config, "team/run@0", "--to", "safetensors"], 2, "a ref has no format"),
    ]:
        result = cairn("seed", *arguments)
        assert result.returncode == code and message in result.stderr, (arguments, result.returncode, result.stderr)
        assert not out.exists()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    assert CAIRND, "CAIRND_BIN must name the daemon to test"
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()


def test_a_seed_in_the_daemon_is_the_same_checkpoint(tmp_path, daemon):
    config = write_config(tmp_path)
    first = json.loads(seed(config, "team/run@0", "--seed", 42, "--json", server=daemon.server))
    assert first["checkpoint"]["step"] == 0 and first["bytes_resumed"] == 0
    again = json.loads(seed(config, "team/run@0", "--seed", 42, "--json", server=daemon.server))
    assert again["checkpoint"]["uid"] == first["checkpoint"]["uid"] and again["bytes_resumed"] == again["bytes"]
    assert json.loads(seed(config, "ref::team/other", "--json", server=daemon.server))["checkpoint"]["ref"].startswith("team/other@0")
    assert cairn("pull", "team/run@0", f"{tmp_path}/pulled/", server=daemon.server).returncode == 0
    seed(config, f"{tmp_path}/direct/", "--seed", 42)
    assert (tmp_path / "pulled/config.json").read_bytes() == config.read_bytes()
    pulled, direct = load_file(tmp_path / "pulled/model.safetensors"), load_file(tmp_path / "direct/model.safetensors")
    assert sorted(pulled) == sorted(direct)
    assert all(torch.equal(pulled[name], direct[name]) for name in direct)
