"""The program `cairn` on files alone. CAIRN_BIN names the binary; needs nothing but pytest."""

import json
import pathlib
import re
import shutil
import signal
import struct
import subprocess

import pytest
from plain_safetensors import read_safetensors, safetensors_header, write_safetensors
from programs import cairn, needs_cairn, start

pytestmark = needs_cairn

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_sparse_safetensors(path, tensors):
    header, length = safetensors_header(tensors)
    with open(path, "wb") as file:
        file.write(header)
        file.truncate(len(header) + length)
    return path


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


MODEL = {
    "model.embed.weight": ("F32", [2, 3], floats(0, 1, -2, 3.5, 1e-3, 5)),
    "model.ids": ("I64", [2], struct.pack("<2q", -7, 1 << 40)),
    "empty": ("F32", [0, 4], b""),
    "scalar": ("F32", [], floats(2.5)),
}


@pytest.fixture
def model(tmp_path):
    return write_safetensors(tmp_path / "model.safetensors", MODEL)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_round_trip_through_easylm_keeps_every_bit(model, tmp_path):
    there = cairn("convert", model, f"params::{tmp_path}/streaming_params", "--dtype", "keep")
    assert there.returncode == 0, there.stderr
    back = cairn("convert", f"params::{tmp_path}/streaming_params", tmp_path / "back.safetensors")
    assert back.returncode == 0, back.stderr
    assert read_safetensors(tmp_path / "back.safetensors") == MODEL
    assert "bfloat16" not in there.stderr + back.stderr


def test_easylm_floats_become_bfloat16_unless_told_otherwise_and_it_says_so(model, tmp_path):
    result = cairn("convert", model, tmp_path / "streaming_params_7")
    assert result.returncode == 0, result.stderr
    assert "bfloat16" in result.stderr and "--dtype keep" in result.stderr
    assert "bfloat16" not in result.stdout
    shown = json.loads(cairn("show", f"params::{tmp_path}/streaming_params_7", "--json").stdout)
    assert shown["format"] == "easylm"
    assert {entry["path"]: entry["dtype"] for entry in shown["entries"]} == {
        "model.embed.weight": "bfloat16",
        "model.ids": "int64",
        "empty": "bfloat16",
        "scalar": "bfloat16",
    }
    quiet = cairn("convert", model, f"params::{tmp_path}/quiet", "--quiet")
    assert quiet.returncode == 0 and quiet.stderr == ""


def test_select_and_dtype_choose_what_is_written(model, tmp_path):
    result = cairn("convert", model, tmp_path / "out.safetensors", "--dtype", "fp16", "--select", "**", "!empty")
    assert result.returncode == 0, result.stderr
    written = read_safetensors(tmp_path / "out.safetensors")
    assert set(written) == {"model.embed.weight", "model.ids", "scalar"}
    assert written["scalar"] == ("F16", [], struct.pack("<e", 2.5))


def test_shards_are_cut_at_the_size_asked_for(tmp_path):
    tensors = {f"t{i}": ("U8", [1000], bytes([i]) * 1000) for i in range(6)}
    source = write_safetensors(tmp_path / "model.safetensors", tensors)
    result = cairn("convert", source, tmp_path / "shards", "--to", "safetensors", "--max-shard-size", "3KB")
    assert result.returncode == 0, result.stderr
    assert len([name for name in names(tmp_path / "shards") if name.endswith(".safetensors")]) >= 2
    back = cairn("convert", tmp_path / "shards", tmp_path / "back.safetensors")
    assert back.returncode == 0, back.stderr
    assert read_safetensors(tmp_path / "back.safetensors") == tensors


def test_json_is_one_object_with_the_documented_fields(model, tmp_path):
    result = cairn("convert", model, tmp_path / "out.safetensors", "--json")
    value = json.loads(result.stdout)
    assert {"source", "source_format", "path", "format", "entries", "bytes", "seconds"} <= set(value)
    assert value["entries"] == 4 and value["bytes"] == 44
    shown = json.loads(cairn("show", model, "model.ids", "--values", "--json").stdout)
    assert shown["entry_count"] == 4
    assert shown["entries"] == [
        {"path": "model.ids", "kind": "tensor", "dtype": "int64", "shape": [2], "bytes": 16, "values": "[-7, 1099511627776]"}
    ]


def test_show_prints_what_a_person_looks_for(model):
    result = cairn("show", model, "--values")
    assert result.returncode == 0, result.stderr
    assert "4 tensors" in result.stdout
    assert re.search(r"model\.embed\.weight +tensor +float32 +\[2, 3\] +24 B +\[0, 1, -2, 3\.5,", result.stdout)
    assert cairn("show", model, "nothing/**").returncode == 3


