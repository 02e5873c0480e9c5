"""`cairn diff` and `cairn recover`: reports against NumPy, exact diffs of generated pairs, arithmetic ones against what EasyLM's
script computes with real jax and flax. CAIRN_BIN (and CAIRND_BIN, for refs) name the binaries."""

import functools
import json
import random
import shutil
import xml.etree.ElementTree

import flax.serialization
import flax.traverse_util
import jax
import ml_dtypes
import msgpack
import numpy as np
import programs
import pytest
import safetensors.numpy
from programs import Daemon, needs_both, needs_cairn

pytestmark = needs_cairn
DIFFERENT = 7
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
cairn = functools.partial(programs.cairn, timeout=300)
done = functools.partial(programs.ok, timeout=300)


def report(*arguments):
    """Entries by path, the summary, and the exit code."""
    result = cairn("diff", *arguments, "--json")
    assert result.returncode in (0, DIFFERENT), result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["path"]: line for line in lines[:-1]}, lines[-1]["summary"], result.returncode


def write_easylm(path, flat):
    """As EasyLM's StreamingCheckpointer writes: one message for each leaf."""
    with open(path, "wb") as file:
        packer = msgpack.Packer()
        for key, value in flat.items():
            file.write(packer.pack((key, flax.serialization.to_bytes(value))))
    return path


def read_easylm(path):
    with open(path, "rb") as file:
        unpacker = msgpack.Unpacker(file, max_buffer_size=0)
        return {tuple(key): flax.serialization.from_bytes(None, value) for key, value in unpacker}


def weights(seed, shape, dtype=np.float32, scale=0.02):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(dtype)


def raw(array):
    return np.ascontiguousarray(array).tobytes()


# Reports.


def test_a_report_tells_what_numpy_tells(tmp_path):
    base = {f"h.{i}.w": weights(i, (40, 30)) for i in range(3)} | {"gone": weights(9, (2,)), "cast": weights(8, (5,))}
    target = {name: array.copy() for name, array in base.items() if name != "gone"}
    target["h.1.w"][3, :7] += np.float32(0.01)
    target["h.1.w"][0, 0] = np.nan
    target["h.1.w"][0, 1] = np.inf
    target["cast"] = target["cast"].astype(np.float16)
    target["new"] = weights(10, (3,))
    target["h.2.w"] = target["h.2.w"].reshape(1200)
    safetensors.numpy.save_file(base, tmp_path / "base.safetensors")
    safetensors.numpy.save_file(target, tmp_path / "target.safetensors")
    entries, summary, code = report(tmp_path / "base.safetensors", tmp_path / "target.safetensors")
    assert code == DIFFERENT
    assert {path: entry["difference"] for path, entry in entries.items()} == {
        "h.0.w": "equal", "h.1.w": "changed", "h.2.w": "reshaped", "gone": "removed", "new": "added", "cast": "recast",
    }
    b, t = base["h.1.w"].astype(np.float64), target["h.1.w"].astype(np.float64)
    finite = np.isfinite(b) & np.isfinite(t)
    d = np.where(finite, t, 0) - np.where(finite, b, 0)
    changed = entries["h.1.w"]
    assert changed["changed_elements"] == np.count_nonzero(base["h.1.w"].view(np.uint32) != target["h.1.w"].view(np.uint32))
    assert changed["max_absolute"] == pytest.approx(np.abs(d).max())
    assert changed["mean_absolute"] == pytest.approx(np.abs(d).sum() / finite.sum())
    assert changed["l2"] == pytest.approx(np.linalg.norm(d))
    assert changed["mean_relative"] == pytest.approx((np.abs(d[finite]) / np.abs(b[finite])).mean())
    bf, tf = b[finite], t[finite]
    assert changed["cosine"] == pytest.approx(bf @ tf / np.linalg.norm(bf) / np.linalg.norm(tf))
    assert (changed["base_nan"], changed["nan"], changed["base_inf"], changed["inf"]) == (0, 1, 0, 1)
    assert summary["counts"] == {"equal": 1, "changed": 1, "reshaped": 1, "removed": 1, "added": 1, "recast": 1}


