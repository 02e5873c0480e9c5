"""`cairn convert --map` against formulas in NumPy, and against the real transformers and litgpt where they are installed (they
are not needed for the rest). CAIRN_BIN names the binary."""

import json

import pytest
from programs import cairn, needs_cairn, ok

pytestmark = needs_cairn

np = pytest.importorskip("numpy")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, INTER, VOCAB, LAYERS = 4, 2, 6, 24, 10, 13, 2


def convert(source, target, *options):
    ok("convert", source, target, "--dtype", "keep", *options)
    return safetensors_numpy.load_file(target)


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def llama(tied=False):
    random = np.random.default_rng(3)

    def tensor(*shape):
        return random.standard_normal(shape).astype(np.float32)

    model = {"model.embed_tokens.weight": tensor(VOCAB, HIDDEN), "model.norm.weight": tensor(HIDDEN)}
    if not tied:
        model["lm_head.weight"] = tensor(VOCAB, HIDDEN)
    for i in range(LAYERS):
        layer = f"model.layers.{i}."
        model |= {
            layer + "input_layernorm.weight": tensor(HIDDEN),
            layer + "post_attention_layernorm.weight": tensor(HIDDEN),
            layer + "self_attn.q_proj.weight": tensor(HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.k_proj.weight": tensor(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.v_proj.weight": tensor(KV_HEADS * HEAD_DIM, HIDDEN),
            layer + "self_attn.o_proj.weight": tensor(HIDDEN, HEADS * HEAD_DIM),
            layer + "mlp.gate_proj.weight": tensor(INTER, HIDDEN),
            layer + "mlp.up_proj.weight": tensor(INTER, HIDDEN),
            layer + "mlp.down_proj.weight": tensor(HIDDEN, INTER),
        }
    return model


def llama_config(**more):
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, **more,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "hf"
    path.mkdir()
    safetensors_numpy.save_file(llama(), path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(llama_config()))
    return path


def to_meta_rows(weight, heads):
    """Row i of the first half of a head and row i of the second become neighbours."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


META = {
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3", "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def expected_meta(model):
    """Meta's names and rows."""
    expected = {
        "tok_embeddings.weight": model["model.embed_tokens.weight"],
        "norm.weight": model["model.norm.weight"],
        "output.weight": model["lm_head.weight"],
    }
    for i in range(LAYERS):
        for theirs, metas in META.items():
            value = model[f"model.layers.{i}.{theirs}.weight"]
            if theirs.endswith("q_proj"):
                value = to_meta_rows(value, HEADS)
            if theirs.endswith("k_proj"):
                value = to_meta_rows(value, KV_HEADS)
            expected[f"layers.{i}.{metas}.weight"] = value
    return expected


def test_hugging_face_to_meta_is_the_formula_and_back(folder, tmp_path):
    meta = tmp_path / "meta.safetensors"
    assert_same(convert(folder / "model.safetensors", meta, "--map", "hf-llama:meta-llama"), expected_meta(llama()))
    (tmp_path / "params.json").write_text(
        json.dumps({"dim": HIDDEN, "n_heads": HEADS, "n_kv_heads": KV_HEADS, "n_layers": LAYERS})
    )
    assert_same(convert(meta, tmp_path / "back.safetensors", "--map", "meta-llama:hf-llama"), llama())


def test_hugging_face_to_easylm_is_the_formula_and_back(folder, tmp_path):
    stream = tmp_path / "llama.easylm"
    result = cairn("convert", folder / "model.safetensors", f"params::{stream}", "--dtype", "keep", "--map", "easylm")
    assert result.returncode == 0, result.stderr
    assert "hf-llama -> easylm" in result.stderr
    model = llama()
    meta = expected_meta(model)
    expected = {
        "transformer|wte|embedding": meta.pop("tok_embeddings.weight"),
        "transformer|ln_f|kernel": meta.pop("norm.weight"),
        "lm_head|kernel": meta.pop("output.weight").T,
    }
    for name, value in meta.items():
        _, layer, *rest, _ = name.split(".")
        expected["|".join(["transformer", "h", layer, *rest, "kernel"])] = value.T
    flat = convert(f"params::{stream}", tmp_path / "flat.safetensors", "--separator", "|")
    assert_same(flat, expected)
    back = convert(
        f"params::{stream}", tmp_path / "back.safetensors", "--map", "easylm:hf-llama",
        "--map-config", f"heads={HEADS}", "--map-config", f"kv_heads={KV_HEADS}",
    )  # fmt: skip
    assert_same(back, model)


def test_from_meta_to_litgpt_leads_over_hugging_face(tmp_path):
    source = tmp_path / "meta.safetensors"
    safetensors_numpy.save_file({k: np.ascontiguousarray(v) for k, v in expected_meta(llama()).items()}, source)
    (tmp_path / "params.json").write_text(
        json.dumps({"dim": HIDDEN, "n_heads": HEADS, "n_kv_heads": KV_HEADS, "n_layers": LAYERS})
    )
    found = convert(source, tmp_path / "lit.safetensors", "--map", "meta-llama:litgpt")
    model = llama()
    for i in range(LAYERS):
        parts = [model[f"model.layers.{i}.self_attn.{x}_proj.weight"] for x in "qkv"]
        np.testing.assert_array_equal(found[f"transformer.h.{i}.attn.qkv.weight"], np.concatenate(parts))


def test_torchtitan_has_metas_rows_under_names_of_its_own(folder, tmp_path):
    found = convert(folder / "model.safetensors", tmp_path / "titan.safetensors", "--map", "torchtitan")
    expected = {}
    for name, value in expected_meta(llama()).items():
        for letter in "qkv":
            name = name.replace(f"attention.w{letter}", f"attention.qkv_linear.w{letter}")
        expected[name.replace("output.weight", "lm_head.weight")] = value
    assert_same(found, expected)


def test_experts_are_one_tensor_in_torchtitan(tmp_path):
    names = {"gate_proj": ("w1_EFD", (5, 4)), "up_proj": ("w3_EFD", (5, 4)), "down_proj": ("w2_EDF", (4, 5))}
    model, expected = {}, {}
    random = np.random.default_rng(5)
    for theirs, (titans, shape) in names.items():
        experts = [random.standard_normal(shape).astype(np.float32) for _ in range(11)]
        model |= {f"model.layers.0.mlp.experts.{e}.{theirs}.weight": value for e, value in enumerate(experts)}
        expected[f"layers.0.moe.routed_experts.inner_experts.{titans}"] = np.stack(experts)
    safetensors_numpy.save_file(model, tmp_path / "x.safetensors")
    found = convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", "--map", "hf-qwen3-moe:torchtitan-qwen3")
    assert_same(found, expected)
    back = convert(tmp_path / "y.safetensors", tmp_path / "z.safetensors", "--map", "torchtitan-qwen3:hf-qwen3-moe")
    assert_same(back, model)


def test_a_cast_comes_after_the_map(folder, tmp_path):
    result = cairn("convert", folder / "model.safetensors", tmp_path / "x.safetensors", "--dtype", "fp16", "--map", "litgpt")
    assert result.returncode == 0, result.stderr
    found = safetensors_numpy.load_file(tmp_path / "x.safetensors")
    expected = llama()["model.layers.1.mlp.down_proj.weight"].astype(np.float16)
    np.testing.assert_array_equal(found["transformer.h.1.mlp.proj.weight"], expected)


def test_a_family_of_ones_own_needs_a_file_and_no_code(tmp_path):
    safetensors_numpy.save_file({"block.0.ab": np.arange(12, dtype=np.float32).reshape(4, 3)}, tmp_path / "x.safetensors")
    rules = tmp_path / "mine.yaml"
    rules.write_text(
        "namings: {mine: {}, theirs: {}}\nsides: [mine, theirs]\n"
        "rules:\n  - block.{i}.ab [(n | n) d] = a.{i} [d n] + b.{i} [n d]\n"
    )
    found = convert(tmp_path / "x.safetensors", tmp_path / "y.safetensors", "--map", rules)
    whole = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert_same(found, {"a.0": whole[:2].T, "b.0": whole[2:]})
    back = convert(tmp_path / "y.safetensors", tmp_path / "z.safetensors", "--map", "theirs:mine", "--map-file", rules)
    assert_same(back, {"block.0.ab": whole})


def test_what_does_not_fit_is_said_and_nothing_is_written(folder, tmp_path):
    model = llama() | {"model.layers.0.extra": np.zeros(3, np.float32)}
    safetensors_numpy.save_file(model, folder / "model.safetensors")
    target = tmp_path / "x.safetensors"
    result = cairn("convert", folder / "model.safetensors", target, "--map", "hf-llama:litgpt")
    assert result.returncode != 0 and '"model.layers.0.extra"' in result.stderr
    assert not target.exists()
    assert convert(folder / "model.safetensors", target, "--map", "hf-llama:litgpt", "--select", "!model.layers.0.extra")
    result = cairn("convert", folder / "model.safetensors", tmp_path / "y", "--map", "hf-llama:nowhere")
    assert result.returncode != 0 and 'unknown naming "nowhere"' in result.stderr
    result = cairn("convert", folder / "model.safetensors", tmp_path / "y", "--map-config", "heads=1")
    assert result.returncode == 2  # Without --map.


# Where the packages are installed: they are the judges.


def tiny_models(transformers):
    """Naming, a small model of transformers, a name of litgpt's with what makes its configuration as small."""
    sizes = {
        "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 24, "num_hidden_layers": 2,
        "intermediate_size": 20, "vocab_size": 17, "max_position_embeddings": 32, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    lit = {"n_head": 4, "n_query_groups": 2, "n_embd": 24, "head_size": 6, "n_layer": 2, "intermediate_size": 20,
           "vocab_size": 17, "padded_vocab_size": 17}  # fmt: skip
    mha = {**sizes, "num_key_value_heads": 4}
    lit_mha = {**lit, "n_query_groups": 4}
    wide, lit_wide = {**sizes, "head_dim": 8}, {**lit, "head_size": 8}
    t = transformers
    falcon = {k: sizes[k] for k in ("num_attention_heads", "hidden_size", "num_hidden_layers", "vocab_size")}
    falcon |= {"tie_word_embeddings": False, "bias": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    neox = {k: v for k, v in sizes.items() if k != "num_key_value_heads"}
    experts = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 7}
    return {
        "llama": ("hf-llama", t.LlamaConfig(**sizes), "Llama-3-8B", lit),
        "llama tied": ("hf-llama", t.LlamaConfig(**sizes, tie_word_embeddings=True), "Llama-3.2-1B", lit),
        "mistral": ("hf-llama", t.MistralConfig(**sizes), "Mistral-7B-v0.1", lit),
        "mixtral": ("hf-mixtral", t.MixtralConfig(**sizes, num_local_experts=3), "Mixtral-8x7B-v0.1",
                    {**lit, "n_expert": 3}),
        "gemma": ("hf-llama", t.GemmaConfig(**wide), "CodeGemma-7b-it", lit_wide),
        "gemma2": ("hf-gemma2", t.Gemma2Config(**wide), "Gemma-2-2b", lit_wide),
        "gemma3": ("hf-gemma2", t.Gemma3TextConfig(**wide), "Gemma-3-1b-it", lit_wide),
        "qwen2": ("hf-llama", t.Qwen2Config(**sizes), "Qwen2.5-0.5B", lit),
        "qwen3": ("hf-llama", t.Qwen3Config(**wide), "Qwen3-0.6B", lit_wide),
        "qwen3 experts": ("hf-qwen3-moe", t.Qwen3MoeConfig(**wide, **experts), "Qwen3-30B-A3B",
                          {**lit_wide, "n_expert": 3, "moe_intermediate_size": 7}),
        "olmo": ("hf-llama", t.OlmoConfig(**sizes), "OLMo-1B-hf", lit),
        "olmo2": ("hf-olmo2", t.Olmo2Config(**mha), "OLMo-2-1124-7B", lit_mha),
        "phi": ("hf-phi", t.PhiConfig(**mha), "phi-2", lit_mha),
        "phi3": ("hf-phi3", t.Phi3Config(**sizes), "Phi-3-mini-4k-instruct", lit),
        "phi4": ("hf-phi3", t.Phi3Config(**sizes, tie_word_embeddings=True), "Phi-4-mini-instruct", lit),
        "gpt-neox": ("hf-gpt-neox", t.GPTNeoXConfig(**neox), "pythia-14m", lit_mha),
        "falcon 7b": ("hf-falcon", t.FalconConfig(**falcon, multi_query=True, parallel_attn=True), "falcon-7b",
                      {**lit, "n_query_groups": 1, "intermediate_size": 96}),
        "falcon 40b": ("hf-falcon-40b",
                       t.FalconConfig(**falcon, new_decoder_architecture=True, num_kv_heads=2, parallel_attn=True),
                       "falcon-40b", {**lit, "intermediate_size": 96}),
    }  # fmt: skip


FAMILIES = [
    "llama", "llama tied", "mistral", "mixtral", "gemma", "gemma2", "gemma3", "qwen2", "qwen3", "qwen3 experts", "olmo",
    "olmo2", "phi", "phi3", "phi4", "gpt-neox", "falcon 7b", "falcon 40b",
]  # fmt: skip


def lit_weights(name, config, hf):
    """What litgpt's own conversion makes of a state dict."""
    from litgpt.scripts import convert_hf_checkpoint as script

    state, qkv = {}, {}
    lower = name.lower()
    if "falcon" in name:
        script.copy_weights_falcon(config, state, hf)
    elif lower.startswith("gemma-2-"):
        script.copy_weights_gemma_2(qkv, state, hf)
    elif lower.startswith("gemma-3"):
        script.copy_weights_gemma_3(qkv, state, hf, config=config)
    elif lower.startswith("phi"):
        script.copy_weights_phi(config, qkv, state, hf)
    elif lower.startswith("qwen2.5"):
        script.copy_weights_qwen_2_5(config, qkv, state, hf)
    elif lower.startswith("olmo-2-"):
        script.copy_weights_olmo2(config, qkv, state, hf)
    elif lower.startswith("qwen3"):
        script.copy_weights_qwen_3(config, qkv, state, hf)
    elif config.mlp_class_name in ("LLaMAMLP", "GemmaMLP", "LLaMAMoE"):
        script.copy_weights_hf_llama(config, qkv, state, hf)
    else:
        script.copy_weights_gpt_neox(config, state, hf)
    return {key: value.detach().contiguous() for key, value in state.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_litgpt_and_transformers_agree(family, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    litgpt = pytest.importorskip("litgpt")
    from litgpt.utils import save_config
    from safetensors.torch import load_file, save_file

    naming, hf_config, lit_name, sizes = tiny_models(transformers)[family]
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(hf_config)
    with torch.no_grad():  # Norms begin as ones and biases as zeros.
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    source, lit_folder = tmp_path / "hf", tmp_path / "lit"
    model.save_pretrained(source)
    stored = load_file(source / "model.safetensors")
    config = litgpt.Config.from_name(lit_name, **sizes)
    expected = lit_weights(lit_name, config, dict(stored))
    tied = [k for k in expected if k == "lm_head.weight" and expected[k].data_ptr() == expected["transformer.wte.weight"].data_ptr()]

    # Which family it is, the checkpoint says. An alias has no place in the file, so it is left out here.
    lit_folder.mkdir()
    target = lit_folder / "x.safetensors"
    result = cairn("convert", source, target, "--map", "litgpt", "--drop-unsupported")
    assert result.returncode == 0, result.stderr
    assert f"{naming} -> litgpt" in result.stderr
    found = load_file(target)
    assert sorted(found) == sorted(k for k in expected if k not in tied)
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name

    # litgpt's model takes them, whatever its conversion says.
    litgpt.GPT(config).load_state_dict({**found, **{k: expected[k] for k in tied}})

    # And back, by litgpt's own configuration.
    save_config(config, lit_folder)
    save_file({k: v for k, v in expected.items() if k not in tied}, target)
    result = cairn("convert", target, tmp_path / "back.safetensors", "--map", "hf")
    assert result.returncode == 0, result.stderr
    assert f"litgpt -> {naming}" in result.stderr
    back = load_file(tmp_path / "back.safetensors")
    assert sorted(back) == sorted(stored)
    for name, value in back.items():
        assert torch.equal(value, stored[name]), name