def test_what_exists_is_not_replaced_unless_asked(model, tmp_path):
    target = tmp_path / "out.safetensors"
    target.write_text("precious")
    refused = cairn("convert", model, target)
    assert refused.returncode == 4
    assert refused.stderr.startswith("cairn: ALREADY_EXISTS: ") and "--overwrite" in refused.stderr
    assert target.read_text() == "precious"
    assert cairn("convert", model, target, "--overwrite").returncode == 0
    assert read_safetensors(target) == MODEL


def header_bytes(text):
    return struct.pack("<Q", len(text)) + text


HOSTILE = {
    "cut in the data": ("safetensors", lambda whole: whole[:-1]),
    "cut in the header": ("safetensors", lambda whole: whole[:30]),
    "cut in the length": ("safetensors", lambda whole: whole[:5]),
    "nothing": ("safetensors", lambda whole: b""),
    "a header of 2^63 bytes": ("safetensors", lambda whole: struct.pack("<Q", 1 << 63) + whole[8:]),
    "a header that is no JSON": ("safetensors", lambda whole: header_bytes(b"{]      ")),
    "a tensor beyond the end": (
        "safetensors",
        lambda whole: header_bytes(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}') + b"1234",
    ),
    "a shape whose size overflows": (
        "safetensors",
        lambda whole: header_bytes(
            b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}}') + b"1" * 16,
    ),
    "tensors that overlap": (
        "safetensors",
        lambda whole: header_bytes(
            b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}'
        ) + b"123456",
    ),
    "an easylm file that ends in a key": ("params", lambda whole: b"\x92\x91\xa3ab"),
    "an easylm length of 4 GiB": ("params", lambda whole: b"\x92\x91\xa1a\xc6\xff\xff\xff\xff1234"),
    "an easylm key that is a number": ("params", lambda whole: b"\x92\x01\xc4\x00"),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_a_damaged_file_is_refused_by_name_and_leaves_nothing(trick, model, tmp_path):
    prefix, damage = HOSTILE[trick]
    broken = tmp_path / "broken"
    broken.write_bytes(damage(model.read_bytes()))
    out = tmp_path / "out"
    out.mkdir()
    for command in (["convert", f"{prefix}::{broken}", out / "x.safetensors"], ["verify", f"{prefix}::{broken}"]):
        result = cairn(*command)
        assert result.returncode == 5, (command, result.stderr)
        assert re.match(r"cairn: (INVALID_ARGUMENT|DATA_LOSS): .*broken", result.stderr), result.stderr
        assert result.stdout == ""
    assert names(out) == []


def test_an_unknown_format_says_what_was_found(tmp_path):
    (tmp_path / "notes.txt").write_text("dear diary\x1b[2J")
    result = cairn("convert", tmp_path / "notes.txt", tmp_path / "out.safetensors")
    assert result.returncode == 1
    assert "notes.txt" in result.stderr and "safetensors" in result.stderr and "\x1b" not in result.stderr
    assert names(tmp_path) == ["notes.txt"]