def test_only_chooses_lines_and_the_totals_stay(tmp_path):
    safetensors.numpy.save_file({"a": weights(1, (4,)), "b": weights(2, (4,))}, tmp_path / "base.safetensors")
    safetensors.numpy.save_file({"a": weights(1, (4,)), "b": weights(3, (4,))}, tmp_path / "target.safetensors")
    shown = cairn("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "--only", "changed")
    assert shown.returncode == DIFFERENT
    assert shown.stdout.splitlines()[0].startswith("changed        b  float32 [4]")
    assert shown.stdout.splitlines()[1:] == ["2 entries: 1 equal, 1 changed"]
    wrong = cairn("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "--only", "altered")
    assert wrong.returncode == 2 and "expected equal, changed" in wrong.stderr


def test_equal_checkpoints_of_two_formats_are_equal(tmp_path):
    write_easylm(tmp_path / "base", {("a", "b"): weights(1, (4,)), ("c",): weights(2, (3, 2), BFLOAT16)})
    done("convert", f"params::{tmp_path}/base", f"flax::{tmp_path}/target", "--dtype", "keep")
    entries, summary, code = report(f"params::{tmp_path}/base", f"flax::{tmp_path}/target")
    assert code == 0, entries
    assert not summary["different"]


def test_a_tolerance_decides_the_exit_code(tmp_path):
    base = weights(1, (1000,))
    safetensors.numpy.save_file({"w": base}, tmp_path / "base.safetensors")
    safetensors.numpy.save_file({"w": base * np.float32(1.0005)}, tmp_path / "target.safetensors")
    pair = (tmp_path / "base.safetensors", tmp_path / "target.safetensors")
    assert report(*pair)[2] == DIFFERENT
    assert report(*pair, "--rtol", "1e-4")[2] == DIFFERENT
    assert report(*pair, "--rtol", "1e-3")[2] == 0
    assert report(*pair, "--atol", "1e-4")[2] == 0
    assert report(*pair, "--rtol", "1e-3")[0]["w"]["difference"] == "changed"
    assert cairn("diff", *pair, "--rtol", "-1").returncode == 2


def test_a_summary_by_layer_and_a_picture(tmp_path):
    base = {f"model.layers.{i}.{kind}": weights(i, (8, 8)) for i in range(12) for kind in ("q.weight", "mlp.weight")}
    base["<embed>&"] = weights(50, (4, 4))
    target = {name: array.copy() for name, array in base.items()}
    for i in range(6, 12):
        target[f"model.layers.{i}.q.weight"] *= np.float32(1 + 10.0**-i)
    safetensors.numpy.save_file(base, tmp_path / "base.safetensors")
    safetensors.numpy.save_file(target, tmp_path / "target.safetensors")
    plot = tmp_path / "plot.svg"
    _, summary, _ = report(tmp_path / "base.safetensors", tmp_path / "target.safetensors", "--summary", "--plot", plot)
    assert [layer["layer"] for layer in summary["layers"]] == [f"model.layers.{i}" for i in range(12)] + [""]
    assert summary["layers"][7]["different_tensors"] == 1 and summary["layers"][5]["different_tensors"] == 0
    svg = xml.etree.ElementTree.parse(plot).getroot()
    assert len([cell for cell in svg.iter("{http://www.w3.org/2000/svg}rect") if len(cell)]) == 25
    assert "<embed>&" in [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    again = cairn("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "--plot", plot)
    assert again.returncode == 4 and "exists" in again.stderr


# Exact diffs.

DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "bfloat16", "float32",
    "float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float8_e3m4", "float8_e4m3", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn",
    "int4", "uint4", "int2", "uint2",
]  # fmt: skip


def random_array(rng, name):
    dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
    shape = rng.choice([(), (0, 3), (7,), (rng.randint(1, 50), rng.randint(1, 50)), (2, 3, 5)])
    size = int(np.prod(shape)) * dtype.itemsize
    data = bytearray(rng.randbytes(size) if rng.random() < 0.7 else bytes(size))
    limits = {"bool": 1, "int4": 15, "uint4": 15, "int2": 3, "uint2": 3, "float4_e2m1fn": 15, "float6_e2m3fn": 63, "float6_e3m2fn": 63}
    if name in limits:
        data = bytearray(byte & limits[name] for byte in data)
    return np.frombuffer(bytes(data), dtype).reshape(shape)


def random_pair(seed):
    rng = random.Random(seed)
    base, target = {}, {}
    for i in range(rng.randint(0, 12)):
        key = (f"layer_{i % 3}", f"w{i}")
        name = rng.choice(DTYPES)
        base[key] = random_array(rng, name)
        kind = rng.randrange(7)
        if kind == 0:  # Removed.
            continue
        if kind == 1:  # Added.
            target[key] = base.pop(key)
        elif kind == 2:  # Recast, mostly.
            target[key] = random_array(rng, rng.choice(DTYPES))
        elif kind == 3:
            target[key] = base[key].reshape(-1)
        elif kind == 4:
            target[key] = base[key]
        else:
            changed = bytearray(raw(base[key]))
            for _ in range(rng.randint(0, 20) if changed else 0):
                changed[rng.randrange(len(changed))] = rng.choice([0, 1])
            target[key] = np.frombuffer(bytes(changed), base[key].dtype).reshape(base[key].shape)
    # Values, which EasyLM's files hold as they are.
    base[("step",)], target[("step",)] = rng.randint(-9, 9), rng.randint(-9, 9)
    base[("name",)], target[("name",)] = "adam", rng.choice(["adam", "lion"])
    target[("odd",)] = rng.choice([-0.0, float("nan"), float("inf"), 2**60, 1 + 2j, b"\x00\xff", None])
    order = list(target)
    rng.shuffle(order)
    return base, {key: target[key] for key in order}


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_what_is_recovered_is_the_target_byte_by_byte(tmp_path, first):
    # 40 pairs through the programs; tests/unit/common/diff does 200 in memory.
    for seed in range(first, first + 10):
        base, target = random_pair(seed)
        write_easylm(tmp_path / "base", base)
        write_easylm(tmp_path / "target", target)
        diff, back = tmp_path / f"{seed}.cairndiff", tmp_path / f"back{seed}"
        made = json.loads(done("diff", f"params::{tmp_path}/base", f"params::{tmp_path}/target", "--output", diff, "--json").stdout)
        got = json.loads(done("recover", f"params::{tmp_path}/base", diff, f"params::{back}", "--json").stdout)
        assert got["target_digest"] == made["target_digest"]
        assert back.read_bytes() == (tmp_path / "target").read_bytes(), seed


def test_a_diff_goes_to_and_from_any_format(tmp_path):
    base = {("a", "b"): weights(1, (300, 200), BFLOAT16), ("c",): weights(2, (100,))}
    target = {("a", "b"): weights(3, (300, 200), BFLOAT16), ("c",): weights(4, (100,))}
    write_easylm(tmp_path / "base", base)
    write_easylm(tmp_path / "target", target)
    done("convert", f"params::{tmp_path}/base", f"flax::{tmp_path}/base.msgpack", "--dtype", "keep")
    done("diff", f"params::{tmp_path}/base", f"params::{tmp_path}/target", "-o", tmp_path / "d.cairndiff")
    done("recover", f"flax::{tmp_path}/base.msgpack", tmp_path / "d.cairndiff", tmp_path / "back.safetensors")
    back = safetensors.numpy.load_file(tmp_path / "back.safetensors")
    assert raw(back["a.b"]) == raw(target[("a", "b")]) and raw(back["c"]) == raw(target[("c",)])


def sizes(tmp_path, base, target):
    safetensors.numpy.save_file({"w": base}, tmp_path / "base.safetensors")
    safetensors.numpy.save_file({"w": target}, tmp_path / "target.safetensors")
    diff = tmp_path / "d.cairndiff"
    done("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "-o", diff)
    done("recover", tmp_path / "base.safetensors", diff, tmp_path / "back.safetensors")
    assert raw(safetensors.numpy.load_file(tmp_path / "back.safetensors")["w"]) == raw(target)
    return diff.stat().st_size / target.nbytes


def test_one_percent_of_changed_values_cost_a_fortieth_and_unrelated_weights_two_thirds(tmp_path):
    base = weights(1, (4096, 2048), BFLOAT16)
    target = base.copy()
    where = np.random.default_rng(2).random(base.shape) < 0.01
    target[where] = (base[where].astype(np.float32) * 1.01 + 1e-4).astype(BFLOAT16)
    assert sizes(tmp_path, base, target) < 1 / 40
    for file in tmp_path.iterdir():
        file.unlink()
    assert sizes(tmp_path, base, weights(3, base.shape, BFLOAT16)) < 0.7


def test_an_unchanged_checkpoint_costs_less_than_a_hundredth(tmp_path):
    base = weights(1, (1024, 2048), BFLOAT16)
    assert sizes(tmp_path, base, base) < 0.01
    for file in tmp_path.iterdir():
        file.unlink()
    small = weights(1, (200, 200))
    assert sizes(tmp_path, small, small) < 0.01


def test_a_new_adapter_over_a_frozen_base_costs_little_more_than_the_adapter(tmp_path):
    frozen = {f"layers.{i}.{name}": weights(10 * i + k, (512, 2048), BFLOAT16) for i in range(4) for k, name in enumerate("qv")}
    for step, file in ((1, "base"), (2, "target")):
        adapter = {f"layers.{i}.{name}.lora_{side}": weights(1000 * step + 10 * i + k, shape, BFLOAT16)
                   for i in range(4) for k, name in enumerate("qv") for side, shape in (("A", (4, 2048)), ("B", (512, 4)))}  # fmt: skip
        safetensors.numpy.save_file(frozen | adapter, tmp_path / f"{file}.safetensors")
    diff, back = tmp_path / "d.cairndiff", tmp_path / "back.safetensors"
    done("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "-o", diff)
    assert diff.stat().st_size < (tmp_path / "target.safetensors").stat().st_size / 100
    done("recover", tmp_path / "base.safetensors", diff, back)
    got, want = (safetensors.numpy.load_file(path) for path in (back, tmp_path / "target.safetensors"))
    assert got.keys() == want.keys() and all(raw(got[name]) == raw(want[name]) for name in want)


@pytest.fixture
def exact(tmp_path):
    safetensors.numpy.save_file({"w": weights(1, (1000,)), "v": weights(2, (10,))}, tmp_path / "base.safetensors")
    safetensors.numpy.save_file({"w": weights(3, (1000,)), "v": weights(2, (10,))}, tmp_path / "target.safetensors")
    done("diff", tmp_path / "base.safetensors", tmp_path / "target.safetensors", "-o", tmp_path / "d.cairndiff")
    return tmp_path


def refused(folder, code, *words, base="base.safetensors", diff="d.cairndiff"):
    result = cairn("recover", folder / base, folder / diff, folder / "out" / "back.safetensors")
    assert result.returncode == code, result.stderr
    for word in words:
        assert word in result.stderr
    assert list((folder / "out").iterdir()) == []


def test_bad_input_has_an_error_of_its_own_and_leaves_no_partial_target(exact):
    (exact / "out").mkdir()
    made = json.loads(done("diff", exact / "base.safetensors", exact / "target.safetensors", "-o", exact / "e.cairndiff", "--json").stdout)
    for name, array in {"other bytes": weights(5, (1000,)), "other shape": weights(1, (10, 100)), "other dtype": weights(1, (1000,), np.float16)}.items():
        safetensors.numpy.save_file({"w": array, "v": weights(2, (10,))}, exact / "wrong.safetensors")
        refused(exact, 4, "made from another base", '"base.safetensors"', made["base_digest"], base="wrong.safetensors")
    good = (exact / "d.cairndiff").read_bytes()
    for cut in (9, 100, len(good) // 2, len(good) - 1):
        (exact / "bad.cairndiff").write_bytes(good[:cut])
        refused(exact, 5, "truncated", diff="bad.cairndiff")
    for place in (500, 2000, len(good) - 100):
        (exact / "bad.cairndiff").write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        refused(exact, 5, "the diff is damaged", diff="bad.cairndiff")
    refused(exact, 4, "no exact diff", "--mode arithmetic", diff="target.safetensors")
    refused(exact, 3, "nowhere", diff="nowhere")


def test_a_name_of_no_file_is_said_to_be_taken_for_a_ref(exact):
    result = cairn("diff", "missing.safetensors", exact / "base.safetensors", "--server", f"unix:{exact / 'nobody'}")
    assert result.returncode not in (0, 7)
    assert "there is no file missing.safetensors, so it was taken for a ref" in result.stderr


def test_options_that_do_not_go_together_are_refused(exact):
    pair = (exact / "base.safetensors", exact / "target.safetensors")
    assert "no --output" in cairn("diff", *pair, "--mode", "exact").stderr
    assert "run it twice" in cairn("diff", *pair, "-o", exact / "x", "--summary").stderr
    assert "cairndiff" in cairn("diff", *pair, "-o", f"params::{exact}/x").stderr
    exists = cairn("diff", *pair, "-o", exact / "d.cairndiff")
    assert exists.returncode == 4
    done("diff", *pair, "-o", exact / "d.cairndiff", "--overwrite")


def test_a_diff_is_shown_and_copied_as_what_it_is(exact):
    shown = json.loads(done("show", exact / "d.cairndiff", "--json").stdout)
    assert shown["format"] == "cairndiff"
    assert shown["metadata"]["cairn.diff.base"] == "base.safetensors"
    done("convert", exact / "d.cairndiff", exact / "copy.cairndiff")
    assert (exact / "copy.cairndiff").read_bytes() == (exact / "d.cairndiff").read_bytes()
    wrong = cairn("convert", exact / "base.safetensors", exact / "wrong.cairndiff")
    assert wrong.returncode != 0 and "holds an exact diff and nothing else" in wrong.stderr


# Arithmetic diffs: what EasyLM's diff_checkpoint computes, leaf by leaf.

FLOATS = [np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64)]
FLOAT_DTYPES = {"bf16": BFLOAT16, "fp16": np.dtype(np.float16), "fp32": np.dtype(np.float32), "keep": None}


def script(operation, base, target, float_dtype):
    """Of trees as flax reads them: NumPy arrays, computed leaf by leaf, then floats cast."""
    result = jax.tree_util.tree_map(operation, base, target)

    def cast(leaf):
        if float_dtype is None or getattr(leaf, "dtype", None) not in FLOATS:
            return leaf
        return leaf.astype(float_dtype)

    return jax.tree_util.tree_map(cast, result)


def adversarial(seed, dtype, count=4096):
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 256, count * dtype.itemsize, np.uint8)
    array = np.frombuffer(bits.tobytes(), dtype).copy()
    exponents = rng.integers(-40, 38, count // 2).astype(np.float64)
    with np.errstate(over="ignore"):
        array[: count // 2] = (rng.standard_normal(count // 2) * 10.0**exponents).astype(dtype)
    array[:8] = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5], np.float64).astype(dtype)
    rng.shuffle(array)
    return array


def flat_pair(seed):
    base, target = {}, {}
    kinds = [(a, a) for a in FLOATS] + [(BFLOAT16, FLOATS[2]), (FLOATS[2], BFLOAT16), (FLOATS[0], BFLOAT16), (FLOATS[3], BFLOAT16)]
    kinds += [(np.dtype(ml_dtypes.float8_e4m3fn),) * 2, (np.dtype(ml_dtypes.float8_e5m2),) * 2, (np.dtype(ml_dtypes.float8_e5m2), FLOATS[2])]
    for i, (a, b) in enumerate(kinds):
        base[("params", f"w{i}")] = adversarial(seed * 100 + i, a)
        target[("params", f"w{i}")] = adversarial(seed * 100 + 50 + i, b)
    for name in ("int8", "uint8", "int32", "int64", "uint64"):
        for side, shift in ((base, 0), (target, 7)):
            side[("params", name)] = np.frombuffer(np.random.default_rng(seed + shift).bytes(800), name)
    base[("count",)], target[("count",)] = weights(1, ()), weights(2, ())
    return base, target


def same_bits(got, want, both_nan, where):
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape, where
    width = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[want.dtype.itemsize]
    other = got.reshape(-1).view(width) != want.reshape(-1).view(width)
    if both_nan is not None:
        # Of the sum of two NaNs NumPy itself gives now the one, now the other.
        other &= ~both_nan.reshape(-1)
    assert not other.any(), (where, np.flatnonzero(other)[:5], got.reshape(-1)[other][:5], want.reshape(-1)[other][:5])


def both_nan(a, b):
    if a.dtype.kind in "iu":
        return None
    return np.isnan(a.astype(np.float64)) & np.isnan(b.astype(np.float64))


@pytest.mark.parametrize("dtype", FLOAT_DTYPES)
@pytest.mark.parametrize("kind", ["params", "flax"])
def test_arithmetic_is_that_of_easylm_bit_by_bit(tmp_path, dtype, kind):
    base, target = flat_pair(len(dtype))
    write_easylm(tmp_path / "base", base)
    write_easylm(tmp_path / "target", target)
    if kind == "flax":
        for name in ("base", "target"):
            tree = flax.traverse_util.unflatten_dict(read_easylm(tmp_path / name))
            (tmp_path / name).write_bytes(flax.serialization.msgpack_serialize(tree))
    with np.errstate(all="ignore"):
        there = (read_easylm(write_easylm(tmp_path / "b", base)), read_easylm(write_easylm(tmp_path / "t", target)))
        want = script(lambda b, t: t - b, *there, FLOAT_DTYPES[dtype])
        arguments = [f"{kind}::{tmp_path}/base", f"{kind}::{tmp_path}/target", "--mode", "arithmetic", "--dtype", dtype]
        made = json.loads(done("diff", *arguments, "-o", f"params::{tmp_path}/delta", "--json").stdout)
        got = read_easylm(tmp_path / "delta")
        assert list(got) == list(want) or set(got) == set(want)
        for key in want:
            same_bits(got[key], want[key], None, key)
        inexact = 0
        for key, delta in want.items():
            back = np.asarray(base[key] + delta).astype(target[key].dtype)
            inexact += sum(raw(x) != raw(y) for x, y in zip(back.reshape(-1), np.asarray(target[key]).reshape(-1)))
        # NumPy's sum of two NaNs and its casts of signalling ones may differ from ours in what counts as the same.
        assert made["inexact_elements"] == pytest.approx(inexact, rel=0.01)

        recover = [f"{kind}::{tmp_path}/base", f"params::{tmp_path}/delta", f"params::{tmp_path}/back"]
        done("recover", *recover, "--mode", "arithmetic", "--dtype", dtype)
        back = read_easylm(tmp_path / "back")
        want_back = script(lambda b, t: b + t, there[0], got, FLOAT_DTYPES[dtype])
        for key in want_back:
            same_bits(back[key], want_back[key], both_nan(np.asarray(base[key]), np.asarray(got[key])), key)


def test_arithmetic_refuses_trees_that_do_not_match(tmp_path):
    write_easylm(tmp_path / "base", {("a",): weights(1, (4,)), ("b",): weights(1, (4,))})
    write_easylm(tmp_path / "target", {("a",): weights(1, (2, 2)), ("c",): weights(1, (4,))})
    result = cairn("diff", f"params::{tmp_path}/base", f"params::{tmp_path}/target", "--mode", "arithmetic", "-o", tmp_path / "d.safetensors")
    assert result.returncode == 4
    for word in ('"a" has shape [4] and [2, 2]', '"c" is in the second alone', '"b" is in the first alone'):
        assert word in result.stderr
    assert not (tmp_path / "d.safetensors").exists()


# Refs.


@pytest.fixture
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    yield daemon
    daemon.stop()
    shutil.rmtree(daemon.data)


@needs_both
def test_refs_are_compared_by_their_digests_and_diffs_are_stored_with_their_lineage(daemon, tmp_path):
    base = {"a": weights(1, (1000, 700)), "b": weights(2, (10,))}
    target = base | {"b": weights(3, (10,))}
    safetensors.numpy.save_file(base, tmp_path / "base.safetensors")
    safetensors.numpy.save_file(target, tmp_path / "target.safetensors")
    for step, name in ((1, "base"), (2, "target")):
        daemon.ok("push", tmp_path / f"{name}.safetensors", f"team/run@{step}")
    result = daemon.cairn("diff", "team/run@1", "team/run@2", "--json")
    lines = {line.get("path"): line for line in map(json.loads, result.stdout.splitlines())}
    assert result.returncode == DIFFERENT
    assert lines["a"]["difference"] == "equal" and "elements" not in lines["a"]  # Not read.
    assert lines["b"]["changed_elements"] == 10

    daemon.ok("diff", "team/run@1", "team/run@2", "-o", "team/run-diff@2")
    stored = json.loads(daemon.ok("show", "team/run-diff@2", "--json").stdout)
    base_uid = json.loads(daemon.ok("show", "team/run@1", "--json").stdout)["uid"]
    assert stored["parent"] == base_uid
    assert stored["metadata"]["cairn.diff.base"] == "team/run@1"
    daemon.ok("recover", "team/run@1", "team/run-diff@2", tmp_path / "back.safetensors")
    back = safetensors.numpy.load_file(tmp_path / "back.safetensors")
    assert {name: raw(array) for name, array in back.items()} == {name: raw(array) for name, array in target.items()}

    # Exported as one file, applied to a file, saved as a ref.
    daemon.ok("pull", "team/run-diff@2", tmp_path / "d.cairndiff")
    daemon.ok("recover", tmp_path / "base.safetensors", tmp_path / "d.cairndiff", "team/run@3")
    assert daemon.cairn("diff", "team/run@2", "team/run@3").returncode == 0
    again = json.loads(daemon.ok("recover", tmp_path / "base.safetensors", tmp_path / "d.cairndiff", "team/run@3", "--json").stdout)
    assert again["bytes_resumed"] == again["bytes"]  # It was done before.

    daemon.ok("diff", "team/run@1", "team/run@2", "--mode", "arithmetic", "-o", "team/delta@2")
    daemon.ok("recover", "team/run@1", "team/delta@2", f"params::{tmp_path}/sum", "--mode", "arithmetic", "--dtype", "keep")
    want = base["b"] + (target["b"] - base["b"])
    assert raw(read_easylm(tmp_path / "sum")[("b",)]) == raw(want)
    wrong = daemon.cairn("recover", "team/run@2", "team/run-diff@2", "team/run@4")
    assert wrong.returncode == 4 and '"team/run@1"' in wrong.stderr
    assert daemon.cairn("show", "team/run@4").returncode == 3