def test_a_missing_file_is_not_found(tmp_path):
    result = cairn("convert", tmp_path / "none.safetensors", tmp_path / "out.safetensors")
    assert result.returncode == 3
    assert result.stderr.startswith("cairn: NOT_FOUND: ") and "none.safetensors" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["convert"],
        ["convert", "a", "b", "--frobnicate"],
        ["convert", "{model}", "out", "--dtype", "int8"],
        ["convert", "{model}", "out", "--to", "pickle"],
        ["convert", "{model}", "nosuch::out"],
        ["convert", "{model}", "params::out", "--to", "safetensors"],
        ["convert", "{model}", "out", "--max-shard-size", "huge"],
        ["convert", "{model}", "params::out", "--max-shard-size", "1GB"],
        ["convert", "{model}", "out", "--select", ""],
        ["convert", "{model}", "out", "--no-optimizer", "--keep-optimizer"],
        ["convert", "{model}", "out", "--map-file", "x.yaml"],
        ["completion", "tcsh"],
        ["push", "{model}", "not a ref"],
        ["push", "{model}", "run"],
        ["tag", "run@1"],
        ["rm", "run@1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_does_nothing(arguments, model, tmp_path):
    result = cairn(*[argument.format(model=model) for argument in arguments], cwd=tmp_path)
    assert result.returncode == 2, (result.returncode, result.stderr)
    assert result.stderr.startswith("cairn: USAGE: ") and "hint: " in result.stderr
    assert result.stdout == ""
    assert names(tmp_path) == ["model.safetensors"]


def test_weights_only_says_what_it_found(model, tmp_path):
    result = cairn("convert", model, tmp_path / "out.safetensors", "--no-optimizer")
    assert result.returncode == 0 and "weights of a state dict" in result.stderr
    assert read_safetensors(tmp_path / "out.safetensors") == MODEL


def easylm_leaf(path, value):
    key = bytes([0x90 | len(path)]) + b"".join(bytes([0xA0 | len(s)]) + s.encode() for s in path)
    return b"\x92" + key + b"\xc4" + bytes([len(value)]) + value


def easylm_u8(data):
    body = b"\x93\x91" + bytes([len(data)]) + b"\xa5uint8\xc4" + bytes([len(data)]) + data
    return b"\xc7" + bytes([len(body)]) + b"\x01" + body


def test_a_train_state_is_kept_whole_or_reduced_to_its_parameters(tmp_path):
    state = tmp_path / "state"
    state.write_bytes(
        easylm_leaf(["step"], b"\x07")
        + easylm_leaf(["params", "params", "w"], easylm_u8(b"\x01\x02"))
        + easylm_leaf(["opt_state", "mu"], easylm_u8(b"\x03"))
    )

    def paths(*arguments):
        target = tmp_path / "out"
        result = cairn("convert", *arguments[:1], f"params::{target}", *arguments[1:], "--overwrite")
        assert result.returncode == 0, result.stderr
        return [entry["path"] for entry in json.loads(cairn("show", f"params::{target}", "--json").stdout)["entries"]]

    assert sorted(paths(f"trainstate::{state}")) == ["opt_state/mu", "params/params/w", "step"]
    assert paths(f"trainstate::{state}", "--no-optimizer") == ["w"]
    assert paths(f"trainstate_params::{state}") == ["w"]
    assert cairn("convert", f"trainstate_params::{state}", tmp_path / "x", "--keep-optimizer").returncode == 2


def test_an_interrupt_in_the_middle_leaves_nothing_behind(tmp_path):
    gib = 1 << 30
    source = write_sparse_safetensors(
        tmp_path / "big.safetensors", {f"layer{i}": ("F32", [gib // 4], gib) for i in range(64)}
    )
    out = tmp_path / "out"
    out.mkdir()
    process = start(
        "convert", source, out / "small.safetensors", "--dtype", "bf16",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    # Not before it writes: the temporary file is there and grows.
    while process.poll() is None and not any(path.stat().st_size > 1 << 20 for path in out.iterdir()):
        pass
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1].startswith("cairn: CANCELLED: ")
    assert stdout == ""
    assert names(out) == []


def test_memory_stays_small_however_large_a_tensor_is(tmp_path):
    length = 1 << 30
    source = write_sparse_safetensors(tmp_path / "big.safetensors", {"embedding": ("F32", [length // 4], length)})
    process = start(
        "convert", source, tmp_path / "out.safetensors", "--dtype", "fp16", "--quiet",
        stdout=subprocess.DEVNULL,
    )
    # The kernel's own high-water mark; that of wait4() would count what pytest held when it forked.
    peak_kib = 0
    while process.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        except ProcessLookupError:
            continue
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak_kib = int(match[1]) if match else peak_kib
    assert process.returncode == 0
    assert 0 < peak_kib < 128 << 10  # Sanitizers would need more; they do not run this test.
    assert (tmp_path / "out.safetensors").stat().st_size > length // 2


def test_verify_reads_a_file_to_its_end(model):
    result = cairn("verify", model, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["ok"] is True


def commands():
    return re.findall(r"^### cairn (\w+)$", (ROOT / "docs" / "cli.md").read_text(), re.M)


@pytest.mark.parametrize("command", commands())
def test_help_of_every_command_has_examples(command):
    result = cairn(command, "--help")
    assert result.returncode == 0 and result.stderr == ""
    examples = result.stdout.split("Examples:")[1]
    assert f"cairn {command} " in examples or f"cairn {command}\n" in examples
    assert "--server" in result.stdout and "--json" in result.stdout


def test_help_names_every_command_and_the_exit_codes():
    result = cairn("--help")
    assert result.returncode == 0
    for command in commands():
        assert re.search(rf"^  {command} ", result.stdout, re.M), command
    assert "130 interrupted" in result.stdout and "__complete" not in result.stdout
    assert re.fullmatch(r"cairn \d+\.\d+\.\d+\n", cairn("--version").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_accepted_by_their_shells(shell, tmp_path):
    result = cairn("completion", shell)
    assert result.returncode == 0 and "convert" in result.stdout and "--max-shard-size" not in result.stderr
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(result.stdout)
    check = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
    assert check.returncode == 0 and check.stderr == "", check.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cairn", "pu"], {"push", "pull"}),
        (["cairn", "--server", "x", "con"], {"convert"}),
        (["cairn", "pull", "--max"], {"--max-shard-size"}),
        (["cairn", "completion", "z"], {"zsh"}),
        (["cairn", "convert", "mod"], {"model.safetensors"}),
    ],
)
def test_bash_completes(words, expected, model, tmp_path):
    script = cairn("completion", "bash").stdout
    quoted = " ".join(f"'{word}'" for word in words)
    script += f"\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _cairn; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert set(result.stdout.split()) == expected, result.stderr


def test_a_server_that_is_not_there_ends_with_6_and_a_hint():
    result = cairn("ls")
    assert result.returncode == 6, result.stderr
    assert result.stderr.startswith("cairn: UNAVAILABLE: ") and "cairnd" in result.stderr
    assert cairn("__complete", "refs", "x").stdout == ""
